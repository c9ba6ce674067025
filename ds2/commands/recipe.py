"""Writes the complete params.yaml of a recipe, or lists the recipes.

A recipe (recipes/NAME.yaml) holds the values in which a training differs from the full size, each with its reason.
params.yaml then has every parameter, with its description. A params.yaml that was edited is replaced only when you
agree. With --from the training that follows begins with a checkpoint's weights: they are copied to pretrained/, out of
the way of the new training's, and the sections text, features and model become the checkpoint's.

    python -m ds2 recipe
    python -m ds2 recipe aishell
    python -m ds2 recipe finetune --from models/best_model
"""

import argparse
import sys
from pathlib import Path

from ds2 import layout
from ds2.errors import UserError, harmless
from ds2.files import replacing
from ds2.params import recipes

_NAMED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the recipe's name, --from and --yes."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="the recipe; without it all are listed")
    parser.add_argument(
        "--from", dest="checkpoint", type=Path, metavar="CHECKPOINT", help="folder of a checkpoint to train further"
    )
    parser.add_argument("--yes", action="store_true", help="replace params.yaml even if it was edited")


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring.

    Raises:
        UserError: params.yaml was edited and nobody can be asked, or there is no such recipe, or the checkpoint is
            none, is damaged or cannot be copied.
    """
    if arguments.name is None:
        if arguments.checkpoint is not None:
            raise UserError("--from needs a recipe before it, such as finetune")
        for recipe in map(recipes.read, recipes.names()):
            about = recipe.head.partition("\n")[0].lstrip("# ")
            print(f"{recipe.name:<24}{about}".rstrip())
        return
    origin, recipe = arguments.checkpoint, recipes.read(arguments.name)
    if origin is not None:
        from ds2.checkpoint import disk  # takes a second

        known = disk.read_named(origin)
        # Named after what is in it: with other weights the parameter has another value, and DVC trains again.
        copied = layout.PRETRAINED / disk.content(origin)[:8]
        recipe = recipes.continuing(recipe, known.params, harmless(origin), copied)
    if not arguments.yes and not _may_replace():
        print(f"{layout.PARAMS} stays as it is")
        return
    if origin is not None and origin.resolve() != copied.resolve():
        copied.parent.mkdir(exist_ok=True)
        disk.duplicate(origin, copied, to_resume=False)
        print(f"{copied} is a copy of {origin}, without its optimiser")
    with replacing(layout.PARAMS) as file:
        file.write(recipes.written_out(recipe))
    print(f"{layout.PARAMS} now has the recipe {recipe.name}")


def _may_replace() -> bool:
    edited = recipes.edited()
    if not edited:
        return True
    more = f" and {len(edited) - _NAMED} more" if len(edited) > _NAMED else ""
    what = f"{layout.PARAMS} was edited ({', '.join(edited[:_NAMED])}{more})"
    if not sys.stdin.isatty():
        raise UserError(f"{what}: copy what you need of it, then replace it with --yes")
    try:
        return input(f"{what}. Replace it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False
