"""`xfer notebooks`: the numbered notebooks."""

import sys
from typing import Annotated

from tyro.conf import Positional, arg

from xfer.cli.groups import notebooks


@notebooks.command(name="run")
def notebooks_run(
    names: Positional[tuple[str, ...]] = (),
    preset: str | None = None,
    set: tuple[str, ...] = (),
    from_: Annotated[str, arg(name="from")] = "",
    results: str = "results",
) -> None:
    """Run notebooks in order, each into its folder of results; stop at the first that fails.

    Args:
        names: Which, by number or name; all by default.
        preset: nano or small: how much to compute.
        set: Parameters as name=value, checked against the notebooks.
        from_: The first notebook to run, such as 04.
        results: Where the results folders are.
    """
    from xfer.notebooks import run_notebooks

    outcomes = run_notebooks(names, preset, set, from_, results=results)
    sys.exit(max(outcome.exit_code for outcome in outcomes))


@notebooks.command(name="list")
def notebooks_list() -> None:
    """List the notebooks and their parameters."""
    from xfer.notebooks import find_notebooks, read_parameters

    for path in find_notebooks():
        print(path.stem)
        for name, default in read_parameters(path).items():
            print(f"    {name} = {default!r}")
