"""Ends a stage whose dvc is gone: SIGTERM or SIGKILL to dvc alone would leave the stage running."""

import os
import signal
import threading
import time
from contextlib import suppress

import psutil

_POLL_SECONDS = 1.0


def end_with_dvc() -> None:
    """Sends this process SIGTERM, on which a training saves its state, once the dvc that runs it is gone.

    A stage started by hand is not watched: it survives a closed terminal under nohup.
    """
    process = dvc()
    if process is not None:
        threading.Thread(target=_watch, args=(process,), daemon=True).start()


def dvc() -> psutil.Process | None:
    """The dvc that runs this stage, if one does: the nearest such ancestor; shells may stand between."""
    if "DVC_ROOT" not in os.environ:
        return None
    for process in psutil.Process().parents():
        try:
            # "python /usr/bin/dvc repro", "python -m dvc ..." in a queue
            if any(os.path.basename(part) == "dvc" for part in process.cmdline()[:4]):
                return process
        except psutil.Error:
            return None  # another user's process: it cannot be read
    return None


def _watch(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
