import errno
import os
import random
import re
from pathlib import Path

import numpy as np
import pytest

from ds2.corpora import grammar
from ds2.language_model import arpa, model, text
from tests.language_model import kenlm

HERE = Path(__file__).parent


def spaced(sentences, unit):
    """Sentences as the grammar makes them; for words with a space after every second character."""
    return [re.sub("(..)", r"\1 ", s).strip() for s in sentences] if unit == "word" else sentences


def read(path):
    """{n-gram: (log10 probability, log10 backoff)} and the numbers at the file's head."""
    grams, sizes = {}, {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"ngram (\d)=(\d+)", line):
            sizes[int(found[1])] = int(found[2])
        elif "\t" in line:
            probability, words, *backoff = line.split("\t")
            assert words not in grams
            grams[words] = (float(probability), float(backoff[0]) if backoff else 0.0)
    return grams, sizes


@pytest.mark.parametrize(
    ("order", "unit", "prune"), [(4, "char", []), (2, "char", []), (6, "char", [0, 1, 1, 2]), (3, "word", [0, 0, 1])]
)
def test_kenlm_reads_it_and_scores_a_thousand_other_sentences_as_we_do(tmp_path, order, unit, prune):
    sentences = grammar.sentences(3000, seed=1)
    held_out = spaced(sentences[2000:], unit)
    random.Random(1).shuffle(held_out)
    held_out[::50] = [f"{sentence} 𠀀 unknown" for sentence in held_out[::50]]
    estimated = model.estimate(spaced(sentences[:2000], unit), unit, order, prune)
    arpa.write(tmp_path / "lm.arpa", estimated)
    ends = np.cumsum([len(text.words_of(sentence, unit)) + 1 for sentence in held_out])
    ours = np.add.reduceat(estimated.log_probabilities(held_out), [0, *ends[:-1]])
    theirs = kenlm.scores(tmp_path / "lm.arpa", held_out, unit)
    assert len(theirs) == 1000
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


def test_a_file_of_lmplz_has_the_same_n_grams_with_the_same_numbers(tmp_path):
    # lmplz.arpa: KenLM's lmplz -o 3 --prune 0 0 1, from the characters of lmplz.txt.
    sentences = (HERE / "lmplz.txt").read_text(encoding="utf-8").splitlines()
    arpa.write(tmp_path / "lm.arpa", model.estimate(sentences, "char", 3, [0, 0, 1]))
    ours, our_sizes = read(tmp_path / "lm.arpa")
    theirs, their_sizes = read(HERE / "lmplz.arpa")
    assert ours.keys() == theirs.keys()
    assert our_sizes == their_sizes
    grams = sorted(ours)
    np.testing.assert_allclose([ours[gram] for gram in grams], [theirs[gram] for gram in grams], atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 7])
def test_the_head_counts_the_lines_and_pieces_join_without_a_seam(tmp_path, monkeypatch, chunk):
    estimated = model.estimate(["你好 ab", "你好"], "char", 3, [])
    arpa.write(tmp_path / "whole.arpa", estimated)
    monkeypatch.setattr(arpa, "CHUNK", chunk)
    arpa.write(tmp_path / "lm.arpa", estimated)
    assert (tmp_path / "lm.arpa").read_bytes() == (tmp_path / "whole.arpa").read_bytes()
    grams, sizes = read(tmp_path / "lm.arpa")
    assert sizes == {n: sum(len(gram.split(" ")) == n for gram in grams) for n in (1, 2, 3)}
    assert {"<unk>", "<s>", "</s>", "<space>", "<s> 你 好", "好 <space> a", "a b </s>"} <= grams.keys()


def test_a_failed_writing_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / "lm.arpa"
    path.write_text("old")
    estimated = model.estimate(["你好"], "char", 2, [])
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "the disk is full")))
    with pytest.raises(OSError, match="the disk is full"):
        arpa.write(path, estimated)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["lm.arpa"]
