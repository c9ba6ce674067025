import os
import signal
from pathlib import Path

import ds2  # noqa: F401  first: it sets the environment that numpy and paddle read when they are loaded

import numpy as np  # isort: skip
import pytest
import soundfile
from hypothesis import settings
from loguru import logger

# What a shell starts in the background ignores Ctrl-C, and so would all that these tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# How long an example takes says something of the machine's load, not of the code.
settings.register_profile("ds2", deadline=None)
settings.load_profile("ds2")


def tone(
    seconds: float, frequency: float = 440.0, rate: int = 16000, amplitude: float = 0.1, name: str = ""
) -> np.ndarray:
    """A sine with a little noise, float32: audio that is not silent and not constant; another one for every name."""
    count = round(seconds * rate)
    noise = np.random.default_rng([count, *name.encode()]).normal(0, 0.003, count)
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(count) / rate) + noise).astype(np.float32)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """An empty repository to work in, far from DVC's environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("DVC_")]:
        monkeypatch.delenv(name)
    (tmp_path / "dataset" / "annotation").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def write_audio(workspace):
    """write_audio(name, seconds, ...) puts a tone of the name, suffix apart, into the workspace; returns the path."""

    def write(name: str, seconds: float = 1.0, rate: int = 16000, channels: int = 1, **options):
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = tone(seconds, rate=rate, name=str(Path(name).with_suffix("")))
        soundfile.write(path, np.stack([samples] * channels, axis=1) if channels > 1 else samples, rate, **options)
        return path

    return write


@pytest.fixture
def log():
    """The messages of the log, warnings and the rest, as they come."""
    yield from _messages("INFO")


@pytest.fixture
def warnings():
    """The warnings in the log, as they come."""
    yield from _messages("WARNING")


def _messages(level: str):
    found: list[str] = []
    sink = logger.add(lambda message: found.append(message.record["message"]), level=level)
    yield found
    logger.remove(sink)
