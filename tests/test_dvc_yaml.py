"""dvc.yaml says of each stage what it really reads, runs and writes: what is missing there would rerun nothing."""

import importlib
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ds2 import layout
from ds2.training.history import History
from tests.documents import ROOT
from tests.imports import FILES, reached

DVC = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = {name: stage.get("do", stage) for name, stage in DVC["stages"].items()}

# What a stage imports that does not decide its result: how files are written, errors told, work spread; and the
# parameters, which stand under `params` by their values.
EVERYWHERE = {"ds2", "ds2.cpu", "ds2.model.device", "ds2.errors", "ds2.files", "ds2.layout", "ds2.data", "ds2.parallel"}
EVERYWHERE |= {
    "ds2.params",
    "ds2.params.messages",
    "ds2.params.types",
    "ds2.distributed.launch",
    "ds2.distributed.machines",
}
EVERYWHERE |= {"ds2.training", "ds2.distributed.signals"}
# Of a stage's own: patterns of modules, and why.
OWN = {
    "corpus": r"ds2\.mel$",  # params.py checks a parameter with it, which those of this stage are not
    "manifest": r"ds2\.corpora$",  # the names of corpora
    "mean_istd": r"ds2\.data\.(flac|manifest)$",  # inspects files, which is the manifest's work; reads lines
    "vocabulary": r"ds2\.(data\.manifest|mel)$",
    "lm": r"ds2\.(data\.manifest|mel)$",
    "train": r"ds2\.(evaluation|decoding)\b",  # scores the training, and changes nothing of it
    "evaluate": r"$",
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


def code(stage: str) -> set[str]:
    """The modules of ds2 that a stage imports, however far."""
    return {name for name in reached([f"stages.{stage}"]) if name.startswith("ds2")}


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "corpus"])
def test_a_stage_depends_on_the_data_that_its_page_says_it_reads(stage):
    deps = {path for path in paths(STAGES[stage]["deps"]) if not path.startswith("ds2/")}
    also = {"train": {"models"}, "lm": set()}.get(stage, set())  # a training goes on from its own
    assert deps == told(stage, "reads") - also


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "corpus"])
def test_a_stage_writes_what_its_page_says(stage):
    assert paths(STAGES[stage].get("outs")) | paths(STAGES[stage].get("metrics")) == told(stage, "writes")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_that_decides_its_result(stage):
    deps = {Path(path) for path in paths(STAGES[stage]["deps"]) if path.startswith("ds2/")}
    assert [path for path in deps if not (ROOT / path).exists()] == []
    files = {name: FILES[name].relative_to(ROOT) for name in code(stage)}
    covered = {name for name, path in files.items() if any(path.is_relative_to(dep) for dep in deps)}
    assert {name for name in files.keys() - covered - EVERYWHERE if not re.match(OWN[stage], name)} == set()
    assert [dep for dep in deps if not any(path.is_relative_to(dep) for path in files.values())] == []


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
    history.add_epoch(1, {"cer": 0.5, "wer": 0.75})
    history.write(tmp_path)
    for plot in DVC["plots"]:
        [drawn] = plot.values()
        for path, column in drawn["y"].items():
            assert Path(path).parent == layout.CURVES
            columns = (tmp_path / Path(path).name).read_text().splitlines()[0].split("\t")
            assert {drawn["x"], column} <= set(columns)
