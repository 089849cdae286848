"""A world in which motion is a linear mixture of factors and of what no factor names."""

import torch

from xfer.controls import learn_controls
from xfer.encoders import IdentityEncoder, IdentityEncoderConfig, MotionEncoder, MotionEncoderConfig
from xfer.mapper import MapperConfig, build_mapper
from xfer.model import Transfer
from xfer.stylegan2.generator import Generator, GeneratorConfig

NAMES = ("yaw_deg", "pitch_deg", "jaw", "smile", "blink_left")
SCALE = torch.tensor([20.0, 10.0, 0.3, 0.5, 0.4])
SLIM = {"resolution": 32, "channels": (8, 12, 16), "blocks": (1, 1, 1), "reduction": 4}


class LinearWorld:
    """h = M (factors, nuisance) with a fixed invertible M; factors may be correlated."""

    def __init__(self, correlated: bool = False):
        rng = torch.Generator().manual_seed(3)
        self.mixing = torch.eye(8) + 0.4 * torch.randn(8, 8, generator=rng)
        self.correlated = correlated

    def motions(self, count: int, seed: int = 1) -> torch.Tensor:
        hidden = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))
        if self.correlated:
            hidden[:, 3] = 0.6 * hidden[:, 2] + 0.8 * hidden[:, 3]
        return hidden @ self.mixing.T

    def hidden(self, h: torch.Tensor) -> torch.Tensor:
        return torch.linalg.solve(self.mixing, h.T).T

    def factors(self, h: torch.Tensor) -> torch.Tensor:
        return self.hidden(h)[:, :5] * SCALE

    def controls(self, noise: float = 0.0):
        h = self.motions(4000)
        error = noise * torch.randn(4000, 5, generator=torch.Generator().manual_seed(7)) * SCALE
        return learn_controls(h, self.factors(h) + error, NAMES)


def moving_model(kind: str = "affine") -> Transfer:
    """An untrained model whose mapper does something."""
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(16, 6, 6, 1, channel_base=64, channel_max=8))
    sizes = {"n_styles": generator.n_styles, "w_dim": 6}
    mapper = build_mapper(MapperConfig(kind, **sizes, rank=3, gates=2))
    with torch.no_grad():
        for parameter in mapper.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    motion = MotionEncoder(MotionEncoderConfig(**SLIM, **sizes, bottleneck=5, pool=2))
    identity = IdentityEncoder(IdentityEncoderConfig(**SLIM, **sizes, rounds=2))
    return Transfer(generator, motion, mapper, identity).eval()
