"""Does to a pipeline what its users and their machines do, at random, and checks at every rest what DVC has recorded.

python -m tests.pipeline.storm --minutes 15 --seed 1
python -m tests.pipeline.storm --seed 1 --steps 20      the first twenty steps of the same
python -m tests.pipeline.storm --replay storm.log       what a log has after "step N: ", with the same delays
"""

import argparse
import ast
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.pipeline.trial import Trial

# Parameters of every stage, with the values that the trial chooses from.
EDITS: dict[str, tuple] = {
    "manifest.max_duration": (20.0, 19.0, 18.0, 17.0),
    "text.simplified": (True, False),
    "features.target_db": (-20.0, -22.0, -24.0),
    "mean_istd.num_utterances": (None, 20),
    "vocabulary.count_threshold": (1, 2),
    "model.dropout": (0.0, 0.2),
    "augment.noise.prob": (0.7, 0.2),
    "train.augment": (True, False),
    "train.batch_size": (8, 6),
    "train.keep_checkpoints": (3, 1),
    "train.learning_rate": (0.002, 0.0025, 0.003, 0.0035, 0.004),
    "train.num_epoch": (1, 3, 4, 5, 6),
    "train.save_interval": (2000, 2),
    "train.seed": tuple(range(1, 9)),
    "lm.order": (4, 3, 2),
    "evaluate.metrics_type": ("cer", "wer"),
    "evaluate.batch_size": (16, 8, 4),
}
# Modules of every stage.
MODULES = (
    "ds2/data/text.py",
    "ds2/data/mean_istd.py",
    "ds2/data/vocabulary.py",
    "ds2/data/augment.py",
    "ds2/language_model/counts.py",
    "ds2/training/schedule.py",
    "ds2/training/store.py",
    "ds2/evaluation/error_rate.py",
    "ds2/evaluation/report.py",
)
# What is edited before a command that is not left in peace, so that it has something to do, and when it is disturbed: a
# moment after it has printed one of these.
_TRAIN = "Running stage 'train'"
AIMS = (
    (("train.seed", "train.learning_rate"), (_TRAIN, _TRAIN, " Epoch: [1/", " Epoch: [2/", "Running stage 'evaluate'")),
    (("train.seed", "train.num_epoch"), (_TRAIN, " Epoch: [1/", " Epoch: [3/", " Epoch: [5/")),
    (("manifest.max_duration", "text.simplified"), ("", "Running stage 'manifest'")),
    (("features.target_db",), ("Running stage 'mean_istd'", _TRAIN)),
    (("lm.order",), ("Running stage 'lm'",)),
    (("evaluate.batch_size",), ("Running stage 'evaluate'",)),
)
SIGNALS = (("KILL", "dvc"), ("TERM", "dvc"), ("KILL", "stage"), ("TERM", "stage"), ("INT", "group"))
# What may happen, and how often.
KINDS = {
    "run": 40,
    "edit": 20,
    "revert": 8,
    "commit": 8,
    "code": 5,
    "go": 4,
    "apply": 4,
    "queue": 3,
    "annotate": 3,
    "remove": 3,
    "noise": 3,
    "keep": 2,
    "branch": 2,
    "collect": 2,
    "move": 1,
}


def plan(seed: int):
    """The steps of a seed, without end."""
    kept: list[int] = []
    step = 0
    while True:
        step += 1
        chance = random.Random(f"{seed} {step}")
        name = chance.choices(list(KINDS), list(KINDS.values()))[0]
        if name == "run":
            parameter, during = _during(chance)
            if during is not None:
                yield "edit", parameter, chance.choice(EDITS[parameter])
            yield name, _command(chance, step, kept), during
        elif name == "queue":
            yield name, f"s{step}", _sets(chance, step, kept), _during(chance)[1]
        elif name == "keep":
            kept.append(step)
            yield name, f"at{step}"
        else:
            yield _small(chance, name)


def _command(chance: random.Random, step: int, kept: list[int]) -> tuple[str, ...]:
    kind = chance.choice(("repro", "repro", "repro", "exp", "exp", "exp", "temp"))
    if kind == "repro":
        return "dvc", "repro", *chance.choice(((), ("train",)))
    return "dvc", "exp", "run", "-n", f"s{step}", *(("--temp",) if kind == "temp" else ()), *_sets(chance, step, kept)


def _sets(chance: random.Random, step: int, kept: list[int]) -> tuple[str, ...]:
    """Options -S."""
    begins = ["models/epoch_2", *(f"pretrained/at{one}" for one in kept)]
    choices = (
        f"train.num_epoch={chance.randint(1, 6)}",
        f"train.num_epoch={chance.randint(3, 7)}",
        f"train.learning_rate={chance.choice(EDITS['train.learning_rate'])}",
        f"train.seed={chance.choice(EDITS['train.seed'])}",
        f"train.augment={chance.choice(('true', 'false'))}",
        f"train.start_over=step{step}",
        "train.start_over=null",
        "train.resume_model=auto",
        f"train.resume_model={chance.choice(begins)}",
        f"train.pretrained_model={chance.choice(begins)}",
        "train.pretrained_model=null",
    )
    weights = (4, 4, 2, 2, 1, 0.5, 0.5, 1, 1, 0.5, 1)
    chosen = dict.fromkeys(chance.choices(choices, weights, k=chance.choice((0, 1, 1, 1, 2, 2))))
    return tuple(part for one in chosen for part in ("-S", one))


def _during(chance: random.Random) -> tuple[str, tuple | None]:
    """What happens during a command, and the parameter that is changed before it."""
    name = chance.choice((None, "edit", "edit", "code", "annotate", "revert", "signal", "signal", "signal"))
    parameters, marks = chance.choices(AIMS, (4, 4, 1, 1, 1, 1))[0]
    mark = chance.choice(marks)
    seconds = chance.uniform(0, 0.4 if "Epoch" in mark else 4 if mark == _TRAIN else 1.5)
    action = ("signal", *chance.choice(SIGNALS)) if name == "signal" else _small(chance, name)
    return chance.choice(parameters), None if name is None else (action, mark, round(seconds, 2))


def _small(chance: random.Random, name: str) -> tuple:
    if name == "edit":
        parameter = chance.choice(list(EDITS))
        return name, parameter, chance.choice(EDITS[parameter])
    if name == "code":
        text = chance.choice(("# storm {}\n", "STORM = {}\n")).format(chance.randint(1, 3))
        return name, chance.choice(MODULES), text
    arguments = {
        "annotate": (chance.randrange(40),),
        "revert": (chance.choice((".", "params.yaml", "ds2", "dataset/annotation")),),
        "go": (chance.randint(1, 4), chance.random() < 0.5),
        "apply": (chance.randrange(100),),
        "branch": (chance.randrange(100),),
        "remove": (chance.choice(("models", ".ds2")),),
        "noise": (chance.random() < 0.7,),
        "move": (chance.random() < 0.7,),
    }
    return name, *arguments.get(name, ())


def logged(path: Path):
    """The steps of a log."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"step \d+: (.*)", line):
            yield ast.literal_eval(match[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--steps", type=int, help="run this number of steps; ignores --minutes")
    parser.add_argument("--replay", type=Path, help="a log")
    arguments = parser.parse_args()
    folder, begun = Path(tempfile.mkdtemp(prefix="storm")), time.monotonic()
    trial = Trial(folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nothing is left running
    print(f"seed {arguments.seed}, in {folder}")
    try:
        for step, action in enumerate(logged(arguments.replay) if arguments.replay else plan(arguments.seed), 1):
            if arguments.steps is None and not arguments.replay and time.monotonic() - begun > 60 * arguments.minutes:
                break
            trial.do(*action)
            if step == arguments.steps:
                break
    finally:
        trial.close()
        print(trial)
    if not trial.faults:
        shutil.rmtree(folder)
    sys.exit(1 if trial.faults else 0)


if __name__ == "__main__":
    main()
