"""`xfer transfer` and `xfer reenact`: what a pipeline gives, written as images and videos."""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from tqdm import tqdm
from tyro.conf import arg

from xfer import weights
from xfer.errors import BadValue, NoFace, RunError, XferError
from xfer.face_reader import Face
from xfer.landmarker import rotation
from xfer.media.align import Quad, crop, face_mask, paste, to_square
from xfer.media.images import Pixels, Source, read_image, write_image
from xfer.media.video import Camera, VideoWriter, open_video, prefetch
from xfer.model import Transfer
from xfer.pipeline import Identity, Result, TransferOptions, TransferPipeline, roll_deg
from xfer.pipeline_inputs import IMAGES, VIDEOS, Driver, check_outputs, name_outputs, parse_drivers

IMAGES_QUEUED = 4
"""Generated images that wait to be written."""
MASK_SIZE = 128
"""Pixels of the mask of a face that is pasted."""


@dataclass(frozen=True)
class TransferConfig:
    """What is to be written, and with which model."""

    driver: tuple[str, ...]
    """Images, videos, folders of them, a camera such as live:/dev/video0, which Ctrl-C ends, or
    factors such as yaw=20,smile=.5"""
    identity: tuple[str, ...]
    """Photos of one person or a folder of them, a latent (.npy, .safetensors), or random:SEED."""
    out: Path
    """An image, or .mp4 for a video; a folder for several drivers."""
    options: Annotated[TransferOptions, arg(name="")] = field(default_factory=TransferOptions)
    weights: str = "ffhq"
    """A model's file or name."""
    preset: Literal["ffhq", "paper"] = "ffhq"
    """paper: the public files of the paper's model; `xfer weights list` says where from."""
    device: str = "auto"
    """cpu, cuda, cuda:N, mps or auto."""
    grid: bool = False
    """All drivers by all identities on one image; of videos the first frame."""


def transfer(config: TransferConfig) -> Iterator[str]:
    """Images or videos of an identity with the pose and expression of drivers.

    Yields a line about every output. `--source` and `--target` are the paper's words for driver
    and identity.
    """
    drivers = parse_drivers(config.driver)
    several = not config.grid and (len(drivers) > 1 or Path(config.driver[0]).is_dir())
    outputs = name_outputs(drivers, config.out) if several else [config.out]
    suffixes = VIDEOS if drivers[0].moves and not config.grid else IMAGES
    if several and config.out.suffix.lower() in (*IMAGES, *VIDEOS):
        raise BadValue(f"{len(drivers)} drivers require a folder as --out; got {config.out}")
    check_outputs(
        [*config.driver, *config.identity], outputs, (*IMAGES, *VIDEOS) if several else suffixes
    )
    if config.preset == "paper":
        model = Transfer.load("pose-transfer-paper", "restyle-psp-ffhq")
    else:
        model = weights.load(config.weights)
    pipeline = TransferPipeline(model, config.options, config.device)
    if config.grid:
        yield write_grid(pipeline, drivers, config.identity, config.out)
        return
    identity = pipeline.identity(*config.identity)
    remark_faces(identity.name, identity.face)
    if config.options.paste == "photo" and identity.photo is None:
        raise BadValue(f"--paste photo requires a photo as identity; got {identity.name}")
    failed = 0
    for driver, out in zip(drivers, outputs, strict=True):
        try:
            yield write(pipeline, driver, identity, out)
        except XferError as error:
            if not several:
                raise
            failed += 1
            remark(driver.text, str(error))
    if failed:
        raise RunError(f"{failed} of {len(drivers)} drivers gave nothing, for the reasons above")


def reenact(config: TransferConfig) -> Iterator[str]:
    """A video of an identity with the motion of a driver's video; sound and times are kept."""
    drivers = parse_drivers(config.driver)
    if len(drivers) != 1 or not drivers[0].moves:
        raise BadValue("reenact requires one video or camera as driver; transfer takes all others")
    yield from transfer(config)


def write(pipeline: TransferPipeline, driver: Driver, identity: Identity, out: Path) -> str:
    """One output of one driver; returns a line about it."""
    if driver.moves:
        return write_video(pipeline, driver, identity, out)
    result = _still(pipeline, driver, identity)
    remark_faces(driver.text, result.face)
    write_image(out, compose(result, identity, pipeline.options), source_of(pipeline.options))
    return str(out)


def write_video(pipeline: TransferPipeline, driver: Driver, identity: Identity, out: Path) -> str:
    """The same for a driver that moves: decoding, reading, rendering and encoding overlap.

    A camera ends well with Ctrl-C; a file that is interrupted leaves nothing.
    """
    live, began, n, writer = driver.kind == "camera", time.monotonic(), 0, None
    source = Camera(driver.path) if live else open_video(driver.path)
    with contextlib.ExitStack() as stack:
        results = pipeline.video(source, identity, live)
        ready = stack.enter_context(contextlib.closing(prefetch(results, IMAGES_QUEUED)))
        often = {"mininterval": 0.5 if sys.stderr.isatty() else 30}
        bar = stack.enter_context(tqdm(total=source.n_frames, desc=out.name, unit="frame", **often))
        with contextlib.suppress(*[KeyboardInterrupt] * live):
            for result in ready:
                array = compose(result, identity, pipeline.options)
                if writer is None:
                    remark_faces(driver.text, result.face)
                    audio = driver.path if source.has_audio and not live else None
                    facts = (array.shape[1::-1], source.fps, source_of(pipeline.options))
                    writer = stack.enter_context(VideoWriter(out, *facts, audio_from=audio))
                writer.write(array, result.frame.time_s)
                n += 1
                bar.update()
    remark(driver.text, *source.remarks, *(writer.remarks if writer else ()))
    if not n:
        raise NoFace(f"a face is required in some frame of {driver.text}; none was found")
    return f"{out}: {n} frames, {n / (time.monotonic() - began):.1f} a second"


def remark(about: str, *texts: str) -> None:
    """Words to the user, beside whatever the output is."""
    for text in texts:
        tqdm.write(f"{about}: {text}", file=sys.stderr)


def remark_faces(about: str, face: Face | None) -> None:
    """Say how many faces there were to choose from."""
    if face is not None and face.n_faces > 1:
        remark(about, f"{face.n_faces} faces; the main one is taken, --face N chooses a driver's")


# Composition -------------------------------------------------------------------------------


def source_of(options: TransferOptions) -> Source:
    """What outputs say of their origin."""
    return Source.GENERATED if options.paste == "none" else Source.COMPOSITE


def compose(result: Result, identity: Identity, options: TransferOptions) -> Pixels:
    """The image to write: pasted back, tilted, beside driver and identity."""
    image, tilt = result.image, options.roll * options.strength * result.roll_deg
    if options.paste == "photo":
        face = identity.face
        quad = turned(face.quad, tilt - roll_deg(face.quad)) if tilt else face.quad
        image = pasted(identity.photo, face, image, quad)
    elif options.paste == "driver":
        if result.frame is None:
            raise BadValue("--paste driver requires an image or a video as driver")
        whole, face = result.frame.image, result.face
        image = whole if face is None else pasted(whole, face, image, face.quad)
    elif tilt:
        image = crop(image, turned(square_quad(len(image)), -tilt), len(image))
    if not options.compare:
        return image
    beside = [identity.portrait]
    if (frame := result.frame) is not None:
        quad = result.face.quad if result.face else square_quad(min(frame.image.shape[:2]))
        beside.insert(0, crop(frame.image, quad, 256))
    return np.concatenate([*(of_height(x, len(image)) for x in beside), image], axis=1)


def pasted(whole: Pixels, face: Face, image: Pixels, quad: Quad) -> Pixels:
    """A generated face in the place of one in an image."""
    mask = face_mask(to_square(face.points68, face.quad, MASK_SIZE), MASK_SIZE)
    return paste(whole, image, quad, mask)


def turned(quad: Quad, angle_deg: float) -> Quad:
    """The square turned about its middle, clockwise on screen."""
    middle = quad.mean(0)
    return ((quad - middle) @ rotation(np.deg2rad(angle_deg)).T + middle).astype(quad.dtype)


def square_quad(size: int) -> Quad:
    return np.array([[0, 0], [0, size], [size, size], [size, 0]], np.float32) - 0.5


def of_height(image: Pixels, height: int) -> Pixels:
    """An image resized to a height, its aspect kept."""
    width = max(1, round(image.shape[1] * height / len(image)))
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def write_grid(
    pipeline: TransferPipeline, drivers: Sequence[Driver], names: Sequence[str], out: Path
) -> str:
    """All drivers (columns) by all identities (rows); of videos the first frame with a face."""
    size = pipeline.size
    header, rows = [np.full((size, size, 3), 255, np.uint8)], []
    identities = [pipeline.identity(name) for name in names]
    for driver in drivers:
        results = [_still(pipeline, driver, identity) for identity in identities]
        first = results[0]
        column = crop(first.frame.image, first.face.quad, size) if first.face else header[0]
        header.append(column)
        rows.append([result.image for result in results])
    body = [
        np.concatenate([of_height(identity.portrait, size), *images], axis=1)
        for identity, *images in zip(identities, *rows, strict=True)
    ]
    sheet = np.concatenate([np.concatenate(header, axis=1), *body])
    write_image(out, sheet, Source.GENERATED)
    return str(out)


def _still(pipeline: TransferPipeline, driver: Driver, identity: Identity) -> Result:
    """One image of a driver: of a video that of its first frame with a face."""
    if driver.kind == "factors":
        return pipeline.factors(driver.factors, identity)
    if driver.kind == "image":
        return pipeline.image(read_image(driver.path), identity, driver.text)
    for frame in open_video(driver.path):
        with contextlib.suppress(NoFace):
            return pipeline.image(frame.image, identity)
    raise NoFace(f"a face is required in some frame of {driver.text}; none was found")
