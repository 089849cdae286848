"""The named tensors of the project, as jaxtyping shapes.

Annotations only: they cost nothing at run time and are checked by beartype under pytest.
An axis name means the same size everywhere within one call.
"""

from jaxtyping import Float
from torch import Tensor

Image = Float[Tensor, "batch 3 height width"]
"""Images, sRGB in [-1, 1]."""

Z = Float[Tensor, "batch z_dim"]
"""Input of the mapping network, standard normal."""

W = Float[Tensor, "batch w_dim"]
"""Output of the mapping network: one style for every layer."""

WPlus = Float[Tensor, "batch n_styles w_dim"]
"""One style per layer."""

Features = Float[Tensor, "batch channels height width"]
"""Activations inside a convolutional network."""

Logits = Float[Tensor, "batch 1"]
"""Discriminator scores before the sigmoid: positive means real."""
