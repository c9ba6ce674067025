"""What the stages' commands have in common."""

import argparse
import sys

from loguru import logger
from tqdm import tqdm

from ds2 import layout, params
from ds2.distributed import launch, orphan


def start(description: str, *arguments: tuple[str, str]) -> tuple[params.Params, argparse.Namespace]:
    """Reads the command line and, before any work, the whole of params.yaml; sets up the log; ends with its dvc.

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
    logger.remove()
    logger.add(_line, format="{time:YYYY-MM-DD HH:mm:ss} {level: <7} {message}", level="INFO")
    if launch.needed():  # else this process of a training ends with the one that started it
        orphan.end_with_dvc()
    return params.load(layout.PARAMS), parsed


def _line(message: str) -> None:
    """Writes a log line, above a progress bar if there is one."""
    tqdm.write(message, file=sys.stderr, end="")
    sys.stderr.flush()
