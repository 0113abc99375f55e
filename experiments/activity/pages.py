"""The page and the figure: functions of the record and nothing else."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import plots
from experiments.activity.training import VALIDATION
from experiments.lab import Record
from recurrax.palette import look
from recurrax.report import markdown_table

PUBLISHED = 0.873  # stands beside these data in print (Burns et al., 2018); not repeated here
EXERCISES = {
    "PEN": "pendulum", "ABD": "abduction", "FEL": "forward elevation", "IR": "internal rotation",
    "ER": "external rotation", "TRAP": "trapezius extension", "ROW": "upright row",
}  # fmt: skip
FOREST, MAJORITY, LEAK, SHUFFLED = "random forest", "most frequent exercise", "windows at random", "shuffled labels"


def page(record: Record) -> list[Any]:
    """Title, findings and tables."""
    return [
        "Which exercise is a person doing, told from a smartwatch by a model that has never seen that person?",
        findings(record),
        "## Accuracy on unseen people",
        how(record),
        accuracies(record),
        "## Every person",
        "Accuracy on each person's windows, mean over seeds. People differ far more than models do.",
        everyone(record),
        "## The trap, and a check",
        textwrap.fill(trap(record), 118),
        *reading(record),
    ]


def folds(record: Record, name: str) -> list[dict[str, Any]]:
    """The scores of each fold."""
    results = record["results"]
    if name == MAJORITY:
        return results["data"]["majority"]
    if name in (FOREST, LEAK, SHUFFLED):
        return results["forest"][{FOREST: "by person", LEAK: "at random", SHUFFLED: SHUFFLED}[name]]
    return [results[f"{name} fold {fold}"] for fold in range(record["config"]["folds"])]


def people(record: Record, name: str) -> dict[int, np.ndarray]:
    """Accuracy of every seed on each person, ``{person: [S]}``."""
    found = {}
    for scores in folds(record, name):
        columns = np.asarray(scores["by_person"], float).T
        found |= dict(zip(scores["people"], columns, strict=True))
    return dict(sorted(found.items()))


def whole(record: Record, name: str) -> np.ndarray:
    """The mean over people of every seed's accuracy, ``[S]``; over folds where these mix people."""
    if name == LEAK:
        return np.mean([scores["accuracy"] for scores in folds(record, name)], axis=0)
    return np.mean(list(people(record, name).values()), axis=0)


def interval(values: np.ndarray) -> tuple[float, float]:
    """95% bootstrap interval of the mean over people, of values ``[people]``."""
    draws = np.random.RandomState(0).randint(0, len(values), (2000, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def by_mean(record: Record, name: str) -> np.ndarray:
    """Accuracy on each person, mean over seeds, ``[people]``."""
    return np.array([value.mean() for value in people(record, name).values()])


def ranked(record: Record) -> list[str]:
    """The networks and the forest, the best first."""
    return sorted((*record["config"]["cells"], FOREST), key=lambda name: -np.median(whole(record, name)))


def findings(record: Record) -> list[str]:
    """The findings as sentences, made from the numbers."""
    best, *others = ranked(record)
    cells = record["config"]["cells"]
    told = ", ".join(f"{name} {np.median(whole(record, name)):.1%}" for name in others)
    network = next(name for name in ranked(record) if name in cells)
    difference = by_mean(record, network) - by_mean(record, FOREST)
    low, high = interval(difference)
    if low > 0 or high < 0:
        sure = f"The difference is more than chance over people: {difference.mean():+.3f} [{low:+.3f}, {high:+.3f}]."
    else:
        sure = (
            f"Between the {network} and the forest the {len(difference)} people cannot decide: "
            f"{difference.mean():+.3f} [{low:+.3f}, {high:+.3f}]."
        )
    values = by_mean(record, network)
    leak, shuffled = (float(np.median(whole(record, name))) for name in (LEAK, SHUFFLED))
    return [
        f"The {best} recognises {np.median(whole(record, best)):.1%} of the windows of people it never saw; {told}; "
        f"always naming the most frequent exercise {np.median(whole(record, MAJORITY)):.1%}. {sure}",
        f"People differ far more than models: the {network} is right in {values.min():.0%} of the windows of one "
        f"person and in {values.max():.0%} of another's.",
        f"Split the windows at random, and the same forest scores {leak:.1%}: it then has seen the person, often the "
        f"same repetition. Trained on shuffled labels it scores {shuffled:.1%}, which is chance.",
    ]


def how(record: Record) -> str:
    """The method and the uncertainty of the rows."""
    config, data = record["config"], record["results"]["data"]
    text = (
        f"{data['windows']:,} windows of {config['window']:g} s, of {data['steps']} steps each, of "
        f"{sum(map(len, data['people']))} people; {config['folds']} folds by person. In each fold a share of "
        f"{VALIDATION:g} of the other people chooses the number of updates; the forest learns from them too. Scaled "
        "by the training people. Networks: "
        f"one layer of {config['hidden']} units in both directions, dropout {config['dropout']:g}, Adam at "
        f"{config['learning_rate']:g}, at most {config['steps']:,} updates of {config['batch_size']} windows, seeds "
        f"{config['seeds']}; the size and the rates were tried once, on one person held out of the training people "
        "of fold 0. Forest: "
        f"{config['trees']} trees on mean, deviation, extremes and mean step of each channel. Accuracy is the mean "
        "over people, median over seeds; brackets hold its 95% bootstrap interval over people."
    )
    return textwrap.fill(text, 118)


def accuracies(record: Record) -> str:
    """Every network and baseline."""
    rows = []
    for name in (*record["config"]["cells"], FOREST, MAJORITY):
        low, high = interval(by_mean(record, name))
        rows.append(
            {
                "what answers": name,
                "accuracy": f"{np.median(whole(record, name)):.3f} [{low:.3f}, {high:.3f}]",
                "seeds": ", ".join(f"{value:.3f}" for value in whole(record, name)),
                "by fold": ", ".join(f"{np.mean(scores['accuracy']):.2f}" for scores in folds(record, name)),
            }
        )
    rows.append(
        {"what answers": "published for these data", "accuracy": f"{PUBLISHED:.3f}", "seeds": "", "by fold": ""}
    )
    note = "The published number (Burns et al., 2018) is of other windows and another split, and was not repeated here."
    return f"{markdown_table(rows)}\n{note}"


def everyone(record: Record) -> str:
    """A row for each model, a column for each person."""
    rows = []
    for name in (*record["config"]["cells"], FOREST):
        row = {f"person {person}": f"{value.mean():.2f}" for person, value in people(record, name).items()}
        rows.append({"what answers": name} | row)
    return markdown_table(rows)


def trap(record: Record) -> str:
    """The scores for a random split and for shuffled labels."""
    honest, leak, shuffled = (float(np.median(whole(record, name))) for name in (FOREST, LEAK, SHUFFLED))
    return (
        f"The random forest has {honest:.3f} on unseen people and {leak:.3f} when windows are split at random. "
        "Windows overlap by half and a recording holds many repetitions, so that a random split puts near copies of "
        "each test window into training. The higher number says nothing about the next patient. With shuffled training "
        f"labels the forest has {shuffled:.3f}, about as much as always naming the most frequent exercise."
    )


def reading(record: Record) -> list[str]:
    """A summary for readers of articles."""
    first, second = confused(record)
    paragraphs = {
        "What it is": "Activity recognition: a window of movement in, the name of an exercise out. A recurrent network "
        "reads the window step by step and answers at its end; nobody has to think of features.",
        "What the data look like": "Ten people, seven exercises of physiotherapy for the shoulder, with each arm: 140 "
        "recordings of three axes of acceleration and three of rotation at 50 Hz (Burns et al., 2018; shipped by the "
        "package seglearn, BSD). The networks read the mean of "
        f"{record['config']['average']} samples as one step.",
        "What the network learns": "To name a movement from its course. Figure b shows what it cannot tell: most "
        f"often it takes {first} for {second}.",
        "What beats it": f"The {ranked(record)[0]} has the highest accuracy here; the findings say how sure that is. "
        "The people differ by more than the models, so that a comparison with few people decides little.",
        "When to use an LSTM here": "When features are hard to name, or when the answer is wanted at every step. For "
        "windows like these, start with the forest: it is trained in seconds.",
    }
    return [f"## {title}\n\n{textwrap.fill(text, 118)}" for title, text in paragraphs.items()]


def confusion(record: Record, name: str) -> np.ndarray:
    """The counts of predicted exercises (columns) for each exercise (rows), over all people and seeds."""
    size = len(record["results"]["data"]["names"])
    table = np.zeros((size, size))
    for scores in folds(record, name):
        found = np.asarray(scores["confusion"])
        table[: len(found), : len(found)] += found
    return table


def confused(record: Record) -> tuple[str, str]:
    """The commonest mistake of the first network, in words."""
    table = confusion(record, record["config"]["cells"][0])
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(shares, 0)
    row, column = np.unravel_index(shares.argmax(), shares.shape)
    names = record["results"]["data"]["names"]
    return tuple(EXERCISES.get(names[place], names[place]) for place in (row, column))  # type: ignore[return-value]


def draw(record: Record) -> Figure:
    """Accuracy on every person, and which exercises are confused."""
    figure, axes = plots.panels(1, 2, 5, 3.6, width_ratios=[1.15, 1])
    persons(axes[0, 0], record)
    matrix(axes[0, 1], record)
    honest, leak = (float(np.median(whole(record, name))) for name in (FOREST, LEAK))
    best = next(name for name in ranked(record) if name in record["config"]["cells"])
    plots.takeaway(
        figure,
        f"On unseen people the {best} is right in {np.median(whole(record, best)):.0%} of the windows and the forest "
        f"in {honest:.0%}; a random split promises {leak:.0%}",
    )
    return figure


def persons(axes: Axes, record: Record) -> None:
    """A dot for each person and model, its mean with an interval over people."""
    names = [*record["config"]["cells"], FOREST]
    for place, name in enumerate(names):
        values, style = by_mean(record, name), look(name)
        spread = place + np.linspace(-0.22, 0.22, len(values))
        axes.plot(spread, values, color=style["color"], marker=style["marker"], ms=4, ls="", mfc="none")
        low, high = interval(values)
        axes.errorbar(place + 0.35, values.mean(), [[values.mean() - low], [high - values.mean()]],
                      color=style["color"], marker="_", ms=10, capsize=2)  # fmt: skip
    leak = float(np.median(whole(record, LEAK)))
    plots.level(axes, **{f"{FOREST}, windows split at random (a leak)": leak,
                         "published, other split": PUBLISHED,
                         MAJORITY: float(np.median(whole(record, MAJORITY)))})  # fmt: skip
    axes.set_xticks(range(len(names)), names)
    axes.set(
        xlabel="classifier", ylabel="accuracy on a person's windows", ylim=(0, 1.05), xlim=(-0.5, len(names) + 0.5)
    )
    axes.set_title("a  Each person, unseen in training; bars: 95% interval over people")


def matrix(axes: Axes, record: Record) -> None:
    """Shares of each exercise's windows by what the first network calls them."""
    name = record["config"]["cells"][0]
    table = confusion(record, name)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(shares.shape):
        if shares[row, column] >= 0.005:
            color = "white" if shares[row, column] > 0.6 else "0.2"
            axes.text(
                column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", fontsize=7, color=color
            )
    words = [EXERCISES.get(one, one) for one in record["results"]["data"]["names"]]
    axes.set_xticks(range(len(words)), words, rotation=35, ha="right", fontsize=6)  # type: ignore
    axes.set_yticks(range(len(words)), words, fontsize=6)  # type: ignore
    axes.set(xlabel=f"what the {name} says", ylabel="what is done")
    axes.set_title(f"b  {name}: percent of each exercise")
