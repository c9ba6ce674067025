"""Back-off n-gram language models, read from ARPA files into arrays for the beam search.

The model becomes an automaton: a state is a context of the file, an arc an n-gram. A token without an arc takes the
state's back-off weight and is looked for in the state of the next shorter context (Katz 1987), so a query costs one
look-up in a hash table for every order that it has to back off.
"""

import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ds2.compiled import compiled
from ds2.data.vocabulary import UNKNOWN_ID, Vocabulary
from ds2.decoding import automaton, table
from ds2.errors import UserError

_BEGIN, _END = "<s>", "</s>"
_LN10 = math.log(10.0)
# What KenLM gives an unknown word where the file names no <unk>, in log10.
_UNKNOWN_LOG10 = -100.0
# Lines that are parsed at once.
_CHUNK = 50_000


class Ngram(NamedTuple):
    """A model as the compiled search reads it (see automaton); all scores are natural logarithms."""

    keys: np.ndarray  # int64, table of state * width + token
    scores: np.ndarray  # float32, ln P(token | state), beside `keys`
    targets: np.ndarray  # int32, the state that follows, beside `keys`
    backoff: np.ndarray  # float32 [states], ln of the back-off weight
    shorter: np.ndarray  # int32 [states], the longest shorter context; of the empty context, state 0, itself
    ids: np.ndarray  # int32 [tokens], what a vocabulary's token counts as: itself, or <unk> where the model lacks it
    width: int  # tokens of the vocabulary and two more
    start: np.ndarray  # int32 [1], the state after <s>
    end: int  # the token </s>


def _advance(model, state, token, following):
    score, here = 0.0, state[0]
    while True:
        spot = table.find(model.keys, here * model.width + token)
        if spot >= 0:
            following[0] = model.targets[spot]
            return score + model.scores[spot]
        score += model.backoff[here]
        here = model.shorter[here]


automaton.register(Ngram, _advance)


def empty(tokens: int) -> Ngram:
    """Stands for no model: the search does not ask it while alpha is 0."""
    return _room(1, tokens)


def _room(entries: int, tokens: int) -> Ngram:
    """A model without n-grams, with room for `entries`; every token counts as <unk>."""
    keys = table.keys_for(entries)
    return Ngram(
        keys, np.zeros(len(keys), np.float32), np.zeros(len(keys), np.int32), np.zeros(entries + 1, np.float32),
        np.zeros(entries + 1, np.int32), np.full(tokens, UNKNOWN_ID, np.int32), tokens + 2, np.zeros(1, np.int32),
        tokens + 1,
    )  # fmt: skip


def read(path: Path, vocabulary: Vocabulary) -> Ngram:
    """Reads an ARPA file whose words are a vocabulary's tokens.

    n-grams with words that the vocabulary lacks can never be asked for and are left out.

    Raises:
        UserError: the file is not an ARPA file, or none of its words is in the vocabulary.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return _read(file, path, vocabulary)
    except UnicodeDecodeError:
        raise UserError(f"{path} is neither text in UTF-8, as an ARPA file is, nor a KenLM binary") from None


def _read(file: Iterator[str], path: Path, vocabulary: Vocabulary) -> Ngram:
    lines = enumerate(file, start=1)
    counts, number = _header(lines, path)
    tokens = len(vocabulary)
    begin, end = tokens, tokens + 1
    words = {token: i for i, token in enumerate(vocabulary.tokens) if i} | {_BEGIN: begin, _END: end}
    model, known, states = _room(sum(counts) + 1, tokens), np.zeros(tokens + 2, bool), 1
    for order in range(1, len(counts) + 1):
        ids, values, number = _section(lines, number, order, counts[order - 1], words, path)
        if order == 1:
            known[ids[:, 0]] = True
            if not known[2:tokens].any():
                raise UserError(f"{path}: none of its words is a token of the vocabulary; words must be characters")
            if not known[UNKNOWN_ID]:
                ids = np.append(ids, [[UNKNOWN_ID]], axis=0)
                values = np.append(values, [[_UNKNOWN_LOG10, 0.0]], axis=0)
            missing = [name for name, i in ((_BEGIN, begin), (_END, end)) if not known[i]]
            if missing:
                raise UserError(f"{path}: has no {missing[0]} among its 1-grams")
        states = _insert(model, ids, values * _LN10, states, order < len(counts))
        if states < 0:
            raise UserError(f"{path}: has a {order}-gram without the {order - 1}-gram that it begins with")
    model.ids[known[:tokens]] = np.flatnonzero(known[:tokens])
    if len(counts) > 1:
        model.start[0] = model.targets[table.find(model.keys, begin)]
    return model._replace(backoff=model.backoff[:states].copy(), shorter=model.shorter[:states].copy())


def _header(lines: Iterator[tuple[int, str]], path: Path) -> tuple[list[int], int]:
    """The numbers of n-grams, and of the first empty line after them, behind which the lines are left."""
    counts: list[int] = []
    begun, size = False, path.stat().st_size
    for number, line in lines:
        text = line.strip()
        if not begun:
            begun = text.removeprefix("\ufeff") == "\\data\\"
        elif text.startswith("ngram "):
            order, _, count = text.removeprefix("ngram ").partition("=")
            if order.strip() != str(len(counts) + 1) or not count.strip().isdigit():
                raise UserError(f"{path} line {number}: {text!r} should be ngram {len(counts) + 1}=<count>")
            counts.append(int(count))
            if counts[-1] > size:
                raise UserError(f"{path} line {number}: {text!r}, but the file has no more than {size} bytes")
        elif not text and counts:
            return counts, number
    raise UserError(f"{path} is not an ARPA file: it has no \\data\\ with the numbers of its n-grams")


def _section(
    lines: Iterator[tuple[int, str]], number: int, order: int, count: int, words: dict[str, int], path: Path
) -> tuple[np.ndarray, np.ndarray, int]:
    """What follows line `number`: tokens, int32 [n, order], log10 of P and back-off, float64 [n, 2]; its last line."""
    title = f"\\{order}-grams:"
    for number, line in lines:
        if line.strip() == title:
            break
        if line.strip():
            raise UserError(f"{path} line {number}: {line.strip()!r} should be {title}")
    else:
        raise UserError(f"{path} ends after line {number}, before {title}")
    ids, values = [np.zeros((0, order), np.int32)], [np.zeros((0, 2))]
    while count:
        rows = [(at, line.split()) for at, line in islice(lines, min(count, _CHUNK))]
        if not rows:
            raise UserError(f"{path} ends after line {number}, with {count} {order}-grams still to come")
        count -= len(rows)
        number = rows[-1][0]
        weights = np.array([_weights(row, order, path, at) for at, row in rows])
        found = np.array([[words.get(word, -1) for word in row[1 : order + 1]] for _, row in rows], np.int32)
        known = (found > 0).all(axis=1)
        ids.append(found[known])
        values.append(weights[known])
    return np.concatenate(ids), np.concatenate(values), number


def _weights(row: list[str], order: int, path: Path, number: int) -> tuple[float, float]:
    try:
        if order + 1 <= len(row) <= order + 2:
            return float(row[0]), float(row[order + 1]) if len(row) == order + 2 else 0.0
    except ValueError:
        pass
    raise UserError(
        f"{path} line {number}: {' '.join(row)!r} should be log10 of a probability, {order} words and, perhaps, "
        "a back-off weight"
    )


@compiled
def _walk(model: Ngram, tokens: np.ndarray) -> int:
    """The state of a context, or -1."""
    state = 0
    for token in tokens:
        spot = table.find(model.keys, np.int64(state) * model.width + token)
        if spot < 0:
            return -1
        state = model.targets[spot]
    return state


@compiled
def _insert(model: Ngram, ids: np.ndarray, values: np.ndarray, states: int, is_context: bool) -> int:
    """Adds the n-grams of one order, all lower ones being there; returns the number of states, or -1."""
    count, order = ids.shape
    for i in range(count):
        context = _walk(model, ids[i, : order - 1])
        if context < 0:
            return -1
        suffix = 0
        for first in range(1, order):
            suffix = _walk(model, ids[i, first:])
            if suffix >= 0:
                break
        suffix = max(suffix, 0)
        key = np.int64(context) * model.width + ids[i, order - 1]
        spot = table.place(model.keys, key)
        model.keys[spot], model.scores[spot] = key, values[i, 0]
        if is_context:
            model.targets[spot] = states
            model.backoff[states], model.shorter[states] = values[i, 1], suffix
            states += 1
        else:
            model.targets[spot] = suffix
    return states
