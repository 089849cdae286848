"""`xfer sample`, `transfer`, `reenact`: pictures and films of people."""

from typing import Annotated

from tyro.conf import arg

from xfer.cli.groups import app
from xfer.reenact.settings import Settings

Driver = Annotated[tuple[str, ...], arg(aliases=["--source"])]
Identity = Annotated[tuple[str, ...], arg(aliases=["--target"])]
Chosen = Annotated[Settings, arg(name="")]


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


@app.command(name="transfer")
def transfer(
    driver: Driver,
    identity: Identity,
    out: str,
    settings: Chosen = Settings(),  # noqa: B008
    grid: bool = False,
    weights: str | None = None,
    inverter: str | None = None,
    preset: str = "small",
    device: str = "auto",
    half: bool = False,
) -> None:
    """Show an identity with the pose and expression of a driver: pictures, videos, folders.

    `--source` and `--target` are understood as in the paper: driver and identity.

    Args:
        driver: A picture, a video, a folder of them, several of these, or factors such as
            yaw_deg=20,smile=.5
        identity: A photo, several photos of one person, a latent (.npy, .safetensors), or
            random:SEED
        out: The picture or .mp4 to write; a folder for several drivers.
        grid: All drivers by all identities, on one sheet; of videos the first frame.
        weights: A model's file or name; by default that of the preset.
        inverter: A ReStyle file, for weights that carry no identity encoder (the paper's).
        preset: small, paper (the public files), nano (untrained), or medium, once you trained it.
        device: cpu, cuda, or auto.
        half: Convolutions in half precision, where the processor computes with it.
    """
    from xfer.reenact import command

    opened = {
        "weights": weights, "inverter": inverter, "preset": preset, "device": device, "half": half
    }  # fmt: skip
    for made in command.transfer(driver, identity, out, settings, grid, **opened):
        print(made)


@app.command(name="reenact")
def reenact(
    driver: Driver,
    identity: Identity,
    out: str,
    settings: Chosen = Settings(),  # noqa: B008
    weights: str | None = None,
    inverter: str | None = None,
    preset: str = "small",
    device: str = "auto",
    half: bool = False,
) -> None:
    """Film an identity with the motion of a driver's video; sound and frame times are kept.

    Args:
        driver: A video, or a camera such as live:/dev/video0, which Ctrl-C stops; a second driver
            with --between-drivers.
        identity: A photo, several photos of one person, a latent, or random:SEED
        out: The .mp4 to write.
        weights: A model's file or name; by default that of the preset.
        inverter: A ReStyle file, for weights that carry no identity encoder (the paper's).
        preset: small, paper (the public files), nano (untrained), or medium, once you trained it.
        device: cpu, cuda, or auto.
        half: Convolutions in half precision, where the processor computes with it.
    """
    from xfer.reenact import command

    opened = {
        "weights": weights, "inverter": inverter, "preset": preset, "device": device, "half": half
    }  # fmt: skip
    print(command.reenact(driver, identity, out, settings, **opened))
