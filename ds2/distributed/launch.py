"""The processes of a training: started, watched and ended by one that does without paddle.

Every process gets the environment that paddle's own launcher gives (PADDLE_TRAINER_ID and so on). Its launcher is not
used: it has no `-m`, and leaves workers running for half a minute when one has died or Ctrl-C was pressed.
"""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from loguru import logger

from ds2 import layout, parallel, params
from ds2.distributed import signals
from ds2.distributed.machines import Link
from ds2.errors import UserError

# The exit code of a process that ends only because another one is gone.
LOST = 75
# Seconds that the others have to end by themselves after one has failed: they may hold an error of their own.
_PATIENCE = 3.0
_LOOK_EVERY_S = 0.1
_LAST_LINES = 30
# Paddle's C++ parts then log errors only, not every connection that they make.
_QUIET = "GLOG_minloglevel"


@dataclass(frozen=True)
class Plan:
    """Which processes run where."""

    here: int  # processes on this machine; every machine has as many
    machines: int = 1  # how many take part
    machine: int = 0  # the number of this one, from 0
    # Host:port at which the first process waits for the others; None: on this machine, any free port.
    master: str | None = None
    gpus: bool = False  # each process has one of its own

    @property
    def size(self) -> int:
        """Processes on all machines."""
        return self.here * self.machines


def needed() -> bool:
    """Whether this process is the first one, and not one of those that it starts."""
    return "PADDLE_TRAINER_ID" not in os.environ


def named_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES names; as to CUDA, -1 and what stands behind it is nothing."""
    names = (name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(","))
    return [name for name in itertools.takewhile(lambda name: name != "-1", names) if name]


def plan(settings: params.Params) -> Plan:
    """What runtime.use_gpu, runtime.num_processes, CUDA_VISIBLE_DEVICES and PADDLE_NNODES ask for.

    Raises:
        UserError: they do not go together.
    """
    runtime, train = settings.runtime, settings.train
    visible = named_gpus()
    machines = _number("PADDLE_NNODES", 1)
    several = machines > 1 or runtime.num_processes not in ("auto", 1) or len(visible) > 1
    usable = _usable_gpus() if several and runtime.use_gpu is not False else 0
    gpus = usable or 0
    if len(visible) > max(1, gpus) and runtime.use_gpu is not False:
        wheel = ", since this paddle is built for the CPU only" if usable is None else ""
        mended = "name only those" if gpus else "unset it"
        raise UserError(
            f"CUDA_VISIBLE_DEVICES names {len(visible)} GPUs, but paddle can use {gpus} of them{wheel}: {mended}, "
            "install the wheel for your GPU (see README), or set runtime.use_gpu to false"
        )
    here = max(1, gpus if len(visible) > 1 else 1) if runtime.num_processes == "auto" else runtime.num_processes
    if gpus and here > gpus:
        raise UserError(
            f"runtime.num_processes is {here}, but {gpus} GPUs are visible: lower it, name more in "
            "CUDA_VISIBLE_DEVICES, or set runtime.use_gpu to false"
        )
    found = Plan(here, machines, _number("PADDLE_RANK", 0), os.environ.get("PADDLE_MASTER"), gpus > 0)
    if machines > 1 and (found.master is None or "PADDLE_RANK" not in os.environ or found.machine >= machines):
        raise UserError(
            f"PADDLE_NNODES is {machines}: set PADDLE_MASTER (host:port of the first machine, the same on all) and "
            f"PADDLE_RANK (0 to {machines - 1}, another on each)"
        )
    if train.max_batch_seconds is None and found.size > train.batch_size:
        raise UserError(
            f"train.batch_size is {train.batch_size}, to be spread over {found.size} processes: raise it, or lower "
            "runtime.num_processes or the number of GPUs in CUDA_VISIBLE_DEVICES"
        )
    return found


def supervise(chosen: Plan, module: str) -> None:
    """Runs `python -m module` in all processes of this machine, until they are done.

    The first process of all writes to the terminal, the others to log/workerlog.N. When one fails the others end
    within seconds. None of them outlives this one, however it ends.

    Raises:
        UserError: a process failed and its own error has not been shown by itself.
        SystemExit: the first process has failed and said why.
        KeyboardInterrupt: a second signal came, and all were killed.
    """
    folder = layout.repository_root() / layout.LOG
    folder.mkdir(parents=True, exist_ok=True)
    first = chosen.machine * chosen.here
    logger.info(f"{chosen.size} processes train, {chosen.here} of them here; log/workerlog.N has what all but 0 say")
    with Link(chosen.master, chosen.machine, chosen.machines) as link, ExitStack() as stack:
        children: dict[int, subprocess.Popen] = {}
        stack.callback(_kill, children)
        caught: list[int] = []
        stack.enter_context(signals.handled(lambda number, frame: caught.append(number)))
        for place, (environment, cores) in enumerate(zip(environments(chosen), cores_of_each(chosen), strict=True)):
            rank = first + place
            output = None if rank == 0 else stack.enter_context(open(folder / f"workerlog.{rank}", "wb"))
            children[rank] = subprocess.Popen(
                [sys.executable, "-m", module],
                env=os.environ | environment,
                stdout=output,
                stderr=output,
                preexec_fn=partial(_at_start_of_child, cores),
            )
        codes = _watch(children, caught, link)
        if not any(codes.values()):
            link.done()
    _report(codes, folder, stopped=bool(caught))


def environments(chosen: Plan) -> Iterator[dict[str, str]]:
    """What paddle's engine wants to find, for each process of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        master = chosen.master or f"127.0.0.1:{free.getsockname()[1]}"
    cores = len(os.sched_getaffinity(0))
    for place in range(chosen.here):
        environment = {
            "PADDLE_MASTER": master,
            "PADDLE_TRAINER_ID": str(chosen.machine * chosen.here + place),
            "PADDLE_TRAINERS_NUM": str(chosen.size),
            "PADDLE_LOCAL_RANK": str(place),
            "PADDLE_TRAINER_ENDPOINTS": master,
            "PADDLE_CURRENT_ENDPOINT": master,
            "PADDLE_DISTRI_BACKEND": "nccl" if chosen.gpus else "gloo",
            _QUIET: os.environ.get(_QUIET, "2"),
        }
        if chosen.gpus:
            environment["FLAGS_selected_gpus"] = str(place)
        else:
            environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(max(1, cores // chosen.here)))
        yield environment


def cores_of_each(chosen: Plan) -> list[list[int]]:
    """The cores of each process of this machine, its own where there are enough and no GPU does the work.

    Left alone, the kernel lets two processes meet on one core every few milliseconds, and all wait for both: two on two
    cores took a quarter longer.
    """
    cores = sorted(os.sched_getaffinity(0))
    if chosen.gpus or len(cores) < chosen.here:
        return [cores] * chosen.here
    bounds = [len(cores) * place // chosen.here for place in range(chosen.here + 1)]
    return [cores[start:end] for start, end in itertools.pairwise(bounds)]


def _watch(children: dict[int, subprocess.Popen], caught: list[int], link: Link) -> dict[int, int]:
    """Waits for all or a failure, passes on a first signal, ends all on a second; returns the exit codes by rank."""
    passed_on = False
    deadline = None
    while True:
        codes = {rank: child.poll() for rank, child in children.items()}
        if all(code is not None for code in codes.values()):
            return codes
        if caught and not passed_on:
            passed_on = True
            for child in children.values():
                child.send_signal(caught[0])
        if len(caught) > 1:
            raise KeyboardInterrupt
        if deadline is None and (any(codes.values()) or (not caught and link.broken())):
            deadline = time.monotonic() + _PATIENCE
        if deadline is not None and time.monotonic() > deadline:
            for rank, child in children.items():
                if codes[rank] is None:
                    child.kill()
                    child.wait()
                    codes[rank] = LOST
            return codes
        time.sleep(_LOOK_EVERY_S)


def _report(codes: dict[int, int], folder: Path, stopped: bool) -> None:
    """Ends with the error of the process that failed by itself, if one did."""
    failed = {rank: code for rank, code in codes.items() if code}
    if not failed:
        return
    guilty = {rank: code for rank, code in failed.items() if code != LOST}
    # One that fails like the others has said the same; the first one's words are on the terminal already.
    if guilty.get(0, -1) > 0:
        sys.exit(guilty[0])
    if not guilty:
        raise UserError("the connection to the processes on other machines broke: their logs say why")
    rank, code = min(guilty.items())
    path = folder / f"workerlog.{rank}"
    if code < 0:
        end = f"was killed by {signal.Signals(-code).name}" + (", perhaps for want of memory" if code == -9 else "")
        if stopped or rank == 0:
            raise UserError(f"process {rank} {end}")
        raise UserError(f"process {rank} {end}; its last lines are in {path}")
    with open(path, encoding="utf-8", errors="replace") as log:
        last = "".join(deque(log, _LAST_LINES)).rstrip()
    print(last, file=sys.stderr)
    raise UserError(f"process {rank} failed; the lines above are the last of {path}")


def _at_start_of_child(cores: list[int]) -> None:
    """Runs in a child before it becomes python: signals reach it through its parent only, whose end is its own."""
    os.sched_setaffinity(0, cores)
    os.setpgrp()
    parallel.end_with_parent()


def _kill(children: dict[int, subprocess.Popen]) -> None:
    for child in children.values():
        if child.poll() is None:
            child.kill()
    for child in children.values():
        child.wait()


def _usable_gpus() -> int | None:
    """The GPUs that paddle can use; None: it is built for the CPU only. A process of its own loads it and is asked."""
    code = "import paddle; print(paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else None)"
    asked = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    told = asked.stdout.split()[-1] if asked.returncode == 0 else "0"
    return None if told == "None" else int(told)


def _number(name: str, default: int) -> int:
    """A whole number from the environment. PADDLE_NNODES may be 2:2, paddle's way to write least and most."""
    text = os.environ.get(name, str(default)).split(":")[0]
    if not text.isdecimal():
        raise UserError(f"{name} is {os.environ[name]!r}: it should be a whole number")
    return int(text)
