import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.data import frames
from ds2.data.vocabulary import BLANK_ID
from ds2.recognition import alignment
from ds2.recognition.acoustic import log_softmax
from ds2.recognition.alignment import TooLongError
from tests.documents import ROOT


def collapsed(path) -> list[int]:
    """The text of a path, by the definition of CTC."""
    return [token for token, _ in itertools.groupby(path) if token != BLANK_ID]


def spans_of(path) -> list[list[int]]:
    """First and last + 1 step of each token of a path."""
    found, at = [], 0
    for token, run in itertools.groupby(path):
        length = len(list(run))
        if token != BLANK_ID:
            found.append([at, at + length])
        at += length
    return found


def score(logs, path) -> float:
    return sum(float(row[token]) for row, token in zip(logs, path, strict=True))


def path_of(spans, ids, steps):
    path = [BLANK_ID] * steps
    for (first, last), token in zip(spans, ids, strict=True):
        path[first:last] = [token] * (last - first)
    return path


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 7), st.lists(st.integers(1, 3), max_size=4))
def test_it_is_the_likeliest_of_all_paths_that_say_the_text(seed, steps, ids):
    logs = log_softmax(np.random.default_rng(seed).normal(0, 2, (steps, 4)).astype(np.float32))
    paths = [path for path in itertools.product(range(4), repeat=steps) if collapsed(path) == ids]
    if not paths:
        assert frames.steps_needed(ids) > steps
        with pytest.raises(TooLongError):
            alignment.align(logs, np.array(ids, np.int64))
        return
    spans = alignment.align(logs, np.array(ids, np.int64)).tolist()
    found = path_of(spans, ids, steps)
    assert collapsed(found) == ids
    assert spans == spans_of(found)
    assert score(logs, found) == pytest.approx(max(score(logs, path) for path in paths), abs=1e-4)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(20, 200))
def test_the_text_of_the_best_path_is_aligned_with_the_best_path(seed, steps):
    logs = log_softmax(np.random.default_rng(seed).normal(0, 3, (steps, 6)).astype(np.float32))
    path = logs.argmax(axis=1).tolist()
    assert alignment.align(logs, np.array(collapsed(path))).tolist() == spans_of(path)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.lists(st.integers(1, 3), max_size=3))
def test_the_likelihood_is_the_sum_over_all_paths_that_say_the_text(seed, steps, ids):
    logs = log_softmax(np.random.default_rng(seed).normal(0, 2, (steps, 4)).astype(np.float32))
    scores = [score(logs, path) for path in itertools.product(range(4), repeat=steps) if collapsed(path) == ids]
    expected = np.logaddexp.reduce(scores) if scores else -np.inf
    assert alignment.log_likelihood(logs, np.array(ids, np.int64)) == pytest.approx(min(0.0, expected), abs=1e-4)


def test_an_empty_text_has_no_spans():
    assert alignment.align(np.zeros((5, 3), np.float32), np.zeros(0, np.int64)).shape == (0, 2)
    assert alignment.align(np.zeros((0, 3), np.float32), np.zeros(0, np.int64)).shape == (0, 2)


def test_a_text_that_just_fits_has_a_step_for_each_token_and_a_blank_between_equal_ones():
    logs = np.log(np.full((5, 4), 0.25, np.float32))
    assert alignment.align(logs, np.array([2, 2, 3, 2])).tolist() == [[0, 1], [2, 3], [3, 4], [4, 5]]


@pytest.mark.parametrize("ids", [[1, 2, 3], [1, 1]])
def test_a_text_longer_than_the_steps_is_refused_with_the_numbers(ids):
    with pytest.raises(TooLongError, match=rf"its {len(ids)} characters need at least 3 output steps .* has 2$"):
        alignment.align(np.zeros((2, 4), np.float32), np.array(ids))


def test_tokens_that_the_network_rules_out_are_aligned_all_the_same():
    logs = np.full((6, 3), -np.inf, np.float32)
    logs[:, 0] = 0.0
    spans = alignment.align(logs, np.array([1, 2, 2]))
    assert collapsed(path_of(spans.tolist(), [1, 2, 2], 6)) == [1, 2, 2]


LONG = """
import resource
import numpy as np
from ds2.recognition import alignment

random = np.random.default_rng(1)
logs = np.log(random.random((20_000, 50), np.float32))
ids = random.integers(1, 50, 4_000)
alignment.align(logs[:2_000], ids[:20])  # compiled
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
alignment.align(logs, ids)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_the_memory_grows_with_the_root_of_the_steps():
    # kB: a byte for every step and state would be 160 MB.
    done = subprocess.run([sys.executable, "-c", LONG], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(done.stdout) < 40_000
