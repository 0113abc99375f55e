"""How two descriptions differ, in words."""

from __future__ import annotations

from typing import Any

_NOTHING = "nothing"


def differences(theirs: Any, mine: Any, name: str = "", *, shared: bool = False) -> list[str]:
    """What differs between two descriptions, one phrase for each place.

    Args:
        theirs: a description, and what a phrase says of it is "there".
        mine: another one, "here".
        name: of the place.
        shared: pass over what only one of them has, e.g. since another version of a library made it.
    """
    if isinstance(theirs, dict) and isinstance(mine, dict):
        if any(theirs.get(kind) != mine.get(kind) for kind in ("class", "def")):
            return [f"{name} is {_brief(theirs)} there and {_brief(mine)} here"]
        names = [*theirs, *(key for key in mine if key not in theirs)]
        pairs = {f"{name}.{key}".strip("."): (theirs.get(key, _NOTHING), mine.get(key, _NOTHING)) for key in names}
    elif _nested(theirs) and _nested(mine) and len(theirs) == len(mine):
        pairs = {f"{name}[{index}]": pair for index, pair in enumerate(zip(theirs, mine, strict=True))}
    elif theirs == mine or (shared and _NOTHING in (theirs, mine)):
        return []
    else:
        return [f"{name} is {_brief(theirs)} there and {_brief(mine)} here"]
    return [phrase for place, pair in pairs.items() for phrase in differences(*pair, place, shared=shared)]


def _nested(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict | list) for item in value)


def _brief(description: Any) -> str:
    """A description in a few words."""
    if isinstance(description, dict):
        return str(description.get("class") or description.get("def") or f"a dict of {', '.join(description)}")
    return str(description)
