"""What dvc.lock records of the stages."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ds2 import layout, params
from ds2.files import digest

# Python writes them while a stage runs; .dvcignore has them.
_IGNORED = "__pycache__"


def stages(path: Path = layout.LOCK) -> dict[str, Any]:
    """The stages of dvc.lock, or of dvc.yaml, by name; none where there is no such file."""
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))["stages"] if path.exists() else {}


def change_above(inputs: Iterable[str]) -> str | None:
    """The first parameter or file that the stages behind some inputs depend on and that is not as recorded.

    DVC has compared those stages, or run them, before it runs one that takes their outputs.
    """
    recorded, written = stages(), params.read(layout.PARAMS)
    outs = {out["path"] for one in recorded.values() for out in one.get("outs", [])}
    for stage in _above(recorded, inputs):
        for name, value in recorded[stage].get("params", {}).get(str(layout.PARAMS), {}).items():
            if value_of(name, written) != value:
                return f"{layout.PARAMS}: {name}"
        for dep in recorded[stage].get("deps", []):
            if dep["path"] not in outs and dep.get("md5") != _md5(Path(dep["path"])):
                return dep["path"]
    return None


def value_of(name: str, written: Any) -> Any:
    """The value of a parameter or section in what params.yaml holds; None where it has none."""
    for key in name.split("."):
        written = written.get(key) if isinstance(written, Mapping) else None
    return written


def files(dep: Path) -> Iterator[Path]:
    """The files of an input that DVC hashes: itself, or all below it."""
    if not dep.is_dir():
        return iter([dep] if dep.exists() else [])
    return (path for path in sorted(dep.rglob("*")) if path.is_file() and _IGNORED not in path.parts)


def _above(recorded: Mapping[str, Any], inputs: Iterable[str]) -> list[str]:
    """The stages that made some inputs, and those that made theirs."""
    found: dict[str, None] = {}
    left = list(inputs)
    while left:
        dep = left.pop()
        for name, one in recorded.items():
            if name not in found and any(_meet(out["path"], dep) for out in one.get("outs", [])):
                found[name] = None
                left += [other["path"] for other in one.get("deps", [])]
    return list(found)


def _meet(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _md5(dep: Path) -> str:
    """DVC's hash of a file, or of a folder's list of files."""
    if not dep.is_dir():
        return digest(dep, "md5") if dep.exists() else ""
    listed = [{"md5": digest(path, "md5"), "relpath": path.relative_to(dep).as_posix()} for path in files(dep)]
    listed.sort(key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"
