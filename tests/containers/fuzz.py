"""Cuts, joins and mutates files of every container, and reads what comes of it.

python -m tests.containers.fuzz --cases 20000 --seed 1

Nothing but AudioError may be raised, nothing may take 10 s or 1 GB. Where a container states its length, what is
accepted is as long as before (joined: as both together), to 50 ms, unless the mutation hit the rate, the channels or
the width of a sample. A child process reads the files; it is started anew after a crash or a hang. Any case can be
repeated by its number: --only N.
"""

import argparse
import json
import logging
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from ds2.audio import reading
from ds2.containers import kinds
from ds2.containers.extent import SLACK_S, AudioError
from tests.containers import samples

STATE_NOTHING = {
    "ircam", "pvf", "paf", "ts", "mpg", "aac", "ac3", "eac3", "mp2", "mp3 without Xing", "amr", "latm", "webm live",
}  # fmt: skip
OPERATIONS = ("cut", "cut", "take out", "join", "mutate", "mutate", "mutate header", "mutate header", "zeros", "both")
# After these the statement itself may be missing.
LOSES = ("take out", "zeros", "both")
_LONGEST_S, _MOST_BYTES = 10.0, 1 << 30
_SECONDS = (1.1, 1.7)


def speech(seconds: float, seed: int) -> np.ndarray:
    """Noise that swells and fades, with silence in it, float32 [n] at 16 kHz."""
    random = np.random.default_rng(seed)
    count = round(seconds * 16000)
    loud = np.repeat(random.uniform(0, 1, count // 1600 + 1) ** 3, 1600)[:count] * (random.random() > 0.2)
    return (0.2 * loud * np.convolve(random.normal(0, 1, count), np.ones(4) / 4, "same")).astype(np.float32)


def prepare(folder: Path) -> None:
    """Two recordings of every container that can be read at all."""
    for kind in samples.KINDS:
        for number, seconds in enumerate(_SECONDS):
            path = folder / f"{kind}.{number}"
            samples.write(kind, path, speech(seconds, number))
            try:
                reading.inspect(path)
            except AudioError:
                path.unlink()


def change(random: np.random.Generator, content: bytes, other: bytes) -> tuple[str, bytes]:
    """What is done, and what comes of it."""
    operation = str(random.choice(OPERATIONS))
    if operation == "join":
        return operation, content + (content if random.random() < 0.3 else other)
    if operation == "cut":
        return operation, content[: int(random.integers(1, len(content)))]
    if operation == "take out":
        start, stop = sorted(random.integers(0, len(content), 2))
        return operation, content[:start] + content[stop:]
    changed = bytearray(content)
    if operation == "zeros":
        start = int(random.integers(len(content)))
        stop = min(len(content), start + int(random.integers(1, 4000)))
        changed[start:stop] = bytes(stop - start)
        return operation, bytes(changed)
    among = min(len(content), 300 if operation == "mutate header" else len(content))
    for _ in range(int(random.integers(1, 6))):
        at = int(random.integers(among))
        value = (0, 0xFF, 1 << int(random.integers(8)) ^ changed[at], int(random.integers(256)))
        for i in range(int(random.choice([1, 1, 1, 2, 4, 8]))):
            if at + i < len(changed):
                changed[at + i] = value[int(random.integers(4))]
    if operation == "both":
        return operation, bytes(changed[: int(random.integers(1, len(changed)))])
    return operation, bytes(changed)


def form(path: Path) -> Any:
    """Rate, channels and width of the samples, as the decoder sees them; of an MP4 the rate of the film's clock too."""
    content = path.read_bytes()
    at = content.find(b"mvhd")
    if at >= 0:
        return _decoders_form(path), content[at + 16 : at + 20]
    return _decoders_form(path)


def _decoders_form(path: Path) -> Any:
    try:
        with soundfile.SoundFile(str(path)) as file:
            return file.samplerate, file.channels, file.subtype
    except soundfile.LibsndfileError:
        pass
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            context = container.streams.audio[0].codec_context
            return context.name, context.sample_rate, context.channels, getattr(context.format, "name", "")
    except Exception:  # whatever it is, it is not what it was
        return None


def states_nothing(kind: str, path: Path) -> bool:
    """Whether the header that stated the length is gone."""
    try:
        extent = kinds.look(path)
    except AudioError:
        return False
    # An MP3 without the header of Xing or LAME has its frames, give or take a few.
    return extent is None or extent.least is None or (kind.startswith("mp3") and extent.least != extent.most)


def lengths(path: Path) -> dict[str, float | str]:
    """Seconds by each way of reading, or the sentence."""

    def read() -> float:
        found, rate = reading.read(path)
        return len(found) / rate

    ways = {
        "inspect": lambda: reading.inspect(path).duration,
        "read": read,
        "stream": lambda: sum(map(len, reading.stream(path, 16000))) / 16000,
    }
    found: dict[str, float | str] = {}
    for name, way in ways.items():
        try:
            found[name] = way()
        except AudioError as error:
            found[name] = f"refused: {error}"
    return found


@dataclass(frozen=True)
class Outcome:
    """What came of a case; no `fault`: nothing is wrong. Seconds, megabytes."""

    number: int
    kind: str = "?"
    operation: str = "?"
    fault: str = ""
    took: float = 0.0
    peak: int = 0
    accepted: bool = False
    exempt: bool = False


def case(folder: Path, seed: int, number: int) -> Outcome:
    """Makes one file, reads it, and says what is wrong with that."""
    names = sorted(path.name[:-2] for path in folder.glob("*.0"))
    kind = names[number % len(names)]
    random = np.random.default_rng([seed, number])
    which = int(random.integers(2))
    paths = [folder / f"{kind}.{i}" for i in (which, 1 - which)]
    content, other = (path.read_bytes() for path in paths)
    operation, changed = change(random, content, other)
    path = folder / "case.bin"
    path.write_bytes(changed)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    begun = time.monotonic()
    try:
        found: dict[str, Any] = lengths(path)
        fault = ""
    except BaseException:
        found, fault = {}, traceback.format_exc()[-1500:]
    took = time.monotonic() - begun
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    peak = int(status["VmHWM"].split()[0]) * 1024
    if took > _LONGEST_S:
        fault = f"took {took:.1f} s"
    if peak > _MOST_BYTES:
        fault = f"took {peak >> 20} MB"
    exempt = (
        kind in STATE_NOTHING or form(path) != form(paths[0]) or (operation in LOSES and states_nothing(kind, path))
    )
    accepted = {name: value for name, value in found.items() if isinstance(value, float)}
    if not fault and accepted and max(accepted.values()) - min(accepted.values()) > SLACK_S:
        fault = f"the ways of reading differ: {found}"
    if not fault and accepted and not exempt:
        was = reading.inspect(paths[0]).duration
        if operation == "join":
            both = was + (was if changed == content * 2 else reading.inspect(paths[1]).duration)
            right = [both]
        else:
            right = [was]
        if any(min(abs(value - one) for one in right) > SLACK_S + 1e-6 for value in accepted.values()):
            fault = f"should have {right[0]:.3f} s: {found}"
    return Outcome(number, kind, operation, fault, took, peak >> 20, bool(accepted), exempt)


def child(folder: Path, seed: int, first: int, last: int) -> None:
    """Runs cases and prints a line of JSON for each."""
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    logging.disable()
    for number in range(first, last):
        print(json.dumps(asdict(case(folder, seed, number))), flush=True)


def run(folder: Path, seed: int, cases: range) -> list[Outcome]:
    """All cases, in children with a limit of time."""
    done: list[Outcome] = []
    first = cases.start
    while first < cases.stop:
        command = [sys.executable, "-m", "tests.containers.fuzz", "--child", str(folder), str(first), str(cases.stop)]
        process = subprocess.Popen(
            [*command, "--seed", str(seed)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
        )
        while first < cases.stop:
            # The first case of a child waits for its imports too.
            ready, _, _ = select.select([process.stdout], [], [], 3 * _LONGEST_S + 10)
            line = process.stdout.readline() if ready else ""
            if line and not line.startswith("{"):  # a library's own words
                continue
            if not line:
                reason = "it hangs" if not ready else f"the process ended with {process.wait()}"
                done.append(Outcome(first, fault=reason))
                print(done[-1], flush=True)
                first += 1
                break
            done.append(Outcome(**json.loads(line)))
            first += 1
            if done[-1].fault:
                print(done[-1], flush=True)
        process.kill()
        process.wait()
    return done


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        folder, first, last = arguments.child
        child(Path(folder), arguments.seed, int(first), int(last))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        cases = range(arguments.cases) if arguments.only is None else range(arguments.only, arguments.only + 1)
        done = run(folder, arguments.seed, cases)
    faults = [one for one in done if one.fault]
    accepted = [one for one in done if one.accepted]
    names = {one.kind for one in done}
    print(f"seed {arguments.seed}: {len(done)} cases of {len(names)} containers, {len(faults)} faults")
    print(f"accepted {len(accepted)}, of these without a length to compare {sum(one.exempt for one in accepted)}")
    print(f"longest {max(one.took for one in done):.1f} s, most {max(one.peak for one in done)} MB")
    for (kind, operation), count in sorted(Counter((one.kind, one.operation) for one in faults).items()):
        print(f"{count:5}  {kind}, {operation}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
