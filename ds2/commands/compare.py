"""Shows what changed between two commits, branches or experiments, and what it brought.

Prints which parameters and metrics differ, and draws the curves of both over each other in a page that needs no
network, dvc_plots/compare/index.html. FROM and TO are commits, branches, experiments or workspace.

    python -m ds2 compare HEAD workspace
"""

import argparse
import html
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ds2.errors import UserError
from ds2.pipeline import checkout

# The page of `dvc plots`, and where the tables go in it.
_TEMPLATE = Path(".dvc/plots.html")
_TABLES = "<!-- tables -->"
_OUT = Path("dvc_plots/compare")
# Whose metrics stand first; others follow by name.
_FIRST = "results/evaluate.json"

_Row = tuple[str, str, str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two states."""
    parser.add_argument("old", metavar="FROM", nargs="?", default="HEAD", help="default: %(default)s")
    parser.add_argument("new", metavar="TO", nargs="?", default="workspace", help="default: %(default)s")


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring."""
    old, new = arguments.old, arguments.new
    if not _TEMPLATE.exists():
        raise UserError(f"{_TEMPLATE} is not here: run this in the root of the repository")
    tables: list[list[_Row]] = []
    for title, kind in (("parameters", "params"), ("metrics", "metrics")):
        tables.append([(title, old, new, "change"), *_rows(json.loads(dvc(kind, "diff", "--json", old, new)))])
    page = _page(old, new, tables)
    # All at once, and last: whoever reads it may stop, as `head` does.
    print("\n\n".join([*map(_text, tables), page]))


def _rows(found: dict[str, dict[str, dict[str, Any]]]) -> Iterator[_Row]:
    """Name, old value, new value and their difference, from what `dvc ... diff --json` prints."""
    for path in sorted(found, key=lambda path: (path != _FIRST, path)):
        for name, values in sorted(found[path].items()):
            change = values.get("diff")
            signed = f"{change:+.6g}" if isinstance(change, (int, float)) else ""
            yield name, _value(values.get("old")), _value(values.get("new")), signed


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _text(table: list[_Row]) -> str:
    """What a terminal shows of it."""
    return columns(table) if len(table) > 1 else f"no {table[0][0]} differ"


def columns(table: Sequence[Sequence[str]]) -> str:
    """Rows as lines, of cells as wide as the widest of their column."""
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join(lines)


def _page(old: str, new: str, tables: list[list[_Row]]) -> str:
    """Makes the page; returns its address, or why there is none."""
    _OUT.mkdir(parents=True, exist_ok=True)  # dvc makes only one level
    drawn = "\n".join(_drawn(table) for table in tables)
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template.html"
        template.write_text(_TEMPLATE.read_text(encoding="utf-8").replace(_TABLES, drawn), encoding="utf-8")
        return dvc("plots", "diff", "--out", str(_OUT), "--html-template", str(template), old, new).strip()


def _drawn(table: list[_Row]) -> str:
    """The same as an HTML table."""
    cells = [[html.escape(cell) for cell in row] for row in table]
    head = "".join(f"<th>{cell}</th>" for cell in cells[0])
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in cells[1:])
    return f"<table>\n<tr>{head}</tr>\n{body}\n</table>"


def dvc(*arguments: str) -> str:
    """What a dvc command prints; UserError with what it said, or what keeps it from working here, where it failed."""
    checkout.check()
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"dvc {' '.join(arguments[:2])}: {done.stderr.strip().removeprefix('ERROR: ')}")
    return done.stdout
