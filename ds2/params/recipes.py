"""Recipes: the values in which a training differs from the full size, and params.yaml written out from both."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ds2 import layout
from ds2.errors import UserError
from ds2.params import loading
from ds2.params.sections import Params, Section

FOLDER = Path("recipes")
_ABOUT = """\
#
# Written by python -m ds2 recipe {name}, to be edited.
# python -m ds2 params has types, bounds and full-size defaults. A comment above a value is the recipe's reason for it.
"""
# The sections that say what a checkpoint's weights and tokens mean.
_OF_A_NETWORK = ("text", "features", "model")
# A text that YAML reads as one without quotes.
_PLAIN = re.compile(r"[^\W\d][\w./+-]*")


@dataclass(frozen=True)
class Recipe:
    """A file of recipes/, laid over the full-size defaults."""

    name: str  # of the file, without its ending
    head: str  # the comment at its top, the first line of which says what it is for
    settings: Params  # all parameters
    reasons: dict[str, str]  # the comments behind its values, by the parameters' full names


def names() -> list[str]:
    """All recipes of the repository.

    Raises:
        UserError: the working directory has none.
    """
    found = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if not found:
        raise UserError(f"{FOLDER}/ does not exist here or is empty: run in the repository's root")
    return found


def read(name: str) -> Recipe:
    """Reads a recipe.

    Raises:
        UserError: it does not exist, or a value in it is wrong.
    """
    if name not in names():
        raise UserError(f"there is no recipe {name!r}: {FOLDER}/ has {', '.join(names())}")
    path = FOLDER / f"{name}.yaml"
    sections = loading.read(path)
    text = path.read_text(encoding="utf-8-sig")
    head = "".join(itertools.takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))
    try:
        settings = loading.over_defaults(sections)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return Recipe(name, head, settings, dict(_reasons(text)))


def _reasons(text: str) -> Iterator[tuple[str, str]]:
    lines = text.split("\n")

    def below(section: Any, prefix: str) -> Iterator[tuple[str, str]]:
        for key, value in section.value:
            name, end = prefix + key.value, value.end_mark
            if name in loading.names():
                yield name, lines[end.line][end.column :].partition("#")[2].strip()
            else:
                yield from below(value, f"{name}.")

    return below(YAML(typ="safe", pure=True).compose(text), "")


def continuing(recipe: Recipe, trained: Params, origin: str, folder: Path) -> Recipe:
    """A recipe whose training begins with the weights of a checkpoint.

    Args:
        recipe: the rest of it.
        trained: the checkpoint's parameters; rules of the transcripts, features and architecture are taken.
        origin: the checkpoint, as the head of params.yaml names it.
        folder: where the training will find it.

    Raises:
        UserError: it is none of the recipes that train a model further.
    """
    if recipe.settings.train.pretrained_model is None:
        raise UserError(
            f"--from: the recipe {recipe.name} trains from the beginning, at rates that would undo what a "
            "checkpoint has learned: choose one that sets train.pretrained_model, such as finetune"
        )
    taken: dict[str, Section] = {name: getattr(trained, name) for name in _OF_A_NETWORK}
    train = recipe.settings.train.model_copy(update={"pretrained_model": folder.as_posix()})
    reasons = {name: reason for name, reason in recipe.reasons.items() if name.split(".")[0] not in taken}
    full = loading.values(Params())
    for name, value in loading.values(trained).items():
        if name.split(".")[0] in taken and value != full[name]:
            reasons[name] = "as the checkpoint has it"
    settings = recipe.settings.model_copy(update={**taken, "train": train})
    return replace(recipe, name=f"{recipe.name} --from {origin}", settings=settings, reasons=reasons)


def written_out(recipe: Recipe) -> str:
    """The complete params.yaml of a recipe, every parameter with its description."""
    lines = _lines(recipe.settings, recipe.reasons)
    return "\n".join([recipe.head + _ABOUT.format(name=recipe.name), *lines, ""])


def _lines(section: Section, reasons: Mapping[str, str], prefix: str = "") -> Iterator[str]:
    indent = "  " * prefix.count(".")
    plain = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            if not prefix:
                yield ""
            yield f"{indent}{name}:  # {value.__doc__}"
            yield from _lines(value, reasons, f"{prefix}{name}.")
        else:
            if reason := reasons.get(prefix + name):
                yield f"{indent}# {reason}"
            yield f"{indent}{name}: {_yaml(plain[name])}  # {field.description}"


def _yaml(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    # What is JSON is YAML; null and true as texts keep their quotes.
    plain = isinstance(value, str) and _PLAIN.fullmatch(value) and YAML(typ="safe", pure=True).load(value) == value
    return value if plain else json.dumps(value, ensure_ascii=False)


def edited() -> list[str]:
    """What tells params.yaml from the recipe nearest to it: parameters, or the sentence that refuses the file.

    Nothing: there is no such file, or `written_out` made it and all its values still stand.
    """
    if not layout.PARAMS.exists():
        return []
    try:
        here = loading.values(loading.over_defaults(loading.read(layout.PARAMS)))
    except UserError as error:
        return [str(error)]
    known = [loading.values(read(name).settings) for name in names()]
    return min(([name for name in here if here[name] != values[name]] for values in known), key=len)
