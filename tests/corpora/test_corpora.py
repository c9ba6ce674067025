import importlib

import pytest

from ds2.corpora import annotations, registry
from ds2.errors import UserError

APART = ("demo", "aishell", "thchs30", "free_st", "librispeech", "musan", "rirs_noises")


def test_names_of_built_in_corpora_pass():
    for name in registry.NAMES:
        registry.check([name])
    registry.check(APART)
    registry.check(["aishell", "aishell"])


@pytest.mark.parametrize("names", [("librispeech_100", "librispeech"), ("librispeech", "demo", "librispeech_460")])
def test_corpora_with_recordings_in_common_are_refused(names):
    with pytest.raises(UserError, match="have recordings in common: name one of them"):
        registry.check(names)


def test_every_name_has_a_builder():
    for name in registry.NAMES:
        module = importlib.import_module(f"ds2.corpora.{registry.BUILDERS[name]}")
        assert callable(module.build)


def test_what_a_corpus_says_is_one_line_of_three_fields(tmp_path):
    annotations.write(tmp_path, "demo", {"dev": [annotations.Spoken("a.wav", " one\ttwo\nthree ", "s1")]})
    assert (tmp_path / "demo.dev.txt").read_text() == "a.wav\tone two three\ts1\n"
    assert [(tmp_path / f"demo.{split}.txt").read_text() for split in ("train", "test")] == ["", ""]
