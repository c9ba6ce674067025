"""Reading params.yaml."""

import functools
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ds2 import layout
from ds2.errors import UserError
from ds2.params import messages
from ds2.params.sections import Params


def load(path: Path = layout.PARAMS) -> Params:
    """Reads and checks a file of parameters.

    Raises:
        UserError: in one sentence what the file lacks or which parameter is wrong, by its full name.
    """
    yaml = YAML(typ="safe", pure=True)  # YAML 1.2: 5e-05 is a number
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = yaml.load(text)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run in the repository's root, or copy one of recipes/") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    except MarkedYAMLError as error:
        raise UserError(f"{path}: {messages.yaml_sentence(text, error)}") from None
    except (YAMLError, ValueError) as error:  # ValueError: ruamel takes ._ for a number
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no sections; recipes/ has complete files")
    return _agreeing(from_dict(values))


def from_dict(values: dict[str, Any]) -> Params:
    """The same for values already read. Lists stand for tuples, as YAML and JSON write them.

    Raises:
        UserError: as `load`.
    """
    try:
        return Params.model_validate(_lists_to_tuples(values))
    except ValidationError as error:
        raise UserError(" ".join(messages.sentence(Params, error.errors()[0]).split())) from None


def _agreeing(settings: Params) -> Params:
    """Refuses before a training what its evaluation would refuse after it."""
    count, train = settings.evaluate.average_checkpoints, settings.train
    for name, epochs in (("num_epoch", train.num_epoch), ("keep_checkpoints", train.keep_checkpoints)):
        if count > epochs:
            raise UserError(
                f"evaluate.average_checkpoints ({count}) must not be greater than train.{name} ({epochs}): "
                "there would be too few epochs to average"
            )
    return settings


def _lists_to_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists_to_tuples(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def names() -> list[str]:
    """The full names of all parameters, such as "train.num_epoch", in the order of params.yaml."""
    return [name for name, _ in messages.fields(Params)]


def values(settings: Params) -> dict[str, Any]:
    """The plain value of every parameter, as JSON has it, by full name, in the order of params.yaml."""
    plain = settings.model_dump(mode="json")
    return {name: functools.reduce(lambda inner, key: inner[key], name.split("."), plain) for name in names()}
