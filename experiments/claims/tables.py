"""The claims with their measurements and verdicts: functions of the record and nothing else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from experiments.claims.evidence import Evidence
from experiments.claims.training import CELLS, SETTLED, STABILITY_LENGTH
from experiments.claims.verdicts import CLAIMS, FAILS, HOLDS, UNDECIDED, Verdict
from experiments.compare import RULE, rate
from recurrax.report import footer, markdown_table

Record = dict[str, Any]


def document(record: Record) -> str:
    """Claims, and the numbers behind them, in Markdown."""
    config = record["config"]
    seeds = ", ".join(map(str, config["seeds"]))
    sections = [
        "# What of the textbook comparison of RNN, LSTM and GRU is true?",
        summary(record),
        f"![figure]({record['hash']}.png)",
        claims(record),
        RULE + " Times: ratios\nwith quartiles.",
        f"## Learning: adding, H = {config['hidden']}",
        f"Adam at learning rates {config['learning_rate']}, norm clipped at 1, at most {config['steps']} updates, "
        f"seeds {seeds}; the better rate\nof each cell and length. dy/dx: root mean squares.",
        learning(record),
        f"## Stability: adding T = {STABILITY_LENGTH}, learning rates {config['stability_rates']}",
        f"Unstable: the loss is not finite, or above twice the chance level after update {SETTLED}.",
        unstable(record),
        footer(record),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def summary(record: Record) -> str:
    """How many claims hold."""
    kinds = Counter(
        row.verdict if row.verdict in (HOLDS, FAILS, UNDECIDED) else "holds only if" for row in judge(record)
    )
    return f"Of {len(CLAIMS)} claims: " + ", ".join(f"{number} {kind}" for kind, number in kinds.most_common()) + "."


def judge(record: Record) -> list[Verdict]:
    """Every claim with its verdict."""
    evidence = Evidence(record)
    return [claim(evidence) for claim in CLAIMS]


def claims(record: Record) -> str:
    """The table of the claims."""
    return markdown_table([{**row._asdict(), "verdict": f"**{row.verdict}**"} for row in judge(record)])


def learning(record: Record) -> str:
    """Every cell at every length, at its better learning rate."""
    e = Evidence(record)
    rows = []
    for T in e.lengths:
        for cell in CELLS:
            run = e.run(cell, T)
            rows.append(
                {
                    "T": str(T),
                    "cell": cell,
                    "solved": e.share(cell, T),
                    "updates to criterion": e.updates(cell, T),
                    "test loss": f"{np.nanmedian(run['loss']):.4f}",
                    "dy/dx, marked over unmarked": f"{np.nanmedian(run['signal_to_noise']):.1f}",
                }
            )
    return markdown_table(rows)


def unstable(record: Record) -> str:
    """Unstable runs of every cell without and with clipping, and the share of clipped updates."""
    e = Evidence(record)
    rows = []
    for cell in CELLS:
        entry = record["results"][f"stability {cell}"]
        at_one = np.asarray(entry["settings"]["clip_norm"]) <= 1
        rows.append(
            {
                "cell": cell,
                "unstable, not clipped": rate(*e.unstable(cell, clipped=False)),
                "unstable, clipped": rate(*e.unstable(cell, clipped=True)),
                "clipped updates": f"{np.nanmean(np.asarray(entry['clipped'], float)[at_one]):.0%}",
            }
        )
    return markdown_table(rows)
