"""What DVC is about to record of a stage, compared with what was there when the stage began.

DVC hashes the parameters, code and inputs of a stage after its command has ended, and commits those of all stages when
an experiment has ended. An edit meanwhile would be recorded as what the results were made of.
"""

import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loguru import logger

from ds2 import layout, params
from ds2.errors import UserError
from ds2.files import write_json
from ds2.pipeline import lock, orphan

_LOOK_EVERY_S = 10.0
_FIRST_LOOK = Path(".dvc/tmp/ds2_experiment.json")


@contextmanager
def kept_true() -> Iterator[None]:
    """Ends a stage with an error if what DVC records of it changes in this block; an edit is logged within seconds.

    Outside of DVC, which names the stage in DVC_STAGE, nothing is recorded and nothing compared.

    Raises:
        UserError: what was changed, from which value to which.
    """
    stage = os.environ.get("DVC_STAGE", "").rpartition(":")[2]
    if not stage:
        yield
        return
    defined = _definitions()
    definition = defined.get(stage) or defined[stage.partition("@")[0]]
    experiment = os.environ.get("DVC_EXP_NAME")
    if experiment and (name := lock.change_above(definition.get("deps", []))):
        raise UserError(f"{name} was changed after DVC had compared it with {layout.LOCK}: run the experiment again")
    looks = [_Look(definition), *([_first_look(experiment, defined)] if experiment else [])]
    ended = threading.Event()
    threading.Thread(target=_watch, args=(looks, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
    if change := _change(looks):
        raise UserError(
            f"{change}: DVC would record the stage {stage} with what it did not use, so it has failed; run it again, "
            "with this put back (a training is then found complete and ends in seconds) or as it is now"
        )


def _definitions() -> dict[str, dict[str, Any]]:
    """The stages of dvc.yaml; one made of a list is there once."""
    return {name: stage.get("do", stage) for name, stage in lock.stages(layout.PIPELINE).items()}


class _Look:
    """Parameters, code and inputs of some stages as they were first seen."""

    def __init__(self, *definitions: dict[str, Any], without: str = "") -> None:
        """Looks now; `without`: a pattern of files that the stages themselves write."""
        self._params = [name for one in definitions for name in one.get("params", [])]
        self._deps = [name for one in definitions for name in one.get("deps", [])]
        self._without = without
        self.seen = self._now()

    def change(self) -> str | None:
        """The first difference to what is there now."""
        before, now = self.seen, self._now()
        for name in before | now:
            if before.get(name) != now.get(name):
                if name.startswith(f"{layout.PARAMS}: "):
                    return f"{name} was {before[name]} when the stage began and is {now[name]} now"
                how = "removed" if name not in now else "added" if name not in before else "changed"
                return f"{name} was {how} while the stage ran"
        return None

    def _now(self) -> dict[str, Any]:
        """The value of every parameter, and what changes with the content of every file, by name."""
        written = params.read(layout.PARAMS)
        found: dict[str, Any] = {
            f"{layout.PARAMS}: {name}": json.dumps(lock.value_of(name, written), ensure_ascii=False, default=str)
            for section in self._params
            for name in params.names()
            if f"{name}.".startswith(f"{section}.")
        }
        for dep in self._deps:
            for path in lock.files(Path(dep)):
                if not re.fullmatch(self._without, path.as_posix()):
                    status = path.stat()
                    found[path.as_posix()] = [status.st_ino, status.st_size, status.st_mtime_ns]
        return found


def _first_look(experiment: str, stages: Mapping[str, dict[str, Any]]) -> _Look:
    """All stages as the first one of this experiment saw them, but for what they write: kept beside DVC's own files."""
    outs = [out for one in stages.values() for kind in ("outs", "metrics", "plots") for out in one.get(kind, [])]
    names = [next(iter(out)) if isinstance(out, dict) else out for out in outs]
    corpora = "|".join(map(re.escape, params.read(layout.PARAMS).get("corpora") or ()))
    written = "|".join(re.escape(name).replace(re.escape("${item}"), f"({corpora})") + "(/.*)?" for name in names)
    look = _Look(*stages.values(), without=written)
    dvc = orphan.dvc()
    run = [experiment, None if dvc is None else [dvc.pid, dvc.create_time()]]
    if _FIRST_LOOK.exists() and (kept := json.loads(_FIRST_LOOK.read_text(encoding="utf-8")))["run"] == run:
        look.seen = kept["seen"]
    else:
        write_json(_FIRST_LOOK, {"run": run, "seen": look.seen})
    return look


def _change(looks: list[_Look]) -> str | None:
    return next(filter(None, (look.change() for look in looks)), None)


def _watch(looks: list[_Look], ended: threading.Event) -> None:
    """Logs the first change while it can still be put back."""
    while not ended.wait(_LOOK_EVERY_S):
        try:
            change = _change(looks)
        except (UserError, OSError):  # a file that is just being saved
            continue
        if change:
            logger.warning(f"{change}: put it back before the stage ends, or run the stage again then")
            return
