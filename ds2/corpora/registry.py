"""The names of the built-in corpora, which reserve annotation files."""

from collections.abc import Iterable

from ds2 import layout
from ds2.errors import UserError

# The module of ds2.corpora that makes a corpus.
BUILDERS = {
    "demo": "demo",
    "aishell": "aishell",
    "thchs30": "thchs30",
    "free_st": "free_st",
    "librispeech_100": "librispeech",
    "librispeech_460": "librispeech",
    "librispeech": "librispeech",
    "musan": "musan",
    "rirs_noises": "rirs_noises",
}
NAMES = tuple(BUILDERS)


def check(names: Iterable[str]) -> None:
    """Raises UserError when one of the names is not a built-in corpus's, or two have the same recordings."""
    makers: dict[str, str] = {}
    for name in names:
        if name not in NAMES:
            raise UserError(
                f"corpora: {name!r} is not a built-in corpus; there are: {', '.join(NAMES)}. Your own data needs no "
                f"name there: put its annotation into {layout.ANNOTATION}"
            )
        other = makers.setdefault(BUILDERS[name], name)
        if other != name:
            raise UserError(f"corpora: {other} and {name} have recordings in common: name one of them")
