"""From a person of W, and what is done to their styles, to a picture: a generator by itself."""

import functools
from collections.abc import Sequence

import torch
from sklearn.decomposition import PCA

from xfer.axes import Image, W, WPlus
from xfer.errors import expect
from xfer.explorer.state import LatentState
from xfer.stylegan2.generator import Generator
from xfer.stylegan2.sampling import z_from_seeds

SAMPLES = 4096
"""Random w whose principal components are offered."""


class LatentExplorer:
    """Draws states of one generator.

    Source: Harkonen et al., "GANSpace", NeurIPS 2020: principal components of W, followed in some
    styles only.
    """

    def __init__(self, generator: Generator):
        self.generator = generator

    @torch.no_grad()
    def view(self, state: LatentState) -> Image:
        """The picture of a state, 1 x 3 x resolution x resolution; equal states, equal pictures."""
        return self.generator.synthesis(self.latents(state)).float().cpu().clamp(-1, 1)

    def latents(self, state: LatentState) -> WPlus:
        """Truncated, then led to the other person and along components, in some styles.

        Components come last: truncation would shorten them.
        """
        w = self._random([state.seed, state.other_seed])
        people = self.generator.truncate(self.generator.to_w_plus(w), state.psi)
        own, other = people.split(1)
        moved = own.lerp(other, state.mix)
        for number, amount in state.components.items():
            axes = self.components
            expect(number < len(axes), f"there are {len(axes)} components; got number {number}")
            moved = moved + amount * axes[number]
        first, last = state.layers
        return torch.cat([own[:, :first], moved[:, first : last + 1], own[:, last + 1 :]], dim=1)

    @functools.cached_property
    def components(self) -> W:
        """Principal axes of random w, the widest first, each one standard deviation long."""
        lengths = self._analysis.explained_variance_[:, None] ** 0.5
        return torch.from_numpy(lengths * self._analysis.components_).to(self.generator.w_mean)

    @property
    def shares(self) -> list[float]:
        """Of all variance of w, what each component holds."""
        return self._analysis.explained_variance_ratio_.tolist()

    @functools.cached_property
    def _analysis(self) -> PCA:
        return PCA(svd_solver="full").fit(self._random(range(SAMPLES)).cpu().numpy())

    @torch.no_grad()
    def _random(self, seeds: Sequence[int]) -> W:
        z = z_from_seeds(seeds, self.generator.z_dim)
        return self.generator.mapping(z.to(self.generator.w_mean))
