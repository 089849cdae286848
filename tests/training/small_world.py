"""A generator of blots, clips of it, and networks that measure: small enough for tests."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from xfer.data.clips import open_clips, stored, write_clip, write_index
from xfer.landmarker import FACTORS
from xfer.media.images import to_array
from xfer.stylegan2.layers import LatentSpace

N_STYLES, W_DIM = 2, 4


class Blots(LatentSpace, nn.Module):
    """W+ of two styles of four numbers to images of 32 px, linearly."""

    n_styles, w_dim, z_dim = N_STYLES, W_DIM, W_DIM

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.mapping = nn.Linear(W_DIM, W_DIM)
            self.render = nn.Linear(N_STYLES * W_DIM, 3 * 4 * 4)
        self.register_buffer("w_mean", torch.zeros(W_DIM))

    def synthesis(self, w_plus):
        return self.preview(w_plus)

    def preview(self, w_plus, size=32):
        image = self.render(w_plus.flatten(1)).view(-1, 3, 4, 4).tanh()
        return F.interpolate(image, size=(size, size), mode="bilinear")


class Pools(nn.Module):
    """Mean colours in place of perceptual features, identities and landmarks."""

    def stages(self, image):
        return [F.adaptive_avg_pool2d(image, 4)]

    def forward(self, image):
        return F.normalize(F.adaptive_avg_pool2d(image, 2).flatten(1), dim=1)


class Points(nn.Module):
    def forward(self, image):
        grid = F.adaptive_avg_pool2d(image, (2, 239)).permute(0, 2, 3, 1)
        return grid.reshape(-1, 478, 3) + POINTS, torch.full((len(image), 52), 0.5)


POINTS = torch.randn(478, 3, generator=torch.Generator().manual_seed(0)) * 50


@torch.no_grad()
def write_data(folder, people=10, frames=6):
    """Clips of people whose first style moves."""
    generator, rng = Blots(), np.random.default_rng(0)
    for person in range(people):
        codes = np.repeat(rng.normal(size=(1, N_STYLES, W_DIM)), frames, axis=0)
        codes[:, 0] += rng.normal(size=(frames, W_DIM))
        codes = stored(codes)
        images = to_array(generator.preview(torch.from_numpy(codes)))
        factors = rng.normal(size=(frames, len(FACTORS))).astype(np.float32)
        arrays = {"factors": factors}
        write_clip(folder, f"p{person}", f"p{person}", list(images), "generated", codes, arrays)
    write_index(folder)
    return open_clips(folder)
