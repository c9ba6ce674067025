"""python -m ds2 split with real dvc: the stage manifest sees its file, and git has it."""

import pytest

pytestmark = pytest.mark.slow


def stages(printed):
    return [line.split("'")[1] for line in printed.splitlines() if line.startswith("Running stage")]


def add_speakers(repository, count):
    """Names the speakers of the training annotation, which has two more files beside it: these are taken away."""
    folder = repository.folder / "dataset/annotation"
    lines = (folder / "mine.train.txt").read_text(encoding="utf-8").splitlines()
    lines = ["\t".join([*line.split("\t")[:2], f"s{number % count}"]) for number, line in enumerate(lines)]
    (folder / "mine.train.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_split_written_edited_and_extended_reruns_just_what_it_changes(untrained):
    for part in ("dev", "test"):
        (untrained.folder / f"dataset/annotation/mine.{part}.txt").unlink()
    add_speakers(untrained, 10)
    untrained.change_params(manifest={"dev_fraction": 0.1, "test_fraction": 0.1})
    untrained.run("python", "-m", "ds2", "split")
    assert stages(untrained.run("dvc", "repro", "mean_istd")) == ["manifest", "mean_istd"]
    untrained.commit("a split")
    file = "dataset/annotation/splits.tsv"
    assert untrained.run("git", "ls-files", file).strip() == file
    assert stages(untrained.run("dvc", "repro", "mean_istd")) == []
    before = (untrained.folder / file).read_text()
    assert before.count("\ttest") == 3
    (untrained.folder / file).write_text(before.replace("\ttest", "\ttrain", 1))
    assert stages(untrained.run("dvc", "repro", "mean_istd")) == ["manifest", "mean_istd"]
    add_speakers(untrained, 20)
    assert "10 new speakers" in untrained.run("python", "-m", "ds2", "split")
    assert (untrained.folder / file).read_text().startswith(before.replace("\ttest", "\ttrain", 1))
