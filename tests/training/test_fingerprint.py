import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ds2 import params
from ds2.training.fingerprint import fingerprint

REPOSITORY = Path(__file__).parents[2]
HOW_LONG = {"train.num_epoch", "train.save_interval", "train.keep_checkpoints", "train.resume_model"}
SPECIAL = {
    "train.evaluate_on": "test",
    "train.resume_model": None,
    "train.pretrained_model": "models/other",
    "train.weight_decay": 0.01,
    "train.max_batch_seconds": 60.0,
    "runtime.use_gpu": False,
    "runtime.num_workers": 3,
    "evaluate.metrics_type": "wer",
    "augment.resample.prob": 0.5,
}
NAMES = [name for name in params.names() if name.split(".")[0] in ("features", "model", "augment", "train")]
OTHERS = [
    name for name in params.names() if name.split(".")[0] in ("runtime", "evaluate") if name != "evaluate.decoder"
]


def changed(name, **train):
    """Default parameters with one changed to another valid value."""
    values = params.from_dict({"train": train}).model_dump(mode="json")
    *sections, key = name.split(".")
    section = functools.reduce(lambda found, part: found[part], sections, values)
    old = section[key]
    if name in SPECIAL:
        section[key] = SPECIAL[name]
    elif isinstance(old, bool):
        section[key] = not old
    elif isinstance(old, int):
        section[key] = old + 1
    elif isinstance(old, float):
        section[key] = old * 0.9
    elif isinstance(old, list):
        section[key] = old[:-1]
    else:
        section[key] = f"{old}2"
    assert section[key] != old
    return params.from_dict(values)


@pytest.fixture
def files(tmp_path):
    made = [tmp_path / name for name in ("manifest.train", "mean_istd.json", "vocabulary.txt", "manifest.dev")]
    for path in made:
        path.write_text(f"content of {path.name}\n")
    return made


@pytest.mark.parametrize("name", [name for name in NAMES if name not in HOW_LONG])
def test_what_decides_the_computation_changes_it(name, files):
    assert fingerprint(changed(name), files) != fingerprint(params.Params(), files)


@pytest.mark.parametrize("name", sorted(HOW_LONG) + OTHERS)
def test_what_decides_only_how_long_how_fast_or_how_it_is_scored_does_not_change_it(name, files):
    assert fingerprint(changed(name), files) == fingerprint(params.Params(), files)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("augment.")])
def test_augmentation_that_is_off_does_not_change_it(name, files):
    off = params.from_dict({"train": {"augment": False}})
    assert fingerprint(changed(name, augment=False), files) == fingerprint(off, files)


@pytest.mark.parametrize("index", range(4))
def test_the_content_of_every_file_changes_it(index, files):
    before = fingerprint(params.Params(), files)
    files[index].write_text(files[index].read_text().replace("o", "0", 1))
    assert fingerprint(params.Params(), files) != before


def test_names_and_times_of_files_do_not_change_it(files, tmp_path):
    before = fingerprint(params.Params(), files)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = []
    for path in files:
        moved.append(elsewhere / f"other.{path.name}")
        moved[-1].write_bytes(path.read_bytes())
    assert fingerprint(params.Params(), moved) == before


def test_contents_that_change_places_change_it(files):
    before = fingerprint(params.Params(), files)
    assert fingerprint(params.Params(), [files[0], files[2], files[1], files[3]]) != before


def test_the_same_number_written_otherwise_does_not_change_it(files):
    def of(**train):
        return fingerprint(params.from_dict({"train": train}), files)

    assert of(grad_clip=5) == of(grad_clip=5.0)
    assert of(learning_rate="5e-4") == of(learning_rate=0.0005)


def test_it_is_the_same_in_every_process(files):
    code = (
        "import sys; from pathlib import Path; from ds2 import params\n"
        "from ds2.training.fingerprint import fingerprint\n"
        "print(fingerprint(params.Params(), [Path(path) for path in sys.argv[1:]]))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "77", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code, *map(str, files)]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == fingerprint(params.Params(), files)
