"""Lists the experiments of all commits: dev score to choose by, test score to report, parameters that differ.

A row is an experiment, a commit that experiments started from, or the last commit; the lowest dev score stands first.
Parameters go by the shortest end of their names that tells them apart. Where data differ, a column has the beginning
of their hash: scores on different data cannot be compared.

    python -m ds2 experiments
"""

import argparse
import json
import math
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ds2 import layout, params
from ds2.commands.compare import columns, dvc
from ds2.metrics import TOKENS

# What stands where a row has nothing.
_NONE = "-"
# An experiment's state once its results are its own.
_DONE = "success"


@dataclass(frozen=True)
class _Row:
    name: str
    settings: dict[str, Any]  # parameters and data by name; empty where nothing has run
    metrics: dict[str, Any]

    def cells(self, metric: str) -> list[float | None]:
        """The dev and the test score."""
        # A training that has chosen by other data, or by none, has no score to choose by.
        on_dev = self.settings.get("train.evaluate_on", "dev") == "dev"
        return [self.metrics.get(f"{metric}_of_best") if on_dev else None, self.metrics.get(metric)]


def run(_: argparse.Namespace) -> None:
    """See the module's docstring."""
    rows = list(_rows(json.loads(dvc("exp", "show", "--json", *_revisions()))))
    metrics = [metric for metric in TOKENS if any(metric == row.settings.get("evaluate.metrics_type") for row in rows)]
    differ = _differing(rows)
    titles = [f"{split} {metric.upper()}" for metric in metrics for split in ("dev", "test")]
    table = [(*titles, "experiment", *_short(differ))]
    scored = [([score for metric in metrics for score in row.cells(metric)], row) for row in rows]
    for scores, row in sorted(scored, key=lambda one: [math.inf if score is None else score for score in one[0]]):
        told = [_NONE if score is None else f"{score:.4f}" for score in scores]
        table.append((*told, row.name, *(_cell(row, name) for name in differ)))
    print(f"{columns(table)}\n\nChoose an experiment by its dev score, then report its test score.")


def _revisions() -> Iterator[str]:
    """HEAD and the commits that have experiments, as options: with -A dvc would read every commit."""
    command = ("git", "for-each-ref", "--sort=-committerdate", "--format=%(refname)", "refs/exps/??/*/*")
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    commits = ["".join(name.split("/")[2:4]) for name in found]  # refs/exps/01/23456.../NAME
    for revision in dict.fromkeys(["HEAD", *commits]):
        yield from ("--rev", revision)


def _rows(shown: list[dict[str, Any]]) -> Iterator[_Row]:
    """The rows of what `dvc exp show --json` prints, without the workspace: its results may be of other parameters."""
    for commit in shown[1:]:
        yield _row(commit)
        for experiment in commit["experiments"] or ():
            yield _row(experiment["revs"][0], (experiment["executor"] or {}).get("state", _DONE))


def _row(shown: dict[str, Any], state: str = _DONE) -> _Row:
    name = shown.get("name") or shown["rev"][:7]
    data = shown.get("data") or {}
    written, made = (
        {key: value for found in (data.get(kind) or {}).values() for key, value in (found.get("data") or {}).items()}
        for kind in ("params", "metrics")
    )
    settings = {key: value for key, value in _leaves(written) if not key.startswith("runtime.")}
    for split in layout.SPLITS:
        if known := (data.get("deps") or {}).get(str(layout.manifest_path(split))):
            settings[f"{split} data"] = (known["hash"] or "")[:6]
    # Until an experiment has succeeded, dvc shows the metrics of the commit that it started from.
    return _Row(name, settings, made) if state == _DONE else _Row(f"{name} ({state})", settings, {})


def _leaves(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _differing(rows: list[_Row]) -> list[str]:
    """The parameters and data in which rows differ, in the order of params.yaml."""
    names = dict.fromkeys(name for row in rows for name in row.settings)
    return [name for name in names if len({_cell(row, name) for row in rows if row.settings}) > 1]


def _cell(row: _Row, name: str) -> str:
    """A value; of a parameter that did not exist yet the one that reproduces what was before it."""
    if name not in row.settings and (not row.settings or name not in params.implied()):
        return _NONE
    value = row.settings.get(name, params.implied().get(name))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(names: list[str]) -> Iterator[str]:
    """The last parts of names that no other parameter has."""
    known = {*names, *params.names()}
    for name in names:
        parts = name.split(".")
        ends = (".".join(parts[-count:]) for count in range(1, len(parts) + 1))
        yield next(end for end in ends if sum(f".{other}".endswith(f".{end}") for other in known) == 1)
