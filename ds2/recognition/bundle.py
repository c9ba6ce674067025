"""A bundle on disk: an exported network and all that recognising with it takes, in a folder to give away.

    model.onnx        the network: features in, log-probabilities out (`export.graph`)
    config.json       features, text rules, decoder and its numbers, lengths of time, hashes of the other files
    vocabulary.txt    as a checkpoint's
    lm.arpa, lm.bin   the language model, where the decoder has one: ARPA or KenLM's binary
    MODEL_CARD.md     for people; nothing reads it

No link out of the folder is followed, and nothing that is read from it is ever unpickled or executed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from ds2 import files, params
from ds2.data.frames import FRAME_SHIFT_S
from ds2.data.vocabulary import Vocabulary
from ds2.errors import UserError, harmless
from ds2.recognition.calibration import Calibration

NETWORK, CONFIG, VOCABULARY, CARD = "model.onnx", "config.json", "vocabulary.txt", "MODEL_CARD.md"
LANGUAGE_MODELS = {"arpa": "lm.arpa", "binary": "lm.bin"}
_FORMAT = 1
# Bytes, at most, of a file that is read as text.
_LONGEST_TEXT = 1 << 26

_Values = dict[str, JsonValue]
_Positive = Annotated[float, Field(gt=0, lt=1e6, allow_inf_nan=False)]


@dataclass(frozen=True)
class Config:
    """What config.json holds besides the hashes. Sections are those of params.yaml."""

    features: _Values
    text: _Values
    evaluate: _Values  # the decoder and its numbers
    frames_a_step: Annotated[int, Field(strict=True, ge=1, le=64)]  # frames of 10 ms that make an output step
    step_seconds: _Positive  # the same, of audio
    usual_seconds: _Positive  # the mean length of the utterances of the training
    calibration: _Values | None  # as Calibration has it
    origin: str  # which weights of the training these are, in words
    chosen_on: Literal["dev", "test"] | None  # the data whose score chose these weights
    about: _Values = field(default_factory=dict)  # commit, versions, error rates: nothing is computed from it


_CONFIG = TypeAdapter(Config)


@dataclass(frozen=True)
class Bundle:
    """An intact bundle, its parts checked one by one; the network is not loaded."""

    folder: Path
    settings: params.Params  # its sections features, text and evaluate are the bundle's
    vocabulary: Vocabulary
    config: Config
    calibration: Calibration | None
    language_model: Path | None
    network_hash: str

    def check_network(self) -> None:
        """Raises UserError where the file of its network is not what was written."""
        if files.sha256(self.folder / NETWORK) != self.network_hash:
            raise _not_as_written(self.folder, NETWORK)


def is_bundle(folder: Path) -> bool:
    """Whether a folder holds a bundle and not a checkpoint."""
    return (folder / CONFIG).exists() or (folder / NETWORK).exists()


def write_config(folder: Path, config: Config, language_model: str | None) -> None:
    """Writes config.json beside the other files, of which `language_model` names one where there is one."""
    names = [NETWORK, VOCABULARY, *([language_model] if language_model else [])]
    hashes = {name: files.sha256(folder / name) for name in names}
    files.write_json(folder / CONFIG, {"format": _FORMAT, "files": hashes} | asdict(config))


def read(folder: Path) -> Bundle:
    """Reads a bundle and compares its files, all but the network's, with their hashes.

    Raises:
        UserError: a part is missing, damaged or of another version, or the parts do not fit together.
    """
    config, hashes = _read_config(folder)
    for name, expected in hashes.items():
        path = _own(folder, name)
        if name != NETWORK and files.sha256(path) != expected:
            raise _not_as_written(folder, name)
    sections = {"features": config.features, "text": config.text, "evaluate": config.evaluate}
    try:
        settings = params.from_dict(sections)
    except UserError as error:
        raise UserError(f"{folder / CONFIG}: {harmless(error)}") from None
    if round(config.step_seconds / FRAME_SHIFT_S, 6) != config.frames_a_step:
        raise _damaged(folder, f"{CONFIG}: step_seconds and frames_a_step do not fit together")
    _own_text(folder, VOCABULARY)
    model = next((folder / name for name in LANGUAGE_MODELS.values() if name in hashes), None)
    if settings.evaluate.decoder == "ctc_beam_search" and model is None:
        raise _damaged(folder, f"{CONFIG} names the decoder ctc_beam_search and no language model")
    vocabulary = Vocabulary.read(folder / VOCABULARY)
    calibration = _calibration(folder, config.calibration)
    return Bundle(folder, settings, vocabulary, config, calibration, model, hashes[NETWORK])


def _read_config(folder: Path) -> tuple[Config, Mapping[str, str]]:
    try:
        values: dict[str, Any] = json.loads(_own_text(folder, CONFIG).read_bytes())
        if values.pop("format") != _FORMAT:
            raise UserError(f"{folder} was exported by another version of ds2 (the format is another): use that one")
        hashes = values.pop("files")
        known = {NETWORK, VOCABULARY, *LANGUAGE_MODELS.values()}
        if not {NETWORK, VOCABULARY} <= hashes.keys() <= known or not all(
            isinstance(one, str) for one in hashes.values()
        ):
            raise _damaged(folder, f"{CONFIG}: files must name {', '.join(sorted(known))} and no others")
        return _CONFIG.validate_python(values), hashes
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise _damaged(folder, f"{CONFIG}: {harmless(place)}: {harmless(error.errors()[0]['msg'])}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _not_as_written(folder, CONFIG) from None


def _calibration(folder: Path, values: _Values | None) -> Calibration | None:
    if values is None:
        return None
    try:
        found = TypeAdapter(Calibration).validate_python(values)
    except ValidationError as error:
        raise _damaged(folder, f"{CONFIG}: calibration: {harmless(error.errors()[0]['msg'])}") from None
    if asdict(found) != values:
        raise _damaged(folder, f"{CONFIG}: calibration holds something else than {harmless(asdict(found))}")
    return found


def _own(folder: Path, name: str) -> Path:
    if reason := files.why_foreign(folder / name):
        raise _damaged(folder, f"{name} {reason}")
    return folder / name


def _own_text(folder: Path, name: str) -> Path:
    path = _own(folder, name)
    if path.stat().st_size > _LONGEST_TEXT:
        raise _damaged(folder, f"{name} has more than {_LONGEST_TEXT} bytes")
    return path


def _not_as_written(folder: Path, name: str) -> UserError:
    return _damaged(folder, f"{name} is not what was written")


def _damaged(folder: Path, reason: str) -> UserError:
    return UserError(f"{folder} is damaged ({reason}): copy it again, or run python -m ds2 export")
