"""The page: functions of the record and nothing else."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from experiments.lab import Record
from experiments.pronunciation.training import WAYS
from recurrax.report import markdown_table

NAMED = {"attention": "an encoder-decoder with attention", "no attention": "an encoder-decoder without attention"}
WINDOW = "window of 5 letters"
SURE = {True: "fewer", False: "more"}


def page(record: Record) -> list[Any]:
    """Title, findings, tables, and a summary for readers."""
    return [
        "How is a word pronounced that a net has never seen?",
        findings(record),
        "## Phonemes and words that are wrong",
        rates(record),
        how(record),
        "## What the network writes",
        written(record),
        reader(record),
    ]


def models(record: Record) -> dict[str, Any]:
    """The networks of the record by name."""
    return {name: record["results"][name] for name in record["config"]["models"]}


def middle(entry: Any, way: str = WAYS[-1], rate: str = "PER") -> float:
    """The median over the seeds of an error rate in percent."""
    return float(np.median([one[rate] for one in entry["judged"][way]]))


def counted(record: Record, rate: str = "PER") -> tuple[str, float]:
    """The n-grams of pairs that the validation split chose, and their error rate on the test split."""
    counting = record["results"]["counting"]
    return counting["chosen"], counting["methods"][counting["chosen"]][rate]


def winner(record: Record) -> str:
    """The network with the fewest phonemes wrong."""
    return min(models(record), key=lambda name: middle(models(record)[name]))


def findings(record: Record) -> list[str]:
    """The findings as sentences, made from the numbers."""
    best, found = winner(record), models(record)
    entry = found[best]
    said = [
        f"In words that it has never seen, {NAMED[best]} gets {middle(entry):.1f}% of the phonemes and "
        f"{middle(entry, rate='WER'):.1f}% of the words wrong (median of {len(entry['seeds'])} seeds, beam search)."
    ]
    others = [name for name in found if name != best]
    for name in others:
        said.append(
            f"{NAMED[name].capitalize()} has {middle(found[name]):.1f}% of the phonemes and "
            f"{middle(found[name], rate='WER'):.1f}% of the words wrong, {middle(found[name]) / middle(entry):.2f} "
            f"times as many phonemes. {by_length(record, best, name)} {apart(found[best], found[name])}"
        )
    said.append(against(record, entry))
    gain = middle(entry, WAYS[0], "WER") - middle(entry, rate="WER")
    said.append(
        f"Beam search with {record['config']['beams']} beams has {abs(gain):.1f} points {SURE[gain >= 0]} of the words "
        "wrong than greedy search."
    )
    return said


def apart(best: Any, other: Any) -> str:
    """Whether the seeds of two networks overlap."""
    highest = max(one["PER"] for one in best["judged"][WAYS[-1]])
    lowest = min(one["PER"] for one in other["judged"][WAYS[-1]])
    if highest < lowest:
        return "The worst seed of the better network has fewer phonemes wrong than the best seed of the other."
    return "The seeds of the two overlap."


def by_length(record: Record, best: str, other: str) -> str:
    """A comparison of two networks on short and long words."""
    rows = [errors_by_length(models(record)[name]) for name in (best, other)]
    known = np.flatnonzero(np.isfinite(rows).all(axis=0))
    if len(known) < 2:
        return ""
    short, long = known[0], known[-1]
    first, last = (f"{rows[0][n]:.1f}% and {rows[1][n]:.1f}%" for n in (short, long))
    return f"In words of {short + 3} letters the two have {first} of the phonemes wrong, in words of {long + 3} {last}."


def errors_by_length(entry: Any) -> np.ndarray:
    """The median over seeds of the phoneme error rate of words of 3 to 12 letters, NaN where there are none."""
    rows = [[np.nan if value is None else value for value in one["by_length"]] for one in entry["judged"][WAYS[-1]]]
    return np.median(np.array(rows, float), axis=0)


def against(record: Record, entry: Any) -> str:
    """The best network beside counting."""
    chosen, phonemes = counted(record)
    words = counted(record, "WER")[1]
    window = record["results"]["counting"]["methods"][WINDOW]
    low, high = record["results"]["counting"]["methods"][chosen]["intervals"]["PER"]
    value = middle(entry)
    if low <= value <= high:
        verdict = "does as well as the n-grams, as far as the test words can tell"
    else:
        verdict = "beats the n-grams" if value < low else "loses to the n-grams"
    return (
        f"Counting is a strong rival: {chosen} have {phonemes:.1f}% of the phonemes and {words:.1f}% of the words "
        f"wrong, after {record['results']['counting']['seconds']:.0f} s for all counting; a window of five letters has "
        f"{window['PER']:.1f}% and {window['WER']:.1f}%. The best network {verdict}."
    )


def rates(record: Record) -> str:
    """Every network and baseline."""
    rows = []
    for name, entry in models(record).items():
        for way in WAYS:
            seeds = entry["judged"][way]
            rows.append(
                {
                    "what writes": f"LSTM, {name}, {way}",
                    **{f"{rate}, %": spread([one[rate] for one in seeds]) for rate in ("PER", "WER")},
                    "parameters": f"{entry['parameters']:,}",
                    "training": f"{(entry['seconds'] + entry['compile_seconds']) / 60:.0f} min",
                }
            )
    counting = record["results"]["counting"]
    for name, one in counting["methods"].items():
        chosen = ", chosen" if name == counting["chosen"] else ""
        shown = {f"{rate}, %": bracketed(one, rate) for rate in ("PER", "WER")}
        rows.append({"what writes": name + chosen, **shown, "parameters": "", "training": ""})
    return markdown_table(sorted(rows, key=lambda row: float(row["PER, %"].split()[0])))


def spread(values: list[float]) -> str:
    """The median of the seeds and their range."""
    inside = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
    return f"{np.median(values):.1f}{inside}"


def bracketed(one: Any, rate: str) -> str:
    """An error rate and its interval."""
    low, high = one["intervals"][rate]
    return f"{one[rate]:.1f} [{low:.1f}, {high:.1f}]"


def how(record: Record) -> str:
    """The method and the uncertainty of the rows."""
    config, data = record["config"], record["results"]["data"]
    sizes, counting = data["sizes"], record["results"]["counting"]
    validated = ", ".join(f"{name} {value:.1f}%" for name, value in counting["validation"].items())
    texts = (
        "PER is the phoneme error rate, the phonemes put in, left out or replaced over all phonemes; WER is the share "
        f"of words with any error. {data['several']:,} of the test words have several pronunciations; each answer is "
        "compared with the nearest one. For networks the table has the median over seeds and in parentheses their "
        "range; for counting, which has no seeds, brackets hold the 95% bootstrap interval over words. The training "
        "times are those of all seeds together, on a machine that may have had other work.",
        f"The {sum(sizes.values()):,} words of 2 to 12 letters are split by a hash of the word: {sizes['train']:,} "
        f"train, {sizes['validation']:,} choose, {sizes['test']:,} test; {data['shared']} words are in both training "
        f"and test. Relatives may be: {data['related']:,} test words begin with a training word of four letters or "
        "more, as “creations” does with “creation”. All methods of the table have that help.",
        f"Networks: a bidirectional LSTM of {config['hidden'] // 2} units a direction reads, an LSTM of "
        f"{config['hidden']} writes; embeddings of {config['embedding']}, dropout {config['dropout']:g}, Adam at "
        f"{config['learning_rate']:g} falling to 0 in {config['steps']:,} updates of {config['batch_size']} words, "
        f"seeds {', '.join(map(str, config['seeds']))}. Batch, learning rate and dropout were not searched: they "
        "were kept after one probe of 1,600 updates of the network with attention had a PER of 9.7% on the validation "
        f"split. The network without attention has the same settings, which were not tuned for it. {last(record)}",
        f"The validation split also chose among the n-grams; PER there: {validated}. Test errors of the baselines, but "
        "of no network, had been seen while this experiment was written.",
    )
    return "\n\n".join(map(filled, texts))


def last(record: Record) -> str:
    """Whether the budget ended before the networks did."""
    fits = models(record).values()
    runs = sum(len(entry["seeds"]) for entry in fits)
    ended = sum(int(np.argmin(losses) == len(losses) - 1) for entry in fits for losses in entry["loss"])
    if not ended:
        return "Every run had its lowest validation loss before the last evaluation."
    return f"In {ended} of {runs} runs the last evaluation has the lowest validation loss: more updates may help."


def written(record: Record) -> str:
    """Words of the figure, and mistakes."""
    entry = models(record)[winner(record)]
    tables = []
    for title, rows in (
        ("Six test words, chosen by their spelling before any network was tested:", entry["shown"]),
        ("Some of the words that seed 0 gets wrong, evenly spaced in the alphabet:", entry["mistakes"]),
    ):
        lines = [
            {
                "word": row["word"],
                "written": row["written"] or "(nothing)",
                "in the dictionary": " or ".join(row["answers"]),
            }
            for row in rows
        ]
        if lines:
            tables.append(f"{title}\n\n{markdown_table(lines)}")
    return "\n\n".join(tables)


def reader(record: Record) -> str:
    """A summary for readers of articles."""
    data = record["results"]["data"]
    examples = "; ".join(f"“{word}” is {sound}" for word, sound in list(data["examples"].items())[1:4])
    chosen, _ = counted(record)
    better = counted(record)[1] < middle(models(record)[winner(record)])
    paragraphs = {
        "What it is": "An encoder-decoder (Sutskever et al., 2014; Cho et al., 2014) reads one sequence and writes "
        "another one of a different length. Without attention everything the decoder knows of the word passes through "
        "one vector, the encoder's last state. With attention (Bahdanau et al., 2015) the decoder also looks back at "
        "the letters at every step. Beam search keeps the best few beginnings and not only the likeliest next phoneme.",
        "What the data look like": "The CMU Pronouncing Dictionary (BSD-like licence) gives the phonemes of English "
        f"words and many names. Examples from the training split: {examples}. Marks of stress are dropped, "
        f"which leaves {len(data['phonemes'])} phonemes. Names of foreign origin and abbreviations make part of it "
        "unpredictable from spelling alone.",
        "What the network learns": "The heat maps of the figure show where the network looks while it writes: it goes "
        "through the word from left to right. The network learned this from pairs of whole words alone; "
        "nobody told it which letters make which phoneme.",
        "What beats it": f"{chosen.capitalize()} (Bisani & Ney, 2008) {'beat' if better else 'do not beat'} the best "
        "network here. They align letters and phonemes by EM and count, which fits this problem: pronunciation is "
        "local and the order never changes. They need no gradients and little tuning.",
        "When to use an LSTM here": "Use one when the rules are not local, when one model has to serve several "
        "languages or take more inputs than letters, or when it is part of a larger network. For a dictionary of one "
        "language, count first.",
    }
    return "## In short, for a reader of an article on LSTMs\n\n" + "\n\n".join(
        filled(f"**{title}.** {text}") for title, text in paragraphs.items()
    )


def filled(text: str) -> str:
    """A paragraph in lines of a page."""
    return textwrap.fill(text, 118, break_on_hyphens=False)
