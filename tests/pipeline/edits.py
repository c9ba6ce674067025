"""Edits a parameter, a module or an input while a stage runs, in every way that DVC runs it: none may be recorded.

python -m tests.pipeline.edits     the whole table: stage x (params, code, input) x (repro, exp run, --temp, --queue)
"""

import itertools
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ds2.files import digest
from tests.corpora.archives import offer_musan
from tests.pipeline.conftest import Repository
from tests.pipeline.running import epochs_trained, processes, until

MEDDLING = Path(__file__).with_name("meddling")
COMMANDS = {"repro": ("repro",), "exp run": ("exp", "run"), "--temp": ("exp", "run", "--temp"), "--queue": ()}
# Of each stage: sections of params.yaml with a changed value, a module that it depends on, an input.
STAGES: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "corpus@musan": ({"corpora": ["musan", "rirs_noises"]}, "ds2/corpora/obtain.py", None),
    "manifest": ({"manifest": {"min_duration": 0.4}}, "ds2/data/text.py", "dataset/annotation/mine.train.txt"),
    "mean_istd": ({"features": {"target_db": -25.0}}, "ds2/mel.py", "dataset/manifest.train"),
    "vocabulary": ({"vocabulary": {"count_threshold": 2}}, "ds2/data/vocabulary.py", "dataset/manifest.train"),
    "train": ({"train": {"learning_rate": 0.009}}, "ds2/training/step.py", "dataset/manifest.train"),
    "lm": ({"lm": {"order": 3}}, "ds2/language_model/counts.py", "dataset/manifest.dev"),
    "evaluate": ({"evaluate": {"batch_size": 3}}, "ds2/decoding/greedy.py", "dataset/manifest.test"),
}
CASES = [
    (stage, what)
    for stage, what in itertools.product(STAGES, ("params", "code", "input"))
    if what != "input" or STAGES[stage][2]
]


def try_edit(repository: Repository, stage: str, what: str, way: str, during: str | None = None) -> list[str]:
    """Runs a stage of a finished, committed repository once more, with an edit meanwhile; returns what is wrong.

    The stage that runs is `during`; without it the one that depends on what is edited.
    """
    running = during or stage
    faults = []
    target, source = _edited(repository, stage, what)
    original = (repository.folder / target).read_bytes()
    meddle = f"stages.{running.partition('@')[0]}:{target}:{source}"
    before, known = _lock(repository), repository.experiments()
    repository.environment = {"MEDDLE": meddle, "PYTHONPATH": str(MEDDLING)}
    printed = _run(repository, way, running)
    repository.environment = {}
    name = target if what != "params" else "params.yaml: "
    if f"error: {name}" not in printed or not re.search("when the stage began|while the stage ran", printed):
        faults.append(f"no sentence in {printed!r}")
    if "Traceback" in printed:
        faults.append(f"a traceback in {printed!r}")
    if repository.experiments() != known or (way in ("repro", "exp run") and _lock(repository)[stage] != before[stage]):
        faults.append("it is recorded")
    in_place = (repository.folder / target).read_bytes()
    if (in_place == original) != (way in ("--temp", "--queue")):
        faults.append("the edit was made elsewhere")
    (repository.folder / target).write_bytes(original)
    printed = repository.run("dvc", "repro", "-s", stage)
    if epochs_trained(printed):
        faults.append(f"trained again: {printed!r}")
    if _lock(repository) != before:
        faults.append("put back it gives another record")
    return faults


def prepare(repository: Repository) -> None:
    """A corpus to build, and everything run once and committed."""
    offer_musan(repository.folder)
    repository.change_params(corpora=["musan"], train={"num_epoch": 1})
    repository.run("dvc", "repro")
    repository.commit("finished")


def _edited(repository: Repository, stage: str, what: str) -> tuple[str, Path]:
    """The file that an edit changes, and one with the changed content."""
    sections, module, data = STAGES[stage]
    aside = repository.folder.parent / f"{repository.folder.name}.edited"
    target = {"params": "params.yaml", "code": module, "input": data}[what]
    original = (repository.folder / target).read_bytes()
    if what == "params":
        repository.change_params(**sections)
        aside.write_bytes((repository.folder / target).read_bytes())
        (repository.folder / target).write_bytes(original)
    else:
        aside.write_bytes(original + (b"\n# edited\n" if what == "code" else original.splitlines(keepends=True)[0]))
    return target, aside


def _run(repository: Repository, way: str, stage: str) -> str:
    if way != "--queue":
        return repository.run("dvc", *COMMANDS[way], "-f", "-s", stage, expect=255)
    name = f"queued{digest(repository.folder / 'dvc.lock', 'md5')[:4]}{len(repository.queue())}"
    repository.run("dvc", "exp", "run", "--queue", "-n", name, "-f", "-s", stage)
    repository.start_queue()
    until(lambda: repository.queue()[-1:] == ["Failed"] or name in repository.experiments(), lambda: name)
    repository.run("dvc", "queue", "stop")
    # The next worker has another environment.
    until(lambda: not processes(repository.folder, "queue-worker"), lambda: name)
    return repository.run("dvc", "queue", "logs", name)


def _lock(repository: Repository) -> dict[str, Any]:
    """What the stages were made of, as recorded; the outputs hold times."""
    stages = YAML(typ="safe").load((repository.folder / "dvc.lock").read_text())["stages"]
    return {name: (stage.get("params"), stage["deps"]) for name, stage in stages.items()}


def main() -> None:
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        repository = Repository(Path(folder) / "repository")
        prepare(repository)
        for way, (stage, what) in itertools.product(COMMANDS, CASES):
            faults = try_edit(repository, stage, what, way)
            failed |= bool(faults)
            print(
                f"{way:8} {stage:12} {what:7}", "; ".join(faults) or "refused, and put back nothing is lost", flush=True
            )
    sys.exit(failed)


if __name__ == "__main__":
    main()
