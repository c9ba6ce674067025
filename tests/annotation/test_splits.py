import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ds2 import params
from ds2.annotation import splits
from ds2.annotation.files import Source
from ds2.annotation.splits import Rule
from ds2.data.manifest import Utterance
from ds2.errors import UserError

HEAD = "# any\n# comment\nspeaker\tpart\n"


@pytest.fixture
def read(tmp_path):
    """read(content) reads it, text or bytes, as splits.tsv."""

    def read(content):
        path = tmp_path / "splits.tsv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return splits.read(path)

    return read


def utterance(speaker, path="a.wav", seconds=1.0):
    return Utterance(path, seconds, "你好", speaker)


def rule(placed=(), dev=0.1, test=0.1, files=("my.txt",)):
    sources = [Source(name, "train" if name == "my.txt" else name.split(".")[1]) for name in files]
    return Rule.of(sources, params.ManifestSettings(dev_fraction=dev, test_fraction=test), dict(placed))


def test_the_shares_asked_for_add_up_and_none_is_asked_for_where_nothing_is_held_out():
    assert rule(dev=0.1, test=0.25).asked() == pytest.approx({"train": 0.65, "dev": 0.1, "test": 0.25})
    assert rule(dev=0.1, test=0.25, files=("my.txt", "my.test.txt")).asked() == pytest.approx(
        {"train": 0.9, "dev": 0.1, "test": 0}
    )
    assert rule(dev=0, test=0).asked() == {}


@pytest.mark.parametrize("part", ["dev", "test"])
def test_a_higher_fraction_is_advised_from_the_parts_own_and_only_where_both_fit(part):
    other = "test" if part == "dev" else "dev"
    divided = [utterance(None, f"{i}.wav") for i in range(20)]
    few = splits.remedy(part, divided, rule(**{part: 0.0001, other: 0.3}))
    assert few.startswith(f"raise manifest.{part}_fraction from 0.0001 to 0.")
    full = splits.remedy(part, divided, rule(**{part: 0.0001, other: 0.9998}))
    assert full == f"add a file my.{part}.txt, since no value of manifest.{part}_fraction holds out some but not all"


def test_a_share_that_is_missed_by_more_than_half_is_noted():
    def notes(test_seconds):
        divided = {
            "train": [utterance(f"s{i}", seconds=(90 - test_seconds) / 4) for i in range(4)],
            "dev": [utterance("d", seconds=10.0)],
            "test": [utterance("t", seconds=test_seconds)],
        }
        return splits.notes(divided, rule())

    assert notes(5.5) == notes(14.5) == []
    for seconds in (4.5, 15.5):
        (note,) = notes(seconds)
        assert note.startswith("the hash of the speakers' names misses by far the share asked of test: ")


def test_a_fraction_of_nothing_holds_nobody_out():
    assert {rule(dev=0, test=0).part(Source("my.txt", "train"), utterance(f"s{i}")) for i in range(2000)} == {"train"}


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\r\n\0")).map(str.strip).filter(bool)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(placed=st.dictionaries(NAMES, st.sampled_from(["train", "dev", "test"])))
def test_what_is_written_is_read_in_this_order(placed, tmp_path):
    splits.write(tmp_path / "splits.tsv", placed)
    assert list(splits.read(tmp_path / "splits.tsv").items()) == list(placed.items())


def test_the_file_says_what_it_is_and_where_there_is_none_nobody_is_placed(tmp_path):
    assert splits.read(tmp_path / "splits.tsv") == {}
    splits.write(tmp_path / "splits.tsv", {"张三": "test"})
    *comments, header, row = (tmp_path / "splits.tsv").read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("# ") for line in comments)
    assert "python -m ds2 split" in " ".join(comments)
    assert (header, row) == ("speaker\tpart", "张三\ttest")


@pytest.mark.parametrize(
    "content",
    [
        f"{HEAD}a\ttrain\n#b\tdev\n",
        f"{HEAD}a\ttrain\n#b\tdev",
        f"\ufeff{HEAD}a\ttrain\n#b\tdev\n".replace("\n", "\r\n"),
        "\n\nspeaker\tpart\n\n a \t train\n  \n#b\tdev \n\n",
    ],
)
def test_byte_order_mark_crlf_blank_lines_and_outer_spaces_make_no_difference(content, read):
    assert read(content) == {"a": "train", "#b": "dev"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"{HEAD}a\ttrain\nb\tvalid\n", "line 5: 'valid' is not a part: it should be train, dev or test"),
        (f"{HEAD}a\tTrain\n", "line 4: 'Train' is not a part"),
        (f"{HEAD}a\t\n", "line 4: '' is not a part"),
        (f"{HEAD}a\ttrain\n\na\tdev\n", "line 6: a is in train already, by a line above: leave one of them"),
        (f"{HEAD}a\ttrain\na\ttrain\n", "line 5: a is in train already"),
        (f"{HEAD}a train\n", "line 4: no tabs instead of one: a line is speaker, tab, part"),
        (f"{HEAD}a\ttrain\tx\n", "line 4: 2 tabs instead of one: a line is speaker, tab, part"),
        (f"{HEAD}\ttrain\n", "line 4: there is nothing before the tab"),
        ("a\ttrain\n", "line 1: the names of the columns should stand here: speaker, tab, part"),
        ("# x\nspeaker part\n", "line 2: the names of the columns should stand here"),
        ("", "line 1: the names of the columns should stand here"),
        (f"{HEAD}张三\ttrain\n".encode("gbk"), "line 4: byte 1 is not UTF-8: save the file as UTF-8"),
        (f"{HEAD}a\ttrain\n".encode("utf-16"), "line 1: byte 1 is not UTF-8"),
        (f"{HEAD}a\ttrain\n".encode("utf-16-le"), "line 1: there are zero bytes: is the file UTF-16?"),
        (f"{HEAD}a\ttrain\n".replace("\n", "\r"), "line 1: there are carriage returns"),
    ],
)
def test_a_fault_is_a_sentence_with_its_line(content, said, read, tmp_path):
    with pytest.raises(UserError) as caught:
        read(content)
    assert str(caught.value).startswith(f"{tmp_path}/splits.tsv {said}")
    assert "\n" not in str(caught.value)


def test_no_update_moves_anybody():
    """The parts of the release that brought the hash: a change here would mix test voices into trainings."""
    names = [f"s{i}" for i in range(40)]
    found = {part: [] for part in ("train", "dev", "test")}
    for name in names:
        found[rule().part(Source("my.txt", "train"), utterance(name))].append(int(name[1:]))
    assert found["dev"] == [2, 4, 5, 20, 27]
    assert found["test"] == [1, 6, 38, 39]
    paths = [rule().part(Source("my.txt", "train"), utterance(None, f"clips/{i}.wav")) for i in range(40)]
    assert [i for i, part in enumerate(paths) if part == "dev"] == [14, 25, 38]
    assert [i for i, part in enumerate(paths) if part == "test"] == [5, 11, 19, 31, 36, 37]


def divided(**speakers):
    """Parts of utterances of a second, of speakers with a number of utterances each: train=(("a", 3), ...)."""
    return {
        part: [utterance(name) for name, number in speakers.get(part, ()) for _ in range(number)]
        for part in ("train", "dev", "test")
    }


def test_speakers_that_splits_tsv_lacks_or_has_in_vain_are_counted():
    data = divided(train=[("a", 3), ("b", 1)], dev=[("c", 1)], test=[("d", 1)])
    lacking, in_vain = splits.notes(data, rule({"a": "train", "c": "dev", "x": "dev", "y": "test"}))
    assert lacking.startswith("dataset/annotation/splits.tsv lacks 2 speakers (first: b): a hash of the name")
    assert in_vain == "dataset/annotation/splits.tsv has 2 speakers without an utterance in the data"
    assert splits.notes(data, rule(dict.fromkeys("abcd", "train"))) == []


def test_a_hash_that_is_far_from_what_was_asked_points_to_split():
    near = divided(train=[("a", 4), ("b", 4)], dev=[("c", 1)], test=[("d", 1)])
    far = divided(train=[("a", 4), ("b", 4)], dev=[("c", 2)], test=[("d", 1)])
    assert splits.notes(near, rule()) == []
    (note,) = splits.notes(far, rule())
    assert "misses by far the share asked of dev: python -m ds2 split" in note
    few = divided(train=[("a", 4)], dev=[("c", 2)], test=[("d", 1)])  # there it can do no better
    assert splits.notes(few, rule()) == []
