"""Controls for a trained model: learned from its motions of pictures, kept in its file.

In the face world an instrument reads the pictures, sliders are calibrated on people who are drawn,
and landmarks with their truth teach the reader through which real drivers move the world's people.
On clips of real faces the landmarks of the index are read instead, by that same reader; what the
sliders do to drawn pictures, whose landmarks nobody knows, is then not measured.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from xfer.axes import Image
from xfer.controls import (
    Controls,
    LandmarkReader,
    calibrate,
    learn_controls,
    measure_response,
)
from xfer.controls.learning import Draw, Reader
from xfer.datasets.clips import Clips
from xfer.errors import BadValue, expect
from xfer.files import read_checkpoint
from xfer.instruments import MOTION_FACTORS, Instruments, load_instruments
from xfer.model import Transfer
from xfer.training.distributed import best_device
from xfer.training.sources import learned_split
from xfer.training.world_frames import WorldFrames

Rows = Float[Tensor, "_ _"]
LANDMARK_ROWS = 20_000
"""Landmarks of so many frames are enough for a linear map."""


@torch.no_grad()
def train_controls(
    transfer: str | Path,
    world: str | Path,
    out: str | Path,
    instruments: str | Path | None = None,
    judge: str | Path | None = None,
    clips: str | Path | None = None,
    pictures: int = 8000,
    people: int = 32,
    device: str = "cpu",
) -> dict[str, Any]:
    """Write the model anew with its controls; gives correlations, and cross-talk if measured.

    Args:
        transfer: The model's file or name.
        world: World frames, as written by `render_frames`: landmarks, and pictures where `clips`
            does not name others.
        out: The new file.
        instruments: The loss copy, which reads world pictures.
        judge: The judging copy, which measures the cross-talk; not with clips.
        clips: Prepared clips of real faces, for a model that was trained on such; those of the
            split that trainings learn from are read.
        pictures: How many are read at most.
        people: Random ones on whom sliders are calibrated; not with clips.
        device: Where pictures are drawn and read: cpu, cuda, or auto.
    """
    place = best_device(device)
    expect(
        (instruments is None) != (clips is None),
        "pictures are read by the instruments, or their clips' landmarks are: name one of the two",
    )
    expect(
        judge is None or clips is None,
        "a judge measures what sliders do to the face world's people, and of clips of real faces "
        "it reads nothing: leave it away with clips",
    )
    checkpoint = read_checkpoint(transfer)
    model, frames = Transfer.load(checkpoint).to(place), WorldFrames(world)
    marks, fast = landmark_reader(frames), model.prepare()
    if clips is not None:
        h, readings = _from_clips(fast, Clips(clips, learned_split(clips)), marks, pictures)
        names = marks.names
        controls, extra = learn_controls(h, readings, names), []
    else:
        reader = instrument_reader(load_instruments(instruments, "loss"), place)
        h, readings = _from_pictures(fast, frames, reader, pictures)
        names = MOTION_FACTORS
        controls, extra = learn_controls(h, readings, names), [marks]
        reader = only(controls.names, reader)
        draw, own = drawn_people(fast, people)
        controls = calibrate(controls, measure_response(controls, own, draw, reader))
        measuring = reader
        if judge:
            judging = instrument_reader(load_instruments(judge, "judge"), place)
            measuring = only(controls.names, judging)
        controls.cross_talk.copy_(measure_response(controls, own, draw, measuring))
    told = readings[:, [names.index(name) for name in controls.names]]
    facts = _facts(controls, told, h, marks)
    if clips is None:
        by = "judge" if judge else "the reader that taught"
        facts |= {"cross_talk": controls.cross_talk_table(), "cross_talk_by": by}
    model.cpu().save(out, checkpoint.facts | {"controls": facts}, companions=[controls, *extra])
    return facts


def landmark_reader(frames: WorldFrames) -> LandmarkReader:
    """The reader of landmarks, from the world's truth."""
    rows = slice(0, LANDMARK_ROWS)
    landmarks = frames.landmarks[rows].float().unflatten(1, (68, 2))
    return LandmarkReader.learn(
        landmarks, frames.factors(list(MOTION_FACTORS))[rows], MOTION_FACTORS
    )


def instrument_reader(instruments: Instruments, place: torch.device | str = "cpu") -> Reader:
    """Factors of pictures in the eyes of an instrument, which sits on a device of its own."""
    reader = instruments.reader.to(place)
    if reader.config.factors != MOTION_FACTORS:
        raise BadValue(f"the reader knows other factors: {', '.join(reader.config.factors)}")
    return lambda image: reader(image.to(place))[0].cpu()


def only(names: Sequence[str], reader: Reader) -> Reader:
    """A reader of some of the motion factors, in the order of their names."""
    columns = [MOTION_FACTORS.index(name) for name in names]
    return lambda image: reader(image)[:, columns]


def drawn_people(model: Transfer, count: int) -> tuple[Draw, Float[Tensor, "count bottleneck"]]:
    """Random people as a function of their motions, and the motions that they show themselves.

    Motions are on the CPU, where controls are; pictures are where the model is.
    """
    codes = torch.cat([model.random_identity(seed) for seed in range(count)])
    person = model.person(codes)
    own = _in_batches(model.motion_encoder.bottleneck, model.generator.synthesis(codes))
    return lambda h: model.generator.synthesis(model.latents(h.to(own), person)), own.cpu()


def _in_batches(f: Callable[[Image], Rows], images: Image, size: int = 64) -> Rows:
    return torch.cat([f(part) for part in images.split(size)])


def _from_pictures(
    model: Transfer, frames: WorldFrames, reader: Reader, count: int
) -> tuple[Rows, Rows]:
    """Motions and readings of world pictures."""
    items = frames.items(range(min(count, len(frames))))
    parts = [
        (model.motion_encoder.bottleneck(images).cpu(), reader(images))
        for start in range(0, len(items), 64)
        for images in [frames.pictures(items[start : start + 64]).to(model.generator.w_mean)]
    ]
    h, readings = (torch.cat(column) for column in zip(*parts, strict=True))
    return h, readings


def _from_clips(
    model: Transfer, clips: Clips, marks: LandmarkReader, count: int
) -> tuple[Rows, Rows]:
    """Motions of at most `count` real pictures from all over, and what their landmarks say."""
    items = list(range(0, len(clips), -(-len(clips) // count)))
    read = lambda images: model.motion_encoder.bottleneck(images.to(model.generator.w_mean)).cpu()
    chunks = [items[start : start + 32] for start in range(0, len(items), 32)]
    h = torch.cat([read(clips.pictures(chunk)) for chunk in chunks])
    return h, marks(clips.landmarks(items).float())


def _facts(controls: Controls, readings: Rows, h: Rows, marks: LandmarkReader) -> dict[str, Any]:
    """What is worth knowing of the controls, beside them in the file.

    Args:
        readings: Of the factors that are controls, in their order.
    """
    found = controls.read(h)
    correlation = [
        torch.corrcoef(torch.stack([a, b]))[0, 1].item()
        for a, b in zip(found.T, readings.T, strict=True)
    ]
    return {
        "pictures": len(h),
        "correlation_of_h_with_readings": _rounded(controls.names, correlation),
        "left_out": [name for name in MOTION_FACTORS if name not in controls.names],
        "correlation_of_landmarks_with_truth": _rounded(marks.names, marks.correlation.tolist()),
    }


def _rounded(names: tuple[str, ...], values: list[float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in zip(names, values, strict=True)}
