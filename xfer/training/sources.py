"""What trainings learn from, by name.

data/seen           world frames, as `xfer world frames` writes them
data/mine           clips, as `xfer prepare` writes them: their `train` split, where they have one
pictures.npy        uint8 n x s x s x 3; a folder may hold it as frames.npy
world, world:wild   the face world without end: new people in every picture, drawn when needed
"""

import functools
import sys
from pathlib import Path
from typing import Any

from xfer.axes import Image
from xfer.datasets.clips import Clips, is_prepared, splits_of
from xfer.datasets.layout import INDEX
from xfer.datasets.sources import Frames
from xfer.datasets.world import World as FaceWorld
from xfer.datasets.world import fast_renderer
from xfer.errors import BadValue, expect
from xfer.files.records import sha256
from xfer.runs import read_json
from xfer.training.ahead import FramesAhead, RenderedAhead
from xfer.training.distributed import World
from xfer.training.frames import FrameArray, StoredFrames
from xfer.training.train_generator import Batches
from xfer.training.world_frames import WorldFrames

TRAIN = "train"
"""The split of prepared clips that is learned from."""
ENDLESS = "world"
PRESETS = ("studio", "wild")
"""Of the endless world's scenes; the first unless one is asked for."""


def open_frames(
    source: str | Path, resolution: int, seed: int = 0, world: World | None = None
) -> Batches:
    """Training pictures of the right size; those that are work to read are read a step ahead.

    Args:
        source: A folder, a file or `world`, as above.
        seed: Of the order, and of the endless world's people.
        world: The processes of the run, which share a step's pictures; an endless world is drawn on
            their device.
    """
    world = world or World()
    if preset := endless_preset(source):
        drawn = fast_renderer(world.device)
        endless = FaceWorld(resolution, seed, preset=preset, renderer=drawn)
        return RenderedAhead(endless, world.size)
    if is_prepared(source):
        return FramesAhead(learned_clips(source, resolution), seed, world.size)
    path = Path(source)
    array = FrameArray(path / "frames.npy" if path.is_dir() else path, seed)
    expect(
        array.resolution == resolution,
        f"{source} holds pictures of {array.resolution} px; this preset trains at {resolution} px",
    )
    return array


def open_people(folder: str | Path, resolution: int, seed: int = 0) -> WorldFrames | Frames:
    """Frames of known people, of the size that a generator draws: world frames, prepared clips."""
    if endless_preset(folder):
        raise BadValue(
            "the endless world never shows anybody twice, and latents are found once for a fixed "
            "set: render one with `xfer world frames --scenes person --out data/clips`"
        )
    if is_prepared(folder):
        return Frames(learned_clips(folder, resolution), seed)
    frames = WorldFrames(folder, seed)
    expect(
        frames.resolution == resolution,
        f"{folder} holds pictures of {frames.resolution} px; the generator draws {resolution} px",
    )
    return frames


def learned_clips(folder: str | Path, resolution: int) -> Clips:
    """The prepared clips that are learned from, brought to a size."""
    clips = Clips(folder, learned_split(folder), size=resolution)
    if clips.stored_resolution != resolution:
        _say_once(
            f"{folder} holds pictures of {clips.stored_resolution} px; they are brought to "
            f"{resolution} px as they are read"
        )
    return clips


def learned_split(folder: str | Path) -> str | None:
    """Which split of prepared clips is learned from; None for all of them."""
    return TRAIN if TRAIN in splits_of(folder) else None


def endless_preset(source: str | Path) -> str | None:
    """The scenes of the endless world, if that is what a name means; ./world is a folder."""
    name, _, preset = str(source).partition(":")
    if name != ENDLESS:
        return None
    preset = preset or PRESETS[0]
    expect(preset in PRESETS, f"the endless world is world:{' or world:'.join(PRESETS)}; "
           f"got {source}")  # fmt: skip
    return preset


def record_of(folder: str | Path) -> dict[str, Any]:
    """What tells a folder's frames from others, whatever the folder is called."""
    folder = Path(folder)
    if is_prepared(folder):
        return {"index_sha256": sha256(folder / INDEX), "split": learned_split(folder)}
    frames = read_json(folder / "frames.json")
    return {key: frames[key] for key in sorted(frames) if key != "environment"}


def examples(frames: Batches, count: int = 16) -> Image:
    """At most so many pictures, always the same: from all over a fixed set, else the first."""
    if isinstance(frames, StoredFrames):
        return frames.pictures(range(0, len(frames), -(-len(frames) // count)))
    return frames.at(list(range(count)))


@functools.cache
def _say_once(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
