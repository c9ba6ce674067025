"""The page that `dvc plots` fills."""

import importlib.util
import json
import re
from configparser import ConfigParser

import pytest
from dvc_render.html import HTML
from dvc_render.vega import VegaRenderer

from tests.process import ROOT
from tests.references import references


def template():
    config = ConfigParser()
    config.read(ROOT / ".dvc" / "config")
    return (ROOT / ".dvc" / config["plots"]["html_template"]).read_text(encoding="utf-8")


def comment(page):
    return page.partition("<!--")[2].partition("-->")[0]


@pytest.fixture
def script():
    """docs/plots_page.py, which makes it."""
    spec = importlib.util.spec_from_file_location("plots_page", ROOT / "docs" / "plots_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_page_made_of_it_loads_nothing_from_elsewhere():
    page = HTML(template()).with_scripts(VegaRenderer.SCRIPTS).with_element("<p>a plot</p>").embed()
    assert "<p>a plot</p>" in page
    assert references(page) == []


def test_it_says_whose_scripts_it_has_and_under_which_licences():
    page = template()
    for name in ("vega", "vega-lite", "vega-embed"):
        assert f"<script>\n/* {name} " in page
    licences = comment(page)
    assert "University of Washington Interactive Data Lab" in licences
    assert "Redistributions in binary form must reproduce" in licences
    assert "semver:\n\nThe ISC License\n\nCopyright (c) Isaac Z. Schlueter" in licences


def test_no_terms_stand_in_it_twice():
    terms = []
    for block in re.split(r"\n{3,}", comment(template())):
        paragraphs = block.split("\n\n")
        notices = [i for i, paragraph in enumerate(paragraphs) if paragraph.startswith("Copyright")]
        terms.append(" ".join(" ".join(paragraphs[max(notices, default=0) + 1 :]).split()))
    assert len(terms) > 5
    assert len(set(terms)) == len(terms)


GRANT = "Permission is granted\nto all.\n\nTHE SOFTWARE IS PROVIDED AS IS."
OTHER = "Redistribution is permitted.\n\nTHIS SOFTWARE IS PROVIDED AS IT IS."


def test_terms_that_packages_share_stand_once_under_the_copyright_lines_of_all(script, tmp_path, monkeypatch):
    licences = {
        "a": f"Copyright 2001 A\n\n{GRANT}\n",
        "b": f"The Licence\n\nCopyright 2002 B\nAll rights reserved.\n\n{GRANT.replace(chr(10) + 'to', ' to')}",
        "c": f"Copyright 2001 A\n\n{GRANT}",
        "d": f"Copyright 2004 D\n\n{OTHER}",
        "e": f"Copyright 2005 E\n\n{OTHER}\n\nA part of it:\n\nCopyright 2006 F\n\n{GRANT}",
        "f": "Nobody's.",
    }
    for name, text in licences.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "LICENSE").write_text(text)
        (tmp_path / name / "package.json").write_text(json.dumps({"dependencies": {}}))
    monkeypatch.setattr(script, "PACKAGES", tuple((name, "1", "") for name in licences))
    assert script._licences(tmp_path) == (
        "a, c:\n\nCopyright 2001 A\n\n"
        "b:\n\nThe Licence\n\nCopyright 2002 B\nAll rights reserved.\n\n"
        f"e:\n\nA part of it:\n\nCopyright 2006 F\n\n{GRANT}\n\n\n"
        f"d:\n\nCopyright 2004 D\n\ne:\n\nCopyright 2005 E\n\n{OTHER}\n\n\n"
        "f:\n\nNobody's.\n"
    )


def test_the_tables_of_a_comparison_have_a_place_in_it():
    assert template().count("<!-- tables -->") == 1
