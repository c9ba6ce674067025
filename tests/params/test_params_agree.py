"""params.yaml, the recipes, dvc.yaml, the READMEs' options and the code say the same of the parameters."""

import functools
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ds2 import params
from ds2.corpora import registry

ROOT = Path(__file__).parents[2]
COMPLETE = [ROOT / "params.yaml", *sorted((ROOT / "recipes").glob("*.yaml"))]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]

# The parameters of a stage, as design.md's table of stages has them.
LISTED = {
    "corpus": ["corpora"],
    "manifest": ["corpora", "manifest", "text", "features.sample_rate"],
    "mean_istd": ["features", "mean_istd"],
    "vocabulary": ["vocabulary"],
    "train": ["corpora", "features", "model", "augment", "train"],
    "lm": ["lm", "text"],
    "evaluate": ["evaluate"],
}


def _read(path: Path):
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def _value(name: str, settings: params.Params):
    return functools.reduce(getattr, name.split("."), settings)


def _leaves(values: dict, prefix: str = "") -> list[str]:
    found = []
    for name, value in values.items():
        found += _leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return found


def _options(readme: Path) -> list[tuple[str, str]]:
    """Names and defaults of the options table."""
    rows = re.findall(r"^\| `.+?\| (.+?) \| (.+?) \|$", readme.read_text(encoding="utf-8"), re.MULTILINE)
    found = []
    for here, default in rows:
        names = [name for name in re.findall(r"`([a-z_.]+)`?", here) if name in params.names()]
        found += [(name, default.strip("`")) for name in names]
    return found


@pytest.mark.parametrize("path", COMPLETE, ids=lambda path: path.name)
def test_a_complete_file_has_every_parameter_in_the_order_of_the_code(path):
    params.load(path)
    assert _leaves(_read(path)) == params.names()


def test_the_full_size_recipes_have_the_defaults_of_the_code():
    assert params.load(ROOT / "recipes/full.yaml") == params.Params()
    official = params.ManifestSettings(dev_fraction=0.0, test_fraction=0.0)
    assert params.load(ROOT / "recipes/aishell.yaml") == params.Params(corpora=("aishell",), manifest=official)


@pytest.mark.parametrize("path", COMPLETE, ids=lambda path: path.name)
def test_the_corpora_of_a_complete_file_are_built_in(path):
    names = params.load(path).corpora
    registry.check(names)
    if path.stem in registry.NAMES:
        assert names == (path.stem,)
    if "+" in path.stem:
        assert names == tuple(path.stem.split("+"))


# Those of these corpora that have test data of their own, which no training utterance may take away from.
OFFICIAL = {"aishell", "thchs30", "librispeech"}


@pytest.mark.parametrize("path", COMPLETE, ids=lambda path: path.name)
def test_recipes_of_corpora_with_official_parts_hold_nothing_else_out(path):
    settings = params.load(path)
    if OFFICIAL & set(settings.corpora):
        assert (settings.manifest.dev_fraction, settings.manifest.test_fraction) == (0.0, 0.0)


@pytest.mark.parametrize("path", COMPLETE, ids=lambda path: path.name)
def test_recipes_for_own_data_hold_dev_and_test_data_out(path):
    settings = params.load(path)
    if not settings.corpora:
        assert settings.manifest.dev_fraction > 0
        assert settings.manifest.test_fraction > 0


def test_dvc_yaml_lists_for_each_stage_the_parameters_of_the_design():
    stages = _read(ROOT / "dvc.yaml")["stages"]
    assert {name: stage.get("do", stage)["params"] for name, stage in stages.items()} == LISTED


def test_every_section_but_runtime_is_listed_by_a_stage():
    listed = {name.split(".")[0] for names in LISTED.values() for name in names}
    assert set(params.Params.model_fields) - listed == {"runtime"}


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_readmes_options_have_the_full_size_recipes_values(readme):
    options = _options(readme)
    recipe = params.load(ROOT / "recipes/aishell.yaml")
    assert len(options) >= 12
    wrong = [
        (name, default)
        for name, default in options
        if YAML(typ="safe", pure=True).load(default) != _value(name, recipe)
    ]
    assert wrong == []
