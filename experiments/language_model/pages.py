"""The page of `experiments.language_model`: functions of the record and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.lab import Record
from experiments.language_model.judging import (
    NAMED,
    bits,
    cells,
    counted,
    middle,
    rival,
    spells,
    winner,
    wrapped,
)
from experiments.language_model.prose import cost, method, reading, samples
from recurrax.report import listed, markdown_table


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


def findings(record: Record) -> list[str]:
    """The best model, the order of the cells, and the surprise by position in a word."""
    found = [verdict(record), ranking(record), places(record)]
    seen = "without restarts" in record["results"] and max(shares(record)[0]) > 0
    return [*trap(record), *found] if seen else [*found, *trap(record)]


def verdict(record: Record) -> str:
    """The best network beside the best of counting and compressing."""
    best, (name, value) = winner(record), rival(record)
    mine, seeds = middle(record, best), bits(record, best)
    grams = record["results"]["n-grams"]
    longest = f"{grams['orders'][-1]}-gram"
    others = listed([f"{other} {counted(record)[other]:.3f}" for other in dict.fromkeys((longest, "bz2", "xz"))])
    if mine < value and max(seeds) < value:
        told = f"Every seed of the {NAMED[best]} is better than {name}, the best of these."
    elif mine < value:
        told = f"The {NAMED[best]} is better than {name}, the best of these, but not with every seed."
    else:
        told = f"{name.capitalize() if name == 'unigram' else name} wins: it needs {mine - value:.3f} bits fewer."
    words = f"the median of {len(seeds)} seeds, {min(seeds):.3f} to {max(seeds):.3f}" if len(seeds) > 1 else "one seed"
    return f"The {NAMED[best]} needs {mine:.3f} bits a character ({words}), {others}. {told}"


def ranking(record: Record) -> str:
    """The cells by their bits, and whether they were done."""
    order = sorted(cells(record), key=lambda cell: middle(record, cell))
    said = ", ".join(f"{NAMED[cell]} {middle(record, cell):.3f}" for cell in order)
    weights = [record["results"][cell]["parameters"] for cell in order]
    if len(order) == 1:
        text = f"The {NAMED[order[0]]} has {weights[0]:,} weights and was trained on {characters(record)}."
    else:
        text = (
            f"At equal weights ({min(weights):,} to {max(weights):,}) and after {characters(record)}, the medians are "
            f"{said}."
        )
    return f"{text} {unfinished(record)}"


def characters(record: Record) -> str:
    """The number of characters on which each run was trained."""
    config = record["config"]
    seen = config["steps"] * config["batch_size"] * config["window"]
    epochs = seen / record["results"]["data"]["sizes"][0]
    return f"{seen / 1e6:.1f} million characters" + (f", {epochs:.1f} times the text" if epochs >= 0.05 else "")


def unfinished(record: Record) -> str:
    """Whether more updates would help."""
    entries = [record["results"][cell] for cell in cells(record)]
    last = [at[-1] <= min(at) for entry in entries for at in entry["bits"]]
    return f"In {sum(last)} of {len(last)} runs the last evaluation is the best one, so more updates may help."


def places(record: Record) -> str:
    """Where in a word the best cell and the longest n-gram are surprised."""
    cell = winner(record)
    mine, theirs = (np.asarray(record["results"][name]["by_place"], float) for name in (cell, "n-grams"))
    rival = f"{record['results']['n-grams']['orders'][-1]}-gram"
    text = (
        f"The first letter of a word costs the {NAMED[cell]} {mine[0]:.2f} bits and the {rival} {theirs[0]:.2f}, the "
        f"sixth letter {mine[5]:.2f} and {theirs[5]:.2f}."
    )
    if spells(mine, theirs):
        text += (
            f" So the {NAMED[cell]} guesses the next word better, and the {rival}, which has stored what it counted, "
            "spells it better."
        )
    return text


def trap(record: Record) -> list[str]:
    """Whether a model gets stuck where it is begun, without restarts and with them."""
    if "without restarts" not in record["results"]:
        return []
    cell = cells(record)[0]
    without, with_ = shares(record)
    one, other = record["results"]["without restarts"]["test_bits"], bits(record, cell)
    if max(without) > 0:
        return [
            f"Without restarts in training the {NAMED[cell]} gets stuck at {ranged(without)} of the places where it is "
            f"begun anew, by seed, and predicts nothing from there on; with restarts at {ranged(with_)}. "
            f"The test in {record['config']['evaluation_streams']} pieces costs {values(one)} bits a character without "
            f"restarts and {values(other)} with them."
        ]
    return [
        "Restarts in training, without which a model may get stuck where it is begun anew, are not needed at these "
        f"settings: without them no seed of the {NAMED[cell]} gets stuck at any of the places that were tried, and the "
        f"median is {np.median(one):.3f} bits, with them {np.median(other):.3f}."
    ]


def shares(record: Record) -> tuple[list[float], list[float]]:
    """For every seed of the first cell, the share of places where it gets stuck, without and with restarts."""
    found = record["results"]
    return list(found["without restarts"]["stuck"]), list(found[cells(record)[0]]["stuck"])


def values(numbers: Sequence[float] | np.ndarray) -> str:
    """Bits of every seed."""
    return listed([f"{number:.3f}" for number in numbers])


def ranged(found: list[float]) -> str:
    """The lowest and the highest share in percent."""
    low, high = (f"{value:.1%}" for value in (min(found), max(found)))
    return low if low == high else f"{low} to {high}"


def restarts(record: Record) -> list[str]:
    """The effect of restarts, in a table and a paragraph."""
    if "without restarts" not in record["results"]:
        return []
    cell, config = cells(record)[0], record["config"]
    found = {f"{config['restart_rate']:.0%}": record["results"][cell], "none": record["results"]["without restarts"]}
    rows = [
        {
            f"restarts of the {NAMED[cell]}": name,
            "test bits, each seed": ", ".join(f"{value:.3f}" for value in entry["test_bits"]),
            "stuck, each seed": ", ".join(f"{value:.1%}" for value in entry["stuck"]),
        }
        for name, entry in found.items()
    ]
    text = (
        f"A model that reads {config['batch_size']} places of the book on and on begins from the initial state once. "
        "If it is begun anywhere else, it may fall into states that training never came to, and stay there. Then it "
        "does worse than if all characters were equally likely, and a piece of the test in which that happens costs "
        "some ten bits a character to its end. The last column has the share of places on the validation split from "
        "which a model is in such a state after 200 characters. Training with restarts lets a window begin from the "
        f"initial state with a probability of {config['restart_rate']:.0%} at every update and place, as all models of "
        "the table above did. Whether a model gets stuck depends on how it was trained: the settings of the preset "
        "`restarts` are those with which it was first seen."
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
    """The meaning of the columns."""
    return (
        "A bit a character is the mean of -log2 of the probability that was given to the character that came. Half a "
        "bit more means that the right character was given 0.7 times the probability. The median over seeds is shown. "
        "An n-gram sees the n - 1 characters before; the networks and the compressors may use all that came before. "
        "The compressors have read the training text too: their number is what the test text adds to the compressed "
        "size, and bz2, which sorts blocks of 900 kB, is given the end of the training text that fills a block."
    )
