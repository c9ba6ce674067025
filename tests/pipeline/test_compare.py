"""Comparing experiments: tables and pages that need no network."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.references import references

pytestmark = [pytest.mark.slow, pytest.mark.wheel]

CURVES = {"training loss", "CER", "CER of the average", "WER", "WER of the average", "learning rate", "gradient norm"}


@pytest.fixture(scope="module")
def compared(trained):
    """A repository with an experiment, applied to the workspace, of another rate and one epoch more."""
    trained.run("dvc", "exp", "run", "-n", "faster", "-S", "train.learning_rate=0.01", "-S", "train.num_epoch=3")
    return trained


def compare(repository, *revisions, expect=0):
    return repository.run(sys.executable, "-m", "ds2", "compare", *revisions, expect=expect)


def page_of(repository, printed):
    """The page whose address a command printed last."""
    address = printed.split()[-1]
    path = repository.folder / address.removeprefix(f"file://{repository.folder}/")
    return path.read_text(encoding="utf-8")


def titles(page):
    return set(re.findall(r'"title": {"text": "([^"]+)"', page))


def table(printed, title):
    """The rows of a printed table by their first cell."""
    lines = iter(printed.splitlines())
    for line in lines:
        if line.startswith(title):
            break
    rows = {}
    for line in lines:
        if not line:
            break
        name, *values = line.split()
        rows[name] = values
    return rows


def test_the_changed_parameters_and_metrics_are_printed_the_cer_first(compared):
    printed = compare(compared)
    assert table(printed, "parameters") == {
        "train.learning_rate": ["0.003", "0.01", "+0.007"],
        "train.num_epoch": ["2", "3", "+1"],
    }
    metrics = table(printed, "metrics")
    assert next(iter(metrics)) == "cer"
    old, new, change = (float(value) for value in metrics["cer"])
    assert change == pytest.approx(new - old, abs=1e-5)
    assert set(metrics) <= {"cer", "cer_low", "cer_high", "cer_of_best"}


def test_the_page_has_the_tables_and_the_curves_of_both_and_needs_no_network(compared):
    page = page_of(compared, compare(compared))
    assert "<td>train.num_epoch</td><td>2</td><td>3</td><td>+1</td>" in page
    assert titles(page) == CURVES
    assert {'"rev": "HEAD"', '"rev": "workspace"'} <= set(re.findall(r'"rev": "\w+"', page))
    assert references(page) == []


@pytest.mark.parametrize("command", [("show",), ("diff", "HEAD", "faster")])
def test_the_pages_of_dvc_plots_need_no_network_either(compared, command):
    page = page_of(compared, compared.run("dvc", "plots", *command))
    assert titles(page) == CURVES
    assert references(page) == []


def test_two_states_can_be_named_and_equal_ones_do_not_differ(compared):
    assert table(compare(compared, "HEAD", "faster"), "parameters")["train.num_epoch"] == ["2", "3", "+1"]
    printed = compare(compared, "faster", "workspace")
    assert "no parameters differ" in printed
    assert "no metrics differ" in printed


def test_an_unknown_state_is_said_in_a_sentence(compared):
    printed = compare(compared, "atlantis", expect=1)
    assert printed.startswith("error: ")
    assert "atlantis" in printed
    assert "Traceback" not in printed


def test_make_compare_and_make_experiments(compared):
    # In place of the environment that make would install: this one.
    (compared.folder / ".venv").mkdir()
    (compared.folder / ".venv" / "cpu").symlink_to(Path(sys.executable).parents[1])
    # Make under make, as in make test-slow, names the folders that it enters.
    make = ("make", "--no-print-directory", "-o", ".venv/cpu/.installed", "PADDLE=cpu")
    assert table(compared.run(*make, "compare"), "parameters")["train.num_epoch"] == ["2", "3", "+1"]
    assert "no parameters differ" in compared.run(*make, "compare", "FROM=faster")
    compared.run("git", "commit", "-q", "--allow-empty", "-m", "later")
    header, *rows = compared.run(*make, "experiments").splitlines()
    compared.run("git", "reset", "-q", "--soft", "HEAD~1")
    assert max(map(len, (header, *rows))) <= 80
    assert header.split("  ") == ["dev CER", "test CER", "experiment", "num_epoch", "learning_rate"]
    dev, test = (
        json.loads((compared.folder / f"results/{name}.json").read_text())[key]
        for name, key in (("train", "cer_of_best"), ("evaluate", "cer"))
    )
    assert next(row.split() for row in rows if "faster" in row) == [f"{dev:.4f}", f"{test:.4f}", "faster", "3", "0.01"]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium")
def test_a_browser_without_a_network_draws_every_curve(compared, tmp_path):
    compare(compared)
    done = subprocess.run(
        [
            "chromium",
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--virtual-time-budget=10000",
            "--dump-dom",
            (compared.folder / "dvc_plots/compare/index.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert done.stdout.count("<canvas") == len(CURVES)
