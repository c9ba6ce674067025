"""The page that `dvc plots` fills."""

from configparser import ConfigParser

from dvc_render.html import HTML
from dvc_render.vega import VegaRenderer

from tests.process import ROOT
from tests.references import references


def template():
    config = ConfigParser()
    config.read(ROOT / ".dvc" / "config")
    return (ROOT / ".dvc" / config["plots"]["html_template"]).read_text(encoding="utf-8")


def test_a_page_made_of_it_loads_nothing_from_elsewhere():
    page = HTML(template()).with_scripts(VegaRenderer.SCRIPTS).with_element("<p>a plot</p>").embed()
    assert "<p>a plot</p>" in page
    assert references(page) == []


def test_it_says_whose_scripts_it_has_and_under_which_licences():
    page = template()
    for name in ("vega", "vega-lite", "vega-embed"):
        assert f"<script>\n/* {name} " in page
    licences = page.partition("<!--")[2].partition("-->")[0]
    assert "University of Washington Interactive Data Lab" in licences
    assert "Redistributions in binary form must reproduce" in licences
    assert "semver:\n\nThe ISC License\n\nCopyright (c) Isaac Z. Schlueter" in licences


def test_the_tables_of_a_comparison_have_a_place_in_it():
    assert template().count("<!-- tables -->") == 1
