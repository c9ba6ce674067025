"""Writes the complete params.yaml of a recipe, or lists the recipes.

A recipe (recipes/NAME.yaml) holds the values in which a training differs from the full size, each with its reason.
params.yaml then has every parameter, with its description. A params.yaml that was edited is replaced only when you
agree.

    python -m ds2 recipe
    python -m ds2 recipe aishell
"""

import argparse
import sys

from ds2 import layout
from ds2.errors import UserError
from ds2.files import replacing
from ds2.params import recipes

_NAMED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the recipe's name and --yes."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="the recipe; without it all are listed")
    parser.add_argument("--yes", action="store_true", help="replace params.yaml even if it was edited")


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring; UserError where params.yaml was edited and nobody can be asked."""
    if arguments.name is None:
        for recipe in map(recipes.read, recipes.names()):
            about = recipe.head.partition("\n")[0].lstrip("# ")
            print(f"{recipe.name:<24}{about}".rstrip())
        return
    recipe = recipes.read(arguments.name)
    if arguments.yes or _may_replace():
        with replacing(layout.PARAMS) as file:
            file.write(recipes.written_out(recipe))
        print(f"{layout.PARAMS} is the recipe {recipe.name}'s")
    else:
        print(f"{layout.PARAMS} stays as it is")


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
