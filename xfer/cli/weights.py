"""`xfer weights`: checkpoint files."""

from tyro.conf import Positional

from xfer.cli.groups import weights


@weights.command(name="list")
def weights_list() -> None:
    """List the checkpoint files that xfer knows by name, with licence and origin."""
    from xfer.weights import known

    for row in known():
        print(f"{row['name']} ({row['state']}{', ' + row['size'] if row['size'] else ''})")
        print(f"    {row['what']}\n    {row['licence']}\n    {row['origin']}")


@weights.command(name="fetch")
def weights_fetch(name: Positional[str]) -> None:
    """Fetch a public checkpoint file into the cache and check it.

    Args:
        name: As `xfer weights list` gives it.
    """
    from xfer.weights import fetch

    print(fetch(name))


@weights.command(name="verify")
def weights_verify(paths: Positional[tuple[str, ...]] = ()) -> None:
    """Read checkpoint files whole and compare them with their recorded sha256.

    Args:
        paths: Files or names; by default every shipped and fetched one.
    """
    from xfer.files import registry
    from xfer.weights import verify

    fetched = [name for name in registry.PUBLIC if registry.place(name).exists()]
    for path in paths or [*registry.shipped(), *fetched]:
        print(verify(path))


@weights.command(name="inspect")
def weights_inspect(path: Positional[str]) -> None:
    """Show what a checkpoint file holds. Nothing in it is executed.

    Args:
        path: A file, or the name of a shipped or fetched one.
    """
    from xfer.weights import inspect

    checkpoint, rows = inspect(path)
    print(f"{checkpoint.path}: layout {checkpoint.layout}")
    for row in rows:
        print("  " + ", ".join(f"{key} {value}" for key, value in row.items()))
    if checkpoint.facts:
        print(f"  beside them: {', '.join(checkpoint.facts)}")


@weights.command(name="convert")
def weights_convert(
    path: Positional[str], to: str = "xfer", out: str | None = None, half: bool = False
) -> None:
    """Write a checkpoint file's networks in another layout.

    Args:
        path: A file, or the name of a shipped or fetched one.
        to: xfer (safetensors) or rosinality (.pt; generators and discriminator only).
        out: The new file; by default beside the old one.
        half: Store float16, which halves the file (xfer only).
    """
    from xfer.weights import convert

    print(convert(path, to, out, half))


@weights.command(name="blend")
def weights_blend(first: Positional[str], second: Positional[str], share: float, out: str) -> None:
    """Write networks between those of two files, of which one was trained on from the other.

    Args:
        first: A file, or the name of a shipped one.
        second: Another one.
        share: How far from the first to the second, 0 to 1.
        out: The new file.
    """
    from xfer.weights import blend

    print(blend(first, second, share, out))
