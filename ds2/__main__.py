"""python -m ds2 COMMAND: the one command line, also installed as ds2."""

import argparse
import difflib
import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from ds2 import startup
from ds2.errors import UserError, ends_with_a_sentence

# What --help says of each; ds2.commands has a module for each, and only the one that is asked for is imported.
COMMANDS = {
    "transcribe": "turn recordings into text with a trained model",
    "align": "find when each word of a known text is said",
    "evaluate": "score a trained model on a manifest or an annotation",
    "export": "make a bundle of a trained model, which is used without paddle",
    "tune": "find the weights of the beam search that make the fewest errors",
    "compare": "show what changed between two commits, branches or experiments",
    "experiments": "list all experiments with the dev score to choose by and the test score to report",
    "convert": "turn lists of Kaldi, NeMo, wenet, Common Voice or a spreadsheet into an annotation",
    "split": "divide whole speakers into training, dev and test data",
    "params": "explain every parameter of params.yaml",
    "recipe": "write a complete params.yaml from a recipe",
    "show": "show what augmentation does to a recording",
}


# Packages of the extra train, and paddle: where bundles are only used they are missing.
_OF_THE_TRAINING = {"paddle", "dvc", "visualdl", "matplotlib", "onnx", "jinja2", "psutil", "rapidfuzz", "safetensors"}


class _Parser(argparse.ArgumentParser):
    """Ends on a mistake as everything in ds2 does."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} --help says what is possible")


def parser(name: str) -> tuple[argparse.ArgumentParser, Callable[[argparse.Namespace], None]]:
    """The command line of a command, and what runs it."""
    command = importlib.import_module(f"ds2.commands.{name}")
    built = _Parser(
        f"python -m ds2 {name}", description=command.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if hasattr(command, "add_arguments"):
        command.add_arguments(built)
    return built, command.run


@ends_with_a_sentence
def main() -> None:
    """Runs the command that the first argument names."""
    startup.refuse_without_packages()
    startup.prepare()
    try:
        _run(*sys.argv[1:] or ["--help"])
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads the output has stopped, as head does: end as other tools do then. Python ignores this signal,
        # and must while a command runs, since any process that it writes to may end first.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)


def _run(name: str, *arguments: str) -> None:
    if name in ("-h", "--help"):
        print("usage: python -m ds2 COMMAND ...\n")
        print("\n".join(f"  {command:12}{said}" for command, said in COMMANDS.items()))
        print("\npython -m ds2 COMMAND --help says more of each, with an example.")
    elif name in COMMANDS:
        try:
            built, run = parser(name)
            run(built.parse_args(arguments))
        except ModuleNotFoundError as error:
            package = str(error.name).split(".")[0]
            if package not in _OF_THE_TRAINING:
                raise
            raise UserError(
                f"{name} needs the package {package}, which is not installed: run make install in the repository"
            ) from None
    else:
        closest = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        meant = f"; did you mean {closest[0]}? " if closest else ": "
        raise UserError(f"there is no command {name or repr(name)}{meant}python -m ds2 --help lists all")


if __name__ == "__main__":
    main()
