"""Factors from 68 aligned landmarks: how drivers of another world than the weights' are read.

A motion encoder knows only the pictures that it was trained on, but landmarks mean the same on
real faces and in the face world. One linear map, learned on exact landmarks with the noise of
real detectors added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xfer.controls.learning import ridge
from xfer.errors import BadFile
from xfer.files import Network, Storable, stored_config

Landmarks = Float[Tensor, "batch 68 2"]

NOISE = 0.015
"""Of a detector on real faces, as a share of half the crop's edge."""
LEAST_CORRELATION = 0.5
"""Factors read worse than this, such as gaze, are not read at all."""


@dataclass(frozen=True)
class LandmarkReaderConfig:
    """What a reader of landmarks reads."""

    factors: tuple[str, ...]


class LandmarkReader(Storable, nn.Module):
    """Landmarks in crop coordinates, [-1, 1], to factors in their units."""

    role = "landmark_reader"

    def __init__(self, config: LandmarkReaderConfig):
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(136))
        self.register_buffer("weight", torch.zeros(len(config.factors), 136))
        self.register_buffer("center", torch.zeros(len(config.factors)))
        self.register_buffer("correlation", torch.ones(len(config.factors)))

    @classmethod
    def unpack(cls, network: Network) -> tuple[LandmarkReaderConfig, Mapping[str, Tensor]]:
        if network.layout != "xfer":
            raise BadFile("landmark readers are stored in our own layout only")
        return stored_config(LandmarkReaderConfig, network), network.tensors

    @property
    def names(self) -> tuple[str, ...]:
        """The factors, in order."""
        return self.config.factors

    def forward(self, landmarks: Landmarks) -> Float[Tensor, "batch factors"]:
        return self.center + (landmarks.flatten(1) - self.mean) @ self.weight.T

    @classmethod
    def learn(
        cls,
        landmarks: Landmarks,
        factors: Float[Tensor, "batch factors"],
        names: Sequence[str],
        noise: float = NOISE,
    ) -> "LandmarkReader":
        """Least squares; what landmarks do not tell is left out."""
        points = landmarks.flatten(1)
        weight, _ = ridge(points, factors, noise)
        weight = weight.float()
        found = (points - points.mean(0)) @ weight.T
        correlation = torch.stack([
            torch.corrcoef(torch.stack([a, b]))[0, 1]
            for a, b in zip(found.T, factors.T, strict=True)
        ])  # fmt: skip
        rows = (correlation > LEAST_CORRELATION).nonzero()[:, 0].tolist()
        reader = cls(LandmarkReaderConfig(tuple(names[row] for row in rows))).eval()
        reader.mean.copy_(points.mean(0))
        reader.weight.copy_(weight[rows])
        reader.center.copy_(factors.mean(0)[rows])
        reader.correlation.copy_(correlation[rows])
        return reader
