"""`xfer train`: what finds and moves people in the space of a generator."""

from xfer.cli.groups import train


@train.command(name="inverter")
def train_inverter(
    out: str,
    frames: str,
    generator: str,
    instruments: str,
    preset: str = "small",
    set: tuple[str, ...] = (),
    device: str = "auto",
    hours: float | None = None,
    start: str | None = None,
) -> None:
    """Train an identity encoder (ReStyle) that finds the latents of faces; resumable.

    Args:
        out: Folder of the run and of inverter.safetensors.
        frames: Pictures, as for `xfer train generator`.
        generator: Whose latents: a file or a shipped name.
        instruments: The loss copy of the instruments, or an ArcFace file (real faces).
        preset: nano, small, medium or paper.
        set: Changes of single settings, as key=value.
        device: cpu, cuda, or auto.
        hours: End after so long, as if the work was done; else at the preset's total_kimg.
        start: An encoder that a new run begins with: a file or a shipped name.
    """
    from xfer.training import inverter_recipes

    inverter_recipes.train_inverter(
        out, frames, generator, instruments, preset, set, device, hours, start
    )


@train.command(name="latents")
def train_latents(
    frames: str, generator: str, inverter: str, batch: int = 32, device: str = "auto"
) -> None:
    """Invert all frames of a folder into latents.npy beside them; resumable.

    Args:
        frames: World frames, or a folder made by `xfer prepare`, of which those are inverted that
            are learned from.
        generator: Whose latents: a file or a shipped name.
        inverter: An identity encoder, as written by `xfer train inverter`.
        batch: Frames at a time.
        device: cpu, cuda, or auto.
    """
    from xfer.training.latents import invert_frames

    print(invert_frames(frames, generator, inverter, batch, device))


@train.command(name="transfer")
def train_transfer(
    out: str,
    clips: str,
    generator: str,
    inverter: str,
    instruments: str,
    preset: str = "small",
    set: tuple[str, ...] = (),
    device: str = "auto",
    hours: float | None = None,
    start: str | None = None,
) -> None:
    """Train the motion encoder and the mapper of a transfer model; resumable.

    Args:
        out: Folder of the run and of transfer.safetensors.
        clips: A folder made by `xfer prepare`, or world frames of people who keep one scene
            (`xfer world frames --scenes person`).
        generator: Draws the people and stays as it is: a file or a shipped name.
        inverter: An identity encoder, as written by `xfer train inverter`.
        instruments: The loss copy of the instruments, or an ArcFace file (real faces).
        preset: nano, small, medium or paper.
        set: Changes of single settings, as key=value, such as mapper.kind=affine.
        device: cpu, cuda, or auto.
        hours: End after so long, as if the work was done; else at the preset's total_kimg.
        start: A model that a new run begins with: a file or a shipped name.
    """
    from xfer.training import transfer_recipes

    transfer_recipes.train_transfer(
        out, clips, generator, inverter, instruments, preset, set, device, hours, start
    )


@train.command(name="rival")
def train_rival(
    out: str,
    clips: str,
    generator: str,
    inverter: str,
    instruments: str,
    preset: str = "small",
    set: tuple[str, ...] = (),
    device: str = "auto",
    hours: float | None = None,
) -> None:
    """Train what a transfer is compared with: a mask that swaps channels of style space.

    Args:
        out: Folder of the run and of rival.safetensors.
        clips: As for `xfer train transfer`, and so are the others.
        generator: Draws the people and stays as it is.
        inverter: An identity encoder; the rival inverts drivers with it too.
        instruments: The loss copy of the instruments, or an ArcFace file (real faces).
        preset: nano, small, medium or paper.
        set: Changes of single settings, as key=value.
        device: cpu, cuda, or auto.
        hours: End after so long, as if the work was done.
    """
    from xfer.training import train_rival as recipe

    recipe.train_rival(
        out, clips, generator, inverter, instruments, preset, set, device, hours=hours
    )


@train.command(name="controls")
def train_controls(
    transfer: str,
    world: str,
    out: str,
    instruments: str | None = None,
    judge: str | None = None,
    clips: str | None = None,
    pictures: int = 8000,
    people: int = 32,
) -> None:
    """Learn a transfer model's controls (yaw, jaw, smile, ...) and write it with them.

    Args:
        transfer: The model's file or name.
        world: World frames, whose landmarks and truth teach the reader of landmarks.
        out: The new file.
        instruments: The loss copy, which reads the world's pictures.
        judge: The judging copy, which measures the cross-talk; not with --clips.
        clips: Prepared clips of real faces instead, for a model that was trained on such; what
            the sliders do to drawn pictures is then neither measured nor calibrated.
        pictures: How many are read.
        people: Random ones on whom the sliders are calibrated; not with --clips.
    """
    from xfer.training import train_controls as recipe

    facts = recipe.train_controls(transfer, world, out, instruments, judge, clips, pictures, people)
    for slider, row in facts.get("cross_talk", {}).items():
        print(f"{slider:12}", "  ".join(f"{value:+.2f}" for value in row.values()))
    if "cross_talk" not in facts:
        print("what sliders do to other factors is not measured: real faces have no truth")
    print(out)
