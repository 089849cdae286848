"""`xfer` on the command line: one thin verb for each thing the package does.

A verb is a function here, decorated with its group; its arguments are the command's, its docstring
the help. It imports what it needs when it is called, so that `xfer --help` is quick.
"""

import sys

from tyro.conf import Positional
from tyro.extras import SubcommandApp

from xfer.errors import XferError

app = SubcommandApp()
weights = SubcommandApp()
app.command(weights, name="weights", help="Checkpoint files: list, fetch, verify, convert.")


@weights.command(name="inspect")
def weights_inspect(path: Positional[str]) -> None:
    """Show what a checkpoint file holds.

    Args:
        path: A file, or the name of a shipped or fetched one.
    """
    from xfer.files import read_checkpoint

    checkpoint = read_checkpoint(path)
    print(f"{checkpoint.path}: layout {checkpoint.layout}")


@weights.command(name="list")
def weights_list() -> None:
    """List the checkpoint files that xfer knows by name."""
    from xfer.files import registry

    for name, place in registry.shipped().items():
        print(name, place)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; an error that xfer raises on purpose is one message and exit status 2."""
    try:
        app.cli(prog="xfer", args=arguments, description=f"{_about()}")
    except XferError as error:
        print(f"xfer: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("xfer: interrupted", file=sys.stderr)
        return 130
    return 0


def _about() -> str:
    import xfer

    return xfer.__doc__ or ""


if __name__ == "__main__":
    sys.exit(main())
