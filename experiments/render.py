"""Puts the numbers of the committed records into README.md: ``python -m experiments.render``."""

from __future__ import annotations

import json
import re
from pathlib import Path

from experiments.speed import experiment as speed
from experiments.vanishing_gradients import tables
from experiments.vanishing_gradients.config import Config
from recurrax.report import config_hash

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results"


def blocks() -> dict[str, str]:
    """The text of every marked block of the README, from the records of the default settings."""
    main = json.loads((RESULTS / "vanishing_gradients" / f"{config_hash(Config())}.json").read_text())
    times = json.loads((RESULTS / "speed" / f"{config_hash(speed.Config())}.json").read_text())
    figure = f"experiments/results/vanishing_gradients/{main['hash']}.png"
    findings = "\n".join(f"- {finding}" for finding in tables.findings(main))
    return {
        "vanishing_gradients": f"![Gradient flow, learning and gates of RNN, GRU and LSTM]({figure})\n\n{findings}\n\n"
        f"{tables.training_table(main)}",
        "speed": speed.table(times).partition("\n")[2].strip(),
    }


def rendered(text: str) -> str:
    """README's text with every block ``<!-- name --> ... <!-- end -->`` replaced by the current one."""
    for name, block in blocks().items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda match, block=block: f"{match[1]}{block}\n{match[2]}", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(rendered(readme.read_text()))
