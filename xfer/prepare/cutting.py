"""The second reading of a clip: crops into a tar, a row for every frame into a table."""

import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from xfer.crop import Crop, crop_to_picture, ffhq_crop, picture_to_crop
from xfer.errors import BadFile
from xfer.media.align import CORNERS, align
from xfer.media.detectors import Points
from xfer.media.pictures import Pixels, encode_picture
from xfer.media.provenance import Source
from xfer.media.quality import (
    LEAST_ENLARGED,
    LEAST_SHARPNESS,
    MOST_OUTSIDE,
    MOST_PITCH_DEG,
    MOST_YAW_DEG,
    head_pose,
    share_outside,
    sharpness,
)
from xfer.media.smoothing import segments, smooth
from xfer.media.video import Frame
from xfer.prepare.frames import world_rows
from xfer.prepare.records import Settings, Sightings
from xfer.prepare.sources import Input
from xfer.runs import atomic


def crops_of(points: list[Points] | np.ndarray) -> Crop:
    """The FFHQ crops of landmarks, frame by frame."""
    return ffhq_crop(torch.from_numpy(np.stack(points)))


def cut_out(
    job: Input,
    frames: Iterable[Frame],
    seen: Sightings,
    settings: Settings,
    tar: Path,
    beat: Callable[[int], None],
) -> dict[str, Any]:
    """Second reading: crops into the tar, rows for the index."""
    times, points = np.array(seen.times), np.stack(seen.points)
    pieces = segments(times, np.array(seen.shots))
    moving = job.kind in ("video", "frames")
    crops = crops_of(smooth(points, times, pieces, settings.crop_smoothing_s * moving))
    points = smooth(points, times, pieces, settings.landmark_smoothing_s * moving)
    inside = picture_to_crop(crops, torch.from_numpy(points)).numpy()
    measures, places = [], []
    with atomic(tar) as temporary, open(temporary, "wb") as out:
        for row, frame in _matching(frames, seen.numbers, beat):
            crop = Crop(crops.center[row : row + 1], crops.half[row : row + 1])
            oversample = None if moving else 4
            pixels = align(frame.pixels, crop, settings.size, oversample)
            name = f"{job.number:08d}_{row:06d}.{settings.picture_format}"
            places.append(_append(out, name, _encoded(pixels, job, settings)))
            measures.append(_measure(pixels, points[row], crop, frame.pixels, settings))
    if len(places) != len(seen.numbers):
        raise BadFile("its frames changed while they were read")
    return _table(job, seen, crops, inside, pieces, measures, places)


def _matching(
    frames: Iterable[Frame], numbers: list[int], beat: Callable[[int], None]
) -> Iterator[tuple[int, Frame]]:
    """The frames of these numbers, with their rows."""
    row = 0
    for read, frame in enumerate(frames):
        # Also where many must be decoded before the first one wanted.
        beat(read)
        if row < len(numbers) and frame.number == numbers[row]:
            yield row, frame
            row += 1
        if row == len(numbers):
            return


def _encoded(pixels: Pixels, job: Input, settings: Settings) -> bytes:
    source = Source.RENDERED if job.kind == "world" else None
    return encode_picture(
        pixels, f".{settings.picture_format}", source, quality=settings.jpeg_quality
    )


def _append(out: Any, name: str, data: bytes) -> tuple[int, int]:
    """Add a member to a tar without date or owner; where its bytes lie."""
    header = tarfile.TarInfo(name)
    header.size, header.mode = len(data), 0o644
    out.write(header.tobuf(tarfile.USTAR_FORMAT))
    place = out.tell()
    out.write(data)
    out.write(b"\0" * (-len(data) % tarfile.BLOCKSIZE))
    return place, len(data)


def _measure(
    pixels: Pixels, points: Points, crop: Crop, picture: Pixels, settings: Settings
) -> dict[str, float | bool]:
    """Quality of one aligned frame."""
    yaw, pitch, roll = head_pose(points)
    corners = crop_to_picture(crop, CORNERS[None])[0].numpy()
    height, width = picture.shape[:2]
    sharp, enlarged = sharpness(pixels), float(crop.side) / settings.size
    outside = share_outside(corners, width, height)
    return {
        "sharpness": sharp,
        "source_pixels": enlarged,
        "outside": outside,
        "yaw_estimate_deg": yaw,
        "pitch_estimate_deg": pitch,
        "roll_estimate_deg": roll,
        "is_blurred": sharp < LEAST_SHARPNESS,
        "is_small": enlarged < LEAST_ENLARGED,
        "is_turned": abs(yaw) > MOST_YAW_DEG or abs(pitch) > MOST_PITCH_DEG,
        "is_outside": outside > MOST_OUTSIDE,
        "picture_width": width,
        "picture_height": height,
    }


def _table(
    job: Input,
    seen: Sightings,
    crops: Crop,
    inside: Float[np.ndarray, "frames 68 2"],
    pieces: np.ndarray,
    measures: list[dict[str, Any]],
    places: list[tuple[int, int]],
) -> dict[str, Any]:
    """The rows of one clip, column by column."""
    count = len(seen.numbers)
    columns: dict[str, Any] = {
        "clip": [job.clip] * count,
        "person": [job.person] * count,
        "frame": np.arange(count, dtype=np.int32),
        "source_frame": np.array(seen.numbers, np.int32),
        "time_s": np.array(seen.times),
        "piece": pieces.astype(np.int32),
        "offset": np.array([offset for offset, _ in places], np.int64),
        "length": np.array([length for _, length in places], np.int64),
        "landmarks": list(inside.reshape(count, 136)),
        "faces": np.array(seen.others, np.int32) + 1,
        "cuts": np.full(count, seen.cuts, np.int32),
    }
    for name, values in (("center", crops.center), ("half", crops.half)):
        for axis, letter in enumerate("xy"):
            columns[f"crop_{name}_{letter}"] = values[:, axis].numpy()
    columns |= {name: [measure[name] for measure in measures] for name in measures[0]}
    if job.kind == "world":
        rows = world_rows(job).loc[seen.numbers].drop(columns=["clip", "landmarks"])
        columns |= {n: v.to_numpy() for n, v in rows.items() if n not in columns}
    return columns
