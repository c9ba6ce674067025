"""A pipeline to which anything may happen, and a look at all that DVC has recorded after each step."""

import os
import re
import shutil
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ds2.checkpoint import disk
from tests.pipeline.conftest import Repository
from tests.pipeline.kills import record_noise_and_echoes
from tests.pipeline.records import Checker, Edit, records
from tests.pipeline.running import PATIENCE, Queue, Running, kill, processes

TRACE = Path(__file__).with_name("trace")
# To the line after the last frame; paddle's, which is not Python's, to its message.
_TRACEBACK = re.compile(
    r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*.*|C\+\+ Traceback(?:.*\n){1,9}", re.M
)
# Tracebacks before a stage begins, when nothing is read yet, each by what is in it.
KNOWN = (
    r'/stages/\w+\.py", line \d+, in <module>\n +(from|import) .*\n(.*\n)*KeyboardInterrupt',  # Ctrl-C during imports
    r"FatalError: `Termination signal` is detected",  # SIGTERM while paddle is loaded: its own handler says so
)
_GIT = re.compile(r"git (?:checkout|switch|symbolic-ref|reset|stash|branch|merge)\b[^;,:()`'\"]*")


class Trial:
    """One repository and its clones. `do(name, *arguments)` is a step: one thing is done, and all records are checked.

    Attributes:
        faults: one line each; none: every record was true.
        refusals: sentences of ours that a command ended with, counted.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._step = folder, 0
        self.checker = Checker(folder)
        self.faults: list[str] = []
        self.refusals: Counter[str] = Counter()
        self._found: set[str] = set()  # faults without the record that they are of
        self._autosave_gone = False
        self._pretrained = folder / "pretrained"  # below it what do_keep has copied, for ever
        repository = Repository(folder / "main")
        traces = {"PYTHONPATH": str(TRACE), "TRACES": str(folder / "traces")}
        # As a user's Python, which keeps what it compiles.
        repository.environment = traces | {"PYTHONDONTWRITEBYTECODE": ""}
        record_noise_and_echoes(repository.folder)
        repository.run("dvc", "remote", "add", "-d", "store", str(folder / "remote"))
        self.all = [repository]
        for name, value in (("train.augment", True), ("augment.noise.prob", 0.7), ("augment.reverb.prob", 0.0)):
            self.do_edit(name, value)
        repository.commit("noise, and a remote")
        self.checker.caches = [folder / "remote/files/md5", repository.folder / ".dvc/cache/files/md5"]

    @property
    def here(self) -> Repository:
        """The clone that is worked in."""
        return self.all[-1]

    def do(self, name: str, *arguments: Any) -> str:
        """One step; returns what was printed."""
        self._step += 1
        self._say(f"step {self._step}: {(name, *arguments)!r}")
        begun, before = time.monotonic(), _furthest(self.here.folder / "models")
        self.checker.noises_known = self._noises_known()
        printed = getattr(self, f"do_{name}")(*arguments) or ""
        for edit in self.checker.edits:
            edit.command_ended = min(edit.command_ended, time.time())
        (self._folder / f"step{self._step}.txt").write_text(printed, encoding="utf-8")
        for found in _TRACEBACK.findall(printed):
            if not any(re.search(known, found) for known in KNOWN):
                self._fault(f"a traceback: {found.splitlines()[-1]}")
        self._rest()
        if name in ("run", "queue"):
            self._check_nothing_is_lost(before, "exp" in str(arguments))
        self._say(f"    {time.monotonic() - begun:.1f} s, {self.checker.checked} records, {self.checker.fresh} fresh")
        return printed

    def close(self) -> None:
        """Ends what still runs."""
        for repository in self.all:
            repository.end_processes()

    # What can happen.

    def do_edit(self, name: str, value: Any) -> None:
        """A parameter."""
        yaml, path = YAML(), self.here.folder / "params.yaml"
        values = yaml.load(path.read_text(encoding="utf-8"))
        *sections, last = name.split(".")
        section = values
        for one in sections:
            section = section[one]
        section[last] = value
        changed = path.with_name("params.yaml.new")  # an editor too replaces a file whole
        with open(changed, "w", encoding="utf-8") as file:
            yaml.dump(values, file)
        changed.replace(path)

    def do_code(self, path: str, text: str) -> None:
        """A line at the end of a module."""
        with open(self.here.folder / path, "a", encoding="utf-8") as file:
            file.write(text)

    def do_annotate(self, number: int) -> None:
        """The text of an utterance is turned round."""
        path = self.here.folder / "dataset/annotation/mine.train.txt"
        lines = path.read_text(encoding="utf-8").splitlines()
        audio, text = lines[number].split("\t")
        lines[number] = f"{audio}\t{text[::-1]}"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def do_revert(self, path: str) -> str:
        return self._try("git", "checkout", "-q", "--", path)

    def do_run(self, command: tuple[str, ...], during: tuple | None = None) -> str:
        """A command to its end, and perhaps what happens meanwhile: action, mark, seconds after it."""
        running = self.here.start(*command)
        if during is not None:
            self._meanwhile(running, *during)
        try:
            code = running.process.wait(PATIENCE)
        except Exception:
            self._fault(f"{command} does not end")
            self.here.end_processes()
            code = running.process.wait()
        printed = running.printed()
        signalled = during is not None and during[0][0] == "signal"
        self._judge_end(code, printed, signalled)
        return printed

    def do_queue(self, name: str, sets: tuple[str, ...], during: tuple | None = None) -> str:
        """An experiment in the queue, to its end."""
        printed, queue = self._try("dvc", "exp", "run", "--queue", "-n", name, *sets), Queue(self.here.folder)
        printed += self._try("dvc", "queue", "start")
        if during is not None:
            self._meanwhile(queue, *during)
        give_up = time.monotonic() + PATIENCE
        while {"Queued", "Running"} & set(self.here.queue()):
            if time.monotonic() > give_up:
                self._fault("the queue does not end")
                break
            time.sleep(0.5)
        printed += self._try("dvc", "queue", "stop", "--kill") + queue.printed()
        return printed + self._try("dvc", "queue", "remove", "--all")

    def do_commit(self) -> str:
        return self._try("git", "add", "-A") + self._try("git", "commit", "-qm", f"step {self._step}")

    def do_go(self, back: int, checkout: bool) -> str:
        """To a former commit, on a branch of its own."""
        commits = self.here.run("git", "rev-list", "HEAD").split()
        wanted = commits[min(back, len(commits) - 2)]
        printed = self._try("git", "checkout", "-q", "-b", f"step{self._step}", wanted)
        return printed + (self._try("dvc", "checkout") if checkout else "")

    def do_apply(self, number: int) -> str:
        """An experiment into the workspace."""
        names = sorted(self.here.experiments())
        return self._try("dvc", "exp", "apply", names[number % len(names)]) if names else ""

    def do_branch(self, number: int) -> str:
        """A branch of an experiment."""
        names = sorted(self.here.experiments())
        name = names[number % len(names)] if names else ""
        return self._try("dvc", "exp", "branch", name, f"of_{name}_{self._step}") if names else ""

    def do_collect(self) -> str:
        """DVC's cache is left with what the workspace needs."""
        printed = self._try("dvc", "gc", "-w", "-f")
        found = [record for repository in self.all for record in records(repository)]
        mine = [record for record in found if record.where == f"workspace of {self.here.folder.name}"]
        needed = {value for record in mine for value in self.checker.missing(record)}
        self.checker.collected |= {value for record in found for value in self.checker.missing(record)} - needed
        return printed

    def do_remove(self, name: str) -> None:
        """A folder, by hand."""
        shutil.rmtree(self.here.folder / name, ignore_errors=True)
        self._autosave_gone |= name == ".ds2"

    def do_noise(self, there: bool) -> None:
        """The folder of noises is there or not."""
        shutil.rmtree(self.here.folder / "dataset/noise", ignore_errors=True)
        if there:
            shutil.copytree(self._folder / "noises/dataset/noise", self.here.folder / "dataset/noise")

    def do_keep(self, name: str) -> None:
        """A copy of the newest checkpoint, to start other trainings from."""
        newest = disk.numbered(self.here.folder / "models", disk.EPOCH)[-1:]
        for source in newest:
            shutil.copytree(source, self._pretrained / name)
            shutil.copytree(source, self.here.folder / "pretrained" / name)

    def do_move(self, noise: bool) -> str:
        """On another machine: what is pushed, cloned and pulled, with the noises or without."""
        printed = self._try("dvc", "push")
        branch = self.here.run("git", "branch", "--show-current").strip()
        target = self._folder / f"clone{len(self.all)}"
        printed += self.here.run("git", "clone", "-q", "-b", branch, ".", str(target))
        self.all.append(self.here.at(target))
        for name, value in (("email", "test@example.invalid"), ("name", "test")):
            self.here.run("git", "config", f"user.{name}", value)
        self.checker.caches.append(target / ".dvc/cache/files/md5")
        if noise:
            record_noise_and_echoes(target)
        return printed + self._try("dvc", "pull")

    # How it is looked at.

    def _meanwhile(self, running: Running | Queue, action: tuple, mark: str, seconds: float) -> None:
        """Performs an action while commands run, `seconds` after they have printed `mark`."""
        begun = time.time() - 1.0  # no earlier command has ended so late
        while mark not in running.printed() and running.runs():
            time.sleep(0.01)
        time.sleep(seconds)
        if mark not in running.printed() or not running.runs():
            self._say("    too late")
            return
        at = time.time()
        if action[0] == "signal":
            self._signal(running, *action[1:])
        else:
            getattr(self, f"do_{action[0]}")(*action[1:])
            path = {"edit": "params.yaml", "annotate": "dataset/annotation"}.get(action[0], action[1])
            self.checker.edits.append(Edit(path, begun, at))

    def _signal(self, running: Running | Queue, name: str, whom: str) -> None:
        number, send = signal.Signals[f"SIG{name}"], os.killpg if whom == "group" else os.kill
        for one in processes(self.here.folder, "-m", "stages.") if whom == "stage" else running.leaders():
            with suppress(ProcessLookupError):
                send(one, number)

    def _judge_end(self, code: int, printed: str, signalled: bool) -> None:
        sentences = [line for line in printed.splitlines() if line.startswith("error: ")]
        for sentence in sentences:
            self.refusals[re.sub(r"\d+", "N", sentence)[:100]] += 1
        if code != 0 and not signalled and not sentences and "ERROR: " not in printed:
            self._fault(f"exit code {code} without a sentence: {printed[-200:]!r}")
        if sentences and not signalled and code == 0:
            self._fault(f"exit code 0 after {sentences[0]}")

    def _rest(self) -> None:
        """Waits until nothing runs, and checks all that is recorded."""
        give_up = time.monotonic() + 60
        while left := [one for repository in self.all for one in processes(repository.folder, "-m", "stages.")]:
            if time.monotonic() > give_up:
                self._fault(f"stages outlive their dvc: {left}; the end of step{self._step}.txt says where they hang")
                self._end(left)
            time.sleep(0.05)
        for repository in self.all:
            for lock in (repository.folder / ".git").rglob("*.lock"):
                lock.unlink()  # as git says; who was killed has left it
        self._check_git()
        for repository in self.all:
            for record in records(repository):
                for fault in self.checker.check(record):
                    self._fault(fault)

    def _end(self, stages: list[int]) -> None:
        """Ends stages that hang, each after it has shown the stacks of its threads."""
        for one in stages:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGUSR1)
        time.sleep(1)
        shutil.copy(self._folder / f"{self.here.folder.name}.log", self._folder / f"step{self._step}.txt")
        for one in stages:
            kill(one)

    def _check_git(self) -> None:
        here = self.here
        status = here.run("git", "status", "--porcelain=v2", "--untracked-files=all").splitlines()
        if odd := [line for line in status if line[0] in "u?" and " dvc.lock" not in line and " results/" not in line]:
            self._fault(f"git status: {odd[0]}")
        if here.run("git", "branch", "--show-current").strip():
            return
        begun = here.start("dvc", "repro", "-f", "-s", "train")
        begun.process.wait(PATIENCE)
        said = next((line for line in begun.printed().splitlines() if "detached" in line.lower()), "")
        self._say(f"    HEAD is detached; the next start says: {said!r}")
        commands = _GIT.findall(said)
        if not commands:
            self._fault("HEAD was left detached, and the next start does not say how to mend it")
            moved = here.run("git", "reflog", "--format=%gs")
            branch = re.search(r"checkout: moving from (\S+) to", moved)[1]
            commands = [f"git symbolic-ref HEAD refs/heads/{branch}", "git reset -q"]
        for command in commands:
            self._try(*command.split())
        if not here.run("git", "branch", "--show-current").strip():
            self._fault(f"HEAD is still detached after {commands}")

    def _check_nothing_is_lost(self, before: dict[str, tuple[int, int]], experiment: bool) -> None:
        """A run leaves what models/ held, or a further state of it, there, in the autosave or in a record."""
        places = [self.here.folder / "models", *(self.here.folder / ".ds2/autosave").glob("*")]
        after = [_furthest(place) for place in places] + [self.checker.furthest()]
        for fingerprint, position in before.items():
            lost = max(found.get(fingerprint, (-1, 0)) for found in after) < position
            # DVC itself puts models/ back before an experiment: then only the autosave, if it is there, has the state.
            if lost and not (experiment and self._autosave_gone):
                self._fault(f"the state {position} of the training {fingerprint[:16]} is lost")

    def _noises_known(self) -> bool:
        """Whether a state here is of a training with noises."""
        folders = [self.here.folder / "models", *(self.here.folder / ".ds2/autosave").glob("*")]
        states = [disk.glance(state.parent) for folder in folders for state in folder.glob(f"*/{disk.STATE}")]
        return any(state is not None and state.augmentation_files.get("dataset/noise") for state in states)

    def _try(self, *command: str) -> str:
        """A command that may fail, as git and DVC do in a workspace like that."""
        running = self.here.start(*command)
        code = running.process.wait(PATIENCE)
        printed = running.printed()
        return printed if code == 0 else f"{printed}\n{command}: exit code {code}\n"

    def _fault(self, fault: str) -> None:
        """What is wrong with one record may be found in those that follow from it."""
        found = re.sub(r"^(experiment|commit|workspace)[^:]*: ", "", fault)
        if found not in self._found:
            self._found.add(found)
            self.faults.append(f"step {self._step}: {fault}")
            self._say(f"    FAULT {fault}")

    def _say(self, line: str) -> None:
        print(line, flush=True)
        with open(self._folder / "storm.log", "a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def __str__(self) -> str:
        checked = f"{self._step} steps, {self.checker.checked} records, {self.checker.fresh} trainings from a record"
        refused = [f"  {count:3}  {sentence}" for sentence, count in self.refusals.most_common()]
        late = [f"  not seen by DVC, changed between the stage's end and its look: {one}" for one in self.checker.late]
        return "\n".join([checked, *refused, *late, *(self.faults or ["every record is true"])])


def _furthest(place: Path) -> dict[str, tuple[int, int]]:
    """The furthest resumable states in a folder, by the fingerprints of their trainings."""
    found: dict[str, tuple[int, int]] = {}
    for folder in place.glob("*_*"):
        state = disk.glance(folder) if (folder / disk.STATE).exists() else None
        if state is not None and disk.resumable(folder):
            found[state.fingerprint] = max(state.position, found.get(state.fingerprint, (0, 0)))
    return found
