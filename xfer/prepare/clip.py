"""One clip from its first frame to its part of a shard.

The frames are read twice: once for the landmarks of all of them, which are then smoothed over
time, once to cut the crops out. So the memory stays flat however long the clip is.
"""

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xfer.errors import NoFace
from xfer.media.align import LONGEST_SIDE
from xfer.media.detectors import Detector, Points, open_detector
from xfer.media.quality import CutFinder
from xfer.media.tracking import Tracker
from xfer.media.video import Frame
from xfer.prepare.cutting import crops_of, cut_out
from xfer.prepare.frames import frames_of, true_points, world_rows
from xfer.prepare.records import Settings, Sightings
from xfer.prepare.sources import Input
from xfer.runs import atomic

Beat = Callable[[int], None]
"""Called with the number of frames done so far: a sign of life."""


def prepare_clip(job: Input, settings: Settings, part: Path, beat: Beat) -> dict[str, Any]:
    """Write `part`.tar and `part`.parquet; give the facts for the manifest.

    Raises:
        BadFile: The input cannot be read.
        NoFace: No usable face is in it.
    """
    frames = frames_of(job, settings.fps)
    seen = _look(job, frames, settings, beat)
    facts = {"frames_read": seen.frames, "cuts": seen.cuts, "landmarks": _reader(job, settings)}
    seen = _longest_shot(_usable(seen, job, settings))
    rows = cut_out(job, frames, seen, settings, part.with_suffix(".tar"), beat)
    with atomic(part.with_suffix(".parquet")) as temporary:
        pd.DataFrame(rows).to_parquet(temporary, index=False)
    skipped = frames.skipped
    return facts | {
        "frames_kept": len(seen.numbers),
        "skipped": skipped,
        "reason": "; ".join(_remarks(seen, skipped)),
    }


def _remarks(seen: Sightings, skipped: int) -> list[str]:
    """What the owner of a good clip should know."""
    several = sum(count > 0 for count in seen.others)
    remarks = {
        f"{several} frames show several faces, the main one was followed": several,
        f"{seen.cuts} cuts, the longest shot was kept": seen.cuts,
        f"{seen.takes} times the face was lost and one elsewhere taken up, which counts as a cut": (
            seen.takes
        ),
        f"{skipped} damaged packets or pictures were skipped": skipped,
    }
    return [text for text, count in remarks.items() if count]


def _reader(job: Input, settings: Settings) -> str:
    return "truth" if job.kind == "world" else settings.landmarks


@cache
def _detector(name: str) -> Detector:
    """One for all clips of a process: loading takes longer than a short clip."""
    return open_detector(name)


def _look(job: Input, frames: Iterable[Frame], settings: Settings, beat: Beat) -> Sightings:
    """First reading: landmarks of the main face in every frame that shows it."""
    find = _truth_of(job) if job.kind == "world" else _finder(job, settings)
    cuts, seen = CutFinder(), Sightings([], [], [], [], [])
    for frame in frames:
        if settings.most_frames is not None and seen.frames >= settings.most_frames:
            break
        seen.frames += 1
        seen.size = frame.pixels.shape[1::-1]
        cut = cuts.is_cut(frame.pixels) if job.kind != "world" else False
        found = find(frame, cut)
        if found is not None:
            points, others, seen.takes = found
            seen.numbers.append(frame.number)
            seen.times.append(frame.time)
            seen.shots.append(cuts.shot + seen.takes)
            seen.points.append(points)
            seen.others.append(others)
        beat(seen.frames)
    seen.cuts = cuts.shot
    return seen


Finder = Callable[[Frame, bool], tuple[Points, int, int] | None]
"""Landmarks, other faces, and how often another face was taken up, from a frame and its cut."""


def _truth_of(job: Input) -> Finder:
    rows = world_rows(job)

    def find(frame: Frame, _: bool) -> tuple[Points, int, int] | None:
        points = true_points(rows, frame.number)
        return None if points is None else (points, 0, 0)

    return find


def _finder(job: Input, settings: Settings) -> Finder:
    if settings.only_truth:
        raise NoFace("it brings no landmarks of its own, and only such clips were asked for")
    tracker = Tracker(_detector(settings.landmarks))

    def find(frame: Frame, cut: bool) -> tuple[Points, int, int] | None:
        if cut:
            tracker.reset()
        face = tracker.find(frame.pixels)
        return None if face is None else (face.points, face.others, tracker.takes)

    return find


def _usable(seen: Sightings, job: Input, settings: Settings) -> Sightings:
    """Without frames whose landmarks make no sense; `NoFace` where too few are left."""
    sides = crops_of(seen.points).side.tolist() if seen.points else []
    rows = [row for row, side in enumerate(sides) if 8 <= side <= LONGEST_SIDE]
    if not rows:
        raise NoFace(
            "no face was found in it" if seen.frames == 1
            else f"no face was found in any of its {seen.frames} frames"
        )  # fmt: skip
    least = max(min(settings.least_frames, seen.frames), settings.least_share * seen.frames)
    if job.kind != "picture" and len(rows) < least:
        raise NoFace(f"a face was found in only {len(rows)} of its {seen.frames} frames")
    return seen.keep(np.array(rows))


def _longest_shot(seen: Sightings) -> Sightings:
    """After a cut another person may be in view: only the longest shot is kept."""
    shots = np.array(seen.shots)
    return seen.keep(np.flatnonzero(shots == np.bincount(shots).argmax()))
