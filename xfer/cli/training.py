"""`xfer train`: everything at once, and the networks that all others need."""

from typing import Literal

from xfer.cli.groups import train


@train.command(name="all")
def train_all(
    out: str,
    preset: str = "small",
    minutes: float = 25.0,
    device: str = "auto",
    seed: int = 0,
    set: tuple[str, ...] = (),
) -> None:
    """From nothing to a judged model within some minutes: render, train every part, evaluate.

    Run again after any interruption, it goes on; finished stages are skipped.

    Args:
        out: Folder of model.safetensors, of all other weights, and of records/.
        preset: nano, small or medium.
        minutes: For all calls together; every stage has a share of them.
        device: cpu, cuda, or auto.
        seed: Another seed, other people.
        set: Changes of single settings, as STAGE.key=value, such as generator.learning_rate=2e-3.
    """
    from xfer.pipeline import command

    print(command.run(out, preset, minutes, device, seed, set))


@train.command(name="generator")
def train_generator(
    out: str,
    frames: str,
    preset: str = "small",
    set: tuple[str, ...] = (),
    device: str = "auto",
    hours: float | None = None,
    instruments: str | None = None,
    start: str | None = None,
    inverter: str | None = None,
) -> None:
    """Train StyleGAN2; run again on the same folder, it goes on. Also under torchrun.

    Args:
        out: Folder of the run.
        frames: Pictures: a folder made by `xfer prepare` or `xfer world frames`, a .npy of uint8
            n x s x s x 3, or world (world:wild): the face world without end.
        preset: nano, small, medium or paper.
        set: Changes of single settings, as key=value.
        device: cpu, cuda, or auto.
        hours: End after so long, as if the work was done; else at the preset's total_kimg.
        instruments: The loss copy of the instruments, or an ArcFace file, for
            `--set critic=projected` and anchors.
        start: A generator to begin with: a warm start, or one to be adapted to other pictures.
        inverter: Where the start has none: the encoder for `--set anchor_in=w_plus`.
    """
    from xfer.training import recipes

    recipes.train_generator(out, frames, preset, set, device, instruments, start, hours, inverter)


@train.command(name="autoencoder")
def train_autoencoder(
    out: str,
    frames: str,
    instruments: str,
    preset: str = "small",
    set: tuple[str, ...] = (),
    device: str = "auto",
    hours: float | None = None,
) -> None:
    """Warm a generator up by redrawing pictures; then `xfer train generator --start`. Resumable.

    Args:
        out: Folder of the run and of generator.safetensors.
        frames: Pictures, as for `xfer train generator`.
        instruments: The loss copy of the instruments, or an ArcFace file (real faces).
        preset: nano, small or medium.
        set: Changes of single settings, as key=value.
        device: cpu, cuda, or auto.
        hours: End after so long, as if the work was done; else at the preset's total_kimg.
    """
    from xfer.training import recipes

    recipes.train_autoencoder(out, frames, instruments, preset, set, device, hours=hours)


@train.command(name="instruments")
def train_instruments(
    out: str,
    frames: str,
    unseen: str,
    copy: Literal["loss", "judge"],
    preset: str = "small",
    set: tuple[str, ...] = (),
    device: str = "auto",
    hours: float | None = None,
    start: str | None = None,
    only: Literal["reader", "recogniser"] | None = None,
) -> None:
    """Train the measuring networks, a factor reader and a face recogniser; resumable.

    Args:
        out: Folder of both runs and of instruments.safetensors.
        frames: World frames to learn from.
        unseen: World frames of other people, on which their own errors are measured.
        copy: loss, to serve in training, or judge, which must see other people and only measures.
        preset: nano, small or medium.
        set: Changes of single settings, as key=value.
        device: cpu, cuda, or auto.
        hours: End after so long, as if the work was done; else at the preset's total_kimg.
        start: Instruments of the same copy to begin with.
        only: Train this one; the other is the start's as it is.
    """
    from xfer.training import instrument_recipes

    instrument_recipes.train_instruments(
        out, frames, unseen, copy, preset, set, device, hours, start, only
    )
