from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.data.vocabulary import Vocabulary
from ds2.decoding.greedy import Greedy
from ds2.recognition import recognised
from ds2.recognition.acoustic import log_softmax
from ds2.recognition.calibration import Calibration, Scale
from ds2.recognition.recognised import recognise

VOCABULARY = Vocabulary(["<blank>", "<unk>", "<space>", "你", "好", "a", "b"])
MODEL = SimpleNamespace(vocabulary=VOCABULARY, step_seconds=0.03, calibration=None)
CALIBRATED = SimpleNamespace(**vars(MODEL) | {"calibration": Calibration(Scale(3.0, -1.0), Scale(2.0, 1.0), 0.05)})


def logs_of(path, sure=0.9):
    """Of a path that is this sure of every step."""
    logs = np.full((len(path), len(VOCABULARY)), (1 - sure) / (len(VOCABULARY) - 1), np.float32)
    logs[np.arange(len(path)), path] = sure
    return np.log(logs)


def test_every_character_is_a_token_and_words_have_no_spaces():
    found = recognise(MODEL, Greedy(), logs_of([0, 3, 0, 4, 0, 2, 5, 6, 2, 6, 0]))
    assert found.text == "你好 ab b"
    assert [token.text for token in found.tokens] == list(found.text)
    assert [word.text for word in found.words] == ["你", "好", "ab", "b"] == recognised.split(found.text)
    assert [word.start for word in found.words] == pytest.approx([0.03, 0.09, 0.18, 0.27])
    assert found.words[2].end == pytest.approx(0.24)
    assert all(token.confidence == pytest.approx(0.9) for token in found.tokens)


def test_a_word_is_as_sure_as_its_least_sure_character():
    logs = logs_of([5, 6, 0])
    logs[1] = logs_of([6], sure=0.5)[0]
    (word,) = recognise(MODEL, Greedy(), logs).words
    assert (word.text, word.confidence) == ("ab", pytest.approx(0.5))


def test_an_empty_text_is_as_sure_as_its_blanks():
    found = recognise(MODEL, Greedy(), logs_of([0, 0], sure=0.8))
    assert (found.text, found.tokens, found.words) == ("", (), ())
    assert found.confidence == pytest.approx(0.64)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_a_calibration_changes_no_text_and_keeps_every_order(seed, steps):
    logs = log_softmax(np.random.default_rng(seed).normal(0, 3, (steps, len(VOCABULARY))).astype(np.float32))
    raw, found = recognise(MODEL, Greedy(), logs), recognise(CALIBRATED, Greedy(), logs)
    assert found.text == raw.text
    assert [token.text for token in found.tokens] == [token.text for token in raw.tokens]
    assert found.confidence == pytest.approx(CALIBRATED.calibration.text(raw.confidence))
    sure = [token.confidence for token in found.tokens]
    assert sure == pytest.approx([CALIBRATED.calibration.word(token.confidence) for token in raw.tokens])


def test_a_text_of_parts_is_right_where_all_of_them_are():
    part = recognise(MODEL, Greedy(), logs_of([3, 0]))
    assert recognised.confidence([replace(part, confidence=0.5), replace(part, confidence=0.4)]) == pytest.approx(0.2)
