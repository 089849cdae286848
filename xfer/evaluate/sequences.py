"""Short clips that methods are driven through, frame by frame: how steady is what they show?

Names of metrics: `jitter` is that of the judge's 68 points, in distances of the eyes' outer
corners; `jitter_pixels` that of the pictures, whose values lie in [-1, 1].
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from xfer.baselines import Driver, Method
from xfer.datasets.clips import Clips
from xfer.evaluate.judges import Judge, readings
from xfer.evaluate.table import draw
from xfer.evaluate.trials import STREAM, Mode, Trials, renderer
from xfer.faceworld.clips import draw_clip_motion
from xfer.faceworld.factors import Group, draw_identity, draw_motion, draw_scene, seeded
from xfer.metrics.transfer import eye_distances, jitter

FRAMES = 8
"""Of each clip; as many as show a second difference well and cost little."""
LEAST_FRAMES = 3
"""Fewer have no second difference."""
TRIALS_A_CLIP = 30
"""One clip for so many trials, so that clips stay a small part of an evaluation."""
FEWEST, MOST = 3, 12


def clips_for(trials: int) -> int:
    """How many clips go with so many trials."""
    return min(MOST, max(FEWEST, trials // TRIALS_A_CLIP))


def world_sequences(
    count: int,
    size: int = 64,
    seed: int = 0,
    mode: Mode = "cross",
    preset: str = "studio",
    compiled: bool | None = None,
    frames: int = FRAMES,
) -> Trials:
    """Clips of the face world, 25 frames a second, whose answer is rendered.

    A row is a frame, and `people`, like `givers`, tells the clips apart. One photo and one scene
    serve a whole clip, so that only the driver moves. Arguments as in `world_trials`.
    """
    draw_from = lambda stream: seeded(seed, STREAM + stream)
    cast = lambda stream: (
        draw_identity(count, draw_from(stream)), draw_scene(count, draw_from(stream + 1), preset)
    )  # fmt: skip
    shown, own = renderer(size, compiled), cast(7)
    giver = own if mode == "self" else cast(9)
    moving = Group.cat(
        [draw_clip_motion(frames, seeded(seed, STREAM + 11, i)) for i in range(count)]
    )

    def still(who: Group, scene: Group, stream: int) -> torch.Tensor:
        picture = shown(who, draw_motion(count, draw_from(stream)), scene)[0]
        return picture.repeat_interleave(frames, 0)

    film = lambda who, scene: shown(who.repeat(frames), moving, scene.repeat(frames))
    truth, clip = film(*own), np.arange(count).repeat(frames)
    driver = truth if mode == "self" else film(*giver)
    return Trials(
        Driver(driver[0], still(*giver, 12), truth[0]),
        still(*own, 13),
        clip,
        clip,
        mode,
        *truth[1:],
        moving,
    )


def clip_sequences(
    clips: Clips, count: int, seed: int = 0, mode: Mode = "cross", frames: int = FRAMES
) -> Trials | None:
    """Consecutive frames of prepared clips, each of another person; None where there are none.

    Rows as in `world_sequences`; in self mode the driver is the truth.
    """
    rng, of_clip = np.random.default_rng((seed, STREAM, 1)), clips.items_by("clip")
    people, clip = clips.items_by("person"), clips.index["clip"].to_numpy()
    runs = {person: _longest_run(clips, items)[:frames] for person, items in people.items()}
    givers = [person for person, run in runs.items() if len(run) >= LEAST_FRAMES]
    drivers, references, identities, of = [], [], [], []
    for i, giver in enumerate(rng.permutation(givers)[:count]):
        run = runs[giver]
        others = np.setdiff1d(of_clip[clip[run[0]]], run)
        reference = rng.choice(others if len(others) else run)
        identity = reference
        if mode == "cross":
            identity = rng.choice(np.concatenate([p for n, p in people.items() if n != giver]))
        drivers += run.tolist()
        references += [int(reference)] * len(run)
        identities += [int(identity)] * len(run)
        of += [i] * len(run)
    if not of:
        return None
    driver, reference, identity = map(clips.pictures, (drivers, references, identities))
    truth = driver if mode == "self" else None
    clip = np.array(of)
    return Trials(Driver(driver, reference, truth), identity, clip, clip, mode)


def _longest_run(clips: Clips, items: np.ndarray) -> np.ndarray:
    """The most items that follow each other frame by frame in one clip."""
    rows = clips.index.iloc[items].sort_values(["clip", "frame"], kind="stable")
    follows = (rows["frame"].diff() == 1) & (rows["clip"] == rows["clip"].shift())
    runs = np.split(rows.index.to_numpy(), np.flatnonzero(~follows)[1:])
    return max(runs, key=len)


def steadiness(
    methods: Mapping[str, Method],
    sequences: Trials,
    judge: Judge,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """A table like that of `evaluate`, with a clip for a trial: method, trial, metric, value."""
    parts = [np.flatnonzero(sequences.people == i) for i in np.unique(sequences.people)]
    rows, eyes = [], _eyes(sequences, judge, parts)
    for name, method in methods.items():
        drawn = draw(method, sequences, device)
        tracks = {"jitter": readings(judge, drawn).landmarks / eyes, "jitter_pixels": drawn.numpy()}
        for metric, track in tracks.items():
            rows += [(name, i, metric, jitter(track[part])) for i, part in enumerate(parts)]
    table = pd.DataFrame(rows, columns=["method", "trial", "metric", "value"])
    table.attrs = {"people": list(range(len(parts)))}
    if sequences.landmarks is not None:
        points = sequences.landmarks.numpy() / eyes
        table.attrs["true_jitter"] = float(np.mean([jitter(points[part]) for part in parts]))
    return table


def _eyes(sequences: Trials, judge: Judge, parts: list[np.ndarray]) -> float:
    """Mean distance of the eyes in the photos, as the judge reads them: one scale for all."""
    photos = sequences.identity[[int(part[0]) for part in parts]]
    return float(np.nanmean(eye_distances(readings(judge, photos).landmarks)))
