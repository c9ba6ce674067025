"""What of a training's results is the same in every run: all but the time and memory that it took."""

import json
from pathlib import Path
from typing import Any

_COST = {"utterances_per_second", "peak_memory_mb"}


def numbers(path: Path) -> dict[str, Any]:
    """Of a results/training.json."""
    return {name: value for name, value in json.loads(path.read_bytes()).items() if name not in _COST}


def state(path: Path) -> dict[str, Any]:
    """Of a checkpoint's state.json."""
    return {name: value for name, value in json.loads(path.read_bytes()).items() if name not in ("cost", "checksum")}
