"""params.yaml, the recipes, dvc.yaml, the READMEs' options and the code say the same of the parameters."""

import functools
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ds2 import params
from ds2.corpora import registry
from ds2.params import recipes

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
EACH_RECIPE = pytest.mark.parametrize("name", RECIPES)
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]

# The parameters of a stage, as design.md's table of stages has them.
LISTED = {
    "corpus": ["corpora"],
    "manifest": ["corpora", "manifest", "text", "features.sample_rate", "model.type"],
    "mean_istd": ["features", "mean_istd", "manifest.max_rejected_fraction"],
    "vocabulary": ["vocabulary"],
    "train": [
        *("corpora", "features", "model", "augment", "train"),
        *("evaluate.metrics_type", "manifest.max_rejected_fraction"),
    ],
    "lm": ["lm", "text"],
    "evaluate": ["evaluate"],
}


@pytest.fixture
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


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


@EACH_RECIPE
def test_a_recipe_holds_only_what_differs_from_the_full_size_and_says_why(name, in_the_repository):
    recipe = recipes.read(name)
    full, own = params.values(params.Params()), params.values(recipe.settings)
    stated = _leaves(_read(ROOT / f"recipes/{name}.yaml"))
    assert [parameter for parameter in stated if parameter != "corpora" and own[parameter] == full[parameter]] == []
    assert [parameter for parameter in stated if not recipe.reasons.get(parameter)] == []


@EACH_RECIPE
def test_the_file_that_a_recipe_becomes_has_every_parameter_in_the_order_of_the_code(name, in_the_repository, tmp_path):
    recipe = recipes.read(name)
    path = tmp_path / "params.yaml"
    path.write_text(recipes.written_out(recipe), encoding="utf-8")
    assert params.load(path) == recipe.settings
    assert _leaves(_read(path)) == params.names()
    assert max(map(len, path.read_text(encoding="utf-8").splitlines())) <= 120


def test_params_yaml_is_the_demos(in_the_repository):
    assert (ROOT / "params.yaml").read_text(encoding="utf-8") == recipes.written_out(recipes.read("demo"))


def test_the_recipes_full_and_aishell_are_the_full_size(in_the_repository):
    # But for the volume, whose default stays for those who train with it.
    augment = params.AugmentSettings(volume={"prob": 0.0})
    assert recipes.read("full").settings == params.Params(augment=augment)
    official = params.ManifestSettings(dev_fraction=0.0, test_fraction=0.0)
    assert recipes.read("aishell").settings == params.Params(corpora=("aishell",), manifest=official, augment=augment)


@EACH_RECIPE
def test_a_recipe_asks_for_no_change_of_volume_that_levelling_undoes(name, in_the_repository):
    settings = recipes.read(name).settings
    assert settings.features.target_db is None or settings.augment.volume.prob == 0


@EACH_RECIPE
def test_the_corpora_of_a_recipe_are_built_in(name, in_the_repository):
    named = recipes.read(name).settings.corpora
    registry.check(named)
    if name in registry.NAMES:
        assert named == (name,)
    if "+" in name:
        assert named == tuple(name.split("+"))


# Those of these corpora that have test data of their own, which no training utterance may take away from.
OFFICIAL = {"aishell", "thchs30", "librispeech"}


@EACH_RECIPE
def test_recipes_of_corpora_with_official_parts_hold_nothing_else_out_and_those_for_own_data_do(
    name, in_the_repository
):
    settings = recipes.read(name).settings
    fractions = (settings.manifest.dev_fraction, settings.manifest.test_fraction)
    if OFFICIAL & set(settings.corpora):
        assert fractions == (0.0, 0.0)
    else:
        assert min(fractions) > 0


def test_dvc_yaml_lists_for_each_stage_the_parameters_of_the_design():
    stages = _read(ROOT / "dvc.yaml")["stages"]
    assert {name: stage.get("do", stage)["params"] for name, stage in stages.items()} == LISTED


def test_every_section_but_runtime_is_listed_by_a_stage():
    listed = {name.split(".")[0] for names in LISTED.values() for name in names}
    assert set(params.Params.model_fields) - listed == {"runtime"}


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_readmes_options_have_the_full_size_values(readme):
    options = _options(readme)
    assert len(options) >= 12
    wrong = [
        (name, default)
        for name, default in options
        if YAML(typ="safe", pure=True).load(default) != _value(name, params.Params())
    ]
    assert wrong == []
