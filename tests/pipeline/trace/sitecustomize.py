"""What a stage of the pipeline really reads, runs and leaves. Python loads this from PYTHONPATH before the stage.

Each stage that ends by itself leaves a JSON file in the folder $TRACES; one that is killed leaves none. Modules,
params.yaml and data are hashed as they are read; what is not read through Python's open as it was at the start.
"""

import atexit
import faulthandler
import hashlib
import json
import os
import signal
import sys
import time
from importlib.machinery import SourceFileLoader

FOLDERS = ("ds2", "stages", "dataset", "models", "results")
LEFT_OUT = {"__pycache__", "dataset/audio", "dataset/noise", "dataset/reverb", "dataset/downloads"}


def snapshot() -> dict[str, str]:
    """The MD5 of each file of the project, its data and its products, by path."""
    found = {}
    for top in FOLDERS:
        for folder, below, names in os.walk(top):
            below[:] = [name for name in below if not LEFT_OUT & {name, f"{folder}/{name}"}]
            found.update({f"{folder}/{name}": md5(f"{folder}/{name}") for name in names})
    return found


def md5(path: str) -> str:
    """Of a file, "" where it has just gone."""
    try:
        with open(path, "rb") as file:
            return hashlib.md5(file.read()).hexdigest()
    except OSError:
        return ""


class Trace:
    """Of the stage that this process runs."""

    def __init__(self, stage: str, folder: str) -> None:
        self._folder, self._busy = folder, False
        self._known = {"stage": stage, "cwd": os.getcwd(), "begin": time.time(), "code": 0, "params": [], "stale": []}
        self._read: dict[str, list[str]] = {path: [value] for path, value in snapshot().items()}
        self._first: set[str] = set()  # paths whose reading has replaced what the start has seen
        atexit.register(self._write)  # the first that is registered runs last
        faulthandler.register(signal.SIGUSR1)  # shows where it hangs
        self._watch_imports()
        self._watch_ends()
        sys.addaudithook(self._opened)

    def _note(self, path: str, value: str) -> None:
        if path not in self._first:
            self._first.add(path)
            self._read[path] = []
        if value not in self._read[path]:
            self._read[path].append(value)

    def _watch_imports(self) -> None:
        get_code, known, note = SourceFileLoader.get_code, self._known, self._note

        def noted(loader: SourceFileLoader, name: str) -> object:
            path = os.path.relpath(loader.path)
            if not path.startswith(("ds2/", "stages/")):
                return get_code(loader, name)
            note(path, md5(path))
            code = get_code(loader, name)
            source = loader.get_data(path)
            note(path, hashlib.md5(source).hexdigest())
            if code != compile(source, loader.path, "exec", dont_inherit=True):
                known["stale"].append(path)  # __pycache__ has another module's code under its time and size
            return code

        SourceFileLoader.get_code = noted

    def _watch_ends(self) -> None:
        leave, hook = sys.exit, sys.excepthook

        def noted_exit(code: object = None) -> None:
            self._known["code"] = code or 0
            leave(code)

        def noted_exception(*error: object) -> None:
            self._known["code"] = 1
            hook(*error)

        sys.exit, sys.excepthook = noted_exit, noted_exception

    def _opened(self, event: str, arguments: tuple) -> None:
        if event != "open" or self._busy or not isinstance(arguments[0], (str, os.PathLike)):
            return
        if arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        path = os.path.relpath(arguments[0])
        if path != "params.yaml" and not path.startswith(("dataset/", "models/", "results/")):
            return
        self._busy = True  # what is opened here is no reading of the stage
        try:
            if path == "params.yaml":
                with open(path, encoding="utf-8") as file:
                    self._known["params"].append(file.read())
            elif os.path.isfile(path):
                self._note(path, md5(path))
        finally:
            self._busy = False

    def _write(self) -> None:
        self._busy = True
        known = self._known | {"end": time.time(), "read": self._read, "left": snapshot()}
        target = os.path.join(self._folder, f"{time.time_ns()}-{os.getpid()}.json")
        with open(f"{target}.tmp", "w") as file:
            json.dump(known, file, default=str)
        os.rename(f"{target}.tmp", target)


if "TRACES" in os.environ and sys.orig_argv[1:2] == ["-m"] and sys.orig_argv[2].startswith("stages."):
    Trace(sys.orig_argv[2].removeprefix("stages."), os.environ["TRACES"])
