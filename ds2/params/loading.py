"""Reading params.yaml."""

import copy
import functools
import json
from pathlib import Path
from typing import Any

from loguru import logger
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ds2 import layout
from ds2.errors import UserError
from ds2.params import messages
from ds2.params.sections import Params, fields

# No parameter needs so many levels, no file so many values.
_DEEPEST, _MOST_VALUES = 20, 100_000


def load(path: Path = layout.PARAMS) -> Params:
    """Reads and checks a file of parameters; the log names those that it lacks, with the values used.

    Raises:
        UserError: in one sentence what the file lacks or which parameter is wrong, by its full name.
    """
    written = read(path)
    settings = from_dict(written)
    used = values(settings)
    if lacking := [name for name in used if not _holds(written, name)]:
        told = ", ".join(f"{name}: {json.dumps(used[name], ensure_ascii=False)}" for name in lacking)
        logger.info(f"{path} lacks parameters; used in their place: {told}")
    if settings.train.resume_model is None:  # old checkpoints may have it
        raise UserError(
            "train.resume_model: null does not start over any more: write auto, and for train.start_over a new word"
        )
    return settings


def read(path: Path) -> dict[str, Any]:
    """Reads the sections of a YAML file; their parameters are not checked.

    Raises:
        UserError: there is no such file, or it is not YAML with sections.
    """
    yaml = YAML(typ="safe", pure=True)  # YAML 1.2: 5e-05 is a number
    try:
        text = path.read_text(encoding="utf-8-sig")
        sections = yaml.load(text)
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: run in the repository's root, or make one with python -m ds2 recipe"
        ) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    except MarkedYAMLError as error:
        raise UserError(f"{path}: {messages.yaml_sentence(text, error)}") from None
    except (YAMLError, ValueError) as error:  # ValueError: ruamel takes ._ for a number
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UserError(f"{path}: {messages.too_deep(text)}") from None
    if not isinstance(sections, dict):
        raise UserError(f"{path}: holds no sections; python -m ds2 recipe writes a complete file")
    _refuse_endless(sections, path)
    return sections


def _refuse_endless(sections: dict[Any, Any], path: Path) -> None:
    """Raises UserError where aliases put a value within itself, or so often into others that it has no end."""
    left: list[tuple[Any, str, int]] = [(sections, "", 0)]
    seen = 0
    while left:
        value, name, depth = left.pop()
        pairs = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
        inner = list(pairs)
        seen += len(inner)
        if depth > _DEEPEST or seen > _MOST_VALUES:
            short = ".".join(name.split(".")[:3])
            raise UserError(f"{path}: {short}: nests too many lists or sections, or itself by an alias (* and &)")
        left += [(one, f"{name}.{key}".lstrip("."), depth + 1) for key, one in inner]


def from_dict(sections: dict[str, Any]) -> Params:
    """Parameters from what `read` or a checkpoint's JSON holds, which may be older than some of them.

    A lacking parameter has the value that reproduces what was before it existed (`implied`), else its default.

    Raises:
        UserError: a parameter is wrong, by its full name.
    """
    filled = copy.deepcopy(sections)
    for name, value in implied().items():
        *above, key = name.split(".")
        section: Any = filled
        for part in above:
            section = section.setdefault(part, {}) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.setdefault(key, value)
    return over_defaults(filled)


def over_defaults(sections: dict[str, Any]) -> Params:
    """The full-size defaults with other values laid over them. Lists stand for tuples, as YAML and JSON write them.

    Raises:
        UserError: as `from_dict`.
    """
    try:
        return Params.model_validate(_lists_to_tuples(sections))
    except ValidationError as error:
        raise UserError(" ".join(messages.sentence(Params, error.errors()[0]).split())) from None


def _lists_to_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists_to_tuples(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _holds(sections: Any, name: str) -> bool:
    for part in name.split("."):
        if part not in sections:
            return False
        sections = sections[part]
    return True


def names() -> list[str]:
    """The full names of all parameters, such as "train.num_epoch", in the order of params.yaml."""
    return [name for name, _ in fields(Params)]


def values(settings: Params) -> dict[str, Any]:
    """The plain value of every parameter, as JSON has it, by full name, in the order of params.yaml."""
    plain = settings.model_dump(mode="json")
    return {name: functools.reduce(lambda inner, key: inner[key], name.split("."), plain) for name in names()}


def implied() -> dict[str, Any]:
    """What a lacking parameter stands for, by full name, of those made with `types.added`."""
    return {name: field.json_schema_extra["before"] for name, field in fields(Params) if field.json_schema_extra}
