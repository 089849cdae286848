"""`xfer world`: people with exact truth."""

from typing import Literal

from xfer.cli.groups import world


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
