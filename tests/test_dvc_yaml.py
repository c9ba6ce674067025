"""dvc.yaml says of each stage what it really reads, runs and writes: what is missing there would rerun nothing."""

import ast
import importlib
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ds2 import layout
from ds2.reporting.history import History
from tests.documents import ROOT
from tests.imports import FILES, reached

DVC = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = {name: stage.get("do", stage) for name, stage in DVC["stages"].items()}

# What a stage reaches and does not depend on, each with the reason. Nothing else may be missing among its deps.
LEFT_OUT = {
    "ds2.cpu": "how fast the processor works",
    "ds2.errors": "the sentences that a command ends on",
    "ds2.files": "how files are written",
    "ds2.layout": "the names of files, which stand in dvc.yaml",
    "ds2.parallel": "how work is spread over processes; the results come in order",
    "ds2.places": "where libraries keep what they compile",
    "ds2.stage": "the command line",
    "ds2.startup": "how names of files are read, where CUDA is",
    "ds2.cuda": "where CUDA is",
    "ds2.params": "DVC compares the values",
    "ds2.params.loading": "DVC compares the values",
    "ds2.params.messages": "the sentences of wrong parameters",
    "ds2.params.sections": "DVC compares the values",
    "ds2.params.types": "DVC compares the values",
    "ds2.distributed.launch": "launching",
    "ds2.distributed.machines": "launching",
    "ds2.pipeline.orphan": "launching",
    "ds2.distributed.signals": "when a training stops, not what it computes",
    "ds2.log": "the log",
    "ds2.pipeline.cache": "what a training may replace, not what it computes",
    "ds2.pipeline.copies": "git and DVC, not results",
    "ds2.pipeline.lock": "whether a stage is recorded, not what it computes",
    "ds2.pipeline.leftovers": "git and DVC, not results",
    "ds2.pipeline.once": "the log",
    "ds2.pipeline.record": "whether a stage is recorded, not what it computes",
    "ds2.reporting.meter": "speed and memory, measured",
    "ds2.reporting.progress": "the bar and the log",
    "ds2.reporting.reporter": "the bar, the log, VisualDL; the curves are in history.py",
    "ds2.reporting.visual": "VisualDL",
}


def flags(entries) -> dict[str, dict]:
    """What is said of each of the outs or deps; `corpus` has a name of its own for each corpus."""
    found = [entry.items() if isinstance(entry, dict) else [(entry, {})] for entry in entries or ()]
    return {path.replace("${item}", "NAME"): said for items in found for path, said in items}


def paths(entries) -> set[str]:
    return set(flags(entries))


def told(stage: str, heading: str) -> set[str]:
    """The paths that the page of a stage names as read or written."""
    page = importlib.import_module(f"stages.{stage}").__doc__
    text = re.search(rf"^{heading} +(.*?)(?=^\w|\Z)", page, re.MULTILINE | re.DOTALL)[1]
    found = set()
    for path in re.findall(r"(?:dataset|models|results)(?:/[\w.*<>{},]*)*", text):
        choice = re.search(r"\{(.*)\}", path)
        whole = [path.replace(choice[0], one) for one in choice[1].split(",")] if choice else [path]
        found |= {one.rstrip("/,").removesuffix("/*.txt").removesuffix("/*.tsv") for one in whole}
    return found


def code(stage: str) -> set[Path]:
    """The files of ds2 that decide a stage's result: those that it reaches, however far, but for LEFT_OUT."""
    found = {name for name in reached([f"stages.{stage}"], without=LEFT_OUT) if name.startswith("ds2")}
    return {FILES[name].relative_to(ROOT) for name in found}


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "corpus"])
def test_a_stage_depends_on_the_data_that_its_page_says_it_reads(stage):
    deps = {path for path in paths(STAGES[stage]["deps"]) if not path.startswith("ds2/")}
    also = {"train": {"models"}, "lm": set()}.get(stage, set())  # a training goes on from its own
    assert deps == told(stage, "reads") - also


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "corpus"])
def test_a_stage_writes_what_its_page_says(stage):
    assert paths(STAGES[stage].get("outs")) | paths(STAGES[stage].get("metrics")) == told(stage, "writes")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_just_the_code_that_decides_its_result(stage):
    deps = {Path(path) for path in paths(STAGES[stage]["deps"]) if path.startswith("ds2/")}
    named = {file for dep in deps for file in ([dep] if dep.suffix else (ROOT / dep).rglob("*.py"))}
    named = {(ROOT / file).relative_to(ROOT) for file in named}
    reached_code = {file for file in code(stage) if _holds_code(file)}
    assert sorted(map(str, {file for file in named if _holds_code(file)} - reached_code)) == []
    assert sorted(map(str, reached_code - named)) == []


def test_what_is_left_out_is_reached_by_some_stage():
    found = set().union(*(reached([f"stages.{stage}"]) for stage in STAGES))
    assert LEFT_OUT.keys() - found == set()


def _holds_code(file: Path) -> bool:
    """Whether there is more in a file than a docstring."""
    return len(ast.parse((ROOT / file).read_text(encoding="utf-8")).body) > 1


def test_small_results_are_left_to_git_and_what_is_gone_on_with_is_not_deleted():
    for name, stage in STAGES.items():
        for path, said in flags([*stage.get("outs", ()), *stage.get("metrics", ())]).items():
            lasting = name == "corpus" or path == "models"
            expected = {"cache": False} if path.startswith("results/") else {"persist": True} if lasting else {}
            assert said == expected, path


def test_the_artifact_is_the_best_model():
    assert DVC["artifacts"]["deepspeech2"]["path"] == (layout.MODELS / "best_model").as_posix()


def test_the_plots_show_columns_that_the_curves_have(tmp_path):
    history = History()
    history.add_step(1, 1, 1, 2.0, 1e-3, 3.0)
    history.add_epoch(1, {"cer": 0.5, "wer": 0.75, "average_cer": 0.25, "average_wer": 0.5})
    history.write(tmp_path)
    for plot in DVC["plots"]:
        [drawn] = plot.values()
        for path, column in drawn["y"].items():
            assert Path(path).parent == layout.CURVES
            columns = (tmp_path / Path(path).name).read_text().splitlines()[0].split("\t")
            assert {drawn["x"], column} <= set(columns)
