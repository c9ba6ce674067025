import json

import pytest

from ds2 import layout, params
from ds2.annotation import splits
from tests.process import assert_one_sentence, run_stage

VALUES = {"corpora": [], "manifest": {"dev_fraction": 0.1, "test_fraction": 0.1}, "runtime": {"num_workers": 1}}
PARAMS = json.dumps(params.from_dict(VALUES).model_dump())  # complete: nothing is said of it


@pytest.fixture
def data(workspace, write_audio):
    """data(name, speakers, ...) writes an annotation: two utterances of each speaker, None for one without a name."""
    (workspace / layout.PARAMS).write_text(PARAMS)

    def write(name, speakers, texts=("打开", "客厅")):
        rows = []
        for number, speaker in enumerate(speakers):
            for i, text in enumerate(texts):
                audio = workspace / f"clips/{name}{number}{i}.wav"
                if not audio.exists():
                    write_audio(f"clips/{audio.name}", (1.0, 1.5, 2.0)[number % 3])
                rows.append("\t".join([f"clips/{audio.name}", text, *([speaker] if speaker else [])]))
        (workspace / layout.ANNOTATION / name).write_text("\n".join(rows) + "\n", encoding="utf-8")

    return write


def names(count, first=0):
    return [f"s{i:02}" for i in range(first, first + count)]


def in_manifests(workspace):
    """The part of every speaker, as the stage has made the manifests; no one is in two."""
    found = {}
    for part in layout.SPLITS:
        for line in (workspace / layout.manifest_path(part)).read_text(encoding="utf-8").splitlines():
            assert found.setdefault(json.loads(line).get("speaker"), part) == part
    return found


def test_the_stage_makes_the_parts_that_the_command_has_written(data, workspace, command):
    data("my.txt", names(20))
    code, out, _ = command("split")
    placed = splits.read(layout.SPLITS_FILE)
    assert code == 0
    assert placed.keys() == set(names(20))
    assert out.splitlines()[0] == "dataset/annotation/splits.tsv: 20 new speakers"
    done = run_stage("manifest", workspace, PARAMS)
    assert done.returncode == 0, done.stderr
    assert in_manifests(workspace) == placed
    assert list(placed.values()).count("test") == 3
    metrics = json.loads((workspace / layout.DATA_NUMBERS).read_text())
    assert metrics["dev_share"] == pytest.approx(0.1, abs=0.03)
    table = out.splitlines()[1:]
    assert [line for line in table if line in done.stderr] == table
    assert "is not read" not in done.stderr
    assert "WARNING the test data is too small to rely on its error rate: 3 speakers and 0.1 minutes" in done.stderr


def test_a_speaker_of_a_test_file_who_is_trained_on_too_is_told(data, workspace):
    data("my.txt", names(10))
    data("my.test.txt", ["s01"])
    layout.SPLITS_FILE.write_text("speaker\tpart\ns01\ttrain\ns02\tdev\n")
    done = run_stage("manifest", workspace, PARAMS)
    assert "WARNING the test data shares 1 speaker with the training data (first: s01): expect a higher" in done.stderr


def test_run_again_it_keeps_who_is_there_and_places_only_new_speakers(data, workspace, command):
    data("my.txt", names(12))
    command("split")
    before = layout.SPLITS_FILE.read_text().replace("s03\ttrain", "s03\tdev").replace("s03\ttest", "s03\tdev")
    before += "gone\ttest\n"  # a hand's changes
    layout.SPLITS_FILE.write_text(before)
    stamp = layout.SPLITS_FILE.stat().st_mtime_ns
    _, out, _ = command("split")
    assert out.startswith("dataset/annotation/splits.tsv: 0 new speakers\n")
    assert layout.SPLITS_FILE.stat().st_mtime_ns == stamp
    data("more.txt", names(8, first=10))
    done = run_stage("manifest", workspace, PARAMS)
    assert "dataset/annotation/splits.tsv lacks 6 speakers (first: s12): a hash of the name places them" in done.stderr
    assert "dataset/annotation/splits.tsv has 1 speaker without an utterance in the data" in done.stderr
    _, out, _ = command("split")
    assert out.startswith("dataset/annotation/splits.tsv: 6 new speakers\n")
    assert layout.SPLITS_FILE.read_text().startswith(before)
    assert splits.read(layout.SPLITS_FILE).keys() == {*names(18), "gone"}


def test_files_of_dev_and_test_data_stay_and_the_rest_is_divided(data, workspace, command):
    data("my.txt", names(10))
    data("my.test.txt", ["t1"])
    command("split")
    placed = splits.read(layout.SPLITS_FILE)
    assert set(placed.values()) == {"train", "dev"}
    assert placed.keys() == set(names(10))
    data("my.dev.txt", ["d1"])
    done = run_stage("manifest", workspace, PARAMS)
    assert done.returncode == 0, done.stderr
    assert in_manifests(workspace) == placed | {"t1": "test", "d1": "dev"}


def test_beside_a_dev_file_nobody_is_held_out_as_dev_data_where_that_would_be_too_many(data, workspace, command):
    (workspace / layout.PARAMS).write_text(PARAMS.replace('"dev_fraction": 0.1', '"dev_fraction": 0.02'))
    data("my.txt", names(4))
    data("my.dev.txt", ["d1"])
    command("split")
    assert sorted(splits.read(layout.SPLITS_FILE).values()) == ["test", "train", "train", "train"]


def test_built_in_corpora_with_parts_of_their_own_stay(data, workspace, command):
    (workspace / layout.PARAMS).write_text(PARAMS.replace('"corpora": []', '"corpora": ["demo"]'))
    data("demo.train.txt", names(6))
    data("demo.test.txt", ["t1"])
    data("my.txt", ["own1", "own2", "own3"])
    command("split")
    assert splits.read(layout.SPLITS_FILE).keys() == {"own1", "own2", "own3"}
    (workspace / layout.ANNOTATION / "my.txt").unlink()
    layout.SPLITS_FILE.unlink()
    (workspace / layout.ANNOTATION / "demo.test.txt").rename(workspace / layout.ANNOTATION / "test.txt")
    command("split")  # now the corpus has no parts of its own
    assert splits.read(layout.SPLITS_FILE).keys() == set(names(6))


def test_utterances_without_a_speaker_are_divided_one_by_one_and_that_is_said(data, command):
    data("my.txt", [*names(6), None, None])
    code, _, err = command("split")
    assert code == 0
    assert "4 of 16 utterances name no speaker (first: clips/my.txt60.wav): they are divided one by one" in err
    assert splits.read(layout.SPLITS_FILE).keys() == set(names(6))


@pytest.mark.parametrize(
    ("speakers", "said"),
    [
        ([None] * 4, "none of the 8 utterances to divide names its speaker: name the speakers in the third column, or"),
        (["a"], "the 2 utterances to divide are of 1 speaker, too few to hold out whole speakers as dev and test data"),
        (["a", "b"], "are of 2 speakers, too few to hold out whole speakers as dev and test data: add my.dev.txt and "),
    ],
)
def test_where_nobody_can_be_held_out_the_remedies_are_named(data, speakers, said, refused):
    data("my.txt", speakers)
    sentence = refused("split")
    assert said in sentence
    assert "my.dev.txt and my.test.txt" in sentence
    assert not layout.SPLITS_FILE.exists()


def test_of_three_speakers_each_part_has_one(data, command):
    data("my.txt", names(3))
    command("split")
    assert sorted(splits.read(layout.SPLITS_FILE).values()) == ["dev", "test", "train"]


def test_data_that_is_all_dev_and_test_files_is_nothing_to_divide(data, refused):
    data("my.test.txt", names(4))
    assert "dataset/annotation has nothing to divide" in refused("split")


def test_where_nobody_is_to_be_held_out_the_parameters_are_named(data, workspace, refused):
    data("my.txt", names(4))
    (workspace / layout.PARAMS).write_text(PARAMS.replace("0.1", "0.0"))
    assert "nothing is to be held out: manifest.dev_fraction is 0, and manifest.test_fraction is 0" in refused("split")
    assert not layout.SPLITS_FILE.exists()


def test_too_many_rejected_lines_are_refused_and_nothing_is_written(data, refused):
    data("my.txt", names(4), texts=("打开", "……"))
    sentence = refused("split")
    assert "4 of 8 lines are rejected (4 empty_text)" in sentence
    assert sentence.endswith("; dvc repro manifest writes all into dataset/rejected.jsonl")
    assert not layout.SPLITS_FILE.exists()
    assert not layout.REJECTED.exists()


def test_a_fault_in_the_file_stops_the_command_and_the_stage_before_any_work(data, workspace, refused):
    data("my.txt", names(4))
    layout.SPLITS_FILE.write_text("speaker\tpart\ns00\tvalid\n")
    said = "dataset/annotation/splits.tsv line 2: 'valid' is not a part: it should be train, dev or test"
    assert refused("split") == f"error: {said}"
    assert_one_sentence(run_stage("manifest", workspace, PARAMS), said)
    assert not layout.REJECTED.exists()
    assert layout.SPLITS_FILE.read_text() == "speaker\tpart\ns00\tvalid\n"
