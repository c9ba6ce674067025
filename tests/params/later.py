"""The parameters of a later version: some are marked as added, one is new without that mark."""

import pytest
from pydantic import Field

from ds2 import params
from ds2.params import loading
from ds2.params.types import added


class _Noise(params.NoiseSettings):
    color: str = added("pink", before="white")


class _Augment(params.AugmentSettings):
    noise: _Noise = _Noise()


class _Training(params.TrainSettings):
    label_smoothing: float = added(0.1, before=0.0, ge=0)
    freeze: tuple[str, ...] = added(("conv",), before=[])
    patience: int = Field(7)


class _Params(params.Params):
    augment: _Augment = _Augment()
    train: _Training = _Training()


def begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the code is of the later version."""
    monkeypatch.setattr(loading, "Params", _Params)
