"""One number for everything that decides what a training computes, except how long it goes on."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from ds2 import params

# Raise it when code changes what a training computes: states from before are then not continued.
_VERSION = 2

# What decides how long a training goes on, what is kept of it and where it starts, not what it computes.
_LEFT_OUT = {"num_epoch", "save_interval", "keep_checkpoints", "resume_model"}


def fingerprint(settings: params.Params, files: list[Path], augmentation: Sequence[tuple[str, int]] = ()) -> str:
    """A hash of the sections features, model, augment (where it is on) and train, and of the contents of files.

    Args:
        settings: the parameters.
        files: manifests, statistics and vocabulary.
        augmentation: names and sizes of the files of noise and impulse responses.
    """
    values = {
        "version": _VERSION,
        "features": settings.features.model_dump(),
        "model": settings.model.model_dump(),
        "augment": settings.augment.model_dump() if settings.train.augment else None,
        "train": settings.train.model_dump(exclude=_LEFT_OUT),
        "start": None if settings.train.resume_model == "auto" else settings.train.resume_model,
        "augmentation": list(augmentation),
        "files": [hashlib.sha256(path.read_bytes()).hexdigest() for path in files],
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
