"""Explicit control: exact at zero, bounded far out, right in between; and its baselines."""

from types import SimpleNamespace

import pytest
import torch

from xfer import baselines
from xfer.baselines import DriverMotion
from xfer.control import Calibration, Control, ControlConfig, parse_factors, unit_sizes, units_of
from xfer.errors import BadValue
from xfer.landmarker import FACTOR_UNITS, FACTORS

N, STYLES, W_DIM = len(FACTORS), 4, 24
SIZES = torch.tensor(list(FACTOR_UNITS.values()))


def make_control(scale: float = 0.1) -> Control:
    directions = scale * torch.randn(N, STYLES, W_DIM, generator=torch.Generator().manual_seed(0))
    return Control.from_directions(directions, torch.eye(W_DIM), n_styles=6)


def code() -> torch.Tensor:
    return torch.randn(1, 6, W_DIM, generator=torch.Generator().manual_seed(1))


def test_small_units_move_along_their_direction_and_leave_fine_styles_alone():
    control, units = make_control(), torch.zeros(1, N)
    assert torch.equal(control.move(code(), units), code())
    units[0, 2] = 0.01
    delta = control.move(code(), units) - code()
    assert torch.allclose(delta[0, :STYLES], 0.01 * control.directions[2], atol=1e-6)
    assert torch.equal(delta[:, STYLES:], torch.zeros(1, 2, W_DIM))


def test_far_requests_stay_within_the_bound_of_every_style_and_are_odd_in_the_units():
    control, units = make_control(scale=3.0), torch.full((1, N), 100.0)
    plus, minus = (control.move(code(), u) - code() for u in (units, -units))
    assert plus[:, :STYLES].norm(dim=2).max() <= control.config.bound * 1.001
    assert torch.allclose(plus, -minus, atol=1e-6)


def test_pose_and_smile_are_absolute_and_lids_relative_to_neutral():
    own, motion, neutral = torch.zeros(1, N), torch.zeros(1, N), torch.zeros(1, N)
    own[0, 0], motion[0, 0], neutral[0, 0] = 5.0, 20.0, 10.0
    own[0, 3], motion[0, 3], neutral[0, 3] = 0.84, 0.6, 0.36
    own[0, 5], motion[0, 5], neutral[0, 5] = 0.5, 0.4, 0.3
    units = make_control().units(motion, own, neutral)
    assert units[0, [0, 3, 5]].numpy() == pytest.approx([1.0, -1.0, 1.0], abs=0.02)
    relative = make_control().units(motion, own, neutral, relative=True)
    assert relative[0, [0, 3, 5]].numpy() == pytest.approx([10 / 15, 1.0, 1.0], abs=0.02)


def test_calibrated_moves_reach_what_was_requested():
    control = make_control()
    strength = torch.linspace(0.8, 1.4, N)  # of factors that may not be lengthened 1 or more
    strength[[5, 7, 8, 10]] = 1.2
    strength[4] = 0.0  # this face does not answer there

    def read(codes: torch.Tensor) -> torch.Tensor:
        delta = (codes - code())[:, 0]
        moves = torch.linalg.lstsq(control.directions[:, 0].T, delta.T).solution.T
        return (moves.sign() * strength * moves.abs() ** 0.8) * SIZES

    calibrate = Calibration.of(control, code(), read)
    wanted = torch.diag(torch.linspace(-1.5, 1.5, N))
    reached = (read(control.move(code(), calibrate(wanted))) / SIZES).diagonal().detach()
    answers = strength > 0
    assert reached[answers].numpy() == pytest.approx(wanted.diagonal()[answers].numpy(), abs=0.15)
    assert torch.equal(calibrate(wanted)[:, 4], wanted[:, 4])


def test_calibration_makes_up_for_what_brows_and_gaze_do_to_the_lids():
    lids, brow_up, smile = (FACTORS.index(name) for name in ("lids", "brow_up", "smile"))
    control, pull = make_control(), torch.eye(N)
    pull[brow_up, lids] = pull[smile, lids] = 0.4
    solve = lambda codes: torch.linalg.lstsq(control.directions[:, 0].T, codes.T).solution.T
    read = lambda codes: solve((codes - code())[:, 0]) @ pull * SIZES
    moves = Calibration.of(control, code(), read)(torch.eye(N)[[brow_up, smile]])
    found = read(control.move(code(), moves))[:, lids] / SIZES[lids]
    assert found.tolist() == pytest.approx([0.0, 0.4], abs=0.1)  # a smile's pull is right


def test_explicit_factors_reach_angles_change_expressions_and_bad_ones_are_refused():
    own = torch.zeros(1, N)
    own[0, 0] = 5.0
    units = units_of(parse_factors("yaw=20, smile=-.24"), own)
    assert units[0, [0, 3]].tolist() == pytest.approx([1, -1]) and units.count_nonzero() == 2
    for text in ("roll=3", "yaw", "yaw=east", "yaw=nan", "", "yaw=1,,smile=2"):
        with pytest.raises(BadValue, match=r"factor|number"):
            parse_factors(text)


def test_a_control_comes_back_from_a_file(tmp_path):
    control = make_control()
    loaded = Control.load(control.save(tmp_path / "control.safetensors"))
    units = torch.linspace(-1, 1, N)[None]
    assert loaded.config == control.config == ControlConfig(n_motion_styles=4, n_styles=6, w_dim=24)
    assert torch.equal(loaded.move(code(), units), control.move(code(), units))


def world(samples=4000):
    """Random w whose first axes are the factors, in units, plus a little of the next axis."""
    rng = torch.Generator().manual_seed(0)
    scale = torch.linspace(2.0, 0.5, W_DIM)
    w = torch.randn(samples, W_DIM, generator=rng) * scale
    return w, read(w)


def read(w):
    units = w[:, :N] + 0.1 * w[:, 1 : N + 1]
    return units * unit_sizes(units)


@pytest.mark.parametrize("find", [baselines.linear_directions, baselines.ganspace_directions])
def test_directions_of_rivals_change_their_factor(find):
    exact = find is baselines.linear_directions  # components are as near as they happen to be
    control = find(*world(), STYLES, **({"ridge": 1e-6} if exact else {"count": N}))
    identity = torch.randn(1, STYLES, W_DIM)
    moved = control.move(identity, 0.3 * torch.eye(N))[:, 0]
    found = (read(moved) - read(identity[:, 0])) / SIZES
    assert (found.argmax(1) == torch.arange(N)).all()
    assert (found.diagonal() - 0.3).abs().max() < 0.1
    if exact:
        torch.testing.assert_close(found, 0.3 * torch.eye(N), atol=1e-3, rtol=0)


def test_differences_of_latents_are_added_and_copies_do_not_move():
    torch.manual_seed(0)
    identity, frames, rest = (torch.randn(n, STYLES, W_DIM) for n in (1, N, 1))
    driven = DriverMotion(N, frames, rest)
    half = baselines.latent_difference(driven, identity, 0.5)
    torch.testing.assert_close(half, identity + 0.5 * (frames - rest))
    assert torch.equal(baselines.copy(driven, identity), identity.expand(N, -1, -1))
    with pytest.raises(BadValue, match="frames inverted"):
        baselines.latent_difference(DriverMotion(N), identity)


def test_a_style_mask_takes_the_driver_s_channels_that_go_with_the_factors():
    w, factors = world()
    turn = torch.linalg.qr(torch.randn(W_DIM, W_DIM))[0]  # style space is W, turned
    styles = lambda w_plus: [w_plus[:, row] + 1.0 for row in range(STYLES)]
    plain = SimpleNamespace(n_styles=STYLES, w_dim=W_DIM, styles=styles)
    baseline = baselines.style_mask(plain, w, factors, share=N / W_DIM)
    identity, frames = torch.randn(1, STYLES, W_DIM), torch.randn(N, STYLES, W_DIM)
    wanted = torch.cat([frames[..., :N], identity[..., N:].expand(N, -1, -1)], 2)
    torch.testing.assert_close(baseline(DriverMotion(N, frames), identity), wanted)
    turned = SimpleNamespace(n_styles=STYLES, w_dim=W_DIM, styles=lambda x: styles(x @ turn))
    whole = baselines.style_mask(turned, w, factors, share=1.0)(DriverMotion(N, frames), identity)
    torch.testing.assert_close(whole, frames, atol=1e-5, rtol=0)
