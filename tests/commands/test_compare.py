import json
from pathlib import Path

from ds2.commands import compare

DIFF = {"params.yaml": {"train.seed": {"old": 1, "new": 2, "diff": 1}, "model.type": {"old": "<b>", "new": None}}}


def test_outside_the_repository_it_says_where_to_run(workspace, refused):
    assert refused("compare") == "error: .dvc/plots.html is not here: run this in the root of the repository"
    assert not (workspace / "dvc_plots").exists()


def test_the_tables_are_for_the_terminal_and_for_the_page(workspace, monkeypatch, command):
    (workspace / ".dvc").mkdir()
    (workspace / ".dvc/plots.html").write_text("<p><!-- tables --></p>")
    templates = []

    def dvc(*arguments):
        if arguments[0] == "plots":
            templates.append(Path(arguments[arguments.index("--html-template") + 1]).read_text())
            return "file:///page\n"
        return json.dumps(DIFF if arguments[0] == "params" else {})

    monkeypatch.setattr(compare, "dvc", dvc)
    _, out, _ = command("compare", "one", "two")
    assert out.splitlines() == [
        "parameters  one    two   change",
        'model.type  "<b>"  null',
        "train.seed  1      2     +1",
        "",
        "no metrics differ",
        "",
        "file:///page",
    ]
    assert "<td>&quot;&lt;b&gt;&quot;</td>" in templates[0]
