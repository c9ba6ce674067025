import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ds2 import corpora, params
from ds2.annotation import files as annotation
from ds2.annotation import screening
from ds2.corpora import demo, registry
from ds2.data.text import normalize
from ds2.errors import UserError

pytest.importorskip("espeakng_loader")

PARTS = ("train", "dev", "test")
ALONE = params.RuntimeSettings(num_workers=1)


@pytest.fixture
def few(monkeypatch):
    """A corpus of eleven sentences and a word."""
    monkeypatch.setattr(demo, "_COUNTS", {"train": 7, "dev": 2, "test": 2})
    monkeypatch.setattr(demo.grammar, "words", lambda: ["客厅"])


@pytest.fixture
def speak(tmp_path, monkeypatch):
    """speak(name, spoken) speaks into a repository of that name and returns the bytes of each file."""

    def speak(name, spoken):
        monkeypatch.setenv("DVC_ROOT", str(tmp_path / name))
        demo._speak(spoken)
        return {s.audio: (tmp_path / name / s.audio).read_bytes() for s in spoken}

    return speak


def files(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def decibels(samples) -> float:
    return 10 * np.log10(np.mean(samples**2))


def test_two_builds_are_the_same_files(few, workspace, tmp_path_factory, monkeypatch):
    built = []
    for _ in range(2):
        monkeypatch.chdir(tmp_path_factory.mktemp("build"))
        folder = Path.cwd()
        corpora.build("demo", folder / "dataset" / "annotation", ALONE)
        built.append(files(folder))
    one, two = built
    assert len(one) == 12 + 3
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


def test_what_is_spoken_does_not_depend_on_what_was_spoken_before(speak):
    spoken = demo.utterances()["train"][:6]
    forwards = speak("one", spoken)
    backwards = speak("two", spoken[::-1])
    alone = speak("three", spoken[3:4])
    assert forwards == backwards
    assert alone[spoken[3].audio] == forwards[spoken[3].audio]
    assert len(set(forwards.values())) == 6


def test_the_annotations_name_every_file_with_text_and_speaker_and_screening_accepts_them_all(few, workspace):
    folder = workspace / "dataset" / "annotation"
    corpora.build("demo", folder, ALONE)
    assert sorted(path.name for path in folder.iterdir()) == ["demo.dev.txt", "demo.test.txt", "demo.train.txt"]
    sources = annotation.sources(folder, ["demo"], registry.NAMES)
    screened = screening.screen(sources, params.from_dict({"manifest": {"dev_fraction": 0, "test_fraction": 0}}), 1)
    assert screened.rejected == []
    assert {split: len(found) for split, found in screened.accepted.items()} == {"train": 8, "dev": 2, "test": 2}
    parts = demo.utterances()
    for split in PARTS:
        found = screened.accepted[split]
        assert [u.text for u in found] == [spoken.text for spoken in parts[split]]
        assert [u.speaker for u in found] == [f"demo-{spoken.voice}" for spoken in parts[split]]


def test_what_is_spoken_is_audible_16_khz_mono_and_not_clipped(few, workspace):
    corpora.build("demo", workspace / "dataset" / "annotation", ALONE)
    paths = sorted((workspace / "dataset" / "audio" / "demo").rglob("*.flac"))
    assert len(paths) == 12
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32")
        assert rate == 16000
        assert samples.ndim == 1
        assert 0.5 <= len(samples) / rate <= 20
        assert decibels(samples) > -45
        assert np.mean(np.abs(samples) > 0.999) < 1e-3


def test_an_utterance_is_recorded_in_its_room_at_its_level_between_its_edges(speak):
    quiet = demo.Noise(55, 0.0)
    alone = dataclasses.replace(
        demo.utterances()["train"][0],
        room=quiet,
        level=-30,
        before=demo.Edge(0, 0, quiet),
        after=demo.Edge(0, 0, quiet),
    )
    edged = dataclasses.replace(
        alone,
        room=demo.Noise(40, 1.0),
        before=demo.Edge(200, 300, demo.Noise(10, 2.0)),
        after=demo.Edge(100, 0, quiet),
    )
    found = speak("edges", [alone, edged])
    alone, edged = (soundfile.read(io.BytesIO(found[spoken.audio]))[0] for spoken in (alone, edged))
    assert decibels(alone) == pytest.approx(-30, abs=0.1)
    assert len(edged) == len(alone) + 0.6 * 16000
    other, room, speech, after = np.split(edged, [4800, 8000, len(edged) - 1600])
    assert decibels(other) == pytest.approx(-30 - 10, abs=2)
    assert decibels(room) == pytest.approx(-30 - 40, abs=2)
    assert decibels(after) == pytest.approx(-30 - 40, abs=2)
    assert np.corrcoef(speech, alone)[0, 1] > 0.99


def test_edges_rooms_and_levels_of_every_part_are_as_different_as_those_of_recordings():
    for part in demo.utterances().values():
        edges = [edge for spoken in part for edge in (spoken.before, spoken.after)]
        seconds = [(edge.room + edge.other) / 1000 for edge in edges]
        assert 0 <= min(seconds) < 0.01
        assert 0.9 < max(seconds) <= 1
        assert 0.25 < np.mean([edge.other == 0 for edge in edges]) < 0.5  # the room alone
        assert 0.25 < np.mean([edge.room == 0 for edge in edges]) < 0.5  # another noise up to the speech
        loudness = [edge.noise.below for edge in edges if edge.other > 100]
        assert min(loudness) < 10
        assert max(loudness) > 45
        assert len({spoken.room.below for spoken in part}) > 20
        assert len({spoken.room.colour for spoken in part}) > 15
        assert np.std([spoken.level for spoken in part]) > 3


def test_single_words_with_long_edges_are_heard_in_training_and_none_is_too_short_to_be_accepted():
    parts = demo.utterances()
    words = {spoken.text: spoken for spoken in parts["train"][-len(demo.grammar.words()) :]}
    assert list(words) == demo.grammar.words()
    edges = [sum(edge.room + edge.other for edge in (spoken.before, spoken.after)) for spoken in words.values()]
    assert np.mean(edges) > 1000  # milliseconds
    assert min(edges) > 250


@pytest.mark.parametrize("colour", [0.0, 1.0, 2.0])
def test_noise_falls_by_three_decibels_an_octave_for_every_step_of_its_colour(colour):
    samples = demo.coloured_noise(colour, 10 * 16000, np.random.default_rng(1))
    assert decibels(samples) == pytest.approx(0, abs=0.01)
    power = np.abs(np.fft.rfft(samples)) ** 2
    octaves = [power[start * 10 : 2 * start * 10].mean() for start in (500, 1000, 2000)]
    assert np.diff(10 * np.log10(octaves)) == pytest.approx([-3.01 * colour] * 2, abs=0.3)


def test_a_second_build_speaks_nothing_and_mends_what_is_missing(few, workspace):
    folder = workspace / "dataset" / "annotation"
    corpora.build("demo", folder, ALONE)
    before = files(workspace)
    audio = sorted((workspace / "dataset" / "audio").rglob("*.flac"))
    audio[3].unlink()
    (folder / "demo.dev.txt").unlink()
    times = {path: path.stat().st_mtime_ns for path in audio if path.exists()}
    corpora.build("demo", folder, ALONE)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert files(workspace) == before


def test_a_build_of_which_nothing_is_missing_needs_no_espeak(few, workspace, monkeypatch):
    corpora.build("demo", workspace / "dataset" / "annotation", ALONE)
    before = files(workspace)

    def broken():
        raise UserError("libespeak-ng is not there")

    monkeypatch.setattr(demo.espeak, "synthesizer", broken)
    corpora.build("demo", workspace / "dataset" / "annotation", ALONE)
    assert files(workspace) == before


@pytest.mark.parametrize("error", [UserError("no such voice"), OSError("no room"), ZeroDivisionError("of our own")])
def test_what_went_wrong_while_an_utterance_was_made_is_told(error, few, workspace, monkeypatch, capfd):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(demo.soxr, "resample", fail)
    with pytest.raises(UserError, match="could not be made: see the message above"):
        corpora.build("demo", workspace / "dataset" / "annotation", ALONE)
    assert str(error) in capfd.readouterr().err
    assert not list((workspace / "dataset").rglob("*.flac*"))


def test_every_sentence_stands_once_and_voices_of_test_and_dev_are_not_heard_in_training():
    parts = demo.utterances()
    texts = [spoken.text for split in PARTS for spoken in parts[split]]
    assert len(texts) == len(set(texts))
    voices = {split: {spoken.voice for spoken in parts[split]} for split in PARTS}
    assert all(len(voices[split]) > 1 for split in PARTS)
    assert sum(map(len, voices.values())) == len(set.union(*voices.values()))
    assert len({spoken.audio for split in PARTS for spoken in parts[split]}) == len(texts)


def test_the_plan_is_the_same_every_time():
    assert demo.utterances() == demo.utterances()


def test_there_are_at_least_150_characters_and_all_of_test_and_dev_are_seen_in_training():
    parts = demo.utterances()
    characters = {split: set("".join(spoken.text for spoken in parts[split])) for split in PARTS}
    assert len(characters["train"]) >= 150
    assert characters["test"] <= characters["train"]
    assert characters["dev"] <= characters["train"]


def test_the_texts_are_normalised_already():
    texts = [spoken.text for part in demo.utterances().values() for spoken in part]
    assert [text for text in texts if normalize(text) != text] == []


def test_an_unknown_corpus_is_refused_with_those_there_are(workspace):
    for refuse in (lambda: corpora.build("aishel", workspace, ALONE), lambda: registry.check(["demo", "aishel"])):
        with pytest.raises(UserError) as caught:
            refuse()
        assert "'aishel' is not a built-in corpus" in str(caught.value)
        assert all(name in str(caught.value) for name in registry.NAMES)
