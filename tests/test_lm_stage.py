"""The stage lm run as a user runs it."""

import json

import pytest

from ds2 import params
from ds2.data import manifest
from ds2.data.text import normalize
from ds2.language_model import arpa
from ds2.language_model.model import estimate
from tests.language_model import kenlm
from tests.process import assert_one_sentence, run_stage

TRAIN = ["打开客厅的灯", "关闭客厅的灯", "打开 tv", "今天天气怎么样"]


@pytest.fixture
def transcripts(workspace):
    for split, texts in (("train", TRAIN), ("dev", ["打开客厅的 tv"])):
        path = workspace / f"dataset/manifest.{split}"
        manifest.write(path, [manifest.Utterance(f"{i}.wav", 2.0, text) for i, text in enumerate(texts)])
    (workspace / "dataset/text").mkdir()
    return workspace


def test_extra_text_makes_its_sentences_likelier(transcripts):
    scores, sizes = [], []
    (transcripts / "dataset/text/more.txt").write_text("請打電話給媽媽。\n请打电话给爸爸\n", encoding="utf-8")
    for settings in ("lm: {order: 3}\n", "lm: {order: 3, extra_text: [dataset/text/more.txt]}\n"):
        done = run_stage("lm", transcripts, settings)
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr
        scores.append(kenlm.scores(transcripts / "dataset/lm.arpa", ["请打电话给妈妈"], "char")[0])
        sizes.append(json.loads((transcripts / "results/lm.json").read_text()))
    assert scores[1] > scores[0]
    assert sizes[1]["lm_words"] - sizes[0]["lm_words"] == len(set("请打电话给妈爸") - set("".join(TRAIN)))
    assert sizes[1]["lm_ngrams"] > sizes[0]["lm_ngrams"]
    (dev,) = kenlm.scores(transcripts / "dataset/lm.arpa", ["打开客厅的 tv"], "char")
    assert sizes[1]["lm_dev_perplexity"] == pytest.approx(10 ** (-dev / 9), rel=1e-3)  # eight characters and </s>
    assert sizes[0]["lm_dev_perplexity"] > 1


@pytest.mark.parametrize(
    ("section", "unit", "order", "prune"),
    [("{order: 2, unit: word}", "word", 2, []), ("{order: 3, prune: [0, 0, 1]}", "char", 3, [0, 0, 1])],
)
def test_the_model_and_its_metrics_are_those_of_the_parameters(transcripts, section, unit, order, prune):
    extra = ["打開 TV", "打開 客廳 TV"]
    (transcripts / "dataset/text/more.txt").write_text("\n".join(extra), encoding="utf-8")
    section = section.replace("}", ", extra_text: [dataset/text/more.txt]}")
    rules = params.TextSettings(lower_case=False, simplified=False)
    done = run_stage("lm", transcripts, f"lm: {section}\ntext: {{lower_case: false, simplified: false}}\n")
    assert done.returncode == 0, done.stderr
    model = estimate([*TRAIN, *(normalize(text, rules) for text in extra)], unit, order, prune)
    arpa.write(transcripts / "expected.arpa", model)
    assert (transcripts / "dataset/lm.arpa").read_bytes() == (transcripts / "expected.arpa").read_bytes()
    assert json.loads((transcripts / "results/lm.json").read_text()) == model.numbers(["打开客厅的 tv"])


def test_a_ready_model_is_taken_as_it_is_and_can_be_anywhere(transcripts, tmp_path_factory):
    assert run_stage("lm", transcripts, "lm: {order: 2}\n").returncode == 0
    ready = tmp_path_factory.mktemp("elsewhere") / "ready.arpa"
    (transcripts / "dataset/lm.arpa").rename(ready)
    done = run_stage("lm", transcripts, f"lm: {{path: {ready}}}\n")
    assert done.returncode == 0, done.stderr
    assert (transcripts / "dataset/lm.arpa").read_bytes() == ready.read_bytes()
    assert f"WARNING {ready} is not in dataset/text: DVC does not see when it changes" in done.stderr


def test_a_file_relative_to_the_repository_is_found_in_a_copy_of_it_too(transcripts, tmp_path_factory, monkeypatch):
    repository = tmp_path_factory.mktemp("repository")
    (repository / "dataset/text").mkdir(parents=True)
    (repository / "dataset/text/more.txt").write_text("媽媽\n", encoding="utf-8")
    monkeypatch.setenv("DVC_ROOT", str(repository))
    assert run_stage("lm", transcripts, "lm: {extra_text: [dataset/text/more.txt]}\n").returncode == 0
    assert "妈" in (transcripts / "dataset/lm.arpa").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ("{prune: [1, 1]}", "lm: prune must begin with 0, not 1"),
        ("{prune: [0, 2, 1]}", "lm: prune (0, 2, 1) must not fall"),
        ("{order: 2, prune: [0, 0, 1]}", "lm: prune has 3 numbers, but order is 2"),
        ("{order: 1}", "lm.order: 1 is out of range: it must be at least 2"),
        ("{unit: syllable}", "lm.unit: 'syllable'"),
        ("{extra_text: more.txt}", "lm.extra_text: 'more.txt' is not a list"),
    ],
)
def test_impossible_parameters_are_one_sentence(transcripts, settings, part):
    assert_one_sentence(run_stage("lm", transcripts, f"lm: {settings}\n"), part)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ("{extra_text: [dataset/text/none.txt]}", "dataset/text/none.txt does not exist"),
        ("{extra_text: [dataset/text/gbk.txt]}", "dataset/text/gbk.txt line 2: byte 1 is not UTF-8"),
        ("{path: dataset/text/gbk.txt}", "dataset/text/gbk.txt is neither a KenLM binary nor an ARPA file"),
    ],
)
def test_files_that_cannot_be_used_are_one_sentence_and_leave_the_old_model(transcripts, settings, part):
    (transcripts / "dataset/text/gbk.txt").write_bytes("你好\n".encode() + "北京\n".encode("gbk"))
    (transcripts / "dataset/lm.arpa").write_text("old")
    assert_one_sentence(run_stage("lm", transcripts, f"lm: {settings}\n"), part)
    assert (transcripts / "dataset/lm.arpa").read_text() == "old"


def test_transcripts_without_text_are_one_sentence(transcripts):
    manifest.write(transcripts / "dataset/manifest.train", [manifest.Utterance("0.wav", 2.0, "")])
    assert_one_sentence(run_stage("lm", transcripts, "lm: {order: 3}\n"), "hold no text")


def test_without_dev_data_there_is_no_perplexity(transcripts):
    (transcripts / "dataset/manifest.dev").write_text("")
    done = run_stage("lm", transcripts, "lm: {order: 2}\n")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert json.loads((transcripts / "results/lm.json").read_text()).keys() == {"lm_words", "lm_ngrams"}


def test_a_ready_model_of_words_is_said_to_be_one(transcripts):
    lines = ["-0.5\t<unk>", "-99\t<s>\t0", "-0.5\t</s>", "-0.5\t打开\t0", "-0.5\t客厅\t0"]
    text = "\n".join(["\\data\\", "ngram 1=5", "", "\\1-grams:", *lines, "", "\\end\\", ""])
    (transcripts / "dataset/text/words.arpa").write_text(text, encoding="utf-8")
    done = run_stage("lm", transcripts, "lm: {path: dataset/text/words.arpa}\n")
    assert done.returncode == 0, done.stderr
    assert "WARNING dataset/text/words.arpa has words of several characters, such as 打开" in done.stderr
