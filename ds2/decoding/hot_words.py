"""Hot words: texts that the beam search hears more readily.

Every occurrence of a word adds its boost, a natural logarithm, to a hypothesis. A beam search would drop the word
before it is complete, so its share is lent character by character along the word and taken back where the text goes
on otherwise: after any whole text exactly the boosts of the words in it remain. The words are matched by the
automaton of Aho and Corasick (1975), overlapping ones and words within words too.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from loguru import logger

from ds2 import params
from ds2.compiled import compiled
from ds2.data.text import normalize
from ds2.data.vocabulary import UNKNOWN_ID, Vocabulary
from ds2.decoding import table


class HotWords(NamedTuple):
    """The automaton as the compiled search reads it."""

    keys: np.ndarray  # int64, table of state * tokens + token
    targets: np.ndarray  # int32, the state that follows, beside `keys`
    fail: np.ndarray  # int32 [states], of the longest proper suffix that begins a word
    lent: np.ndarray  # float64 [states], the share of a word that is not complete
    earned: np.ndarray  # float64 [states], boosts of the words that end here
    tokens: int  # of the vocabulary
    most: float  # the greatest step of the score


@compiled
def advance(words: HotWords, state: int, token: int) -> tuple[float, int]:
    """What a token adds to the score, and the state that follows. State 0 is the start."""
    before = words.lent[state]
    while True:
        spot = table.find(words.keys, np.int64(state) * words.tokens + token)
        if spot >= 0:
            after = words.targets[spot]
            return words.earned[after] + words.lent[after] - before, after
        if state == 0:
            return -before, 0
        state = words.fail[state]


def normalized(boosts: Mapping[str, float], rules: params.TextSettings) -> dict[str, float]:
    """Words and their boosts, spelled as the transcripts that a model was trained with.

    A word of which nothing is left is left out; of words that become the same the greatest boost counts. The log has
    both.
    """
    found: dict[str, float] = {}
    first: dict[str, str] = {}
    for word, boost in boosts.items():
        text = normalize(word, rules)
        if not text:
            logger.warning(f"hot word {word}: there is no letter or digit in it; it is left out")
            continue
        found[text] = max(boost, found.get(text, 0.0))
        if (other := first.setdefault(text, word)) != word:
            logger.warning(f"hot words {other} and {word} are both {text} here: the boost {found[text]:g} counts")
    return found


def build(boosts: Mapping[str, float], vocabulary: Vocabulary) -> HotWords:
    """Makes the automaton of words and their boosts; a word that the vocabulary cannot spell is left out and logged."""
    spelled = {}
    for word, boost in boosts.items():
        ids = vocabulary.encode(word)
        if UNKNOWN_ID in ids:
            unknown = [character for character, i in zip(word, ids, strict=True) if i == UNKNOWN_ID]
            logger.warning(f"hot word {word}: the model does not know {unknown[0]}; it is left out")
        else:
            spelled[tuple(ids.tolist())] = boost
    return _automaton(spelled, len(vocabulary))


def _automaton(words: Mapping[tuple[int, ...], float], tokens: int) -> HotWords:
    children: list[dict[int, int]] = [{}]
    lent, earned = [0.0], [0.0]
    for word, boost in words.items():
        state = 0
        for depth, token in enumerate(word, start=1):
            if token not in children[state]:
                children[state][token] = len(children)
                children.append({})
                lent.append(0.0)
                earned.append(0.0)
            state = children[state][token]
            if depth < len(word):
                lent[state] = max(lent[state], boost * depth / len(word))
        earned[state] = boost
    fail = [0] * len(children)
    states = list(children[0].values())
    for state in states:  # which grows: the shorter ones come first
        earned[state] += earned[fail[state]]
        for token, child in children[state].items():
            other = fail[state]
            while other and token not in children[other]:
                other = fail[other]
            fail[child] = children[other].get(token, 0)
            states.append(child)
        # A suffix may be farther along in its own word than this one in its.
        lent[state] = max(lent[state], lent[fail[state]])
    keys = table.keys_for(len(children))
    targets = np.zeros(len(keys), np.int32)
    for state, arcs in enumerate(children):
        for token, child in arcs.items():
            key = state * tokens + token
            spot = table.place(keys, key)
            keys[spot], targets[spot] = key, child
    return HotWords(
        keys, targets, np.array(fail, np.int32), np.array(lent), np.array(earned), tokens, max(lent) + max(earned)
    )
