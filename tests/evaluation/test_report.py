import json

import pytest

from ds2.evaluation import report
from ds2.evaluation.evaluator import Evaluation, Prediction

pytestmark = pytest.mark.wheel

PREDICTIONS = [
    Prediction("audio/right.wav", "今天 天气好", "今天天气好"),
    Prediction("audio/one_of_five.wav", "一二三四五", "一二三四"),
    Prediction("audio/three.wav", "你好吗我好", "你"),
    Prediction("audio/one_of_one.wav", "是", "四"),
    Prediction("audio/empty.wav", "好的", ""),
    Prediction('audio/"quoted" 路径.wav', "好", "好"),
]
EVALUATION = Evaluation(PREDICTIONS, 12.0, 3.0)


def entries(path):
    """The first line, and the blocks after it."""
    first, *blocks = path.read_text(encoding="utf-8").rstrip("\n").split("\n\n")
    return first, [block.split("\n") for block in blocks]


def test_predictions_are_one_line_an_utterance_in_order_with_all_keys(tmp_path):
    path = tmp_path / "results" / "predictions.jsonl"
    report.write_predictions(path, EVALUATION, "cer")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert rows == [
        {
            "audio_filepath": prediction.audio_filepath,
            "reference": prediction.reference,
            "hypothesis": prediction.hypothesis,
            "errors": errors,
            "reference_length": length,
            "confidence": 0.0,
            "duration": 0.0,
        }
        for prediction, errors, length in zip(PREDICTIONS, [0, 1, 4, 1, 2, 0], [5, 5, 5, 1, 2, 1], strict=True)
    ]


def test_predictions_say_who_spoke_how_long_how_clearly_and_how_sure_the_network_was(tmp_path):
    path = tmp_path / "predictions.jsonl"
    report.write_predictions(
        path, Evaluation([Prediction("1.wav", "好", "好", "li", 1.25, 0.87654321, 20.04)], 1.0, 1.0), "cer"
    )
    row = json.loads(path.read_text())
    assert (row["speaker"], row["duration"], row["confidence"], row["snr"]) == ("li", 1.25, 0.8765, 20.0)


def test_predictions_can_be_read_without_unescaping(tmp_path):
    path = tmp_path / "predictions.jsonl"
    report.write_predictions(path, EVALUATION, "cer")
    text = path.read_bytes().decode("utf-8")
    assert "一二三四五" in text
    assert "\\u" not in text


def test_the_errors_of_the_predictions_are_those_of_the_metric(tmp_path):
    path = tmp_path / "predictions.jsonl"
    report.write_predictions(path, Evaluation([Prediction("1.wav", "the cat", "the cut")], 1.0, 1.0), "wer")
    row = json.loads(path.read_text())
    assert (row["errors"], row["reference_length"]) == (1, 2)


def test_the_worst_utterances_come_first_and_right_ones_not_at_all(tmp_path):
    report.write_errors(tmp_path / "errors.txt", EVALUATION, "cer")
    _, blocks = entries(tmp_path / "errors.txt")
    names = [block[0] for block in blocks]
    assert names == [
        "id: audio/three.wav",
        "id: audio/empty.wav",
        "id: audio/one_of_one.wav",
        "id: audio/one_of_five.wav",
    ]


def test_the_first_line_holds_the_totals(tmp_path):
    report.write_errors(tmp_path / "errors.txt", EVALUATION, "cer")
    first, _ = entries(tmp_path / "errors.txt")
    assert first == (
        "CER 42.11%: 8 errors in 19 (1 substitutions, 7 deletions, 0 insertions); 4 of 6 utterances have errors"
    )


def test_every_entry_has_its_counts_and_its_alignment(tmp_path):
    report.write_errors(tmp_path / "errors.txt", EVALUATION, "cer")
    _, blocks = entries(tmp_path / "errors.txt")
    assert blocks[-1] == [
        "id: audio/one_of_five.wav",
        "Scores: (#C #S #D #I) 4 0 1 0",
        "REF:  一 二 三 四 五",
        "HYP:  一 二 三 四 **",
        "Eval:             D",
    ]


def test_without_errors_only_the_totals_stand_there(tmp_path):
    report.write_errors(tmp_path / "errors.txt", Evaluation(PREDICTIONS[:1], 1.0, 1.0), "wer")
    first, blocks = entries(tmp_path / "errors.txt")
    assert first.startswith("WER 100.00%: 2 errors in 2")
    assert len(blocks) == 1
    report.write_errors(tmp_path / "errors.txt", Evaluation(PREDICTIONS[:1], 1.0, 1.0), "cer")
    first, blocks = entries(tmp_path / "errors.txt")
    assert first.startswith("CER 0.00%: 0 errors in 5")
    assert blocks == []


@pytest.mark.parametrize("write", [report.write_predictions, report.write_errors])
def test_a_report_that_fails_leaves_the_old_one(write, tmp_path):
    path = tmp_path / "report"
    path.write_text("old")
    broken = Evaluation([PREDICTIONS[2], Prediction("x.wav", None, "")], 1.0, 1.0)
    with pytest.raises((TypeError, AttributeError)):
        write(path, broken, "cer")
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["report"]


def test_two_pieces_of_a_recording_are_told_apart(tmp_path):
    pieces = [Prediction("a.wav", "好", "你", offset=offset, duration=2.0, channel=1) for offset in (0.0, 12.5)]
    evaluation = Evaluation([*pieces, Prediction("b.wav", "好", "你")], 12.0, 3.0)
    report.write_errors(tmp_path / "errors.txt", evaluation, "cer")
    _, blocks = entries(tmp_path / "errors.txt")
    names = [block[0] for block in blocks]
    assert names == ["id: a.wav (from 0 s, channel 1)", "id: a.wav (from 12.5 s, channel 1)", "id: b.wav"]
    report.write_predictions(tmp_path / "predictions.jsonl", evaluation, "cer")
    rows = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [(row.get("offset"), row.get("channel")) for row in rows] == [(0.0, 1), (12.5, 1), (None, None)]
