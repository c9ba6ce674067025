"""Everything that decides what a training computes, except how long it goes on, and one number for it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ds2 import params
from ds2.files import sha256

# Raise it when code changes what a training computes: states from before are then not continued.
_VERSION = 6

# Among the files of a fingerprint.
PRETRAINED = "train.pretrained_model"

# What decides how long a training goes on, what is kept of it and where it starts, not what it computes.
_LEFT_OUT = {"train.num_epoch", "train.save_interval", "train.keep_checkpoints", "train.max_nonfinite"}


def ingredients(
    settings: params.Params,
    files: Mapping[str, Path],
    augmentation: Sequence[tuple[str, int]] = (),
    pretrained: str | None = None,
) -> dict[str, Any]:
    """The sections features, model, augment (where it is on) and train, and hashes of the data; JSON can hold it.

    A parameter that was added later (params.types.added) and has the value that its lack implies is left out, so that
    a training from before it has the same fingerprint.

    Args:
        settings: the parameters.
        files: manifests, statistics and vocabulary, by the names that a user knows them under.
        augmentation: names and sizes of the files of noise and impulse responses.
        pretrained: a hash of the content of train.pretrained_model, which counts in place of its path.
    """
    sections = {"features", "model", "train"} | ({"augment"} if settings.train.augment else set())
    decide = {
        name: value
        for name, value in params.values(settings).items()
        if name.split(".")[0] in sections and name not in _LEFT_OUT
    }
    hashes = {name: sha256(path) for name, path in files.items()}
    if pretrained is not None:
        del decide[PRETRAINED]
        hashes[PRETRAINED] = pretrained
    return {
        "version": _VERSION,
        "params": {name: value for name, value in decide.items() if (name, value) not in params.implied().items()},
        "augmentation": hashlib.sha256(json.dumps(list(augmentation)).encode()).hexdigest(),
        "files": hashes,
    }


def fingerprint(of: Mapping[str, Any]) -> str:
    """A hash of the ingredients, 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What makes two trainings different ones, each as half a sentence; parameters by their full names."""
    before, now = (
        {name: value for name, value in params.implied().items() if name in other["params"]} | own["params"]
        for own, other in ((old, new), (new, old))
    )
    found = [
        f"{name} is {json.dumps(now[name], ensure_ascii=False)} and was {json.dumps(before[name], ensure_ascii=False)}"
        for name in now
        if name in before and now[name] != before[name]
    ]
    files = old["files"] | new["files"]
    found += [f"{name} has changed" for name in files if old["files"].get(name) != new["files"].get(name)]
    if old["augmentation"] != new["augmentation"]:
        found.append("the files of noise or impulse responses have changed")
    if old["version"] != new["version"] or (before.keys() ^ now.keys() and not found):
        found.append("it was trained by another version of ds2")
    return found
