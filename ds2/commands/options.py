"""How a command decodes: as the model brings it, unless its options say otherwise."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loguru import logger

from ds2 import layout, params
from ds2.commands import word_list
from ds2.decoding.decoder import Decoder
from ds2.errors import UserError
from ds2.params import numbers
from ds2.recognition import choice
from ds2.recognition.acoustic import AcousticModel

_GREEDY, _PREFIX, _SEARCH = "ctc_greedy", "ctc_prefix_beam", "ctc_beam_search"
# What an option changes of the section evaluate, and the decoders that it means something to.
_USED_BY = {
    "beam_size": (_PREFIX, _SEARCH),
    "hot_words": (_PREFIX, _SEARCH),
    "lm": (_SEARCH,),
    "alpha": (_SEARCH,),
    "beta": (_SEARCH,),
}


@dataclass(frozen=True)
class Decoding:
    """A decoder's settings and its language model."""

    settings: params.EvaluateSettings
    language_model: Path | None  # ctc_beam_search alone has one

    def decoder(self, model: AcousticModel) -> Decoder:
        """Makes the decoder for a model; raises as `choice.decoder`."""
        return choice.decoder(self.settings, model.vocabulary, model.rules, self.language_model)

    def identity(self) -> dict[str, Any]:
        """What the texts depend on, as JSON has it; a changed language model counts as another one."""
        read = self.settings.decoder == _SEARCH and self.language_model is not None
        found = self.language_model.stat() if read else None
        return self.settings.model_dump(mode="json", exclude={"checkpoint", "batch_size", "metrics_type"}) | {
            "language_model": [str(self.language_model), found.st_size, found.st_mtime_ns] if found else None
        }


@dataclass(frozen=True)
class Options:
    """What the options of a command say of decoding."""

    decoder: str | None
    changes: dict[str, Any]  # by the names of the options that were given, hot words as read
    source: Path | None  # the file of parameters that was named
    params: params.Params | None  # of this file

    def over(self, model: AcousticModel, folder: Path) -> Decoding:
        """The decoding of a model with these options over what the model brings.

        A model that brings nothing decodes greedily, which the log says.

        Args:
            model: that is to be decoded for.
            folder: in which it lies.

        Raises:
            UserError: an option means nothing to the decoder, or a language model is needed and not named.
        """
        base, language_model = model.decoding, model.language_model
        if self.params is not None:
            base, language_model = self.params.evaluate, self.source.parent / layout.LANGUAGE_MODEL
        if base is None and self.decoder is None and not self.changes:
            logger.info(f"{folder} brings no decoder and decodes greedily{_hint(folder)}")
        base = base or params.EvaluateSettings()
        decoder = self.decoder or self._implied(base.decoder)
        for name in self.changes:
            if decoder not in _USED_BY[name]:
                option = f"--{name.replace('_', '-')}"
                others = " or ".join(_USED_BY[name])
                raise UserError(f"{option}: {decoder} makes no use of it: leave it out, or name --decoder {others}")
        language_model = self.changes.get("lm", language_model)
        if decoder == _SEARCH and language_model is None:
            near = layout.LANGUAGE_MODEL
            raise UserError(
                f"--decoder {_SEARCH} needs a language model, and {folder} brings none: name one with --lm"
                + (f", such as --lm {near}" if near.exists() else "")
            )
        values = {name: value for name, value in self.changes.items() if name != "lm"}
        settings = base.model_copy(update=values | {"decoder": decoder})
        return Decoding(settings, language_model if decoder == _SEARCH else None)

    def _implied(self, usual: str) -> str:
        """The simplest decoder that heeds every option, if the usual one does not."""
        needed = [_USED_BY[name] for name in self.changes]
        if all(usual in decoders for decoders in needed):
            return usual
        return _PREFIX if all(_PREFIX in decoders for decoders in needed) else _SEARCH


def _hint(folder: Path) -> str:
    """How to decode otherwise, where the repository that a checkpoint lies in does."""
    path = folder.parent.parent / layout.PARAMS
    try:
        named = params.from_dict(params.read(path)).evaluate.decoder
    except UserError:  # none, or none that can be used
        return ""
    return "" if named == _GREEDY else f"; {path} names {named}: add --params {path} to decode as it says"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The decoder, its language model, its words and its numbers."""
    group = parser.add_argument_group("decoding", "what replaces the default decoder and its numbers:")
    group.add_argument(
        "--params",
        type=Path,
        metavar="FILE",
        help="decoder, numbers and hot words of this file's section evaluate, and the language model dataset/lm.arpa "
        "beside it",
    )
    group.add_argument("--decoder", choices=(_GREEDY, _PREFIX, _SEARCH), help="how log-probabilities become text")
    group.add_argument("--lm", type=Path, metavar="FILE", help="language model, ARPA or KenLM: for ctc_beam_search")
    group.add_argument(
        "--hot-words",
        type=Path,
        metavar="FILE",
        help="words to favour, one a line, each with a tab and its boost or else with a boost of 5",
    )
    group.add_argument("--beam-size", type=numbers.integer(1, 100_000), metavar="N", help="hypotheses kept per step")
    group.add_argument("--alpha", type=numbers.real(0, 100), metavar="X", help="weight of the language model")
    group.add_argument("--beta", type=numbers.real(-100, 100), metavar="X", help="length bonus per character")


def read(arguments: argparse.Namespace) -> Options:
    """What was said of decoding; the files that were named are read, or looked for, before a model is.

    Raises:
        UserError: one of them is missing or wrong.
    """
    given = {name: getattr(arguments, name) for name in _USED_BY}
    given = {name: value for name, value in given.items() if value is not None}
    if "hot_words" in given:
        given["hot_words"] = word_list.read(given["hot_words"])
    if "lm" in given and not given["lm"].is_file():
        raise UserError(f"--lm {given['lm']}: there is no such file; it should be a language model, ARPA or KenLM")
    named = arguments.params
    return Options(arguments.decoder, given, named, None if named is None else params.load(named))
