"""Explains every parameter of params.yaml: its full-size default, what it means, its type and bounds.

The name in front is the one that dvc exp run -S takes.

    python -m ds2 params | less
"""

import argparse
import signal

from ds2.params import Params, messages


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever reads it may stop, as head does
    print(messages.describe(Params))
