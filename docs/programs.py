"""The programs of the pages: every Python block of a page runs in order, and prints the text block that follows it.

python docs/programs.py howto/cell            # runs a page and says where the output differs
python docs/programs.py --write howto/cell    # puts the outputs into the page
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
# A program, and the output shown below it, if it prints.
BLOCK = re.compile(r"```python\n(?P<program>.*?)```\n(?:\n```text\n(?P<shown>.*?)```\n)?", re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
NEAR = 0.05  # the last digits are a machine's own


def run(page: str) -> str:
    """The text of a page with every output as it is now; the blocks of a page share their names."""
    names: dict = {"__name__": "__main__"}  # as where they are pasted

    def with_output(match: re.Match[str]) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(match["program"], f"{page}.md", "exec", dont_inherit=True), names)
        text = "\n".join(line.rstrip() for line in printed.getvalue().splitlines())
        shown = f"\n```text\n{text}\n```\n" if text else ""
        return f"```python\n{match['program']}```\n{shown}"

    return BLOCK.sub(with_output, (DOCS / f"{page}.md").read_text())


def outputs(text: str) -> list[str]:
    """The outputs shown on a page, one text for each program."""
    return [match["shown"] or "" for match in BLOCK.finditer(text)]


def alike(printed: str, shown: str) -> bool:
    """Whether two outputs have the same words, the same integers, and numbers that differ in their last digits only."""
    if NUMBER.sub("#", printed).split() != NUMBER.sub("#", shown).split():
        return False
    return all(_near(*pair) for pair in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True))


def _near(one: str, other: str) -> bool:
    if "." not in one + other and "e" not in one + other:
        return one == other
    last = min(_last_digit(one), _last_digit(other))
    return math.isclose(float(one), float(other), rel_tol=NEAR, abs_tol=2 * last)


def _last_digit(number: str) -> float:
    """The value of one unit in the last digit shown: 0.01 for "0.25", 1e-20 for "3e-20"."""
    digits, _, power = number.partition("e")
    return 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))


def differences(page: str) -> list[tuple[str, str]]:
    """Outputs that are not those of the page: what was printed, and what is shown."""
    shown = outputs((DOCS / f"{page}.md").read_text())
    pairs = zip(outputs(run(page)), shown, strict=True)
    return [(now, before) for now, before in pairs if not alike(now, before)]


def main(arguments: list[str]) -> int:
    """Runs pages; with --write in front, writes them."""
    write, pages = arguments[:1] == ["--write"], [word for word in arguments if word != "--write"]
    status = 0
    for page in pages:
        if write:
            (DOCS / f"{page}.md").write_text(run(page))
            continue
        for printed, shown in differences(page):
            print(f"{page}: prints\n{printed}but shows\n{shown}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
