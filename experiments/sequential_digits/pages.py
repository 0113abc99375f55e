"""The page, the figure and the rows of the baseline table: functions of the record and nothing else."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import baseline, plots
from experiments.compare import LEVEL, larger, rate
from experiments.lab import Record
from experiments.sequential_digits.training import PRESETS
from experiments.tuning import STARTS
from recurrax.palette import looks
from recurrax.report import listed, markdown_table

# Test accuracy in percent: cell of ours, number, source; read in the source itself unless it says otherwise.
BAI = "Bai et al. (2018), Table 1, about 70,000 parameters, epoch chosen on the test split"
LE = "Le et al. (2015), as quoted by Cooijmans et al. (2016), not verified"
PUBLISHED = {
    ("mnist", "pixels"): [("LSTM", 87.2, BAI), ("GRU", 96.2, BAI), ("RNN", 21.5, BAI), ("IRNN", 97.0, LE)],
    ("mnist", "permuted"): [("LSTM", 85.7, BAI), ("GRU", 87.3, BAI), ("RNN", 25.3, BAI), ("IRNN", 82.0, LE)],
}

READ = {"pixels": "Pixel by pixel", "permuted": "In a fixed random order", "rows": "Row by row"}


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    data = record["results"]["data"]
    train, validation, test = data["sizes"]
    sections = [
        f"## Test accuracy: {data['name']}, {train:,} / {validation:,} / {test:,} images",
        setting(record["config"], train, test),
        accuracies(record),
        baselines(record),
        published(record),
        f"Data: {data['source']}.\nSHA-256 of the arrays {data['sha256']}.",
    ]
    title = "Can a recurrent net read a digit pixel by pixel, and is it worth it?"
    return [title, findings(record), *filter(None, sections)]


def setting(config: Record, train: int, test: int) -> str:
    """The method and the uncertainty of the rows."""
    epochs = config["steps"] * config["batch_size"] / train
    text = (
        f"Adam at learning rates {config['learning_rate']}, norm clipped at {config['clip_norm']:g}, batch "
        f"{config['batch_size']}, {config['steps']:,} updates ({epochs:.0f} epochs' worth), seeds {config['seeds']} at "
        "each rate. Of each run the model with the lowest validation loss is tested once; the rate of a row is the one "
        "where these losses are lowest on average. All seeds at that rate are shown, in percent, with k/n above the "
        f"linear classifier and its exact 95% interval. The {test:,} test images alone give one seed's accuracy a "
        f"standard error of up to {50 / math.sqrt(test):.1f} points. Orders differ by Mann and Whitney's test at "
        f"{LEVEL:g}. Cells have the same number of units, not of parameters."
    )
    return textwrap.fill(text, 118)


def orders(record: Record) -> dict[str, dict[str, Any]]:
    """The entries of every order by cell."""
    found: dict[str, dict[str, Any]] = {}
    for name, entry in record["results"].items():
        if name not in ("data", "linear"):
            found.setdefault(entry["order"], {})[entry["cell"]] = entry
    return found


def lowest(entry: Any) -> np.ndarray:
    """The lowest validation loss of every run, infinite where none was finite: ``[S]``."""
    loss = np.asarray(entry["loss"], float)
    return np.where(np.isfinite(loss), loss, np.inf).min(axis=1)


def chosen(entry: Any) -> np.ndarray:
    """The runs at the learning rate that the validation split chooses: bool ``[S]``."""
    rates, losses = np.asarray(entry["settings"]["learning_rate"]), lowest(entry)
    return rates == min(np.unique(rates), key=lambda rate: losses[rates == rate].mean())


def tested(entry: Any) -> np.ndarray:
    """Test accuracy of every chosen run; 0 for one that never had a finite validation loss."""
    accuracy = np.asarray(entry["test_accuracy"], float)
    return np.where(np.isfinite(lowest(entry)), accuracy, 0)[chosen(entry)]


def linear(record: Record) -> float:
    """Test accuracy of the linear classifier at the penalty that the validation split chose."""
    entry = record["results"]["linear"]
    return entry["test"][entry["chosen"]]


def baseline_rows(record: Record) -> list[baseline.Row]:
    """The rows of the baseline table: a run succeeds where its validation accuracy passes the linear classifier's."""
    data, classifier = record["results"]["data"], record["results"]["linear"]
    bar = classifier["validation"][classifier["chosen"]]
    rows = []
    for order, cells in orders(record).items():
        for cell, entry in cells.items():
            runs = chosen(entry)
            above = np.asarray(entry["accuracy"], float)[runs] > bar
            first = np.asarray(entry["steps"])[above.argmax(axis=1)]
            rates = np.asarray(entry["settings"]["learning_rate"])
            rows.append(
                baseline.Row(
                    task=f"{data['name']}, {order}, {entry['length']} steps",
                    criterion=f"validation accuracy > {bar:.1%}, the linear classifier's",
                    chance=100 * data["majority"],
                    cell=cell,
                    initialization=STARTS[cell],
                    parameters=entry["parameters"],
                    tuned=baseline.rate_of(rates[runs][0], rates),
                    measure="test accuracy, %",
                    values=(100 * tested(entry)).tolist(),
                    solved_at=np.where(above.any(axis=1), first, -1).tolist(),
                    budget=record["config"]["steps"],
                    seconds=entry["seconds"] + entry["compile_seconds"],
                    command=baseline.command(record, PRESETS, {"orders": [order], "cells": [cell]}),
                    published=reported(data["name"], order, cell),
                    reached="above linear",  # the task has no criterion, so no run solves it
                )
            )
    return rows


def reported(data: str, order: str, cell: str) -> baseline.Published | None:
    """The published accuracy of a cell with any initialisation; for an LSTM only with forget bias 1."""
    for name, value, source in PUBLISHED.get((data, order), []):
        if cell in (name, f"{name}-fb1"):
            return baseline.Published(f"{value:.1f}", source, "secondary" if source == LE else "primary")
    return None


def accuracies(record: Record) -> str:
    """Every seed of every cell and order."""
    rows = []
    for order, cells in orders(record).items():
        for cell, entry in cells.items():
            test, runs = tested(entry), chosen(entry)
            rows.append(
                {
                    "order": f"{order}, T = {entry['length']}",
                    "cell": cell,
                    "start": STARTS[cell],
                    "parameters": f"{entry['parameters']:,}",
                    "learning rate": f"{np.asarray(entry['settings']['learning_rate'])[runs][0]:g}",
                    "mean": f"{100 * test.mean():.1f}",
                    "seeds": ", ".join(f"{100 * value:.1f}" for value in test),
                    "above linear": rate(int(np.sum(test > linear(record))), len(test)),
                    "best at update": _range(np.asarray(entry["best_at"])[runs]),
                }
            )
    return markdown_table(rows)


def baselines(record: Record) -> str:
    """The linear classifier and the majority class."""
    entry, data = record["results"]["linear"], record["results"]["data"]
    best = entry["chosen"]
    text = (
        f"Linear classifier of the same pixels, {100 * linear(record):.1f}: scikit-learn's LogisticRegression at L2 "
        f"penalty {entry['penalty'][best]:g} of {entry['penalty']}, by validation; {entry['iterations'][best]} of at "
        f"most 1,000 iterations. Majority class: {100 * data['majority']:.1f}. The best constant answer has a loss of "
        f"{data['chance_level']:.3f}."
    )
    return textwrap.fill(text, 118)


def published(record: Record) -> str:
    """Published results for the same data and order; other permutations, splits and sizes."""
    rows = [
        {"order": order, "published": cell, "test accuracy": f"{value:.1f}", "source": source}
        for order in orders(record)
        for cell, value, source in PUBLISHED.get((record["results"]["data"]["name"], order), [])
    ]
    return markdown_table(rows) if rows else ""


def findings(record: Record) -> list[str]:
    """The findings as sentences, made from the numbers."""
    by_order, bar = orders(record), linear(record)
    lines = []
    for order, cells in by_order.items():
        means = {cell: tested(entry).mean() for cell, entry in cells.items()}
        ranked = sorted(means, key=lambda cell: -means[cell])
        above = [cell for cell in ranked if min(tested(cells[cell])) > bar]
        beaten = f"every seed of {listed(above)} beats it" if above else "no cell beats it with every seed"
        best = ranked[0]
        lines.append(
            f"{READ[order]} ({cells[best]['length']} steps), {best} is right in {100 * means[best]:.1f}% "
            f"of the test images and the linear classifier in {100 * bar:.1f}%; {beaten}. Mean test accuracy in "
            f"percent: {', '.join(f'{cell} {100 * means[cell]:.1f}' for cell in ranked)}."
        )
    if {"pixels", "permuted"} <= set(by_order):
        lines.append(_permuting(by_order["pixels"], by_order["permuted"]))
    return lines


def _permuting(pixels: dict[str, Any], permuted: dict[str, Any]) -> str:
    """The cost of the random order for each cell."""
    words = []
    for cell in [cell for cell in pixels if cell in permuted]:
        one, other = tested(pixels[cell]), tested(permuted[cell])
        seen = "" if larger(one, other) or larger(other, one) else ", no difference seen"
        words.append(f"{cell} {100 * (other.mean() - one.mean()):+.1f}{seen}")
    return f"Reading the pixels in a random order changes the mean accuracy by so many points: {'; '.join(words)}."


def _range(values: Any) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def draw(record: Record) -> Figure:
    """For each order the test accuracy of every seed of every cell, beside the linear classifier and the majority."""
    by_order = orders(record)
    figure, axes = plots.panels(1, len(by_order), 4.2, 3.4)
    for place, (order, cells) in zip(axes[0], by_order.items(), strict=True):
        seeds(place, record, cells)
        above = [cell for cell, entry in cells.items() if min(tested(entry)) > linear(record)]
        said = f"{len(above)} of {len(cells)} cells pass the linear classifier"
        place.set_title(f"{order}, T = {next(iter(cells.values()))['length']}: {said}")
    return figure


def seeds(axes: Axes, record: Record, cells: dict[str, Any]) -> None:
    """A marker for each seed; a cell passes a line with all of them or not at all."""
    for place, (style, entry) in enumerate(zip(looks(cells).values(), cells.values(), strict=True)):
        accuracy = tested(entry)
        hollow: dict[str, Any] = style | {"ls": "", "mfc": "none"}
        axes.plot(place + np.linspace(-0.2, 0.2, len(accuracy)), accuracy, **hollow)
    plots.level(axes, linear_classifier=linear(record), majority_class=record["results"]["data"]["majority"])
    axes.set_xticks(range(len(cells)), list(cells), fontsize=6, rotation=20)
    axes.set(xlabel="cell", ylabel="test accuracy of every seed", ylim=(0, 1.05))
