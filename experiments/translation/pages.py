"""The page: functions of the record and nothing else."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from experiments.lab import Record
from experiments.translation.decoding import ALONE, WAYS
from experiments.translation.verses import LEARNT, LONGEST
from recurrax.report import markdown_table

NAMED = {"attention": "an LSTM with attention", "no attention": "an LSTM without attention"}
COPY, MEMORY, DICTIONARY = "the Spanish verse", "translation memory", "IBM model 1"


def page(record: Record) -> list[Any]:
    """Title, findings, tables, and a summary for readers."""
    return [
        "Can an LSTM of a few thousand verses translate, and what does attention change?",
        findings(record),
        "## BLEU and chrF of every method",
        scores(record),
        how(record),
        "## Does anything leak?",
        leaks(record),
        "## What the methods write",
        samples(record),
        reader(record),
    ]


def models(record: Record) -> dict[str, Any]:
    """The networks of the record by name."""
    return {name: record["results"][name] for name in record["config"]["models"]}


def simple(record: Record) -> dict[str, Any]:
    """The translations without a net, by name."""
    return record["results"]["without a net"]["judged"]


def middle(entry: Any, way: str = WAYS[-1], score: str = "BLEU") -> float:
    """The median over the seeds of a score."""
    return float(np.median([one[score] for one in entry["judged"][way]]))


def winner(record: Record) -> str:
    """The network with the highest BLEU."""
    return max(models(record), key=lambda name: middle(models(record)[name]))


def findings(record: Record) -> list[str]:
    """The findings as sentences, made from the numbers."""
    found, base = models(record), simple(record)
    told = [
        f"{NAMED[name]} has {middle(entry):.1f} BLEU and {middle(entry, score='chrF'):.1f} chrF"
        for name, entry in found.items()
    ]
    seeds = len(record["config"]["seeds"])
    said = [
        f"On unseen verses, {' and '.join(told)} (median of {seeds} seed{'s' if seeds > 1 else ''}, beam search"
        + ("; with attention, unknown words come from a dictionary)." if "attention" in found else ")."),
        f"Without a net, IBM's first model, a dictionary of words, has {base[DICTIONARY]['BLEU']:.1f} BLEU and "
        f"{base[DICTIONARY]['chrF']:.1f} chrF, the English of the most similar Spanish verse "
        f"{base[MEMORY]['BLEU']:.1f} and {base[MEMORY]['chrF']:.1f}. {verdict(record)}",
    ]
    if len(found) > 1:
        said.append(forgets(record))
    if alone := found[winner(record)]["judged"].get(ALONE):
        bleu, chrf = (float(np.median([one[score] for one in alone])) for score in ("BLEU", "chrF"))
        said.insert(2, f"The dictionary helps the network with words that it does not know. Alone, the network has "
                    f"{bleu:.1f} BLEU and {chrf:.1f} chrF.")  # fmt: skip
    said.append(chance(record))
    return said


def verdict(record: Record) -> str:
    """The best network beside the dictionary."""
    entry, base = models(record)[winner(record)], simple(record)[DICTIONARY]
    wins = {score: middle(entry, score=score) > base[score] for score in ("BLEU", "chrF")}
    low, high = base["interval"]
    sure = "" if not low <= middle(entry) <= high else ", though within the 95% interval of the dictionary's BLEU"
    if wins["BLEU"] == wins["chrF"]:
        return f"The best network is {'ahead of' if wins['BLEU'] else 'behind'} the dictionary by both measures{sure}."
    ahead, behind = ("BLEU", "chrF") if wins["BLEU"] else ("chrF", "BLEU")
    return f"The best network is ahead of the dictionary by {ahead} and behind it by {behind}{sure}."


def forgets(record: Record) -> str:
    """The effect of attention, by length of the verse."""
    rows = {name: by_length(entry) for name, entry in models(record).items()}
    known = [
        n for n in range(len(record["results"]["data"]["lengths"])) if all(np.isfinite(r[n]) for r in rows.values())
    ]
    if len(known) < 2:
        return "There are too few verses to tell their lengths apart."
    places = (known[0], known[-1])
    said = [
        " and ".join(f"{rows[name][n]:.1f} {'with' if name == 'attention' else 'without'} attention" for name in rows)
        for n in places
    ]
    ranges = ["{} to {}".format(*record["results"]["data"]["lengths"][n]) for n in places]
    return f"BLEU on verses of {ranges[0]} words and signs is {said[0]}; on those of {ranges[1]} it is {said[1]}."


def by_length(entry: Any) -> np.ndarray:
    """The median over seeds of BLEU at each length; NaN where there are no verses."""
    rows = [[np.nan if value is None else value for value in one["by_length"]] for one in entry["judged"][WAYS[-1]]]
    return np.median(np.array(rows, float), axis=0)


def chance(record: Record) -> str:
    """The chance level of the scores, and the results of the checks for leaks."""
    losses, steps = record["results"]["leaks"]["loss"], record["results"]["leaks"]["steps"]
    by_chance = max(one["chance"] for one in simple(record).values())
    nets = max(one["chance"] for entry in models(record).values() for one in entry["judged"][WAYS[-1]])
    shared = sum(record["results"]["data"]["shared"].values())
    return (
        f"{'No verse is' if not shared else f'{shared} verses are'} in two splits; beside the English of other verses, "
        f"networks have at most {nets:.1f} BLEU and the other methods at most {by_chance:.1f}. After {steps} updates "
        f"the validation loss of one network is {losses['true pairs']:.2f} nats a word on the true pairs, "
        f"{losses['shuffled pairs']:.2f} on shuffled pairs, and {losses['no source']:.2f} with one source for all."
    )


def scores(record: Record) -> str:
    """Every network and baseline."""
    rows = []
    for name, entry in models(record).items():
        for way, seeds in entry["judged"].items():
            rows.append(
                {
                    "what translates": f"LSTM, {name}, {way}",
                    **{score: spread([one[score] for one in seeds]) for score in ("BLEU", "chrF")},
                    "95% interval of BLEU": interval(np.median([one["interval"] for one in seeds], axis=0)),
                    "words over the reference's": f"{np.median([one['length'] for one in seeds]):.2f}",
                    "parameters": f"{entry['parameters']:,}",
                    "training": f"{(entry['seconds'] + entry['compile_seconds']) / 60:.0f} min",
                }
            )
    for name, one in simple(record).items():
        shown = {score: f"{one[score]:.1f}" for score in ("BLEU", "chrF")}
        ratio = {
            "95% interval of BLEU": interval(one["interval"]),
            "words over the reference's": f"{one['length']:.2f}",
        }
        rows.append({"what translates": name, **shown, **ratio, "parameters": "", "training": ""})
    return markdown_table(sorted(rows, key=lambda row: -float(row["BLEU"].split()[0])))


def spread(values: list[float]) -> str:
    """The median of the seeds and their range."""
    inside = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
    return f"{np.median(values):.1f}{inside}"


def interval(bounds: Any) -> str:
    """Two numbers."""
    return f"{bounds[0]:.1f} to {bounds[1]:.1f}"


def how(record: Record) -> str:
    """The method and the uncertainty of the rows."""
    config, data = record["config"], record["results"]["data"]
    sizes = data["sizes"]
    (spanish, english), (unknown, missing) = data["vocabularies"], data["unknown"]
    seconds = record["results"]["without a net"]["seconds"]
    texts = (
        "BLEU and chrF are those of sacreBLEU with its own settings, on lower-cased words that are set apart from "
        "signs; they are not comparable with published numbers. Networks: the median over seeds and in parentheses "
        "their range. The intervals come from a bootstrap over test verses. The training times are those of all seeds "
        f"together, on a machine that may have had other work; all methods without a net took {seconds:.0f} s.",
        f"Of verses of up to {LEARNT} words and signs, {sizes['train']:,} are learnt from, by the networks, the "
        f"dictionary and the translation memory alike. {sizes['validation']:,} verses choose and {sizes['test']:,} are "
        f"tested, of up to {LONGEST} words and signs. The vocabularies have {spanish:,} and {english:,} words; "
        f"{unknown:.0%} of the Spanish and {missing:.0%} of the English test words are outside of them. Where the "
        "network with attention writes the sign for an unknown word, the page puts what the dictionary has for the "
        "word it looks at most (Luong et al., 2015); one row has what the network writes alone. Without attention "
        "such a word is left out.",
        f"Networks: a bidirectional LSTM of {config['hidden'] // 2} units a direction reads, an LSTM of "
        f"{config['hidden']} writes; embeddings of {config['embedding']}, dropout {config['dropout']:g}, Adam at "
        f"{config['learning_rate']:g} falling to 0 in {config['steps']:,} updates of {config['batch_size']} verses of "
        f"similar lengths, seeds {', '.join(map(str, config['seeds']))}; beams {config['beams']}. {chosen(record)} "
        f"{last(record)}",
    )
    return "\n\n".join(map(filled, texts))


def chosen(record: Record) -> str:
    """The choice of the settings."""
    return (
        "Two probes of the network with attention, one seed each, chose on the validation split. The first learnt from "
        "verses of up to 20 words, knew 2,800 English words and had a BLEU of 16.8 there. The second learnt from "
        "verses of up to 30 words, knew 1,500, at another learning rate and dropout, and had 29.6; which of the "
        "changes mattered most was not measured. The network without attention has the same settings, which were not "
        "tuned for it. Test scores of the methods without a net, but of no network, had been seen while this "
        "experiment was written."
    )


def last(record: Record) -> str:
    """Whether the budget ended before the networks did."""
    fits = models(record).values()
    runs = sum(len(entry["seeds"]) for entry in fits)
    ended = sum(int(np.argmin(losses) == len(losses) - 1) for entry in fits for losses in entry["loss"])
    if not ended:
        return "Every run had its lowest validation loss before the last evaluation."
    return f"In {ended} of {runs} runs the last evaluation has the lowest validation loss: more updates may help."


def leaks(record: Record) -> str:
    """The checks."""
    data, found = record["results"]["data"], record["results"]["leaks"]
    rows = [{"trained on": name, "validation loss, nats a word": f"{loss:.3f}"} for name, loss in found["loss"].items()]
    text = (
        "The hash of the English verse gives the split, so no English verse is in two splits. "
        f"{data['taken_out']} verses of validation or test were taken out as their Spanish is in an earlier split: "
        f"{data['shared']['spanish']} Spanish and {data['shared']['english']} English test verses are elsewhere. The "
        "Bible repeats itself, and near copies remain; the translation memory, which finds them, shows how far one "
        "gets with them. If targets leaked into the inputs, a network would learn shuffled pairs as it learns the true "
        f"ones; the table shows networks with attention after {found['steps']} updates, one seed each."
    )
    return f"{filled(text)}\n\n{markdown_table(rows)}"


def samples(record: Record) -> str:
    """A few test verses and what every method makes of them."""
    data, base, found = record["results"]["data"], record["results"]["without a net"]["shown"], models(record)
    parts = []
    for number, (spanish, english) in enumerate(zip(data["spanish"], data["english"], strict=True)):
        rows = [{"": "Spanish", "verse": spanish}, {"": "English", "verse": english}]
        rows += [{"": f"LSTM, {name}", "verse": entry["shown"][WAYS[-1]][number]} for name, entry in found.items()]
        rows += [{"": name, "verse": base[name][number]} for name in (DICTIONARY, MEMORY)]
        parts.append(markdown_table(rows))
    title = (
        f"{len(parts)} test verses of 7 to 12 words and signs, evenly spaced in the Bible; networks of the first seed:"
    )
    return "\n\n".join([title, *parts])


def reader(record: Record) -> str:
    """A summary for readers of articles."""
    behind = middle(models(record)[winner(record)]) < simple(record)[DICTIONARY]["BLEU"]
    paragraphs = {
        "What it is": "An LSTM reads a Spanish sentence and another one writes English, word by word (Sutskever et "
        "al., 2014; Cho et al., 2014). Without attention the whole sentence passes through one vector. With attention "
        "(Bahdanau et al., 2015) the writer looks back at the Spanish words at every step; the weights of this look "
        "are an alignment of the two languages that nobody has given.",
        "What the data look like": "Verses of the Reina-Valera of 1909 and the King James Bible of 1611 with the same "
        "chapter and number (the SWORD modules SpaRV and KJV, public domain outside the United Kingdom). The language "
        f"is old and repetitive, and {record['results']['data']['sizes']['train']:,} pairs are very few: systems for "
        "general use learn from millions.",
        "What the network learns": f"With attention, which word stands for which and how the order changes: see the "
        f"heat maps. {blind(record)}",
        "What beats it": (
            "The dictionary of IBM's first model (Brown et al., 1993), which counts and has no notion of grammar, "
            "still scores higher here. "
            if behind
            else "Nothing of what was tried. The dictionary of IBM's first model (Brown et al., 1993), which counts "
            "and has no notion of grammar, is the nearest. "
        )
        + "A phrase-based system or a translation network that was trained on more text would be the next rivals; "
        "neither was tried.",
        "When to use an LSTM here": "Today one would fine-tune a translation network that others have trained. An LSTM "
        "with attention is of use where the model must be small or must be trained from nothing, and it is the "
        "clearest way to see what attention does.",
    }  # fmt: skip
    return "## In short, for a reader of an article on LSTMs\n\n" + "\n\n".join(
        filled(f"**{title}.** {text}") for title, text in paragraphs.items()
    )


def blind(record: Record) -> str:
    """The value of a network without attention."""
    entry = models(record).get("no attention")
    if entry is None:
        return ""
    by_chance = float(np.median([one["chance"] for one in entry["judged"][WAYS[-1]]]))
    memory = simple(record)[MEMORY]["BLEU"]
    return (
        f"Without attention the network has {middle(entry):.1f} BLEU where chance has {by_chance:.1f} and the "
        f"translation memory {memory:.1f}: it writes verses in the style of the Bible, and of these "
        f"{'little' if middle(entry) < memory else 'a part'} comes from the source. It was not taught to keep "
        "a sentence in one vector by so few pairs and updates, at settings that were chosen for the other network."
    )


def filled(text: str) -> str:
    """A paragraph in lines of a page."""
    return textwrap.fill(text, 118, break_on_hyphens=False)
