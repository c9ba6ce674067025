"""Trained networks that ONNX Runtime computes, from a bundle; paddle is not needed."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
import onnxruntime

from ds2 import cpu, params
from ds2.data import features, frames
from ds2.data.loader import Batch
from ds2.data.vocabulary import Vocabulary
from ds2.errors import UserError, harmless
from ds2.recognition import bundle, onnx_file
from ds2.recognition.acoustic import DivergedError
from ds2.recognition.bundle import NETWORK, Bundle
from ds2.recognition.calibration import Calibration

# Memory that a network takes while it is opened, in bytes a value of its weights, besides the file itself: ONNX
# Runtime's copy, and one laid out for its products. Measured: 8.
_BYTES_A_VALUE = 10
_INPUTS, _OUTPUTS = ["features", "lengths"], ["log_probabilities", "steps"]
# Frames of the two utterances that a network is tried on.
_TRIED = 7, 3


@dataclass(frozen=True)
class Unchanged:
    """The Normalisation of a network that does it itself."""

    def normalize(self, values: np.ndarray) -> np.ndarray:
        """Features as they are."""
        return values


@dataclass(frozen=True)
class OnnxModel:
    """An AcousticModel on the CPU."""

    session: onnxruntime.InferenceSession
    opened: Bundle
    statistics: Unchanged = Unchanged()
    device: str = "cpu"

    @property
    def vocabulary(self) -> Vocabulary:
        """As every AcousticModel."""
        return self.opened.vocabulary

    @property
    def features(self) -> params.FeaturesSettings:
        """As every AcousticModel."""
        return self.opened.settings.features

    @property
    def rules(self) -> params.TextSettings:
        """As every AcousticModel."""
        return self.opened.settings.text

    @property
    def origin(self) -> str:
        """As every AcousticModel."""
        return self.opened.config.origin

    @property
    def chosen_on(self) -> str | None:
        """As every AcousticModel."""
        return self.opened.config.chosen_on

    @property
    def step_seconds(self) -> float:
        """As every AcousticModel."""
        return self.opened.config.step_seconds

    @property
    def usual_seconds(self) -> float:
        """As every AcousticModel."""
        return self.opened.config.usual_seconds

    @property
    def calibration(self) -> Calibration | None:
        """As every AcousticModel."""
        return self.opened.calibration

    @property
    def decoding(self) -> params.EvaluateSettings:
        """As every AcousticModel."""
        return self.opened.settings.evaluate

    @property
    def language_model(self) -> Path | None:
        """As every AcousticModel."""
        return self.opened.language_model

    def log_probabilities(self, batch: Batch) -> list[np.ndarray]:
        """As every AcousticModel."""
        return run(self.session, batch.features, batch.frames)


def run(session: onnxruntime.InferenceSession, features: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Ln P of the tokens at every real output step of each utterance: float32 [steps, tokens].

    Args:
        session: of a graph that `export.graph` has made.
        features: float32 [B, T, size], not normalised.
        lengths: int64 [B], real frames.

    Raises:
        DivergedError: the output is not a number.
        MemoryError: there is not enough memory for the batch.
    """
    try:
        found, steps = session.run(_OUTPUTS, dict(zip(_INPUTS, (features, lengths), strict=True)))
    except Exception as error:  # its classes have no common one
        if "alloc" in str(error).lower():
            raise MemoryError from None
        raise
    real = [one[:count] for one, count in zip(found, steps, strict=True)]
    # The softmax spreads what is not a number over all tokens of a step.
    if any(np.isnan(one[:, 0]).any() for one in real):
        raise DivergedError
    return real


def session(graph: bytes | str) -> onnxruntime.InferenceSession:
    """ONNX Runtime at work on a graph or on the file of one, on as many cores as the network may use."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cpu.threads()
    options.log_severity_level = 4  # what goes wrong is raised too
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # Weights do not grow ONNX Runtime's pool of memory, by steps of which the last are larger than what is left.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def load(folder: Path, use_gpu: str | bool) -> OnnxModel:
    """Opens a bundle.

    Raises:
        UserError: a part is missing or damaged, the parts do not fit together, the network is none that
            `python -m ds2 export` has made or too large for this machine, or a GPU is asked for.
    """
    if use_gpu is True:
        raise UserError(f"{folder} is a bundle, which runs on the CPU: set runtime.use_gpu to auto")
    opened = bundle.read(folder)
    path = folder / NETWORK
    _check_room(path, path.stat().st_size)
    try:
        _check_room(path, _BYTES_A_VALUE * onnx_file.check(_mapped(path)))
        # It copies the weights of a file once, those of bytes twice.
        with ThreadPoolExecutor(1) as beside:
            opening = beside.submit(session, str(path))
            features.load_fft()
            opened.check_network()
            model = OnnxModel(opening.result(), opened)
    except onnx_file.ForeignError as error:
        opened.check_network()
        raise UserError(f"{path} is not a network that python -m ds2 export has made: {error}") from None
    except Exception as error:  # ONNX Runtime's classes have no common one
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is not a network that can be used: {harmless(error)}") from None
    _try(model, path)
    return model


def _mapped(path: Path) -> bytes | mmap:
    """The content of a file; only what is looked at is read."""
    with open(path, "rb") as file:
        return mmap(file.fileno(), 0, access=ACCESS_READ) if path.stat().st_size else b""


def _check_room(path: Path, needed: int) -> None:
    available = _available()
    if available is not None and needed > available:
        raise UserError(
            f"{path} needs {needed / 2**20:,.0f} MiB of memory and {available / 2**20:,.0f} MiB are available: use "
            "another machine or a smaller network"
        )


def _available() -> int | None:
    """Bytes of memory that can be taken, of the machine and of this process's control group; None: not known."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) << 10)
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text().strip()
        if limit.isdigit():
            found.append(int(limit) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return min(found, default=None)


def _try(model: OnnxModel, path: Path) -> None:
    """Raises UserError where the network's outputs for two short utterances are not what they should be."""
    tokens = len(model.vocabulary)
    features = np.zeros((len(_TRIED), max(_TRIED), model.features.size), np.float32)
    expected = [(frames.count_steps(one, model.opened.config.frames_a_step), tokens) for one in _TRIED]
    try:
        found = _shapes(run(model.session, features, np.array(_TRIED, np.int64)))
    except DivergedError:
        raise DivergedError from None
    except Exception as error:
        raise UserError(f"{path} does not fit {bundle.CONFIG} beside it: {harmless(error)}") from None
    if found != expected:
        raise UserError(
            f"{path} gives outputs of the sizes {found} for two utterances of {_TRIED} frames, and {bundle.VOCABULARY} "
            f"and {bundle.CONFIG} beside it ask for {expected}: they are of different models"
        )


def _shapes(arrays: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
    return [one.shape for one in arrays]
