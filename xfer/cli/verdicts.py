"""`xfer evaluate`, `quality`, `ablate`: how good networks are."""

from typing import Literal

from xfer.cli.groups import app


@app.command(name="evaluate")
def evaluate(
    weights: tuple[str, ...],
    judges: str,
    out: str,
    people: int = 100,
    per_person: int = 4,
    seed: int = 0,
    mode: Literal["self", "cross"] = "cross",
    clips: str | None = None,
    dlib: bool = False,
    device: str = "cpu",
    inverter: str | None = None,
    split: str | None = None,
) -> None:
    """Measure models beside all baselines on unseen people: tables, intervals, a sheet.

    Args:
        weights: Models; the first one's inverter and generator serve the baselines.
        judges: The judging copy of the instruments; with --clips an ArcFace file, too.
        out: Folder of the tables.
        people: How many are rendered; the rank is among so many.
        per_person: Trials of each.
        seed: Another seed, other people.
        mode: cross (someone else drives) or self (another frame of the person drives).
        clips: A prepared folder instead of rendered people; what needs the truth is left out.
        dlib: Ask dlib, too.
        device: cpu, cuda, or auto.
        inverter: A ReStyle file, for weights that carry no identity encoder (the paper's).
        split: Of the clips: train, val, test or all. By default test, if it has two people at
            least, else all.
    """
    from xfer.devices import best_device
    from xfer.evaluate import command

    place = str(best_device(device))
    print(
        command.run(
            weights, judges, out, people, per_person, seed, mode, clips, dlib, place, inverter,
            split,
        )
    )  # fmt: skip


@app.command(name="quality")
def quality(
    weights: str,
    judges: str,
    frames: str,
    unseen: str,
    out: str,
    count: int = 1000,
    seed: int = 0,
    dlib: bool = False,
) -> None:
    """Measure a generator: Frechet distance, precision, recall, factors, copies, a sheet.

    Args:
        weights: A generator's file, or the name of a shipped one.
        judges: The judging copy of the instruments.
        frames: World frames that it may have learned from; copies are looked for among them.
        unseen: World frames of other people to compare with: `count` pictures of either half of
            them.
        out: Folder of the tables and figures.
        count: Pictures drawn.
        seed: Of the first one.
        dlib: Ask dlib, too: which share of pictures at psi 0.7 shows a face.
    """
    from xfer import quality as measuring

    print(measuring.run(weights, judges, frames, unseen, out, count, seed, dlib))


@app.command(name="ablate")
def ablate(
    out: str,
    clips: str,
    generator: str,
    inverter: str,
    instruments: str,
    judges: str,
    preset: str = "nano",
    kimg: float = 8.0,
    seeds: int = 3,
    variants: tuple[str, ...] = (),
    people: int = 60,
    set: tuple[str, ...] = (),
) -> None:
    """Train a transfer with one part left out or changed at a time, and judge them all.

    Args:
        out: Folder of the runs and of the table; resumable.
        clips: As for `xfer train transfer`, and so are the next three.
        generator: Draws the people and stays as it is.
        inverter: An identity encoder.
        instruments: The loss copy of the instruments.
        judges: The judging copy.
        preset: nano, small or medium.
        kimg: Thousands of pictures for each training.
        seeds: Trainings of each variant.
        variants: Some of them by name; by default all that change something.
        people: Unseen ones on whom all are judged.
        set: Changes of settings of all variants, as key=value.
    """
    from xfer.ablations import over_seeds, run_ablations
    from xfer.tables import interval_cells

    table = run_ablations(
        out, clips, generator, inverter, instruments, judges, preset, kimg, seeds, variants,
        people, set,
    )  # fmt: skip
    print(interval_cells(over_seeds(table)).to_string())
