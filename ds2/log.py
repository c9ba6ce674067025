"""The log on the terminal, the same for all stages and commands."""

import sys

from loguru import logger
from tqdm import tqdm


def to_terminal() -> None:
    """Sends the log to the standard error from now on, and nowhere else."""
    logger.remove()
    logger.add(_write, format="{time:YYYY-MM-DD HH:mm:ss} {level: <7} {message}", level="INFO")


def _write(message: str) -> None:
    """Writes a line, above a progress bar if there is one."""
    tqdm.write(message, file=sys.stderr, end="")
    sys.stderr.flush()
