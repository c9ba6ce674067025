"""What a stranger can do to a checkpoint before giving it away."""

import hashlib
import json
import os
import pickle
from pathlib import Path

from ds2.checkpoint import disk

FILES = (disk.MODEL, disk.OPTIMIZER, disk.STATE, disk.VOCABULARY, disk.MEAN_ISTD)


class Attack:
    """Pickled, it touches a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def seal(folder: Path, change=lambda values: None) -> None:
    """Puts all hashes right, as a stranger can, after a change of the state's values."""
    values = json.loads((folder / disk.STATE).read_text())
    del values["checksum"]
    for name in values["files"]:
        if (folder / name).exists():
            values["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    change(values)
    checksum = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    (folder / disk.STATE).write_text(json.dumps(values | {"checksum": checksum}))


def put_a_pickle_for_weights(folder: Path, mark: Path, protocol: int = 4) -> None:
    """One that makes the file `mark` when it is unpickled; all hashes are right."""
    (folder / disk.MODEL).write_bytes(pickle.dumps(Attack(mark), protocol))
    seal(folder)
