"""Opens a language model of any kind that the beam search can ask."""

from pathlib import Path

from ds2.data.vocabulary import Vocabulary
from ds2.decoding import fit, ngram
from ds2.decoding.kenlm import binary, header
from ds2.decoding.kenlm.probing import Probing
from ds2.decoding.kenlm.trie import UNIGRAM, Trie
from ds2.decoding.ngram import Ngram
from ds2.errors import UserError

LanguageModel = Ngram | Probing | Trie


def read(path: Path, vocabulary: Vocabulary) -> LanguageModel:
    """Opens an ARPA file or a KenLM binary, told apart by their beginnings, whose words are a vocabulary's tokens.

    Raises:
        UserError: the file does not exist or is neither, or its words are not the vocabulary's tokens.
    """
    try:
        if not header.is_binary(path):
            fit.check(path, fit.of_arpa(path), vocabulary)  # before the rest is read, which may be gigabytes
            return ngram.read(path, vocabulary)
        model = binary.read(path, vocabulary)
        stride = UNIGRAM if isinstance(model, Trie) else model.weights
        fit.check(path, fit.of_binary(path, model.unigrams, stride), vocabulary)
        return model
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: ctc_beam_search needs a language model; run dvc repro lm") from None
