import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from ds2.data.loader import Assembler, Loader
from ds2.data.manifest import Manifest
from ds2.decoding.greedy import Greedy
from ds2.evaluation.evaluator import evaluate
from ds2.recognition import paddle_model
from ds2.transcribing import cutting, inputs, pieces
from ds2.transcribing.transcriber import Transcriber
from ds2.transcribing.transcript import in_a_row
from tests.training import tiny

pytestmark = pytest.mark.wheel


@pytest.fixture(scope="module")
def trained(model_folder):
    return paddle_model.load(model_folder, False)


@pytest.fixture(scope="module")
def evaluated(trained, root):
    """What the evaluation says of each file, in the manifest's order."""
    return {prediction.audio_filepath: prediction.hypothesis for prediction in predictions(trained, root)}


def predictions(trained, root):
    manifest = Manifest(root / "dataset/manifest.test")
    with Loader(manifest, Assembler(trained.features, trained.statistics), 0) as loader:
        return evaluate(trained, manifest, loader, 4).predictions


def run(trained, *paths, batch_size=4, limit=20.0):
    return list(Transcriber(trained, Greedy(), batch_size, limit).transcribe(inputs.expand(map(str, paths))))


def save(path, samples, rate, **options):
    soundfile.write(path, samples, rate, **options)
    return path


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_texts_are_those_of_the_evaluation_in_the_order_asked_for(batch_size, trained, evaluated):
    found = run(trained, *evaluated, batch_size=batch_size)
    assert [(transcript.name, transcript.text) for transcript in found] == list(evaluated.items())
    assert len({transcript.text for transcript in found}) > 5
    assert all(not transcript.cut and transcript.error is None for transcript in found)


def test_durations_and_confidences(trained, evaluated):
    for transcript in run(trained, *evaluated):
        assert transcript.duration == soundfile.info(transcript.name).duration
        assert 0 < transcript.confidence <= 1


def test_the_confidence_is_that_of_the_evaluation(trained, root):
    expected = predictions(trained, root)
    found = run(trained, *(prediction.audio_filepath for prediction in expected))
    assert [transcript.confidence for transcript in found] == pytest.approx([p.confidence for p in expected], rel=1e-3)
    assert len({round(prediction.confidence, 2) for prediction in expected}) > 5


@pytest.mark.parametrize("more", [0, 1])
def test_only_what_is_longer_than_the_limit_is_cut(more, trained, workspace):
    (found,) = run(trained, save("a.wav", np.zeros(3 * tiny.RATE + more), tiny.RATE), limit=3.0)
    assert found.cut == bool(more)


def test_a_recording_that_cannot_be_read_harms_no_other(trained, evaluated, workspace):
    good = list(evaluated)
    (workspace / "bad.wav").write_bytes(b"no audio" * 100)
    found = run(trained, good[0], "none.wav", good[1], "bad.wav", good[2])
    assert [t.text for t in found if t.error is None] == [evaluated[name] for name in good[:3]]
    assert (found[1].name, found[1].error) == ("none.wav", "there is no such file")
    assert "cannot be decoded" in found[3].error


def test_a_recording_too_short_for_a_frame_has_no_text(trained, workspace):
    (found,) = run(trained, save("a.wav", np.full(100, 0.1), tiny.RATE))
    assert (found.text, found.confidence, found.error) == ("", None, None)


def test_lines_come_before_all_recordings_are_read(trained, evaluated):
    asked = []

    def slowly():
        for name in list(evaluated) * 3:
            asked.append(name)
            yield inputs.Input(name, Path(name))

    counts = [len(asked) for _ in Transcriber(trained, Greedy(), 1, 20.0).transcribe(slowly())]
    assert counts == list(range(1, len(counts) + 1))
    asked.clear()
    first = next(Transcriber(trained, Greedy(), 2, 20.0).transcribe(slowly()))
    assert first.text == evaluated[first.name]
    assert len(asked) < 3 * len(evaluated)


@pytest.fixture(scope="module")
def long(with_pauses, tmp_path_factory):
    """A recording of sentences with pauses, longer than a minute, stereo at 44.1 kHz, and where they stand."""
    samples, places = with_pauses(1.0, repeat=6)
    stereo = soxr.resample(np.stack([samples, samples], axis=1), 16000, 44100)
    path = save(tmp_path_factory.mktemp("long") / "long.flac", stereo, 44100)
    return path, len(samples) / 16000, places


@pytest.mark.parametrize("limit", [3.0, 20.0])
def test_a_long_recording_is_cut_into_segments_that_hold_every_sentence(limit, trained, long):
    path, duration, places = long
    assert duration > 60
    (found,) = run(trained, path, limit=limit)
    assert found.duration == pytest.approx(duration, abs=0.01)
    starts, ends = ([getattr(segment, name) for segment in found.segments] for name in ("start", "end"))
    assert all(0 < end - start <= limit for start, end in zip(starts, ends, strict=True))
    for start, end in places:
        inside = sum(max(0.0, min(end, e) - max(start, s)) for s, e in zip(starts, ends, strict=True))
        assert inside > 0.95 * (end - start)
    silence = sum(e - s for s, e in zip(starts, ends, strict=True)) - sum(end - start for start, end in places)
    assert silence < 2.5 * cutting._MARGIN / 100 * len(places)


def test_words_make_up_the_text_and_stand_within_their_segments(trained, evaluated, long):
    found = run(trained, *evaluated, long[0], limit=5.0)
    assert {transcript.cut for transcript in found} == {False, True}
    for transcript in found:
        words = transcript.words()
        assert in_a_row(words) == " ".join(transcript.text.split())
        assert [word.start for word in words] == sorted(word.start for word in words)
        for segment in transcript.segments:
            assert in_a_row(segment.words) == " ".join(segment.text.split())
            for word in segment.words:
                assert segment.start - 0.1 <= word.start <= word.end <= segment.end + 0.1
                assert 0 < word.confidence <= 1


def test_a_segment_has_the_text_of_its_piece_alone(trained, long, workspace):
    path, _, _ = long
    (found,) = run(trained, path, limit=5.0)
    samples = soxr.resample(soundfile.read(path, dtype="float32")[0].mean(axis=1), 44100, tiny.RATE, quality="HQ")
    for i, segment in enumerate(found.segments):
        part = samples[round(segment.start * tiny.RATE) : round(segment.end * tiny.RATE)]
        save(f"{i}.wav", part, tiny.RATE, subtype="FLOAT")
    alone = run(trained, *(f"{i}.wav" for i in range(len(found.segments))))
    assert [transcript.text for transcript in alone] == [segment.text for segment in found.segments]
    assert len(alone) > 20


def test_a_long_recording_without_speech_has_no_text(trained, workspace):
    (found,) = run(trained, save("a.wav", np.zeros(30 * tiny.RATE), tiny.RATE))
    assert (found.text, found.segments, found.confidence, found.duration) == ("", (), None, 30.0)


def test_a_long_recording_that_breaks_off_is_an_error_and_harms_no_other(trained, evaluated, long, workspace):
    whole = long[0].read_bytes()
    (workspace / "a.flac").write_bytes(whole[: len(whole) // 2])
    name = next(iter(evaluated))
    broken, good = run(trained, "a.flac", name, batch_size=2)
    assert broken.error
    assert good.text == evaluated[name]


def test_the_parts_of_a_stream_are_its_slices():
    samples = np.arange(1000, dtype=np.float32)
    plan = [(0.0, 0.5), (0.5, 0.9), (3.0, 3.1), (9.0, 12.0)]
    for size in (1, 7, 95, 1000):
        blocks = (samples[start : start + size] for start in range(0, 1000, size))
        parts = list(pieces._parts(blocks, plan, 100))
        for part, (start, end) in zip(parts, plan, strict=True):
            assert np.array_equal(part, samples[int(start * 100) : round(end * 100)])


def joined(names, path, **options):
    """The recordings in a row in one file, and lines of a list of pieces for it."""
    sounds = [soundfile.read(name, dtype="float32")[0] for name in names]
    save(path, np.concatenate(sounds), tiny.RATE, **options)
    starts = np.cumsum([0, *map(len, sounds)]) / tiny.RATE
    return [
        {"audio_filepath": str(path), "offset": start, "duration": len(sound) / tiny.RATE}
        for start, sound in zip(starts.tolist(), sounds, strict=False)
    ]


def listed(workspace, lines):
    (workspace / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return "list.jsonl"


def test_the_pieces_of_a_list_are_transcribed_as_files_of_their_own(trained, evaluated, workspace):
    lines = joined(evaluated, "all.wav")
    found = run(trained, listed(workspace, lines))
    assert [transcript.text for transcript in found] == list(evaluated.values())
    assert [(t.name, t.piece.offset, t.duration) for t in found] == [
        ("all.wav", line["offset"], pytest.approx(line["duration"])) for line in lines
    ]


def test_the_same_piece_of_a_manifest_is_scored(trained, evaluated, workspace):
    """As NeMo writes it."""
    lines = [line | {"text": "x"} for line in joined(evaluated, "all.flac")]
    (workspace / "manifest").write_text("".join(json.dumps(line) + "\n" for line in lines))
    manifest = Manifest(workspace / "manifest")
    with Loader(manifest, Assembler(trained.features, trained.statistics), 0) as loader:
        found = evaluate(trained, manifest, loader, 4).predictions
    assert [prediction.hypothesis for prediction in found] == list(evaluated.values())
    assert [prediction.offset for prediction in found] == [line["offset"] for line in lines]


def test_a_long_piece_is_cut_like_a_recording_of_its_own(trained, long, workspace):
    path, _, _ = long
    alone = soundfile.read(path, dtype="float32", start=10 * 44100, stop=40 * 44100)[0]
    (expected,) = run(trained, save("a.wav", alone, 44100, subtype="FLOAT"), limit=5.0)
    (found,) = run(trained, listed(workspace, [{"audio_filepath": str(path), "offset": 10, "duration": 30}]), limit=5.0)
    assert found.segments == expected.segments
    assert len(found.segments) > 5


def test_a_channel_is_transcribed_alone_and_one_that_is_not_there_is_an_error(trained, evaluated, workspace):
    one, other = (soundfile.read(name, dtype="float32")[0] for name in list(evaluated)[:2])
    size = min(len(one), len(other))
    save("call.wav", np.stack([one[:size], other[:size]], axis=1), tiny.RATE)
    mono = next(iter(evaluated))
    for channel, sound in enumerate((one, other)):
        save("alone.wav", sound[:size], tiny.RATE)
        (alone,) = run(trained, "alone.wav")
        transcriber = Transcriber(trained, Greedy(), 4, 20.0)
        call, single = transcriber.transcribe(inputs.expand(["call.wav", mono], channel))
        assert call.text == alone.text
        assert single.error == (None if channel == 0 else "there is no channel 1: it has 1, counted from 0")
        assert transcriber.doubts.sentences() == []


def test_what_may_spoil_texts_is_said_once_with_the_first(trained, workspace):
    sound = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    for name, rate, columns in (
        ("a.wav", tiny.RATE, [sound]),
        ("b.wav", tiny.RATE // 2, [sound]),
        ("c.wav", tiny.RATE // 2, [sound, sound[::-1]]),
        ("d.wav", tiny.RATE, [sound, 0 * sound]),
        ("e.wav", tiny.RATE, [0.8 * sound, -sound]),
    ):
        save(name, np.stack(columns, axis=1), rate)
    transcriber = Transcriber(trained, Greedy(), 4, 20.0)
    found = list(transcriber.transcribe(inputs.expand([f"{letter}.wav" for letter in "abcde"])))
    assert [transcript.sample_rate for transcript in found] == [tiny.RATE // (1 + (i in (1, 2))) for i in range(5)]
    low, mixed, opposite = transcriber.doubts.sentences()
    assert low.startswith(f"2 recordings below the model's sample rate of {tiny.RATE} Hz (first: b.wav, ")
    assert mixed.startswith("2 recordings with more than one channel, which are mixed (first: c.wav, 2 channels)")
    assert opposite.startswith("1 recording whose channels cancel each other (opposite phase): the loudest is taken")
    assert opposite.endswith("(first: e.wav, channel 1)")
