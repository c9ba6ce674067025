"""Opens a language model of any kind that the beam search can ask."""

from pathlib import Path

from ds2.data.vocabulary import Vocabulary
from ds2.decoding import ngram
from ds2.decoding.kenlm import binary, header
from ds2.decoding.kenlm.probing import Probing
from ds2.decoding.kenlm.trie import Trie
from ds2.decoding.ngram import Ngram
from ds2.errors import UserError

LanguageModel = Ngram | Probing | Trie


def read(path: Path, vocabulary: Vocabulary) -> LanguageModel:
    """Opens an ARPA file or a KenLM binary, told apart by their beginnings, whose words are a vocabulary's tokens.

    Raises:
        UserError: the file does not exist or is neither, or none of its words is in the vocabulary.
    """
    try:
        return (binary if header.is_binary(path) else ngram).read(path, vocabulary)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: ctc_beam_search needs a language model; run dvc repro lm") from None
