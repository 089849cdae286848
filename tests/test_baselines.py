"""Baselines: in a world that is linear, the answer of each is known."""

from types import SimpleNamespace

import pytest
import torch

from xfer.baselines import (
    DriverMotion,
    copy,
    factor_moves,
    ganspace_directions,
    latent_difference,
    linear_directions,
    style_mask,
)
from xfer.control import unit_sizes
from xfer.errors import BadValue
from xfer.landmarker import FACTORS

N, W_DIM, STYLES = len(FACTORS), 24, 4


def world(samples=4000):
    """Random w whose first axes are the factors, in units, plus a little of the next axis."""
    rng = torch.Generator().manual_seed(0)
    scale = torch.linspace(2.0, 0.5, W_DIM)
    w = torch.randn(samples, W_DIM, generator=rng) * scale
    return w, read(w)


def read(w):
    units = w[:, :N] + 0.1 * w[:, 1 : N + 1]
    return units * unit_sizes(units)


def motion(**more):
    own = torch.zeros(1, N)
    factors = 0.3 * torch.eye(N) * unit_sizes(own)
    return DriverMotion(factors, own, own, **more)


def test_linear_moves_change_one_factor_and_hold_the_others():
    baseline = factor_moves(linear_directions(*world(), STYLES, ridge=1e-6))
    identity = torch.randn(1, STYLES, W_DIM)
    moved = baseline(motion(), identity)
    change = read(moved[:, 0]) - read(identity[:, 0])
    torch.testing.assert_close(change / unit_sizes(change), 0.3 * torch.eye(N), atol=1e-3, rtol=0)
    assert torch.equal(baseline(motion(), identity, 0.0), identity.expand(N, -1, -1))


def test_ganspace_takes_the_component_that_goes_with_each_factor():
    baseline = factor_moves(ganspace_directions(*world(), STYLES, count=N))
    identity = torch.randn(1, STYLES, W_DIM)
    change = read(baseline(motion(), identity)[:, 0]) - read(identity[:, 0])
    found = change / unit_sizes(change)
    assert (found.argmax(1) == torch.arange(N)).all()
    assert (found.diagonal() - 0.3).abs().max() < 0.1


def test_differences_of_latents_are_added_and_copies_do_not_move():
    torch.manual_seed(0)
    identity, frames, rest = (torch.randn(n, STYLES, W_DIM) for n in (1, N, 1))
    driven = motion(w_plus=frames, neutral_w_plus=rest)
    half = latent_difference(driven, identity, 0.5)
    torch.testing.assert_close(half, identity + 0.5 * (frames - rest))
    assert torch.equal(copy(driven, identity), identity.expand(N, -1, -1))
    with pytest.raises(BadValue, match="frames inverted"):
        latent_difference(motion(), identity)


def test_a_style_mask_takes_the_driver_s_channels_that_go_with_the_factors():
    w, factors = world()
    turn = torch.linalg.qr(torch.randn(W_DIM, W_DIM))[0]  # style space is W, turned
    styles = lambda w_plus: [w_plus[:, row] + 1.0 for row in range(STYLES)]
    plain = SimpleNamespace(n_styles=STYLES, w_dim=W_DIM, styles=styles)
    baseline = style_mask(plain, w, factors, share=N / W_DIM)
    identity, frames = torch.randn(1, STYLES, W_DIM), torch.randn(N, STYLES, W_DIM)
    wanted = torch.cat([frames[..., :N], identity[..., N:].expand(N, -1, -1)], 2)
    torch.testing.assert_close(baseline(motion(w_plus=frames), identity), wanted)
    turned = SimpleNamespace(n_styles=STYLES, w_dim=W_DIM, styles=lambda x: styles(x @ turn))
    everything = style_mask(turned, w, factors, share=1.0)(motion(w_plus=frames), identity)
    torch.testing.assert_close(everything, frames, atol=1e-5, rtol=0)
