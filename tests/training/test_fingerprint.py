import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ds2 import params
from ds2.params import loading
from ds2.training import fingerprint as fingerprints
from ds2.training.fingerprint import differences, fingerprint, ingredients
from tests.params import later

REPOSITORY = Path(__file__).parents[2]
HOW_LONG = {
    "train.num_epoch",
    "train.save_interval",
    "train.keep_checkpoints",
    "train.max_nonfinite",
}
SPECIAL = {
    "train.evaluate_on": "test",
    "train.resume_model": "models/other",
    "train.start_over": "again",
    "train.pretrained_model": "models/other",
    "train.weight_decay": 0.01,
    "train.max_batch_seconds": 60.0,
    "train.amp": "bf16",
    "runtime.use_gpu": False,
    "runtime.num_workers": 3,
    "runtime.num_processes": 3,
    "evaluate.metrics_type": "wer",
    "evaluate.hot_words": {"北京": 1.0},
    "augment.resample.prob": 0.5,
}
FILES = ("manifest.train", "mean_istd.json", "vocabulary.txt", "manifest.dev")
# model.type has no second value to change to.
NAMES = [
    name
    for name in params.names()
    if name.split(".")[0] in ("features", "model", "augment", "train") and name != "model.type"
]
OTHERS = [
    name for name in params.names() if name.split(".")[0] in ("runtime", "evaluate") if name != "evaluate.decoder"
]


def changed(name, **train):
    """Default parameters with one changed to another valid value."""
    values = loading.over_defaults({"train": train}).model_dump(mode="json")
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


def of(settings, files):
    return fingerprint(ingredients(settings, files))


@pytest.fixture
def files(tmp_path):
    made = {name: tmp_path / name for name in FILES}
    for name, path in made.items():
        path.write_text(f"content of {name}\n")
    return made


@pytest.mark.parametrize("name", [name for name in NAMES if name not in HOW_LONG])
def test_what_decides_the_computation_changes_it(name, files):
    assert of(changed(name), files) != of(params.Params(), files)


def test_the_type_of_the_network_changes_it(files):
    model = params.ModelSettings().model_copy(update={"type": "another"})
    assert of(params.Params().model_copy(update={"model": model}), files) != of(params.Params(), files)


@pytest.mark.parametrize("name", sorted(HOW_LONG) + OTHERS)
def test_what_decides_only_how_long_how_fast_or_how_it_is_scored_does_not_change_it(name, files):
    assert of(changed(name), files) == of(params.Params(), files)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("augment.")])
def test_augmentation_that_is_off_does_not_change_it(name, files):
    off = loading.over_defaults({"train": {"augment": False}})
    assert of(changed(name, augment=False), files) == of(off, files)


@pytest.mark.parametrize("name", FILES)
def test_the_content_of_every_file_changes_it(name, files):
    before = of(params.Params(), files)
    files[name].write_text(files[name].read_text().replace("o", "0", 1))
    assert of(params.Params(), files) != before


def test_names_and_times_of_files_do_not_change_it(files, tmp_path):
    before = of(params.Params(), files)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = {}
    for name, path in files.items():
        moved[name] = elsewhere / f"other.{name}"
        moved[name].write_bytes(path.read_bytes())
    assert of(params.Params(), moved) == before


def test_contents_that_change_places_change_it(files):
    before = of(params.Params(), files)
    first, second = FILES[:2]
    assert of(params.Params(), files | {first: files[second], second: files[first]}) != before


def test_the_same_number_written_otherwise_does_not_change_it(files):
    def trained_with(**train):
        return of(params.from_dict({"train": train}), files)

    assert trained_with(grad_clip=5) == trained_with(grad_clip=5.0)
    assert trained_with(learning_rate="5e-4") == trained_with(learning_rate=0.0005)


def test_it_is_the_same_in_every_process(files):
    code = (
        "import sys; from pathlib import Path; from ds2 import params\n"
        "from ds2.training.fingerprint import fingerprint, ingredients\n"
        "files = {path.rpartition('/')[2]: Path(path) for path in sys.argv[1:]}\n"
        "print(fingerprint(ingredients(params.Params(), files)))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "77", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code, *map(str, files.values())]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == of(params.Params(), files)


def differ(files, name):
    return differences(ingredients(params.Params(), files), ingredients(changed(name), files))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in HOW_LONG])
def test_the_parameter_that_makes_another_training_is_named_with_both_values(name, files):
    if name == "train.augment":
        assert differ(files, name) == ["train.augment is false and was true"]
    else:
        assert [line.split(" is ")[0] for line in differ(files, name)] == [name]


def test_the_file_that_makes_another_training_is_named(files):
    before = ingredients(params.Params(), files)
    files["vocabulary.txt"].write_text("new")
    assert differences(before, ingredients(params.Params(), files)) == ["vocabulary.txt has changed"]


def test_noise_that_makes_another_training_is_named(files):
    before = ingredients(params.Params(), files, [("rain.wav", 1000)])
    after = ingredients(params.Params(), files, [("rain.wav", 1001)])
    assert fingerprint(before) != fingerprint(after)
    assert differences(before, after) == ["the files of noise or impulse responses have changed"]


def test_pretrained_weights_count_by_their_content(files):
    def began(path, content):
        return ingredients(loading.over_defaults({"train": {"pretrained_model": path}}), files, pretrained=content)

    assert fingerprint(began("a", "1")) == fingerprint(began("b", "1"))
    assert differences(began("a", "1"), began("a", "2")) == ["train.pretrained_model has changed"]
    none = ingredients(params.Params(), files)
    assert (
        differences(began("a", "1"), none)
        == differences(none, began("a", "1"))
        == ["train.pretrained_model has changed"]
    )


def test_a_state_of_another_version_with_other_parameters_says_so(files):
    before = ingredients(params.Params(), files)
    del before["params"]["train.grad_clip"]
    assert differences(before, ingredients(params.Params(), files)) == ["it was trained by another version of ds2"]


def test_a_version_that_was_raised_makes_another_training_and_says_so(files, monkeypatch):
    before = ingredients(params.Params(), files)
    monkeypatch.setattr(fingerprints, "_VERSION", fingerprints._VERSION + 1)
    after = ingredients(params.Params(), files)
    assert fingerprint(before) != fingerprint(after)
    assert differences(before, after) == ["it was trained by another version of ds2"]


def test_the_checkpoint_to_go_on_from_changes_it(files):
    def resumed(start):
        return of(params.from_dict({"train": {"resume_model": start}}), files)

    assert len({resumed("auto"), resumed("models/epoch_1"), resumed("models/epoch_2")}) == 3


# A state from before a parameter existed, and the parameters of a version that has it.
OLD = {"train": {"num_epoch": 5, "augment": False}}


def test_a_parameter_added_since_does_not_end_a_training_that_does_as_before(files, monkeypatch):
    before = ingredients(params.from_dict(OLD), files)
    later.begin(monkeypatch)
    for train in ({}, {"label_smoothing": 0.0}, {"label_smoothing": 0.0, "freeze": []}):
        now = ingredients(params.from_dict({"train": OLD["train"] | train}), files)
        del now["params"]["train.patience"]  # it is not marked
        assert fingerprint(now) == fingerprint(before)
        assert differences(before, now) == []


def test_a_parameter_added_since_ends_it_where_it_does_otherwise_and_is_named_with_what_was_before(files, monkeypatch):
    before = ingredients(params.from_dict(OLD), files)
    later.begin(monkeypatch)
    now = ingredients(params.from_dict({"train": OLD["train"] | {"label_smoothing": 0.1}}), files)
    assert fingerprint(now) != fingerprint(before)
    assert differences(before, now) == ["train.label_smoothing is 0.1 and was 0.0"]
    assert differences(now, before) == ["train.label_smoothing is 0.0 and was 0.1"]


def test_a_parameter_without_the_mark_always_stands_in_it(files, monkeypatch):
    before = ingredients(params.from_dict(OLD), files)
    later.begin(monkeypatch)
    now = ingredients(params.from_dict(OLD), files)
    assert now["params"].keys() - before["params"].keys() == {"train.patience"}
    assert differences(before, now) == ["it was trained by another version of ds2"]
