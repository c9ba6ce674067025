"""What is said about parameters: a sentence for a mistake, a table of all there are."""

import difflib
import json
import re
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from ruamel.yaml.error import MarkedYAMLError

from ds2.params.sections import Section, fields, is_section

_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "greater than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_TYPES = {int: "integer", float: "number", bool: "true or false", str: "text", NoneType: "null"}
_WRONG_TYPE = {
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "string_unicode": "a text of whole characters",
    "tuple_type": "a list",
    "model_type": "a section with parameters",
}
# Full-width, Arabic and all others that Unicode has.
_OTHER_DIGITS = re.compile(r"(?![0-9])\d")
# Characters of a value that a sentence shows.
_LONGEST = 80
# Parameters that there were, and what does their work.
_GONE = {"evaluate.average_checkpoints": "models/best_model is an average where that scored best on dev"}
# Options of script-style trainers that are no parameter here, and what takes their place.
_FIXED = {
    "augment_conf_path": "the section augment of params.yaml has its values; train.augment: false switches it off",
    "train_manifest": "the stage manifest writes dataset/manifest.train from the lists in dataset/annotation",
    "test_manifest": "the stage manifest writes dataset/manifest.test from the lists in dataset/annotation",
    "dev_manifest": "the stage manifest writes dataset/manifest.dev from the lists in dataset/annotation",
    "mean_istd_path": "the stage mean_istd writes dataset/mean_istd.json",
    "vocab_path": "the stage vocabulary writes dataset/vocabulary.txt",
    "output_model_dir": "the stage train writes models/",
}
# What ruamel tells badly, or of the line after it.
_SLIPS = (
    (re.compile(r"\s*\w+\s*："), "the colon is a full-width one: write an ordinary one and a space"),
    (re.compile(r"\s*\w+:[^\s:]"), "a space is missing after the colon"),
    (re.compile(r" *\t\s*\S"), "a tab indents it: use spaces"),
)


def describe(root: type[Section]) -> str:
    """All parameters with default, meaning, type and bounds."""
    return "\n".join(
        f"{name} = {json.dumps(field.default)}\n    {field.description} ({_kind(field.annotation, field.metadata)})"
        for name, field in fields(root)
    )


def _kind(annotation: Any, rules: Iterable[Any] = ()) -> str:
    """What a value may be: its type and bounds, in a list or a choice those of each member."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        # Within another type pydantic leaves a Field as it is, with the bounds in it.
        return _kind(inner[0], [rule for one in inner[1:] for rule in getattr(one, "metadata", [one])])
    if origin in (Union, UnionType):
        return " or ".join(sorted(map(_kind, inner), key=lambda kind: "," in kind))  # bounds at the end
    if origin is Literal:
        return " or ".join(inner)
    if origin is tuple:
        return f"list of {_kind(inner[0])}"
    if origin is dict:
        return f"{{{_kind(inner[0])}: {_kind(inner[1])}}}"
    bounds = [
        f"{words} {getattr(rule, key)}" for rule in rules for key, words in _BOUNDS.values() if hasattr(rule, key)
    ]
    return ", ".join([_TYPES[annotation], *bounds])


def sentence(root: type[Section], error: Any) -> str:
    """One sentence for one of pydantic's errors, with the parameter's full name."""
    name, field = _locate(root, error["loc"])
    value, kind, context = error["input"], error["type"], error.get("ctx", {})
    if kind in ("extra_forbidden", "invalid_key"):
        name = ".".join(map(str, error["loc"]))
        if name in _GONE:
            return f"{name}: this parameter is gone, remove its line: {_GONE[name]}"
        known = [known for known, _ in fields(root)] + list(root.model_fields)
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        return f"{name}: there is no such parameter" + (f"; did you mean {close[0]}?" if close else "")
    if kind == "value_error":
        return f"{name}: {context['error']}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{name}: {shown(value)} is out of range: it must be {words} {context[key]}"
    if kind == "string_too_long":
        return f"{name}: {shown(value)} is longer than {context['max_length']} characters"
    if kind in _WRONG_TYPE and isinstance(value, str) and _OTHER_DIGITS.search(value):
        return f"{name}: {shown(value)} is not {_WRONG_TYPE[kind]}: write its digits as 0 to 9"
    if kind in ("too_short", "string_too_short"):
        return f"{name}: must not be empty"
    if kind == "finite_number":
        return f"{name}: {shown(value)} is not a finite number"
    if kind == "string_pattern_mismatch":
        return f"{name}: {shown(value)} is not a name of lower-case letters, digits and _"
    if field is not None and get_origin(field.annotation) in (Union, UnionType, Literal):
        # Of several possible types pydantic reports each by itself; the description names them all.
        return f"{name}: {shown(value)} is not possible here ({field.description})"
    if kind in _WRONG_TYPE:
        return f"{name}: {shown(value)} is not {_WRONG_TYPE[kind]}"
    return f"{name}: {shown(value)}: {error['msg']}"


def option(root: type[Section], given: str, value: str) -> str:
    """One sentence for an option that a stage was given on the command line: where its value belongs."""
    name = given.lstrip("-").replace("-", "_")
    if name in _FIXED:
        return f"{given}: stages take no such option: {_FIXED[name]}"
    found = [known for known, _ in fields(root) if name in (known, known.rpartition(".")[2])]
    found = [known for known in found if known.startswith("train.")] or found
    if len(found) != 1:
        return f"{given}: stages take no such option: python -m ds2 params lists what params.yaml can hold"
    changed = f"dvc exp run -S {found[0]}={value or '...'}"
    return f"{given}: stages take no options: set {found[0]} in params.yaml, or run {changed}"


def too_deep(text: str) -> str:
    """What to say of a text whose brackets are nested deeper than can be read."""
    deepest = max(enumerate(text.split("\n"), start=1), key=lambda line: line[1].count("[") + line[1].count("{"))
    return f"line {deepest[0]}: brackets are nested too deep in {deepest[1].strip()[:40]!r}"


def shown(value: Any) -> str:
    """A value as Python writes it, in no more than a part of a line."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        return f"an integer of {value.bit_length()} bits" if isinstance(value, int) else "a value"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def yaml_sentence(text: str, error: MarkedYAMLError) -> str:
    """Where a text is not YAML, and why: the first line with a slip of the keyboard, else what the parser says."""
    end = error.problem_mark.line + 1 if error.problem_mark else None
    for number, line in enumerate(text.split("\n")[:end], start=1):
        for slip, what in _SLIPS:
            if slip.match(line):
                return f"line {number}: not valid YAML: {what}"
    return f"{f'line {end}: ' if end else ''}not valid YAML: {' '.join(str(error.problem).split())}"


def _locate(root: type[Section], location: tuple[Any, ...]) -> tuple[str, FieldInfo | None]:
    """The name and field of a location; what pydantic adds for the members of a union is left out."""
    parts: list[str] = []
    field = None
    section: Any = root
    for part in location:
        if is_section(section) and part in section.model_fields:
            field = section.model_fields[part]
            section = field.annotation
            parts.append(part)
        elif isinstance(part, int) or not parts:
            parts.append(str(part))
    return ".".join(parts), field
