"""Settings of a command: a frozen dataclass whose fields are flags, with parsing and validation."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

ABOVE_0 = math.ulp(0.0)  # the smallest number above 0
# Rewrites messages of Python and tyro about values of the wrong type in the style of all other errors.
PLAIN = {
    r"invalid literal for int\(\) with base 10: ('.*?')": r"\1; allowed: an int",
    r"could not convert string to float: ('.*?')": r"\1; allowed: a number",
    r"Could not find valid parse for arguments: \[(.*?)\]\.?": r"\1; allowed: values of the kind that --help names",
    r"no type matching .*? could be instantiated.*": "the value has another kind; allowed: the kinds that --help names",
}
FREE = {"setting": False}  # for fields that do not affect the results, and so not the hash of the record


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base class of settings that rejects invalid values.

    It rejects an empty tuple (unless the default is empty), a repeated value in a tuple, a value outside its
    ``Literal``, a number that is not finite, and a number that is too small. Ints must be at least 1 and floats above
    0; seeds, and fields whose default is or contains 0, may be 0. The metadata ``{"least": number}`` of a field sets
    another minimum. There is no minimum with ``{"least": None}`` or if the default contains a negative number.
    """

    def __post_init__(self) -> None:
        """Raises ValueError if a setting cannot be used."""
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            self._check(field, _kinds(hints[field.name]))

    def _check(self, field: dataclasses.Field[Any], kinds: list[Any]) -> None:
        value = getattr(self, field.name)
        values = value if isinstance(value, tuple) else (value,)
        many = Ellipsis in kinds
        if many and ((not values and field.default != ()) or len(set(values)) < len(values)):
            self.refuse(field.name, "one or more, all different" if field.default != () else "all different")
        allowed = [kind for kind in kinds if isinstance(kind, str)]
        if allowed and not set(values) <= {*allowed, None}:
            self.refuse(field.name, f"{'one or more ' if many else 'one '}of {', '.join(allowed)}")
        whole = float not in kinds
        what, lowest = "an int" if whole else "a finite number", _least(field, whole)
        bound = "" if lowest is None else f" >= {lowest}" if lowest != ABOVE_0 else " > 0"
        for number in values:
            if _is_number(number) and not (math.isfinite(number) and (lowest is None or number >= lowest)):
                self.refuse(field.name, f"{what}{bound}")

    def refuse(self, name: str, allowed: str) -> typing.NoReturn:
        """Raises ValueError with the setting, its value and the allowed values."""
        raise ValueError(f"{name}={getattr(self, name)!r}; allowed: {allowed}. Change --{name.replace('_', '-')}.")


def read(
    program: str, presets: Mapping[str, Any], arguments: Sequence[str], description: str, *, flat: bool = True
) -> Any:
    """Reads settings from the words of a command line; with ``--help`` it prints them and ends.

    Args:
        program: the name of the command.
        presets: named settings, instances of one dataclass, the default first.
        arguments: the words of the command line.
        description: text above the flags.
        flat: whether the fields of nested settings have no prefix.

    Raises:
        ValueError: a word is not understood, or a value is invalid.
    """
    import tyro

    chosen, words = take(arguments, "--preset") if len(presets) > 1 else (None, list(arguments))
    if chosen not in (None, *presets):
        raise ValueError(f"--preset {chosen}; allowed: {', '.join(presets)}.")
    default = presets[chosen or next(iter(presets))]
    if len(presets) > 1:
        description += f"\nPresets, which the flags below override: --preset {' | '.join(presets)}."
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                type(default), prog=program, default=default, args=words, description=description,
                config=(tyro.conf.OmitArgPrefixes,) if flat else (),
            )  # fmt: skip
    except SystemExit as stop:
        if not stop.code:
            raise
    raise ValueError(_one_line(said.getvalue(), program)) from None


def take(arguments: Sequence[str], flag: str) -> tuple[str | None, list[str]]:
    """The value of a flag outside the settings, and the remaining words."""
    for index, argument in enumerate(arguments):
        if argument == flag or argument.startswith(f"{flag}="):
            inline = argument.partition("=")[2]
            value = inline or (arguments[index + 1] if index + 1 < len(arguments) else "")
            return value, [*arguments[:index], *arguments[index + (1 if inline else 2) :]]
    return None, list(arguments)


def _one_line(box: str, program: str) -> str:
    """The message of tyro's box of several lines: the text between its title and the next rule, and its suggestion."""
    lines = [line.strip("│╭╰╮╯ ") for line in box.splitlines() if not line.startswith("╭")]
    if not lines[1].strip("-"):  # without Unicode the title of the box has its own line
        lines = lines[2:]
    end = next((index for index, line in enumerate(lines) if line and not line.strip("─-")), len(lines))
    text = " ".join(lines[:end]).strip()
    text = re.sub(r"^Error parsing (\w+: )?", "", text)
    hint = next((lines[i + 1].split()[0] for i, line in enumerate(lines) if line.startswith("Perhaps you meant")), None)
    for said, plain in PLAIN.items():
        text = re.sub(said, plain, text)
    text = text if text.endswith(".") else f"{text}."
    if "allowed: " in text:  # the message already says what to do
        return text
    return f"{text} {f'Did you mean {hint}? ' if hint else ''}See {program} --help."


def _least(field: dataclasses.Field[Any], whole: bool) -> float | None:
    """The minimum of a field; None if there is none."""
    usual: list[Any] = [
        v for v in (field.default if isinstance(field.default, tuple) else (field.default,)) if _is_number(v)
    ]
    if any(number < 0 for number in usual):
        return None
    zero = 0 in usual or (isinstance(field.default, tuple) and field.name.endswith("seeds"))
    return field.metadata.get("least", 0 if zero else 1 if whole else ABOVE_0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kinds(hint: Any) -> list[Any]:
    """The types in a type hint, the words of its ``Literal``, and an ellipsis for a tuple of any length."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return list(typing.get_args(hint))
    if origin is typing.Annotated:
        return _kinds(typing.get_args(hint)[0])
    if origin in (tuple, typing.Union, types.UnionType):
        return [kind for inner in typing.get_args(hint) for kind in _kinds(inner)]
    return [hint]
