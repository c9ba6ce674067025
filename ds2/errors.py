"""Mistakes that a user can mend, and how a command ends on one."""

import functools
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend. The message is one sentence: where, what is wrong, what would be right."""


def ends_with_a_sentence(main: Callable[[], None]) -> Callable[[], None]:
    """Makes a command print a UserError as one line and exit with code 1 (Ctrl-C: 130), without a traceback."""

    @functools.wraps(main)
    def command() -> None:
        try:
            main()
        except UserError as error:
            sys.stdout.flush()
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)

    return command
