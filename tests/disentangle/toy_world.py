"""A generator whose pictures are its latents, and a judge who reads them off."""

from types import SimpleNamespace

import torch

from xfer.evaluate.judges import Judge

STYLES, WIDTH = 4, 3


def synthesis(latents):
    """Latents in the top left corner of otherwise black pictures."""
    image = torch.zeros(len(latents), 3, 8, 8)
    image[:, 0, :STYLES, :WIDTH] = latents
    return image


GENERATOR = SimpleNamespace(w_mean=torch.zeros(1, WIDTH), synthesis=synthesis)


def read(image):
    """yaw_deg: ten times the first number of style 0; jaw: the second numbers of styles 1 and 2."""
    w = image[:, 0, :STYLES, :WIDTH]
    factors = torch.stack([10 * w[:, 0, 0], w[:, 1, 1] + w[:, 2, 1]], dim=1)
    return factors, torch.zeros(len(image), 68, 2)


def embed(image):
    """The person: style 3."""
    return torch.nn.functional.normalize(image[:, 0, 3, :WIDTH], dim=1)


JUDGE = Judge(("yaw_deg", "jaw"), read, embed)


def latents(count, seed=0, scale=0.2):
    return scale * torch.randn(count, STYLES, WIDTH, generator=torch.Generator().manual_seed(seed))
