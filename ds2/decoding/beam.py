"""Prefix beam search (Hannun et al. 2014) with a language model, a bonus per character and hot words.

It looks for the text y with the greatest

    ln P_ctc(y) + alpha * ln P_lm(y, end of sentence) + beta * characters(y) + the boosts of hot words in y,

all of them natural logarithms: alpha and beta mean what they mean in DeepSpeech, PaddleSpeech and PPASR. P_ctc(y) is
the sum over all alignments of y that the beam kept.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ds2 import params
from ds2.compiled import compiled
from ds2.data.vocabulary import BLANK_ID, Vocabulary
from ds2.decoding import automaton, candidates, hot_words, language_model, ngram, table
from ds2.decoding.candidates import Candidates
from ds2.decoding.decoder import Hypothesis
from ds2.decoding.hot_words import HotWords
from ds2.decoding.language_model import LanguageModel
from ds2.errors import UserError

_NONE = -np.inf


@dataclass(frozen=True)
class BeamSearch:
    """A search with everything that it needs; calls from several threads at once are fine, and run in parallel."""

    # Hypotheses kept after every step. A text whose alignments so far end in a blank, and the same one ending in its
    # last character, are two: so with a beam of 1 and no weights the result is the best path.
    beam_size: int
    alpha: float  # weight of the language model; 0: it is not asked
    beta: float  # bonus of every character
    language_model: LanguageModel = field(repr=False)  # its tokens are the network's
    words: HotWords = field(repr=False)
    cutoff_prob: float = 1.0  # a step's tokens beyond this sum of probabilities are not looked at
    cutoff_top_n: int = 1_000_000  # at most this many tokens of a step are looked at

    def prune(self, log_probabilities: np.ndarray) -> Candidates:
        """What the search needs of log-probabilities, float [steps, tokens]: little, and all that is kept of them."""
        return candidates.prune(log_probabilities, self.cutoff_prob, self.cutoff_top_n)

    def decode(self, kept: Candidates) -> Hypothesis:
        """The best hypothesis."""
        return self(kept)[0]

    def __call__(self, kept: Candidates, best: int = 1) -> list[Hypothesis]:
        """The best hypotheses, best first; there may be fewer."""
        steps, widest = len(kept.bounds) - 1, np.diff(kept.bounds).max(initial=0)
        scoring = _Scoring(self.alpha, self.beta, self.language_model, self.words)
        tree = _tree(1 + steps * self.beam_size, self.language_model)
        room = _prefixes(int(self.beam_size * widest), self.language_model.start)
        nodes, scores = _search(tree, room, scoring, kept.tokens, kept.scores, kept.bounds, self.beam_size)
        order = np.argsort(-scores, kind="stable")[:best]
        return [Hypothesis(_spell(tree.nodes, nodes[i]), float(scores[i])) for i in order]


def search(
    settings: params.EvaluateSettings, vocabulary: Vocabulary, rules: params.TextSettings, path: Path | None
) -> BeamSearch:
    """The search of `evaluate.decoder`: ctc_beam_search or, without language model and beta, ctc_prefix_beam.

    Args:
        settings: decoder, weights and limits, hot words.
        vocabulary: the model's.
        rules: the model's for texts, by which hot words are spelled.
        path: of the language model; ctc_prefix_beam reads none.

    Raises:
        UserError: the language model is missing or is none.
    """
    with_model = settings.decoder == "ctc_beam_search"
    if with_model and path is None:
        raise UserError("ctc_beam_search needs a language model, and none is named")
    built = BeamSearch(
        settings.beam_size,
        settings.alpha if with_model else 0.0,
        settings.beta if with_model else 0.0,
        language_model.read(path, vocabulary) if with_model else ngram.empty(len(vocabulary)),
        hot_words.build(hot_words.normalized(settings.hot_words or {}, rules), vocabulary),
        settings.cutoff_prob,
        settings.cutoff_top_n,
    )
    # Compiling, once on a machine, takes some seconds that are no part of anybody's decoding.
    built(built.prune(np.zeros((1, len(vocabulary)), np.float32)))
    return built


class _Scoring(NamedTuple):
    """What a character adds to a prefix's score besides ln P_ctc; as BeamSearch has it."""

    alpha: float
    beta: float
    model: LanguageModel
    words: HotWords


class _Prefixes(NamedTuple):
    """Texts that a hypothesis begins with, each of them a shorter one and a character."""

    parent: np.ndarray  # int32 [n], the node of the shorter one in the tree
    token: np.ndarray  # int32 [n], the character
    lm_state: np.ndarray  # int32 [n, length of a state], of the language model
    word_state: np.ndarray  # int32 [n], of the hot words
    extra: np.ndarray  # float64 [n], all of the score but ln P_ctc


class _Tree(NamedTuple):
    """All prefixes that were in the beam at some step."""

    nodes: _Prefixes  # node 0 is the empty prefix
    size: np.ndarray  # int64 [1], how many there are
    slot: np.ndarray  # int32 [n], the place of each in the beam, or -1
    keys: np.ndarray  # int64, table of parent * width + token
    child: np.ndarray  # int32, the node, beside `keys`
    width: int  # tokens of the vocabulary


class _Beam(NamedTuple):
    """The prefixes that are followed."""

    nodes: np.ndarray  # int32 [n], where they are in the tree
    blank: np.ndarray  # float64 [n], ln P of their alignments that end in a blank
    last: np.ndarray  # float64 [n], ln P of those that end in the prefix's last character


def _prefixes(room: int, start: np.ndarray) -> _Prefixes:
    lm_state = np.zeros((room, len(start)), np.int32)
    lm_state[:1] = start
    token = np.full(room, -1, np.int32)
    return _Prefixes(np.zeros(room, np.int32), token, lm_state, np.zeros(room, np.int32), np.zeros(room))


def _tree(room: int, model: LanguageModel) -> _Tree:
    slot, keys = np.full(room, -1, np.int32), table.keys_for(room)
    slot[0] = 0
    child = np.zeros(len(keys), np.int32)
    return _Tree(_prefixes(room, model.start), np.ones(1, np.int64), slot, keys, child, len(model.ids))


def _spell(nodes: _Prefixes, node: int) -> np.ndarray:
    ids = []
    while node:
        ids.append(nodes.token[node])
        node = nodes.parent[node]
    return np.array(ids[::-1], np.int32)


@compiled
def _search(
    tree: _Tree, room: _Prefixes, scoring: _Scoring, tokens: np.ndarray, logs: np.ndarray, bounds: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes and scores of the final beam; tokens, logs and bounds are those of Candidates.

    The tree holds the empty prefix and takes the others. There is room for what any step makes one character longer.
    """
    beam = _Beam(np.zeros(1, np.int32), np.zeros(1), np.full(1, _NONE))
    for step in range(len(bounds) - 1):
        now = slice(bounds[step], bounds[step + 1])
        stayed, scores = _stay(tree, beam, tokens[now], logs[now])
        # A longer prefix that could not even enter the beam with a language model that is certain is not looked at:
        # that changes nothing, and saves most of the work.
        floor, _ = _threshold(scores, size)
        ctc = _grow(tree, beam, scoring, tokens[now], logs[now], floor, room)
        scores = np.concatenate((scores, ctc + room.extra[: len(ctc)]))
        beam = _select(tree, stayed, room, ctc, _best(scores, size))
    return beam.nodes, _finish(tree.nodes, beam, scoring)


@compiled
def _stay(tree: _Tree, beam: _Beam, tokens: np.ndarray, logs: np.ndarray) -> tuple[_Beam, np.ndarray]:
    """The beam after a step that adds no character to its prefixes, and the scores: blank, last, blank, last, ...

    The step is a blank, a repetition, or the last character of an alignment of the prefix before.
    """
    nodes, count = tree.nodes, len(beam.nodes)
    now = np.full(tree.width, _NONE)
    now[tokens] = logs
    blank, last, scores = np.full(count, _NONE), np.full(count, _NONE), np.full(2 * count, _NONE)
    for i in range(count):
        node = beam.nodes[i]
        blank[i] = np.logaddexp(beam.blank[i], beam.last[i]) + now[BLANK_ID]
        if node:
            token = nodes.token[node]
            last[i] = beam.last[i] + now[token]
            before = tree.slot[nodes.parent[node]]
            if before >= 0:
                whole = beam.blank[before]
                if nodes.token[beam.nodes[before]] != token:
                    whole = np.logaddexp(whole, beam.last[before])
                last[i] = np.logaddexp(last[i], whole + now[token])
        scores[2 * i], scores[2 * i + 1] = blank[i] + nodes.extra[node], last[i] + nodes.extra[node]
    return _Beam(beam.nodes, blank, last), scores


@compiled
def _grow(
    tree: _Tree, beam: _Beam, scoring: _Scoring, tokens: np.ndarray, logs: np.ndarray, floor: float, grown: _Prefixes
) -> np.ndarray:
    """Puts the prefixes one character longer whose scores reach the floor into `grown`; returns their ln P_ctc."""
    nodes, model, words = tree.nodes, scoring.model, scoring.words
    found = np.empty(len(grown.extra))
    bonus = scoring.beta + words.most
    count = 0
    for i in range(len(beam.nodes)):
        node = beam.nodes[i]
        whole = np.logaddexp(beam.blank[i], beam.last[i])
        for k in range(len(tokens)):
            token = tokens[k]
            if token == BLANK_ID:
                continue
            if whole + logs[k] + nodes.extra[node] + bonus < floor:
                break
            ctc = (beam.blank[i] if token == nodes.token[node] else whole) + logs[k]
            if ctc == _NONE or ctc + nodes.extra[node] + bonus < floor:
                continue
            place = table.find(tree.keys, np.int64(node) * tree.width + token)
            if place >= 0 and tree.slot[tree.child[place]] >= 0:
                continue  # it is in the beam already and got its share in _stay
            gain, state = hot_words.advance(words, nodes.word_state[node], token)
            gain += scoring.beta
            if scoring.alpha != 0.0:
                following = grown.lm_state[count]
                gain += scoring.alpha * automaton.advance(model, nodes.lm_state[node], model.ids[token], following)
            if ctc + nodes.extra[node] + gain < floor:
                continue
            grown.parent[count], grown.token[count], found[count] = node, token, ctc
            grown.word_state[count], grown.extra[count] = state, nodes.extra[node] + gain
            count += 1
    return found[:count]


@compiled
def _best(scores: np.ndarray, wanted: int) -> np.ndarray:
    """Which are the `wanted` best, bool; of equal ones the first."""
    floor, ties = _threshold(scores, wanted)
    best = scores > floor
    if floor > _NONE:
        best[np.flatnonzero(scores == floor)[:ties]] = True
    return best


@compiled
def _threshold(scores: np.ndarray, wanted: int) -> tuple[float, int]:
    """The score of the last of the `wanted` best, and how many with just this score are among them."""
    if wanted >= len(scores):
        return _NONE, len(scores)
    last = np.partition(scores, len(scores) - wanted)[len(scores) - wanted]
    return last, wanted - (scores > last).sum()


@compiled
def _select(tree: _Tree, stayed: _Beam, grown: _Prefixes, ctc: np.ndarray, best: np.ndarray) -> _Beam:
    """The next beam: the best of the prefixes that stayed and of those that grew."""
    end = 2 * len(stayed.nodes)
    with_blank, with_last = best[0:end:2], best[1:end:2]
    kept, added = np.flatnonzero(with_blank | with_last), np.flatnonzero(best[end:])
    tree.slot[stayed.nodes] = -1
    nodes = np.concatenate((stayed.nodes[kept], _plant(tree, grown, added)))
    blank = np.concatenate((np.where(with_blank, stayed.blank, _NONE)[kept], np.full(len(added), _NONE)))
    last = np.concatenate((np.where(with_last, stayed.last, _NONE)[kept], ctc[added]))
    tree.slot[nodes] = np.arange(len(nodes))
    return _Beam(nodes, blank, last)


@compiled
def _plant(tree: _Tree, grown: _Prefixes, added: np.ndarray) -> np.ndarray:
    """The nodes of some that grew, int32 [n]: new ones, or those that they had before they fell out of the beam."""
    nodes = tree.nodes
    found = np.zeros(len(added), np.int32)
    for i in range(len(added)):
        j = added[i]
        key = np.int64(grown.parent[j]) * tree.width + grown.token[j]
        place = table.place(tree.keys, key)
        if tree.keys[place] != key:
            node = tree.size[0]
            nodes.parent[node], nodes.token[node], nodes.extra[node] = grown.parent[j], grown.token[j], grown.extra[j]
            nodes.lm_state[node], nodes.word_state[node] = grown.lm_state[j], grown.word_state[j]
            tree.keys[place], tree.child[place] = key, node
            tree.size[0] += 1
        found[i] = tree.child[place]
    return found


@compiled
def _finish(nodes: _Prefixes, beam: _Beam, scoring: _Scoring) -> np.ndarray:
    """Scores of the beam's prefixes as whole texts: the sentence ends, half a hot word earns nothing."""
    scores = np.zeros(len(beam.nodes))
    following = np.zeros(len(scoring.model.start), np.int32)
    for i in range(len(beam.nodes)):
        node = beam.nodes[i]
        scores[i] = np.logaddexp(beam.blank[i], beam.last[i]) + nodes.extra[node]
        scores[i] -= scoring.words.lent[nodes.word_state[node]]
        if scoring.alpha != 0.0:
            end = automaton.advance(scoring.model, nodes.lm_state[node], scoring.model.end, following)
            scores[i] += scoring.alpha * end
    return scores
