"""The decoder that evaluate.decoder names."""

from pathlib import Path

from ds2 import params
from ds2.data.vocabulary import Vocabulary
from ds2.decoding.decoder import Decoder
from ds2.decoding.greedy import Greedy


def decoder(
    settings: params.EvaluateSettings, vocabulary: Vocabulary, rules: params.TextSettings, language_model: Path | None
) -> Decoder:
    """Makes the decoder, ready to decode, for a model with this vocabulary and these text rules.

    The path of the language model counts for ctc_beam_search alone.

    Raises:
        UserError: the language model is missing or is none.
    """
    if settings.decoder == "ctc_greedy":
        return Greedy()
    from ds2.decoding import beam  # compiles or loads compiled code, which takes seconds

    return beam.search(settings, vocabulary, rules, language_model)
