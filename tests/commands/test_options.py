"""What a command decodes with: the model's own decoder, and each option over it."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import pytest

from ds2 import layout, params
from ds2.commands import options
from ds2.errors import UserError


@dataclass
class Model:
    """What options ask of a model."""

    decoding: params.EvaluateSettings | None = None
    language_model: Path | None = None


BARE = Model()
BUNDLE = Model(params.EvaluateSettings(decoder="ctc_beam_search", alpha=1.5, hot_words={"你": 2.0}), Path("m/lm.arpa"))
FOLDER = Path("models/best_model")


@pytest.fixture
def over(workspace):
    """over(model, *arguments) is the decoding of a model with the options of a command line."""
    (workspace / "my.arpa").write_text("")
    (workspace / "words.txt").write_text("好\t3\n", encoding="utf-8")
    (workspace / layout.PARAMS).unlink(missing_ok=True)
    (workspace / layout.LANGUAGE_MODEL).unlink(missing_ok=True)

    def make(model, *arguments):
        parser = argparse.ArgumentParser()
        options.add_arguments(parser)
        return options.read(parser.parse_args(arguments)).over(model, FOLDER)

    return make


def test_a_bundle_decodes_as_it_says_and_a_bare_checkpoint_greedily_which_is_said(over, log):
    found = over(BUNDLE)
    assert (found.settings, found.language_model) == (BUNDLE.decoding, BUNDLE.language_model)
    assert log == []
    found = over(BARE)
    assert (found.settings, found.language_model) == (params.EvaluateSettings(), None)
    assert log == ["models/best_model brings no decoder and decodes greedily"]


@pytest.mark.parametrize("arguments", [["--decoder", "ctc_greedy"], ["--lm", "my.arpa"]])
def test_who_says_how_to_decode_is_not_told_how(arguments, over, log):
    over(BARE, *arguments)
    assert log == []


def test_parameters_beside_a_checkpoint_that_name_another_decoder_are_pointed_to(over, workspace, log):
    (workspace / layout.PARAMS).write_text('{"evaluate": {"decoder": "ctc_beam_search", "beta": 1.0}}')
    over(BARE)
    assert log[-1] == (
        "models/best_model brings no decoder and decodes greedily; params.yaml names ctc_beam_search: add --params "
        "params.yaml to decode as it says"
    )
    for model in (BARE, BUNDLE):
        found = over(model, "--params", "params.yaml")
        assert (found.settings.decoder, found.settings.beta) == ("ctc_beam_search", 1.0)
        assert found.language_model == layout.LANGUAGE_MODEL
        assert found.settings.hot_words is None
    (workspace / layout.PARAMS).write_text("evaluate: {decoder: [}")
    over(BARE)
    assert log[-1] == "models/best_model brings no decoder and decodes greedily"


@pytest.mark.parametrize(
    ("model", "arguments", "decoder", "language_model"),
    [
        (BARE, ["--lm", "my.arpa"], "ctc_beam_search", "my.arpa"),
        (BARE, ["--lm", "my.arpa", "--alpha", "1", "--beam-size", "9"], "ctc_beam_search", "my.arpa"),
        (BARE, ["--hot-words", "words.txt"], "ctc_prefix_beam", None),
        (BARE, ["--beam-size", "7"], "ctc_prefix_beam", None),
        (BUNDLE, ["--hot-words", "words.txt"], "ctc_beam_search", "m/lm.arpa"),
        (BUNDLE, ["--lm", "my.arpa"], "ctc_beam_search", "my.arpa"),
        (BUNDLE, ["--decoder", "ctc_prefix_beam"], "ctc_prefix_beam", None),
        (BUNDLE, ["--decoder", "ctc_greedy"], "ctc_greedy", None),
    ],
)
def test_options_mean_the_simplest_decoder_that_heeds_them(model, arguments, decoder, language_model, over):
    found = over(model, *arguments)
    assert found.settings.decoder == decoder
    assert found.language_model == (Path(language_model) if language_model else None)


def test_options_change_what_they_name_and_nothing_else(over):
    found = over(BUNDLE, "--hot-words", "words.txt", "--beam-size", "7", "--alpha", "0.5", "--beta", "-1").settings
    changes = {"hot_words": {"好": 3.0}, "beam_size": 7, "alpha": 0.5, "beta": -1.0}
    assert found == BUNDLE.decoding.model_copy(update=changes)


@pytest.mark.parametrize(
    ("model", "arguments", "sentence"),
    [
        (BARE, ["--decoder", "ctc_greedy", "--beam-size", "3"], "--beam-size: ctc_greedy makes no use of it"),
        (BUNDLE, ["--decoder", "ctc_greedy", "--hot-words", "words.txt"], "--hot-words: ctc_greedy makes no use of it"),
        (BARE, ["--decoder", "ctc_prefix_beam", "--alpha", "1"], "or name --decoder ctc_beam_search"),
        (BUNDLE, ["--decoder", "ctc_prefix_beam", "--lm", "my.arpa"], "--lm: ctc_prefix_beam makes no use of it"),
        (BARE, ["--beta", "1"], "--decoder ctc_beam_search needs a language model, and models/best_model brings none"),
        (BARE, ["--lm", "none.arpa"], "--lm none.arpa: there is no such file"),
        (BARE, ["--hot-words", "none.txt"], "none.txt cannot be read"),
        (BARE, ["--params", "none.yaml"], "none.yaml does not exist"),
    ],
)
def test_what_has_no_sense_is_one_sentence(model, arguments, sentence, over):
    with pytest.raises(UserError) as refused:
        over(model, *arguments)
    assert sentence in str(refused.value)


def test_a_language_model_that_is_at_hand_is_named(over, workspace):
    (workspace / layout.LANGUAGE_MODEL).write_text("")
    with pytest.raises(UserError, match=r"name one with --lm, such as --lm dataset/lm\.arpa$"):
        over(BARE, "--decoder", "ctc_beam_search")


def test_what_the_texts_depend_on_is_known_and_nothing_else(over, workspace):
    first = over(BUNDLE, "--lm", "my.arpa").identity()
    again = Model(BUNDLE.decoding.model_copy(update={"batch_size": 3, "metrics_type": "wer"}), BUNDLE.language_model)
    assert over(again, "--lm", "my.arpa").identity() == first
    assert over(BUNDLE, "--lm", "my.arpa", "--alpha", "3").identity() != first
    (workspace / "my.arpa").write_text("another")
    assert over(BUNDLE, "--lm", "my.arpa").identity() != first
