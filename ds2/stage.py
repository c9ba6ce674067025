"""How every stage of dvc.yaml starts."""

import argparse

from ds2 import layout, log, params
from ds2.distributed import launch, orphan


def start(description: str, *arguments: tuple[str, str]) -> tuple[params.Params, argparse.Namespace]:
    """Reads the command line and, before any work, the whole of params.yaml; sets up the log; watches its dvc.

    Args:
        description: the stage's docstring, shown by --help.
        arguments: names and help texts of positional arguments.

    Raises:
        UserError: a parameter is wrong.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, help_text in arguments:
        parser.add_argument(name, help=help_text)
    parsed = parser.parse_args()
    log.to_terminal()
    if launch.needed():  # else this process of a training ends with the one that started it
        orphan.end_with_dvc()
    return params.load(layout.PARAMS), parsed
