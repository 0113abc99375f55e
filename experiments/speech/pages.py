"""The page: functions of the record and nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.lab import Record
from recurrax.edit_distance import edit_distance
from recurrax.report import markdown_table

NEAREST, NOTHING = "nearest utterance", "nothing written"
WORDS = {
    "LSTM": "LSTM, both directions",
    "GRU": "GRU, both directions",
    "forward LSTM": "LSTM, forward only",
    NEAREST: "text of the nearest training utterance",
    NOTHING: "nothing written",
}

NAMED = {
    "LSTM": "an LSTM that reads in both directions",
    "GRU": "a GRU that reads in both directions",
    "forward LSTM": "an LSTM that reads forward only",
}


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    return [
        "Can a recurrent net write down what it hears, learning from eight minutes of speech?",
        findings(record),
        "## Letters and words that are wrong",
        how(record),
        errors(record),
        samples(record),
        *reading(record),
        "## Who said the vowel?",
        vowel_text(record),
        vowels(record),
    ]


def cells(record: Record) -> list[str]:
    """The recognisers of the record."""
    return list(record["config"]["cells"])


def pairs(record: Record, name: str) -> list[list[tuple[str, str]]]:
    """For each seed the text of every tested prompt and the output."""
    prompts, tested = record["results"]["prompts"], record["config"]["tested"]
    size = prompts["sizes"][2]
    texts = [prompts["texts"][fold * size : (fold + 1) * size] for fold in tested]
    if name == NOTHING:
        written = [[[""] * size for _ in tested]]
    elif name == NEAREST:
        written = [[record["results"][NEAREST]["written"][str(fold)] for fold in tested]]
    else:
        by_fold = [record["results"][f"{name} fold {fold}"]["written"] for fold in tested]
        written = [[fold[seed] for fold in by_fold] for seed in range(len(by_fold[0]))]
    return [
        [pair for said, wrote in zip(texts, seed, strict=True) for pair in zip(said, wrote, strict=True)]
        for seed in written
    ]


def counted(seed: Sequence[tuple[str, str]], words: bool = False) -> np.ndarray:
    """Edits and tokens of every prompt, ``[N, 2]``."""
    split = [(a.split(), b.split()) if words else (a, b) for a, b in seed]
    return np.array([(edit_distance(a, b), len(a)) for a, b in split], float)


def rates(record: Record, name: str, words: bool = False) -> tuple[np.ndarray, tuple[float, float]]:
    """The error rate of each seed over all tested prompts, and its 95% bootstrap interval over prompts."""
    found = np.stack([counted(seed, words) for seed in pairs(record, name)])  # [S, N, 2]
    edits, tokens = found[..., 0], found[0, :, 1]
    draws = np.random.RandomState(0).randint(0, len(tokens), (1000, len(tokens)))
    mean = edits.mean(axis=0)
    low, high = np.percentile(mean[draws].sum(axis=1) / tokens[draws].sum(axis=1), [2.5, 97.5])
    return edits.sum(axis=1) / tokens.sum(), (float(low), float(high))


def exact(record: Record, name: str) -> float:
    """Share of prompts that are written without an error, mean over seeds."""
    return float(np.mean([[a == b for a, b in seed] for seed in pairs(record, name)]))


def by_fold(record: Record, name: str) -> np.ndarray:
    """Letter error rate of each tested fold, mean over seeds."""
    found = np.stack([counted(seed) for seed in pairs(record, name)])
    folds = found.reshape(len(found), len(record["config"]["tested"]), -1, 2).sum(axis=2)
    return (folds[..., 0] / folds[..., 1]).mean(axis=0)


def findings(record: Record) -> list[str]:
    """The findings as sentences, made from the numbers."""
    best = winner(record)
    letters, words = middle(record, best), middle(record, best, words=True)
    others = [f"{middle(record, cell):.0%} with {NAMED[cell]}" for cell in cells(record) if cell != best]
    near, beside = middle(record, NEAREST), middle(record, NEAREST, words=True)
    verdict = "fewer letters wrong" if letters < near else "more letters wrong"
    return [
        f"In texts that it has never heard, {NAMED[best]} gets {letters:.0%} of the letters and {words:.0%} of the "
        f"words wrong{'. The letters wrong are ' if others else ''}{' and '.join(others)}.",
        f"The text of the nearest training utterance has {near:.0%} of the letters and {beside:.0%} of the words "
        f"wrong. So the best network gets {verdict}, {'but' if (letters < near) != (words < beside) else 'and'} "
        f"{'fewer' if words < beside else 'more'} words: the neighbour answers in whole words, the network spells.",
        f"{exact(record, best):.0%} of the prompts are written without any error: this is not yet a useful recogniser.",
        vowel_finding(record),
    ]


def middle(record: Record, name: str, words: bool = False) -> float:
    """The median of the seeds' error rates."""
    return float(np.median(rates(record, name, words)[0]))


def winner(record: Record) -> str:
    """The network with the fewest letters wrong."""
    return min(cells(record), key=lambda cell: middle(record, cell))


def vowel_finding(record: Record) -> str:
    """The best method on the vowels."""
    results = record["results"]
    base = results["vowel baselines"]
    means = {cell: float(np.median(results[f"vowels {cell}"]["accuracy"])) for cell in record["config"]["vowel_cells"]}
    best = max(means, key=lambda cell: means[cell])
    rivals = {"a linear classifier of the mean frame": base["logistic"], "the nearest utterance": base["nearest"]}
    strongest = max(rivals, key=lambda name: rivals[name])
    told = ", ".join(f"{name} {value:.1%}" for name, value in rivals.items())
    if abs(means[best] - rivals[strongest]) < 1 / np.sqrt(base["sizes"][1]) / 4:
        verdict = f"does as well as {strongest}, as far as {base['sizes'][1]} utterances can tell"
    else:
        verdict = f"is {'ahead of' if means[best] > rivals[strongest] else 'behind'} {strongest}"
    return (
        f"Naming the speaker of a vowel is a different matter: the best network, the {best}, is right in "
        f"{means[best]:.1%} of the utterances and {verdict} ({told})."
    )


def how(record: Record) -> str:
    """The method and the uncertainty of the rows."""
    config, prompts = record["config"], record["results"]["prompts"]
    counts, (train, validation, test) = prompts["counts"], prompts["sizes"]
    tested = len(config["tested"])
    text = (
        f"Of {counts['all']} prompts, {counts['too long']} are longer than {config['longest']:g} s, "
        f"{counts['repeated']} repeat a text, and {counts['to equal folds']} would make the folds unequal; these are "
        f"left out. The other {train + validation + test} have texts of their own. In each of the {config['folds']} "
        f"folds {train} are learnt from, {validation} choose the number of updates and {test} are tested; {tested} "
        f"fold{'s are' if tested > 1 else ' is'} tested here. Error rates are edits (letters put in, left out or "
        "replaced) over the letters of all tested texts; that of words likewise. The networks write the best path of "
        "CTC, without a dictionary or a language model. The median over seeds is shown; brackets hold the 95% "
        f"bootstrap interval over prompts. Seeds {config['seeds']}; {config['layers']} layers of {config['hidden']} "
        f"units, dropout {config['dropout']:g}, Adam at {config['learning_rate']:g} falling to 0 in "
        f"{config['steps']:,} updates of {config['batch_size']} prompts. The size follows an earlier trial; dropout "
        "and the width of the hidden stripes were chosen among two settings on the validation part of fold 0, whose "
        f"texts are tested in another fold. {unfinished(record)}"
    )
    return textwrap.fill(text, 118)


def unfinished(record: Record) -> str:
    """Whether the budget ended before the networks did."""
    fits = [record["results"][f"{cell} fold {fold}"] for cell in cells(record) for fold in record["config"]["tested"]]
    last = sum(at == fit["steps"][-1] for fit in fits for at in fit["best_at"])
    return (
        f"In {last} of {sum(len(fit['best_at']) for fit in fits)} runs the lowest validation loss is that of the last "
        "evaluation, so more updates may help."
    )


def errors(record: Record) -> str:
    """Every network and baseline."""
    rows = []
    for name in (*cells(record), NEAREST, NOTHING):
        (letters, inside), (words, around) = rates(record, name), rates(record, name, words=True)
        folds = by_fold(record, name)
        entry = record["results"].get(f"{name} fold {record['config']['tested'][0]}", {})
        rows.append(
            {
                "what writes": WORDS[name],
                "parameters": f"{entry['parameters']:,}" if entry else "",
                "letters wrong": f"{np.median(letters):.3f} [{inside[0]:.3f}, {inside[1]:.3f}]",
                "words wrong": f"{np.median(words):.3f} [{around[0]:.3f}, {around[1]:.3f}]",
                "without error": f"{exact(record, name):.0%}",
                "letters, by fold": ", ".join(f"{rate:.2f}" for rate in folds),
            }
        )
    return markdown_table(rows)


def samples(record: Record) -> str:
    """Six test prompts of the first fold, at even distances in the order of their error rates."""
    name = cells(record)[0]
    seed = pairs(record, name)[0][: record["results"]["prompts"]["sizes"][2]]
    ranked = sorted(seed, key=lambda pair: (edit_distance(*pair) / len(pair[0]), pair))
    chosen = [ranked[place] for place in np.linspace(0, len(ranked) - 1, min(6, len(ranked))).astype(int)]
    rows = [{"said": said, "written": wrote or "(nothing)"} for said, wrote in chosen]
    where = f"of fold {record['config']['tested'][0]}, from its best written prompt to its worst"
    return f"What the {WORDS[name]}, wrote {where}:\n\n{markdown_table(rows)}"


def reading(record: Record) -> list[str]:
    """A summary for readers of articles."""
    config = record["config"]
    shown = record["results"][f"{cells(record)[0]} fold {config['tested'][0]}"]["example"]["posteriors"]
    silent = int(np.sum(np.argmax(shown, axis=1) == 0))
    paragraphs = {
        "What it is": "A recogniser reads sound and writes text. CTC (Graves et al., 2006) lets a recurrent network "
        "learn this from pairs of sound and text alone: at each step the network names a letter or a blank, and the "
        "loss sums over all paths of letters and blanks that spell the text.",
        "What the data look like": "Short English prompts of a telephone exchange, such as \"please try again\", all "
        "spoken by one woman at 8 kHz (Debian's asterisk-core-sounds-en, CC-BY-SA-3.0, Digium and Allison Smith). Each "
        f"10 ms become {config['mels']} log-mel energies, and {config['stack']} of these frames are one step. The "
        "texts are made lower case, digits are spelled, and punctuation is dropped.",
        "What the network learns": f"Figure a and b: the blank is the likeliest token in {silent} of the {len(shown)} "
        "steps, and in between a letter stands out for a step or two. Nobody told the network when: CTC finds the "
        "times by itself. It spells by ear, which in English is not enough.",
        "What beats it": f"{beaten(record)} Recognisers that are trained on far more speech, a dictionary and a "
        "language model are what one would add next; none of them was tried here.",
        "When to use an LSTM here": "When you have sound of your own kind (commands, one speaker, a small vocabulary), "
        "minutes and not hours of it, and want a model that is trained in minutes on a CPU. A network that reads in "
        "one direction can write while it listens; one that reads in both must wait for the end.",
    }  # fmt: skip
    return [f"## {title}\n\n{textwrap.fill(text, 118)}" for title, text in paragraphs.items()]


def beaten(record: Record) -> str:
    """The best methods by letters and by words."""
    names = [*cells(record), NEAREST]
    letters, words = (min(names, key=lambda name: middle(record, name, w)) for w in (False, True))
    if letters == words:
        return f"By letters and by words, the {WORDS[letters]} is best of what was tried."
    return f"By letters the {WORDS[letters]} is best of what was tried, by words the {WORDS[words]}."


def vowel_text(record: Record) -> str:
    """The method of the rows of the vowels."""
    base, config = record["results"]["vowel baselines"], record["config"]
    text = (
        f"JapaneseVowels (Kudo, Toyama & Shimbo, 1999; UCI, CC-BY-4.0): {base['speakers']} men say two vowels, as 12 "
        f"cepstral coefficients a frame, {base['frames'][0]} to {base['frames'][1]} frames. The given split has "
        f"{base['sizes'][0]} and {base['sizes'][1]} utterances of the same speakers. One layer of "
        f"{config['vowel_hidden']} units reads forward and answers at the last frame. {config['vowel_folds']}-fold "
        f"cross-validation inside the training part chose the learning rate among {config['vowel_learning_rate']} and "
        "the number of updates; then every seed learnt from the whole training part and was tested once. "
        f"{base['sizes'][1]} utterances give an accuracy of 0.96 a standard error of 0.01."
    )
    return textwrap.fill(text, 118)


def vowels(record: Record) -> str:
    """Every seed of every cell, and the baselines."""
    results = record["results"]
    rows = []
    for cell in record["config"]["vowel_cells"]:
        entry = results[f"vowels {cell}"]
        rows.append(
            {
                "what answers": cell,
                "test accuracy": f"{np.median(entry['accuracy']):.3f}",
                "seeds": ", ".join(f"{value:.3f}" for value in entry["accuracy"]),
                "chosen": f"rate {entry['learning_rate']:g}, {entry['steps']} updates",
            }
        )
    base = results["vowel baselines"]
    for name, key in (
        ("nearest utterance, DTW", "nearest"),
        ("logistic regression on the mean frame", "logistic"),
        ("most frequent speaker", "majority"),
    ):
        rows.append({"what answers": name, "test accuracy": f"{base[key]:.3f}", "seeds": "", "chosen": ""})
    return markdown_table(rows)
