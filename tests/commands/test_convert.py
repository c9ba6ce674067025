import json

import pytest

from ds2 import layout


@pytest.fixture
def source(workspace):
    """A table with one utterance."""
    (workspace / "a.wav").touch()
    (workspace / "my.csv").write_text("path,text\na.wav,x\n")
    return "my.csv"


def annotations(workspace):
    return sorted(path.name for path in (workspace / layout.ANNOTATION).iterdir())


def test_the_annotation_is_named_after_the_source_or_as_asked(source, command, workspace):
    assert command("convert", "csv", source)[0] == 0
    code, out, _ = command("convert", "csv", source, "dataset/annotation/other.dev.jsonl")
    assert code == 0
    assert annotations(workspace) == ["my.jsonl", "other.dev.jsonl"]
    assert "other.dev.jsonl (dev): 1 utterance" in out
    assert out.endswith(
        '; the first is\n  {"audio_filepath": "a.wav", "text": "x"}\n'
        "Next: dvc repro manifest, which opens every recording and names the lines that cannot be used\n"
    )


def test_an_annotation_that_is_there_is_replaced_only_when_asked(source, command, refused, workspace):
    old = workspace / layout.ANNOTATION / "my.jsonl"
    old.write_text("old")
    assert "my.jsonl is there already: give OUTPUT another name, or replace it with --yes" in refused(
        "convert", "csv", source
    )
    (workspace / "empty.csv").write_text("path,text\nz.wav,x\n")
    assert command("convert", "csv", "empty.csv", old, "--yes")[0] == 1
    assert old.read_text() == "old"
    assert command("convert", "csv", source, "--yes")[0] == 0
    assert json.loads(old.read_text())["text"] == "x"
    assert annotations(workspace) == ["my.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name a format (kaldi, nemo, wenet, commonvoice, csv) and what to convert"),
        (["csv"], "name a format (kaldi, nemo, wenet, commonvoice, csv) and what to convert"),
        (["espnet", "my.csv"], "name a format (kaldi, nemo, wenet, commonvoice, csv) and what to convert"),
        (["csv", "your.csv"], "your.csv does not exist"),
        (["csv", "."], ". is a folder: name a file of it"),
        (["nemo", "dataset"], "dataset holds no manifest"),
        (["wenet", "dataset"], "dataset holds no data.list"),
        (["csv", "my.csv", "my.txt"], "my.txt: the name of an annotation of this kind ends in .jsonl"),
        (["csv", "my.csv", "aishell.test.jsonl"], "aishell.test.jsonl has the name of a built-in corpus"),
        (["nemo", "two", "x.jsonl"], "two holds 2 lists (p, q): name one, or leave OUTPUT out"),
    ],
)
def test_a_mistake_is_one_sentence(source, refused, workspace, arguments, sentence):
    (workspace / "two").mkdir()
    for name in ("p.json", "q.json"):
        (workspace / "two" / name).touch()
    assert sentence in refused("convert", *arguments)
    assert annotations(workspace) == []


def test_the_name_of_a_corpus_as_the_sources_is_refused(source, refused, workspace):
    (workspace / source).rename(workspace / "demo.csv")
    assert "demo.jsonl has the name of a built-in corpus: give OUTPUT another name" in refused(
        "convert", "csv", "demo.csv"
    )


@pytest.mark.parametrize(
    ("name", "annotation"),
    [
        ("test", "test.jsonl"),
        ("dev.v2", "dev.v2.dev.jsonl"),
        ("test_clean", "test_clean.test.jsonl"),
        ("eval2000", "eval2000.test.jsonl"),
        ("train_dev", "train_dev.dev.jsonl"),
        ("Validation", "Validation.dev.jsonl"),
        ("latest", "latest.jsonl"),
        ("developers", "developers.jsonl"),
        ("x.dev", "x.dev.jsonl"),
    ],
)
def test_what_is_called_test_or_dev_is_not_trained_on(source, command, workspace, name, annotation):
    (workspace / source).rename(workspace / f"{name}.csv")
    assert command("convert", "csv", f"{name}.csv")[0] == 0
    assert annotations(workspace) == [annotation]
