"""The types of the values in params.yaml, with what people write for them."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field


def _number_from_text(value: Any) -> Any:
    """YAML 1.1 writers quote or leave 5e-05 as a string; it was meant as a number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _no_python_none(value: Any) -> Any:
    """Who comes from Python writes None, which YAML takes for the name of a folder or file."""
    if value == "None":
        raise ValueError("'None' would be a name here: write null")
    return value


def off_from_false(value: Any) -> Any:
    """YAML 1.1 readers take off for false."""
    return "off" if value is False else value


Real = Annotated[float, BeforeValidator(_number_from_text)]
OptionalPath = Annotated[str | None, BeforeValidator(_no_python_none)]
Fraction = Annotated[Real, Field(ge=0, lt=1)]
Probability = Annotated[Real, Field(ge=0, le=1)]


def added(default: Any, *, before: Any, **rules: Any) -> Any:
    """Field of pydantic for a parameter that trainings were made without: adding it must not end them.

    `before` is the value, as YAML has it, that reproduces what was before the parameter existed. Checkpoints and files
    that lack the parameter count as having it, and a training with this value has the fingerprint of theirs.
    """
    return Field(default, json_schema_extra={"before": before}, **rules)
