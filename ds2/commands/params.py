"""Explains every parameter of params.yaml: its full-size default, what it means, its type and bounds.

The name in front is the one that dvc exp run -S takes.

    python -m ds2 params | less
"""

import argparse

from ds2.params import Params, messages


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring."""
    print(messages.describe(Params))
