"""Prefix beam search (Hannun et al. 2014) with a language model, a bonus per character and hot words.

It looks for the text y with the greatest

    ln P_ctc(y) + alpha * ln P_lm(y, end of sentence) + beta * characters(y) + the boosts of hot words in y,

all of them natural logarithms: alpha and beta mean what they mean in DeepSpeech, PaddleSpeech and PPASR. P_ctc(y) is
the sum over all alignments of y that the beam kept.
"""

from dataclasses import dataclass, field

import numpy as np
from numba import njit

from ds2 import layout, params
from ds2.data.vocabulary import BLANK_ID, Vocabulary
from ds2.decoding import automaton, candidates, hot_words, language_model, ngram, table
from ds2.decoding.candidates import Candidates
from ds2.decoding.decoder import Hypothesis
from ds2.decoding.hot_words import HotWords
from ds2.decoding.language_model import LanguageModel

_NONE = -np.inf


@dataclass(frozen=True)
class BeamSearch:
    """A search with everything that it needs; calls from several threads at once are fine, and run in parallel.

    Attributes:
        beam_size: hypotheses kept after every step. A text whose alignments so far end in a blank, and the same one
            ending in its last character, are two: so with a beam of 1 and no weights the result is the best path.
        alpha: weight of the language model; 0: it is not asked.
        beta: bonus of every character.
        language_model: its tokens are the network's.
        words: hot words.
        cutoff_prob: a step's tokens beyond this sum of probabilities are not looked at.
        cutoff_top_n: nor those beyond so many.
    """

    beam_size: int
    alpha: float
    beta: float
    language_model: LanguageModel = field(repr=False)
    words: HotWords = field(repr=False)
    cutoff_prob: float = 1.0
    cutoff_top_n: int = 1_000_000

    def prune(self, log_probabilities: np.ndarray) -> Candidates:
        """What the search needs of log-probabilities, float [steps, tokens]: little, and all that is kept of them."""
        return candidates.prune(log_probabilities, self.cutoff_prob, self.cutoff_top_n)

    def decode(self, kept: Candidates) -> Hypothesis:
        """The best hypothesis."""
        return self(kept)[0]

    def __call__(self, kept: Candidates, best: int = 1) -> list[Hypothesis]:
        """The best hypotheses, best first; there may be fewer."""
        nodes, scores, ctc, parents, tokens = _search(
            kept.tokens,
            kept.scores,
            kept.bounds,
            self.beam_size,
            self.alpha,
            self.beta,
            self.language_model,
            self.words,
        )
        order = np.argsort(-scores, kind="stable")[:best]
        return [Hypothesis(_spell(parents, tokens, nodes[i]), float(scores[i]), float(ctc[i])) for i in order]


def search(settings: params.EvaluateSettings, vocabulary: Vocabulary) -> BeamSearch:
    """The search of `evaluate.decoder`: ctc_beam_search or, without language model and beta, ctc_prefix_beam.

    Raises:
        UserError: the language model is missing or is none.
    """
    with_model = settings.decoder == "ctc_beam_search"
    built = BeamSearch(
        settings.beam_size,
        settings.alpha if with_model else 0.0,
        settings.beta if with_model else 0.0,
        language_model.read(layout.LANGUAGE_MODEL, vocabulary) if with_model else ngram.empty(len(vocabulary)),
        hot_words.build(settings.hot_words or {}, vocabulary),
        settings.cutoff_prob,
        settings.cutoff_top_n,
    )
    # Compiling, once on a machine, takes some seconds that are no part of anybody's decoding.
    built(built.prune(np.zeros((1, len(vocabulary)), np.float32)))
    return built


def _spell(parents: np.ndarray, tokens: np.ndarray, node: int) -> np.ndarray:
    ids = []
    while node:
        ids.append(tokens[node])
        node = parents[node]
    return np.array(ids[::-1], np.int32)


@njit(nogil=True, cache=True)
def _log_add(a: float, b: float) -> float:
    high, low = max(a, b), min(a, b)
    return high if low == _NONE else high + np.log1p(np.exp(low - high))


@njit(nogil=True, cache=True)
def _threshold(scores: np.ndarray, wanted: int) -> tuple[float, int]:
    """The score of the last of the `wanted` best, and how many with just this score are among them."""
    if wanted >= len(scores):
        return _NONE, len(scores)
    last = np.partition(scores, len(scores) - wanted)[len(scores) - wanted]
    return last, wanted - (scores > last).sum()


@njit(nogil=True, cache=True)
def _search(
    kept: np.ndarray,
    logs: np.ndarray,
    bounds: np.ndarray,
    beam_size: int,
    alpha: float,
    beta: float,
    model: LanguageModel,
    words: HotWords,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Nodes, scores and ln P_ctc of the final beam, and the tree of prefixes: parent and token of every node."""
    steps = len(bounds) - 1
    vocabulary = len(model.ids)
    # The tree holds prefixes that were in the beam at some step; node 0 is the empty one.
    most = 1 + steps * beam_size
    children = np.full(_room(most), -1, np.int64)
    child = np.zeros(len(children), np.int32)
    parent = np.zeros(most, np.int32)
    token = np.full(most, -1, np.int32)
    lm_state = np.zeros((most, len(model.start)), np.int32)
    word_state = np.zeros(most, np.int32)
    extra = np.zeros(most)  # all of the score but P_ctc
    slot = np.full(most, -1, np.int32)  # place in the beam
    lm_state[0] = model.start
    nodes = 1

    # ln P of the alignments that end in a blank, and of those that end in the prefix's last character.
    beam = np.zeros(1, np.int32)
    blank = np.zeros(1)
    last = np.full(1, _NONE)
    slot[0] = 0
    now = np.full(vocabulary, _NONE)

    widest = (bounds[1:] - bounds[:-1]).max() if steps else 0
    room = beam_size * widest
    new_parent, new_token = np.zeros(room, np.int32), np.zeros(room, np.int32)
    new_lm, new_word = np.zeros((room, len(model.start)), np.int32), np.zeros(room, np.int32)
    new_ctc, new_extra = np.zeros(room), np.zeros(room)

    for step in range(steps):
        first, end = bounds[step], bounds[step + 1]
        for k in range(first, end):
            now[kept[k]] = logs[k]
        count = len(beam)

        # Prefixes that stay: a blank, a repetition, or the last character of an alignment of the prefix before.
        stay_blank, stay_last = np.full(count, _NONE), np.full(count, _NONE)
        scores = np.full(2 * count, _NONE)
        for i in range(count):
            node = beam[i]
            stay_blank[i] = _log_add(blank[i], last[i]) + now[BLANK_ID]
            if node:
                stay_last[i] = last[i] + now[token[node]]
                before = slot[parent[node]]
                if before >= 0:
                    grown = blank[before]
                    if token[beam[before]] != token[node]:
                        grown = _log_add(grown, last[before])
                    stay_last[i] = _log_add(stay_last[i], grown + now[token[node]])
            scores[2 * i] = stay_blank[i] + extra[node]
            scores[2 * i + 1] = stay_last[i] + extra[node]

        # Prefixes one character longer. One that could not even enter the beam with a language model that is certain
        # is not looked at: that changes nothing, and saves most of the work.
        floor, _ = _threshold(scores, beam_size)
        bonus = beta + words.most
        found = 0
        for i in range(count):
            node = beam[i]
            whole = _log_add(blank[i], last[i])
            for k in range(first, end):
                letter = kept[k]
                if letter == BLANK_ID:
                    continue
                if whole + logs[k] + extra[node] + bonus < floor:
                    break
                ctc = (blank[i] if letter == token[node] else whole) + logs[k]
                if ctc == _NONE or ctc + extra[node] + bonus < floor:
                    continue
                place = table.find(children, np.int64(node) * vocabulary + letter)
                if place >= 0 and slot[child[place]] >= 0:
                    continue  # it is in the beam already and got its share above
                gain, state = hot_words.advance(words, word_state[node], letter)
                gain += beta
                if alpha != 0.0:
                    gain += alpha * automaton.advance(model, lm_state[node], model.ids[letter], new_lm[found])
                if ctc + extra[node] + gain < floor:
                    continue
                new_parent[found], new_token[found], new_ctc[found] = node, letter, ctc
                new_extra[found], new_word[found] = extra[node] + gain, state
                found += 1

        # The best of both.
        scores = np.concatenate((scores, new_ctc[:found] + new_extra[:found]))
        floor, ties = _threshold(scores, beam_size)
        chosen = np.zeros(len(scores), np.bool_)
        for j in range(len(scores)):
            if scores[j] == floor and ties > 0:
                ties -= 1
                chosen[j] = floor > _NONE
            else:
                chosen[j] = scores[j] > floor
        for k in range(first, end):
            now[kept[k]] = _NONE
        for i in range(count):
            slot[beam[i]] = -1
        next_beam = np.zeros(beam_size, np.int32)
        next_blank, next_last = np.full(beam_size, _NONE), np.full(beam_size, _NONE)
        size = 0
        for i in range(count):
            if chosen[2 * i] or chosen[2 * i + 1]:
                next_beam[size] = beam[i]
                next_blank[size] = stay_blank[i] if chosen[2 * i] else _NONE
                next_last[size] = stay_last[i] if chosen[2 * i + 1] else _NONE
                size += 1
        for j in range(found):
            if not chosen[2 * count + j]:
                continue
            key = np.int64(new_parent[j]) * vocabulary + new_token[j]
            place = table.place(children, key)
            if children[place] != key:
                children[place], child[place] = key, nodes
                parent[nodes], token[nodes] = new_parent[j], new_token[j]
                lm_state[nodes], word_state[nodes], extra[nodes] = new_lm[j], new_word[j], new_extra[j]
                nodes += 1
            next_beam[size], next_last[size] = child[place], new_ctc[j]
            size += 1
        beam, blank, last = next_beam[:size], next_blank[:size], next_last[:size]
        for i in range(size):
            slot[beam[i]] = i

    ctc = np.zeros(len(beam))
    finals = np.zeros(len(beam))
    ending = np.zeros(len(model.start), np.int32)
    for i in range(len(beam)):
        node = beam[i]
        ctc[i] = _log_add(blank[i], last[i])
        finals[i] = ctc[i] + extra[node] - words.lent[word_state[node]]
        if alpha != 0.0:
            finals[i] += alpha * automaton.advance(model, lm_state[node], model.end, ending)
    return beam, finals, ctc, parent, token


@njit(nogil=True, cache=True)
def _room(entries: int) -> int:
    room = 8
    while room < 2 * entries:
        room *= 2
    return room
