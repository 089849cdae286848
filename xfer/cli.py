"""`xfer` on the command line: one thin verb for each thing the package does.

A verb is a function here, decorated with its group; its arguments are the command's, its docstring
the help. It imports what it needs when it is called, so that `xfer --help` is quick.
"""

import sys
from typing import Annotated, Literal

from tyro.conf import Positional, arg
from tyro.extras import SubcommandApp

from xfer import __version__
from xfer.arguments import gathered
from xfer.errors import Stopped, XferError
from xfer.reenact.settings import Settings

app = SubcommandApp()
weights = SubcommandApp()
train = SubcommandApp()
world = SubcommandApp()
notebooks = SubcommandApp()
app.command(weights, name="weights", help="Checkpoint files: list, fetch, verify, convert.")
app.command(train, name="train", help="Train networks: generator, instruments, inverter, ...")
app.command(world, name="world", help="The face world: render people with exact truth.")
app.command(notebooks, name="notebooks", help="The numbered notebooks: run them in order.")


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


@world.command(name="frames")
def world_frames(
    out: str,
    people: int = 4000,
    frames: int = 6,
    size: int = 64,
    seed: int = 0,
    preset: str = "studio",
    scenes: Literal["frame", "person"] = "frame",
) -> None:
    """Render aligned frames of the face world with their factors, to train on; resumable.

    Args:
        out: Folder of the set.
        people: How many people.
        frames: Pictures of each.
        size: Pixels along an edge.
        seed: Another seed, other people.
        preset: studio (plain backgrounds) or wild.
        scenes: frame, a new scene for every frame, or person: all frames of a person share one,
            as in a clip, which `xfer train transfer` learns from.
    """
    from xfer.training.world_frames import render_frames

    print(render_frames(out, people, frames, size, seed, preset, scenes=scenes))


@world.command(name="render")
def world_render(
    out: str,
    people: int = 8,
    frames: int = 100,
    size: int = 256,
    seed: int = 0,
    preset: str = "wild",
) -> None:
    """Render talking people: one clip_00000.mp4 each, and frames.parquet with their truth.

    Args:
        out: An empty or new folder.
        people: One clip of each.
        frames: Of a clip, 25 a second.
        size: Pixels along an edge.
        seed: Another seed, other people.
        preset: studio (plain backgrounds) or wild.
    """
    from xfer.training.world_clips import render_clips

    print(render_clips(out, people, frames, size, seed, preset))


@world.command(name="judge")
def world_judge(
    out: str | None = None, frames: int = 500, people: int = 100, size: int = 256, seed: int = 0
) -> None:
    """Show rendered people to dlib's and scikit-image's detectors: the table of verdicts.

    Args:
        out: A JSON file for the table and the commit it was measured on.
        frames: Random people, one frame each.
        people: People of four frames each, for dlib's recogniser.
        size: Pixels along an edge.
        seed: Another seed, other people.
    """
    from xfer.faceworld.judge import judge
    from xfer.runs import environment, write_json

    table = judge(frames, people, size, seed)
    for name, value in table.items():
        print(f"{name:24} {value:.4g}")
    if out:
        write_json(out, table | environment())


Driver = Annotated[tuple[str, ...], arg(aliases=["--source"])]
Identity = Annotated[tuple[str, ...], arg(aliases=["--target"])]
Chosen = Annotated[Settings, arg(name="")]


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


@app.command(name="prepare")
def prepare(
    sources: Positional[tuple[str, ...]],
    out: str | None = None,
    size: int = 256,
    fps: float = 25.0,
    landmarks: str = "auto",
    picture_format: str = "jpg",
    people: str = "auto",
    images: str = "auto",
    most_frames: int | None = None,
    clips_per_shard: int = 32,
    workers: int | None = None,
    shard: str = "0/1",
) -> None:
    """Make aligned clips of videos and pictures; run again, it goes on where it stopped.

    `xfer prepare merge DIR` joins the shares of a job array, `xfer prepare merge DIR1 DIR2 --out
    NEW` joins several preparations.

    Args:
        sources: Videos, pictures, and folders of them; or `merge` and folders.
        out: Folder of the clips.
        size: Edge of the aligned pictures in pixels.
        fps: Frames a second at most.
        landmarks: auto, truth (face-world clips only), face-alignment or dlib.
        picture_format: jpg or png.
        people: auto (folders like id00012 are people), folder (each folder in a source is one, and
            a source for the clips that lie in it directly), or clip (each clip is its own person).
        images: auto (numbered pictures are the frames of a clip, unless they differ like
            portraits), frames or portraits.
        most_frames: Frames of a video to read at most.
        clips_per_shard: Clips in one shard.
        workers: Processes at a time; by default one for each core.
        shard: i/n, this machine's share of a job array.
    """
    from xfer.prepare import command

    if sources[:1] == ("merge",):
        print(command.merge(sources[1:], out))
    else:
        settings = command.Settings(
            size, fps, landmarks, picture_format=picture_format, most_frames=most_frames
        )
        print(
            command.prepare(
                sources, out, settings, shard, people=people, images=images, workers=workers,
                clips_per_shard=clips_per_shard,
            )
        )  # fmt: skip


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


if __name__ == "__main__":
    sys.exit(main())
