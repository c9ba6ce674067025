"""Opens a KenLM binary as a model for the beam search."""

import mmap
from pathlib import Path

import numpy as np

from ds2.data.vocabulary import BLANK_ID, UNKNOWN_ID, Vocabulary
from ds2.decoding.kenlm import header, probing, trie
from ds2.decoding.kenlm.probing import Probing
from ds2.decoding.kenlm.trie import Trie
from ds2.errors import UserError

_BEGIN, _END = "<s>", "</s>"
# The versions of the two families of formats.
_PROBING, _TRIE = 0, 1


def read(path: Path, vocabulary: Vocabulary) -> Probing | Trie:
    """Maps a binary whose words are a vocabulary's tokens; what is read of it later stays in the system's file cache.

    Raises:
        UserError: it is damaged or of a version that is not known, or none of its words is in the vocabulary.
    """
    with open(path, "rb") as file:
        # Never closed: it lives as long as the arrays upon it.
        data = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    found = header.read(data, path)
    with_tables = found.kind in (0, 1)
    if found.version != (_PROBING if with_tables else _TRIE):
        raise header.other_version(path)
    words = [*vocabulary.tokens, _BEGIN, _END]
    built = (probing.build if with_tables else trie.build)(data, found, path, words)
    for name, word in zip((_BEGIN, _END), built.ids[-2:], strict=True):
        if not word:
            raise UserError(f"{path}: has no {name} among its 1-grams")
    ids = built.ids[:-2].copy()
    ids[BLANK_ID] = ids[UNKNOWN_ID] = 0
    if not ids.any():
        raise UserError(f"{path}: none of its words is a token of the vocabulary; words must be characters")
    return built._replace(ids=ids)
