"""Differences between two descriptions, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

NOTHING = "nothing"
ARRAY = re.compile(r"(\w+ )?\w+\[[\d, ]*\]")  # Param float32[3, 4]


def differences(theirs: Any, mine: Any, name: str = "", *, shared: bool = False) -> list[str]:
    """The differences between two descriptions, one phrase each; shapes of arrays come last, because they follow.

    Args:
        theirs: a description, called "there" in phrases.
        mine: another description, called "here".
        name: the name of the compared part.
        shared: ignore entries that only one of them has, e.g. because of another version of a library.
    """
    found = [(place, _brief(there), _brief(here)) for place, there, here in _places(theirs, mine, name, shared)]
    found.sort(key=lambda one: bool(ARRAY.match(one[1]) and ARRAY.match(one[2])))
    return [f"{place} is {there} there and {here} here" for place, there, here in found]


def _places(theirs: Any, mine: Any, name: str, shared: bool) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(theirs, dict) and isinstance(mine, dict):
        if any(theirs.get(kind) != mine.get(kind) for kind in ("class", "def")):
            yield name, theirs, mine
            return
        names = [*theirs, *(key for key in mine if key not in theirs)]
        pairs = {f"{name}.{key}".strip("."): (theirs.get(key, NOTHING), mine.get(key, NOTHING)) for key in names}
    elif _nested(theirs) and _nested(mine) and len(theirs) == len(mine):
        pairs = {f"{name}[{index}]": pair for index, pair in enumerate(zip(theirs, mine, strict=True))}
    else:
        if theirs != mine and not (shared and NOTHING in (theirs, mine)):
            yield name, theirs, mine
        return
    for place, (there, here) in pairs.items():
        yield from _places(there, here, place, shared)


def _nested(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict | list) for item in value)


def _brief(description: Any) -> str:
    """A description in a few words."""
    if isinstance(description, dict):
        return str(description.get("class") or description.get("def") or f"a dict of {', '.join(description)}")
    return str(description)
