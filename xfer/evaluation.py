"""`xfer evaluate`: methods on drivers and identities, with intervals and paired tests."""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from xfer.assets import locate
from xfer.baselines import (
    Baseline,
    DriverMotion,
    copy,
    ganspace_directions,
    latent_difference,
    linear_directions,
    style_mask,
)
from xfer.control import Control, Factors
from xfer.data.synthesize import SynthesizeConfig, psi_of
from xfer.errors import BadValue
from xfer.inversion import resized
from xfer.media.images import Source, to_array, to_tensor, write_image
from xfer.metrics import METRICS, bootstrap, paired_test
from xfer.model import Transfer
from xfer.pipeline import Identity, TransferPipeline
from xfer.pipeline_inputs import TransferOptions, parse_seed
from xfer.runs import Run, atomic, read_stats
from xfer.shapes import Image, W, WPlus
from xfer.stylegan2.generator import z_from_seeds
from xfer.trials import (
    DriverVideo,
    Frames,
    Judges,
    Subject,
    face_images,
    generate_driver,
    measure_trial,
    read_driver,
    render,
    true_frames,
)
from xfer.weights import load

Method = Callable[[DriverVideo, Subject, float], WPlus]
"""A driver, an identity and the strength of the motion to one code a frame."""

KEYS = ["method", "strength", "driver", "identity"]


@dataclass(frozen=True)
class EvaluateConfig:
    """What is measured on what.

    Args:
        drivers: Videos never used in training; random:SEED is generated on the spot.
        identities: Photos, latents, or random:SEED; in self mode the drivers' first frames instead.
        weights: A model's file or name.
        methods: ours, ours_learned, copy, linear, ganspace, latent_difference,
            style_mask; by default all that
            weights and drivers allow.
        strengths: Of the motion: several give the curve of identity against motion.
        mode: cross; self, where a driver's first frame is the identity and the others the truth; or
            generated, where drivers are random:SEED and true frames exist.
        frames: Of each video, evenly spaced.
        size: 512 for whole images brought down, 256 for previews, which are fast.
        people: Generated people whom linear and ganspace are fitted to.
    """

    drivers: tuple[str, ...] = ("random:107", "random:115")
    identities: tuple[str, ...] = tuple(f"random:{seed}" for seed in range(1, 21))
    weights: str = "ffhq"
    methods: tuple[str, ...] = ()
    strengths: tuple[float, ...] = (1.0,)
    mode: Literal["cross", "self", "generated"] = "cross"
    frames: int = 24
    size: Literal[256, 512] = 512
    people: int = 1500

    def settings(self) -> str:
        """What all trials of a table share; after a change they are measured anew."""
        weights = hashlib.sha256(locate(self.weights).read_bytes()).hexdigest()[:12]
        metrics = " ".join(sorted(METRICS))
        return f"{weights} {self.mode} {self.frames} {self.size} {self.people} {metrics}"


def evaluate(config: EvaluateConfig, folder: str) -> str:
    """Measure every method on every driver and identity; run again, it resumes.

    Writes trials.csv (a row per trial), summary.csv, .md and .tex, and tests.csv.

    Args:
        folder: Where the tables go.
    """
    settings = config.settings()
    with Run(folder, config) as run, tempfile.TemporaryDirectory() as scratch:
        pipeline = TransferPipeline(load(config.weights), TransferOptions(size=512))
        judges = Judges(pipeline.reader)
        drivers = [open_driver(text, config, pipeline, judges) for text in config.drivers]
        pairs = [(driver, text, text) for text in config.identities for driver in drivers]
        if config.mode == "self":
            pairs = [first_frame(driver, f"{scratch}/{i}.png") for i, driver in enumerate(drivers)]
            drivers = [driver for driver, *_ in pairs]
        methods = open_methods(pipeline, drivers, config.methods, config.people)
        rows = [row for row in read_stats(folder) if row.pop("settings") == settings]
        known = {tuple(row[key] for key in KEYS): row for row in rows}
        subjects = lru_cache(1)(lambda path: judges.subject(pipeline.identity(path), config.size))
        table = []
        for driver, name, path in tqdm(pairs, "drivers and identities", unit="pair"):
            truth = driver.frames if config.mode == "self" else None
            for key in product(methods, config.strengths, [driver.name], [name]):
                if key not in known:
                    if config.mode == "generated" and truth is None:
                        truth = true_frames(driver, subjects(path), pipeline, config.size)
                    numbers, _ = run_trial(
                        methods[key[0]], driver, subjects(path), judges, key[1], config.size, truth
                    )
                    known[key] = dict(zip(KEYS, key, strict=True)) | numbers
                    run.log(**known[key], settings=settings)
                table.append(known[key])
        write_tables(pd.DataFrame(table), folder)
        run.finish(trials=len(table), settings=settings)
    return f"{folder}/summary.md"


def run_trial(
    method: Method,
    driver: DriverVideo,
    subject: Subject,
    judges: Judges,
    strength: float = 1.0,
    size: int = 512,
    truth: Frames | None = None,
) -> tuple[dict[str, float | None], Frames]:
    """The figures of one trial, as `measure_trial` has them, and its frames.

    Args:
        size: As in `render`.
        truth: What the frames should show, where that is known.
    """
    frames = render(subject.identity, method(driver, subject, strength), size)
    portrait = face_images(subject.identity.portrait[None])
    images = {"output": face_images(frames), "identity": portrait.repeat(len(frames), axis=0)}
    images |= {} if truth is None else {"truth": face_images(truth)}
    return measure_trial(driver.seen, judges(frames), subject, **images), frames


def open_driver(
    text: str, config: EvaluateConfig, pipeline: TransferPipeline, judges: Judges
) -> DriverVideo:
    """A video's frames, or generated ones, read."""
    if parse_seed(text) is None:
        return read_driver(text, judges, config.frames)
    _, readings = sample_people(pipeline, 24)
    return generate_driver(text, pipeline, judges, readings, config.frames, config.size)


def first_frame(driver: DriverVideo, path: str) -> tuple[DriverVideo, str, str]:
    """A driver without its first frame, which becomes the identity: its name and its file."""
    write_image(path, driver.frames[0], Source.COMPOSITE, "first frame, for evaluation")
    later = np.arange(len(driver.frames)) > 0
    rest = DriverVideo(driver.name, driver.frames[later], driver.seen.rows(later))
    return rest, driver.name, path


def open_methods(
    pipeline: TransferPipeline,
    drivers: Sequence[DriverVideo],
    names: Sequence[str] = (),
    people: int = 1500,
) -> dict[str, Method]:
    """Methods by name, as in `EvaluateConfig`; by default all that weights and drivers allow."""
    model, n_styles = pipeline.model, pipeline.model.generator.n_styles
    options, reader = pipeline.options, pipeline.reader

    def fit(find: Callable[..., Control]) -> Method:
        """Directions found in another way, which else do all that ours do."""
        control = find(*sample_people(pipeline, people), n_styles)
        rival = Transfer(model.generator, control=control)
        return _own(TransferPipeline(rival, options, reader=reader), anew=True)

    makers: dict[str, Callable[[], Method]] = {
        "ours": lambda: _own(pipeline),
        "copy": lambda: _rival(copy),
        "linear": lambda: fit(linear_directions),
        "ganspace": lambda: fit(ganspace_directions),
    }
    if pipeline.explicit and model.mapper is not None:
        learned = replace(options, motion="learned")
        makers["ours_learned"] = lambda: _own(TransferPipeline(model, learned, reader=reader))
    if model.identity_encoder is not None or all(d.w_plus is not None for d in drivers):
        makers["latent_difference"] = lambda: _rival(latent_difference, pipeline)
        makers["style_mask"] = lambda: _rival(
            style_mask(model.generator, *sample_people(pipeline, people)), pipeline
        )
    if unknown := set(names) - makers.keys():
        raise BadValue(f"methods are {', '.join(makers)} here; got {', '.join(sorted(unknown))}")
    return {name: makers[name]() for name in names or makers}


def _own(pipeline: TransferPipeline, anew: bool = False) -> Method:
    """What a pipeline itself does, frame by frame.

    Args:
        anew: Calibrate identities, which come from another pipeline, to this one's control.
    """
    known: dict[str, Identity] = {}

    @torch.no_grad()
    def move(driver: DriverVideo, subject: Subject, strength: float) -> WPlus:
        identity = subject.identity
        if anew:
            known[identity.name] = known.get(identity.name) or pipeline.calibrated(identity)
            identity = known[identity.name]
        if pipeline.explicit:
            motions = torch.from_numpy(driver.seen.factors).to(identity.w_plus)
        else:
            motions = pipeline.model.motion_encoder.bottleneck(_for_encoders(driver, pipeline))
            identity = pipeline.from_w_plus(identity.w_plus, generator=identity.generator)
        neutral = motions.median(0, keepdim=True).values
        rows = [pipeline.move(identity, row, neutral, strength) for row in motions.split(1)]
        return torch.cat(rows)

    return move


def _rival(latents: Baseline, encoder: TransferPipeline | None = None) -> Method:
    """A baseline; with an encoder, on the driver's codes."""
    known: dict[str, WPlus] = {}

    @torch.no_grad()
    def move(driver: DriverVideo, subject: Subject, strength: float) -> WPlus:
        w_plus = subject.identity.w_plus
        motion = DriverMotion(len(driver.frames))
        if encoder is not None:
            if driver.w_plus is not None:
                known[driver.name] = driver.w_plus
            elif driver.name not in known:
                images = _for_encoders(driver, encoder)
                known[driver.name] = encoder.model.identify(images)
            codes = known[driver.name]
            resting = codes.median(0, keepdim=True).values
            motion = replace(motion, w_plus=codes, neutral_w_plus=resting)
        return latents(motion, w_plus, strength)

    return move


def _for_encoders(driver: DriverVideo, pipeline: TransferPipeline) -> Image:
    device = pipeline.model.generator.w_mean.device
    return resized(to_tensor(driver.frames).to(device), pipeline.edge)


@lru_cache(maxsize=2)
@torch.no_grad()
def sample_people(pipeline: TransferPipeline, n: int) -> tuple[W, Factors]:
    """The first people of `xfer synthesize`: codes, and factors read from their previews."""
    generator, config = pipeline.generator, SynthesizeConfig()
    seeds = range(config.first_seed, config.first_seed + n)
    w = generator.mapping(z_from_seeds(seeds, generator.z_dim).to(generator.w_mean))
    psi = torch.tensor([[psi_of(seed, config)] for seed in seeds]).to(w)
    w = generator.w_mean + psi * (w - generator.w_mean)
    images = (to_array(generator.preview(row))[0] for row in generator.to_w_plus(w).split(1))
    _, factors, scores = zip(*map(pipeline.reader.landmarker.read_aligned, images), strict=True)
    found = np.flatnonzero(np.array(scores) >= 0.5)
    return w[found].cpu(), torch.from_numpy(np.stack(factors)[found])


def write_tables(table: pd.DataFrame, folder: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write all trials; write and return `summarise` and `compare` of them."""
    summary, tests = summarise(table), compare(table)
    for name, frame in {"trials": table, "summary": summary, "tests": tests}.items():
        with atomic(Path(folder, f"{name}.csv")) as part:
            frame.round(4).to_csv(part, index=False)
    wide = summary_table(summary)
    with atomic(Path(folder, "summary.tex")) as part:
        part.write_text(wide.to_latex(escape=True))
    lines = [["metric", *wide.columns], ["---"] * (1 + wide.shape[1]), *wide.reset_index().values]
    with atomic(Path(folder, "summary.md")) as part:
        part.write_text("".join(f"| {' | '.join(map(str, line))} |\n" for line in lines))
    return summary, tests


def numbers_of(table: pd.DataFrame) -> pd.DataFrame:
    """All columns but the keys, as numbers; NaN where one has no meaning."""
    return table.drop(columns=KEYS).apply(pd.to_numeric, errors="coerce")


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Means with 95% intervals over identities: method, strength, metric, n, value, low, high."""
    rows = []
    for keys, part in table.groupby(["method", "strength"], sort=False):
        for metric, column in numbers_of(part).items():
            values = column.dropna()
            if len(values):
                people = pd.factorize(part["identity"][values.index])[0]
                found = bootstrap(np.mean, values.to_numpy(), people=people, draws=500)
                rows.append((*keys, metric, len(values), *found))
    columns = ["method", "strength", "metric", "n", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def compare(table: pd.DataFrame) -> pd.DataFrame:
    """The first method less each other one, trial by trial of the same strength: mean difference
    over identities, its interval, and p by flips of signs."""
    rows, (own, *rivals) = [], table["method"].unique()
    indexed = numbers_of(table).set_index(pd.MultiIndex.from_frame(table[KEYS]))
    for rival, strength in product(rivals, table["strength"].unique()):
        pair = [indexed.xs((name, strength), level=KEYS[:2]) for name in (own, rival)]
        for metric in indexed:
            both = pd.concat([one[metric] for one in pair], axis=1, join="inner").dropna()
            if len(both):
                people = pd.factorize(both.index.get_level_values("identity"))[0]
                test = paired_test(*both.to_numpy(float).T, people=people, draws=1000)
                rows.append((own, rival, strength, metric, *test))
    columns = ["method", "rival", "strength", "metric", "difference", "low", "high", "p"]
    return pd.DataFrame(rows, columns=columns)


def summary_table(summary: pd.DataFrame) -> pd.DataFrame:
    """Metrics down, methods across: means with their intervals."""
    cells = summary.assign(
        metric=[str(METRICS.get(name, name)) for name in summary["metric"]],
        column=[f"{m} x{s:g}" if s != 1 else m for m, s in summary[["method", "strength"]].values],
        text=[
            f"{v:.2f} [{a:.2f}, {b:.2f}]" for v, a, b in summary[["value", "low", "high"]].values
        ],
    )
    wide = cells.pivot(index="metric", columns="column", values="text").fillna("-")
    return wide.loc[cells["metric"].unique(), cells["column"].unique()].rename_axis(columns=None)
