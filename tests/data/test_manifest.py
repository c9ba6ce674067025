import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.audio.piece import Piece
from ds2.data import manifest as manifests
from ds2.data.manifest import Manifest, Utterance
from ds2.errors import UserError

UTTERANCES = st.lists(
    st.builds(
        Utterance,
        st.text(min_size=1, max_size=10),
        st.floats(0.01, 100),
        st.text(max_size=10),
        st.none() | st.text(max_size=5),
        st.dictionaries(st.sampled_from(["lang", "channels", "来源"]), st.text(max_size=5) | st.integers(), max_size=2),
        st.none() | st.floats(0, 1e5),
        st.none() | st.integers(0, 7),
    ),
    max_size=6,
)


@pytest.fixture
def manifest(tmp_path):
    """manifest(text) reads it as a manifest."""

    def make(content):
        path = tmp_path / "manifest.train"
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return Manifest(path)

    return make


@given(UTTERANCES)
def test_what_was_written_is_read_back(tmp_path_factory, utterances):
    path = tmp_path_factory.mktemp("any") / "manifest.train"
    manifests.write(path, utterances)
    found = Manifest(path)
    assert list(found) == utterances
    assert len(found) == len(utterances)
    assert found.durations.tolist() == [utterance.duration for utterance in utterances]
    backwards = range(len(utterances) - 1, -1, -1)
    assert list(found.pick(backwards)) == utterances[::-1]
    assert [found[i] for i in backwards] == utterances[::-1]


def test_a_manifest_is_one_json_object_a_line_readable_as_utf_8(tmp_path):
    path = tmp_path / "manifest.train"
    manifests.write(path, [Utterance("a.wav", 1.5, "你好", "s1"), Utterance("b.wav", 2.0, "再见")])
    first, second = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(first) == {"audio_filepath": "a.wav", "duration": 1.5, "text": "你好", "speaker": "s1"}
    assert json.loads(second) == {"audio_filepath": "b.wav", "duration": 2.0, "text": "再见"}
    assert "你好" in first


def test_a_line_of_nemo_loads_as_it_is_and_keeps_its_other_keys(manifest, tmp_path):
    line = '{"audio_filepath": "/data/a.wav", "duration": 3, "text": "你好", "lang": "zh", "pnc": {"on": true}}'
    (utterance,) = manifest(line + "\n")
    assert (utterance.audio_filepath, utterance.duration, utterance.text) == ("/data/a.wav", 3.0, "你好")
    assert utterance.extra == {"lang": "zh", "pnc": {"on": True}}
    manifests.write(tmp_path / "again", [utterance])
    assert json.loads((tmp_path / "again").read_text(encoding="utf-8")) == json.loads(line)


def test_a_line_of_paddlepaddle_deepspeech_loads_as_it_is(manifest):
    (utterance,) = manifest('{"audio_filepath":"dataset/a.wav","duration":2.25,"text":"近几年不但我用书给女儿压岁"}')
    assert utterance == Utterance("dataset/a.wav", 2.25, "近几年不但我用书给女儿压岁")


def test_a_speaker_that_is_a_number_is_a_name(manifest):
    (utterance,) = manifest('{"audio_filepath": "a.wav", "duration": 1.0, "text": "x", "speaker": 7}')
    assert utterance.speaker == "7"


def test_lines_are_read_when_they_are_asked_for(manifest):
    found = manifest('{"audio_filepath": "a.wav", "duration": 1.0, "text": "before"}\n')
    found.path.write_text(found.path.read_text().replace("before", "behind"))
    assert found[0].text == "behind"


def test_blank_lines_byte_order_mark_and_windows_line_ends_do_no_harm(manifest):
    line = '{"audio_filepath": "%s.wav", "duration": 1.0, "text": "x"}\r\n'
    found = manifest("\ufeff" + line % "a" + "\r\n\n" + line % "b")
    assert [utterance.audio_filepath for utterance in found] == ["a.wav", "b.wav"]
    assert found[1].audio_filepath == "b.wav"


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_manifest_may_be_empty(manifest, content):
    found = manifest(content)
    assert len(found) == 0
    assert list(found) == []


BAD = {
    "not json": ("audio.wav 你好", "not a JSON object"),
    "a list": ('["a.wav", 1.0, "x"]', "not a JSON object"),
    "cut off": ('{"audio_filepath": "a.wav", "dura', "not a JSON object"),
    "no path": ('{"duration": 1.0, "text": "x"}', "audio_filepath is None"),
    "path is a number": ('{"audio_filepath": 5, "duration": 1.0, "text": "x"}', "audio_filepath is 5"),
    "no duration": ('{"audio_filepath": "a.wav", "text": "x"}', "duration is None"),
    "duration is text": ('{"audio_filepath": "a.wav", "duration": "1.0", "text": "x"}', "duration is '1.0'"),
    "duration is true": ('{"audio_filepath": "a.wav", "duration": true, "text": "x"}', "duration is True"),
    "duration is not a number": ('{"audio_filepath": "a.wav", "duration": NaN, "text": "x"}', "duration is nan"),
    "text is null": ('{"audio_filepath": "a.wav", "duration": 1.0, "text": null}', "text is None"),
}


@pytest.mark.parametrize(("line", "part"), BAD.values(), ids=BAD)
def test_a_bad_line_is_named_by_its_number(manifest, line, part):
    good = '{"audio_filepath": "a.wav", "duration": 1.0, "text": "x"}\n'
    with pytest.raises(UserError) as caught:
        manifest(good + "\n" + good + line + "\n" + good)
    sentence = str(caught.value)
    assert "manifest.train line 4: " in sentence
    assert part in sentence


def test_a_line_in_another_encoding_is_named_by_its_number(manifest):
    with pytest.raises(UserError, match="line 1: "):
        manifest('{"audio_filepath": "a.wav", "duration": 1.0, "text": "你好"}\n'.encode("gbk"))


def test_a_missing_manifest_is_one_sentence_with_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"manifest\.dev does not exist: run dvc repro manifest"):
        Manifest(tmp_path / "manifest.dev")


def test_a_failure_while_writing_leaves_the_old_manifest(tmp_path):
    path = tmp_path / "manifest.train"
    manifests.write(path, [Utterance("a.wav", 1.0, "x")])

    def broken():
        yield Utterance("b.wav", 1.0, "x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        manifests.write(path, broken())
    assert [utterance.audio_filepath for utterance in Manifest(path)] == ["a.wav"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["manifest.train"]


@pytest.mark.parametrize(
    ("more", "offset", "duration", "channel"),
    [
        ('"offset": 2.5', 2.5, 3.0, None),
        ('"offset": 0', 0.0, 3.0, None),
        ('"offset": null', None, 3.0, None),
        ('"channel": 1', None, 3.0, 1),
        ('"start_time": 2.5, "end_time": 4', 2.5, 1.5, None),
    ],
)
def test_a_line_of_nemo_or_paddlepaddle_deepspeech_names_a_piece(manifest, more, offset, duration, channel):
    found = manifest('{"audio_filepath": "a.wav", "duration": 3, "text": "x", ' + more + "}\n")
    assert found.durations.tolist() == [duration]
    assert found[0] == Utterance("a.wav", duration, "x", offset=offset, channel=channel)
    assert found[0].piece == Piece(offset, duration, channel)


@pytest.mark.parametrize(
    "more", ['"offset": "2.5"', '"offset": -1', '"channel": "left"', '"start_time": 2, "end_time": 1']
)
def test_a_piece_without_sense_is_refused_with_its_line(manifest, more):
    good = '{"audio_filepath": "a.wav", "duration": 3, "text": "x"}\n'
    with pytest.raises(UserError, match=r"manifest.train line 2: (offset|channel|end_time) is .*, but should be"):
        manifest(good + good[:-2] + f", {more}}}\n")


def test_two_pieces_of_a_file_have_two_names():
    first, second = (Utterance("a.wav", 1.0, "x", offset=offset) for offset in (0.0, 1.0))
    assert (first.name, second.name) == ("a.wav (from 0 s)", "a.wav (from 1 s)")
    assert Utterance("a.wav", 1.0, "x").name == "a.wav"
