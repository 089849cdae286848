"""People and clips out of the generator: people who do not exist, and videos of them.

`people/` has one frame of each person. `clips/` has people whose codes move by what was read from
OTHER people of the same split: their poses and expressions one after another, with blinks, glances
and speech. Every frame's code is known, and everything follows from seeds. Films are for testing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from xfer.assets import cache_folder
from xfer.control import Control
from xfer.data.clips import (
    Clip,
    Clips,
    Codes,
    claim,
    clip_file,
    encode,
    open_clips,
    split_of,
    stored,
    write_clip,
    write_clips,
    write_index,
)
from xfer.errors import BadValue
from xfer.landmarker import FACTOR_UNITS, FACTORS, Landmarker, read_factors
from xfer.stylegan2.generator import Generator, z_from_seeds
from xfer.weights import load

INDEX_EVERY = 25
"""Clips between two writings of the index."""

UNITS = np.array([FACTOR_UNITS[name] for name in FACTORS], np.float32)

FREE = {"out", "people", "clips"}
"""Settings that may change from run to run in one folder; for people these, too:"""
FREE_FOR_PEOPLE = FREE | {"control", "clip_people", "frames", "fps", "seed"}


@dataclass(frozen=True)
class SynthesizeConfig:
    """What `xfer synthesize` makes.

    Args:
        out: Folder that gets `people/` and `clips/`; by default `data/` in the cache folder.
        generator: "ffhq", or a generator's file.
        control: What moves the people of clips; "ffhq", or a file.
        people: How many, in blocks of `block`.
        clips: How many videos; 0 for people alone.
        clip_people: Who is in them, and whose motions are taken: so many of the first people.
        frames: Of a clip.
        fps: Frames a second of a clip; low, so that few frames show many motions.
        size: Edge of the frames in pixels: the generator's, a half or a quarter of it.
        first_seed: Person n comes from seed `first_seed + n`; far from the small seeds that people
            type, which so are never trained on.
        least_psi: Truncation is uniform between this and `most_psi`.
        most_psi: At most 1.
        seed: Of the motions.
        block: People in a file; what a stopped run loses at most.
    """

    out: str | None = None
    generator: str = "ffhq"
    control: str = "ffhq"
    people: int = 20_000
    clips: int = 2_000
    clip_people: int = 2_000
    frames: int = 16
    fps: float = 8.0
    size: int = 256
    first_seed: int = 1_000_000
    least_psi: float = 0.5
    most_psi: float = 1.0
    seed: int = 0
    block: int = 250

    @property
    def folder(self) -> Path:
        return Path(self.out) if self.out else cache_folder() / "data"


def synthesize(config: SynthesizeConfig) -> tuple[Clips, Clips | None]:
    """People, then clips of them if any are wanted; run again, it goes on where it stopped."""
    people = synthesize_people(config)
    return people, synthesize_clips(config, people) if config.clips else None


def synthesize_people(config: SynthesizeConfig) -> Clips:
    """One frame of each person, with its code, psi, landmarks, blendshapes and factors."""
    folder = config.folder / "people"
    starts = range(0, config.people, config.block)
    files = {start: f"clips/{config.first_seed + start:09d}.safetensors" for start in starts}
    missing = [start for start in starts if not (folder / files[start]).exists()]
    with claim(folder, config, FREE_FOR_PEOPLE):
        renderer = Renderer(config) if missing else None
        for start in tqdm(missing, "people", unit="block"):
            seeds = range(config.first_seed + start, config.first_seed + start + config.block)
            clips = [
                Clip(name, name, split_of(name), 1, "generated", files[start], row)
                for row, name in enumerate(f"generated/{seed:09d}" for seed in seeds)
            ]
            psi = np.array([psi_of(seed, config) for seed in seeds], np.float32)
            w_plus = renderer.people(seeds, psi)
            pages, arrays = renderer.read(w_plus)
            write_clips(folder, clips, pages, w_plus, arrays | {"psi": psi})
            write_index(folder)
    return open_clips(folder)


def synthesize_clips(config: SynthesizeConfig, people: Clips) -> Clips:
    """Videos of people: their codes moved by `control`, with the factors read from each frame."""
    folder = config.folder / "clips"
    control = open_control(config.control, config.generator)
    with claim(folder, config, FREE):
        pool = people.clips[: config.clip_people]
        owners = [pool[i % len(pool)] for i in range(config.clips)]
        names = [f"{person.name}/{i // len(pool)}" for i, person in enumerate(owners)]
        files = [clip_file(name) for name in names]
        missing = [i for i, file in enumerate(files) if not (folder / file).exists()]
        renderer = Renderer(config) if missing else None
        readings = {
            split: np.stack([people.factors(clip, 0) for clip in pool if clip.split == split])
            for split in {clip.split for clip in pool}
        }
        for done, i in enumerate(tqdm(missing, "clips", unit="clip")):
            person, rng = owners[i], np.random.default_rng((config.seed, i))
            own, others = people.factors(person, 0), readings[person.split]
            others = others[(others != own).any(1)] if len(others) > 1 else others
            units = sample_motion(others, own, config.frames, config.fps, rng)
            code = people.w_plus(person, 0)
            with torch.inference_mode():
                codes = torch.from_numpy(code).expand(len(units), -1, -1)
                w_plus = stored(control.move(codes, torch.from_numpy(units)).numpy())
            pages, arrays = renderer.read(w_plus)
            arrays = {k: v for k, v in arrays.items() if k != "landmarks"} | {"units": units}
            write_clip(folder, names[i], person.person, pages, "generated", w_plus, arrays)
            if done % INDEX_EVERY == 0:
                write_index(folder, [file for file in files if (folder / file).exists()])
        return write_index(folder, files)


def open_control(name: str, generator: str = "ffhq") -> Control:
    """A control by itself, or out of a transfer model; `BadValue` if it moves another generator."""
    network = load(name)
    if (moves := getattr(network, "asset", None)) not in (None, generator):
        wanted = f"clips require a control that moves {generator}; {name} moves {moves}"
        raise BadValue(f"{wanted}; without clips (--clips 0) none is needed")
    return network if isinstance(network, Control) else network.control


class Renderer:
    """The generator and the reader of what it generates."""

    def __init__(self, config: SynthesizeConfig):
        self.generator = Generator.load(config.generator)
        self.prepared = self.generator.prepare(size=config.size)
        self.landmarker, self.size, self.name = Landmarker(), config.size, config.generator

    @torch.inference_mode()
    def people(self, seeds: Sequence[int], psi: Float[np.ndarray, "people"]) -> Codes:
        """Codes of people, as they are stored."""
        w = self.generator.mapping(z_from_seeds(list(seeds), self.generator.z_dim))
        mean = self.generator.w_mean
        w = mean + torch.from_numpy(psi)[:, None] * (w - mean)
        return stored(self.generator.to_w_plus(w).numpy())

    def read(self, w_plus: Codes) -> tuple[list[bytes], dict[str, np.ndarray]]:
        """Frames as JPEG, and what stands in them."""
        pages, points, shapes, scores = [], [], [], []
        whole = (self.size / 2, self.size / 2, self.size, 0.0)
        for image in self.prepared.stream(torch.from_numpy(w_plus).split(1)):
            pages.append(encode(image))
            found, score = self.landmarker.landmarks(image, whole)
            points.append(found)
            scores.append(score)
            shapes.append(self.landmarker.blendshapes(found))
        if np.median(scores) < 0.5:
            raise BadValue(f"a generator is required that generates faces; {self.name} does not")
        arrays = {"landmarks": np.stack(points), "blendshapes": np.stack(shapes)}
        factors = read_factors(*(torch.from_numpy(rows) for rows in arrays.values()))
        return pages, arrays | {"factors": factors.numpy()}


def sample_motion(
    readings: Float[np.ndarray, "people n_factors"],
    own: Float[np.ndarray, "n_factors"],
    frames: int,
    fps: float,
    rng: np.random.Generator,
) -> Float[np.ndarray, "frames n_factors"]:
    """How a person might move, in units of `FACTOR_UNITS` from the own image.

    Head, face and gaze go from one sampled person's to the next one's, each at its own pace. The
    head turns to the very angles of others; all else is what sets others apart from the median.

    Args:
        readings: Factors of the people whose motions are taken.
        own: Factors of the person who moves.
    """
    time, usual = np.arange(frames) / fps, np.median(readings, 0)
    away, at = readings - usual, {name: i for i, name in enumerate(FACTORS)}
    motion = np.zeros((frames, len(FACTORS)))
    paces = {("yaw", "pitch"): (1.5, 0.7), ("gaze_x", "gaze_y"): (0.8, 0.05)}
    rest = tuple(name for name in FACTORS if not any(name in group for group in paces))
    for group, (dwell_s, ease_s) in (paces | {rest: (1.0, 0.3)}).items():
        columns = [at[name] for name in group]
        motion[:, columns] = _path(away[:, columns], time, dwell_s, ease_s, rng)
    motion[:, [at["yaw"], at["pitch"]]] += (usual - own)[[at["yaw"], at["pitch"]]]
    units = motion / UNITS
    units[:, [at["yaw"], at["pitch"]]] += 0.08 * _waves(time, (0.3, 1.5), 2, rng)
    talks = (_waves(time, (0.1, 0.4), 1, rng) > 0) * rng.uniform(0.3, 1.6)
    units[:, at["lip_gap"]] += (talks * np.abs(_waves(time, (2.0, 5.0), 1, rng)))[:, 0]
    units[:, at["pucker"]] += (talks * 0.5 * np.abs(_waves(time, (1.0, 3.0), 1, rng)))[:, 0]
    shut = -0.9 * usual[at["lids"]] / UNITS[at["lids"]]
    for moment in np.cumsum(rng.gamma(2, 1.5, size=1 + int(time[-1]))):
        lowered = np.exp(-(((time - moment) / rng.uniform(0.06, 0.25)) ** 2))
        units[:, at["lids"]] += lowered * (shut - units[:, at["lids"]])
    return units.clip(-3.5, 3.5).astype(np.float32)


def _path(
    poses: Float[np.ndarray, "people columns"],
    time: Float[np.ndarray, "frames"],
    dwell_s: float,
    ease_s: float,
    rng: np.random.Generator,
) -> Float[np.ndarray, "frames columns"]:
    """One pose after another, each held for a while, with transitions of least jerk between."""
    starts = np.cumsum(rng.gamma(3, dwell_s / 3, size=2 + int(3 * (time[-1] + 1) / dwell_s)))
    poses = poses[rng.integers(len(poses), size=len(starts) + 1)]
    s = ((time[:, None] - starts) / ease_s + 0.5).clip(0, 1)
    return poses[0] + (s**3 * (10 - 15 * s + 6 * s**2)) @ np.diff(poses, axis=0)


def _waves(
    time: Float[np.ndarray, "frames"],
    hertz: tuple[float, float],
    count: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "frames count"]:
    """Smooth noise of unit variance between two frequencies."""
    rate, phase = rng.uniform(*hertz, (4, count)), rng.uniform(0, 2 * np.pi, (4, count))
    return np.sin(2 * np.pi * rate * time[:, None, None] + phase).sum(1) / np.sqrt(2)


def psi_of(seed: int, config: SynthesizeConfig) -> float:
    """A person's truncation."""
    return float(np.random.default_rng((seed, 1)).uniform(config.least_psi, config.most_psi))
