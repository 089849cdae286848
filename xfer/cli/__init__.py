"""`xfer` on the command line: one thin verb for each thing the package does.

A verb is a function in a module beside, decorated with its group; its arguments are the command's,
its docstring the help. It imports what it needs when it is called, so that `xfer --help` is quick.
"""

import sys

from xfer import __version__
from xfer.arguments import gathered
from xfer.cli import (  # noqa: F401  their verbs stand in this order in `xfer --help`
    pages,
    people,
    preparing,
    training,
    training_transfer,
    verdicts,
    weights,
    world,
)
from xfer.cli.groups import app
from xfer.errors import Stopped, XferError

LESS_MEMORY = (
    "out of memory; lower what is held at a time: --set batch=N of networks that learn, --batch of "
    "latents, --pictures of controls; or choose a smaller --preset"
)
"""What to do about a training that lacks memory where nobody knows its batch."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; an error that xfer raises on purpose is one message and exit status 2."""
    given = gathered(sys.argv[1:] if arguments is None else arguments)
    try:
        if given == ["--version"]:
            print(f"xfer {__version__}")
            return 0
        app.cli(prog="xfer", args=given, description=f"{_about()}")
    except Stopped as error:
        print(f"xfer: {error}", file=sys.stderr)
        return 130
    except XferError as error:
        print(f"xfer: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("xfer: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if given[:1] != ["train"] or not _is_out_of_memory(error):
            raise
        print(f"xfer: {LESS_MEMORY}", file=sys.stderr)
        return 2
    return 0


def _is_out_of_memory(error: Exception) -> bool:
    from xfer.training.memory import is_out_of_memory

    return is_out_of_memory(error)


def _about() -> str:
    import xfer

    return xfer.__doc__ or ""
