"""The types of the values in params.yaml, with what people write for them."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from ds2.params.numbers import REAL

_NUMBER = re.compile(rf"{REAL}|[-+]?(?:nan|inf)", re.ASCII | re.IGNORECASE)
# What Linux takes for a path, and for each name in it, in bytes.
_LONGEST_PATH, _LONGEST_NAME = 4095, 255


def _number_from_text(value: Any) -> Any:
    """YAML 1.1 writers quote or leave 5e-05 as a string; it was meant as a number."""
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


def _without_nul(value: str) -> str:
    """A text that can be given to programs and the system."""
    if "\0" in value:
        raise ValueError(f"{value[:50]!r} holds the character NUL")
    return value


def _a_path(value: str) -> str:
    """The path of a file or folder, there or not."""
    # Who comes from Python writes None, which YAML takes for the name of a folder or file.
    if value == "None":
        raise ValueError("'None' would be a name here: write null")
    names = [len(name.encode()) for name in value.split("/")]
    if max(names) > _LONGEST_NAME or sum(names) + len(names) > _LONGEST_PATH:
        raise ValueError(f"{value[:50]!r}... is too long for the path of a file or folder")
    return value


def off_from_false(value: Any) -> Any:
    """YAML 1.1 readers take off for false."""
    return "off" if value is False else value


Real = Annotated[float, BeforeValidator(_number_from_text)]
Text = Annotated[str, Field(min_length=1, max_length=10_000), AfterValidator(_without_nul)]
PathName = Annotated[Text, AfterValidator(_a_path)]
OptionalPath = PathName | None
Fraction = Annotated[Real, Field(ge=0, lt=1)]
Probability = Annotated[Real, Field(ge=0, le=1)]


def added(default: Any, *, before: Any, **rules: Any) -> Any:
    """Field of pydantic for a parameter that trainings were made without: adding it must not end them.

    `before` is the value, as YAML has it, that reproduces what was before the parameter existed. Checkpoints and files
    that lack the parameter count as having it, and a training with this value has the fingerprint of theirs.
    """
    return Field(default, json_schema_extra={"before": before}, **rules)
