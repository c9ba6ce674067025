"""How every stage of dvc.yaml runs."""

import argparse
from collections.abc import Callable

from ds2 import log, params, startup
from ds2.distributed import launch
from ds2.errors import UserError, ends_with_a_sentence
from ds2.params import messages
from ds2.pipeline import copies, leftovers, orphan, record


@ends_with_a_sentence
def run(main: Callable[..., None], description: str, **arguments: str) -> None:
    """Reads the command line and, before any work, the whole of params.yaml; sets up the log; watches its dvc.

    Args:
        main: the stage, called with the parameters and the arguments.
        description: the stage's docstring, shown by --help.
        arguments: help texts of positional arguments, by name.
    """
    startup.prepare()
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, help_text in arguments.items():
        parser.add_argument(name, help=help_text)
    parsed, options = parser.parse_known_args()
    if options:
        name, _, value = " ".join(options[:2]).replace("=", " ", 1).partition(" ")
        raise UserError(messages.option(params.Params, name, value.split(" ")[0]))
    log.to_terminal()
    if not launch.needed():  # this process of a training ends with the one that started it, which looks after the rest
        main(params.load(), **vars(parsed))
        return
    orphan.end_with_dvc()
    with record.kept_true():
        leftovers.warn_of_detached_head()
        copies.warn_of_characters()
        main(params.load(), **vars(parsed))
