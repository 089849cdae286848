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
train = SubcommandApp()
world = SubcommandApp()
app.command(weights, name="weights", help="Checkpoint files: list, fetch, verify, convert.")
app.command(train, name="train", help="Train networks: generator.")
app.command(world, name="world", help="The face world: render people with exact truth.")


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
def weights_convert(path: Positional[str], to: str = "xfer", out: str | None = None) -> None:
    """Write a checkpoint file's networks in another layout.

    Args:
        path: A file, or the name of a shipped or fetched one.
        to: xfer (safetensors) or rosinality (.pt; generators and discriminator only).
        out: The new file; by default beside the old one.
    """
    from xfer.weights import convert

    print(convert(path, to, out))


@app.command(name="sample")
def sample(
    weights: str | None = None, seeds: int = 32, psi: float = 0.7, out: str = "results/samples"
) -> None:
    """Draw a sheet of random people and a truncation strip.

    Args:
        weights: A generator's file or shipped name; by default an untrained small one.
        seeds: How many people, from seed 0.
        psi: How much of the way from the mean face, 0 to 1.
        out: Folder of the pictures.
    """
    import torch

    from xfer.stylegan2.generator import Generator
    from xfer.stylegan2.sheets import sample_sheet, truncation_sheet
    from xfer.training.config import GENERATOR_PRESETS

    if weights is None:
        torch.manual_seed(0)
        generator, title = Generator(GENERATOR_PRESETS["small"].generator), "untrained generator"
        generator.w_mean.copy_(generator.estimate_w_mean()[0])
    else:
        generator, title = Generator.load(weights), f"generator {weights}"
    print(sample_sheet(generator, range(seeds), psi, f"{out}/samples.png", title))
    print(truncation_sheet(generator, range(min(seeds, 6)), f"{out}/truncation.png", title))


@train.command(name="generator")
def train_generator(
    out: str,
    frames: str,
    preset: str = "small",
    set: tuple[str, ...] = (),
    device: str = "auto",
) -> None:
    """Train StyleGAN2; run again on the same folder, it goes on. Also under torchrun.

    Args:
        out: Folder of the run.
        frames: Pictures: a folder made by `xfer world frames`, or a .npy of uint8 n x s x s x 3.
        preset: nano, small, medium or paper.
        set: Changes of single settings, as key=value.
        device: cpu, cuda, or auto.
    """
    from xfer.training import recipes

    recipes.train_generator(out, frames, preset, set, device)


@world.command(name="frames")
def world_frames(
    out: str,
    people: int = 4000,
    frames: int = 6,
    size: int = 64,
    seed: int = 0,
    preset: str = "studio",
) -> None:
    """Render aligned frames of the face world with their factors, to train on; resumable.

    Args:
        out: Folder of the set.
        people: How many people.
        frames: Pictures of each.
        size: Pixels along an edge.
        seed: Another seed, other people.
        preset: studio (plain backgrounds) or wild.
    """
    from xfer.training.world_frames import render_frames

    print(render_frames(out, people, frames, size, seed, preset))


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
