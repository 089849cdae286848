"""Ranger against rectified Adam, whose special case it is, and against its parts by hand."""

import pytest
import torch

from xfer.errors import BadValue
from xfer.training.ranger import Ranger


def problem(seed=0):
    rng = torch.Generator().manual_seed(seed)
    weight = torch.nn.Parameter(torch.randn(3, 4, generator=rng))
    bias = torch.nn.Parameter(torch.randn(3, generator=rng))
    target = torch.randn(3, 4, generator=rng)
    return [weight, bias], lambda: ((weight - target) ** 2).sum() + (bias**4).sum()


def walk(optimiser, parameters, loss, steps):
    for _ in range(steps):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    return [p.detach().clone() for p in parameters]


def test_without_lookahead_and_centring_it_is_rectified_adam():
    settings = {"lr": 0.05, "betas": (0.95, 0.999), "eps": 1e-5}
    parameters, loss = problem()
    ours = walk(Ranger(parameters, every=0, centralise=False, **settings), parameters, loss, 20)
    parameters, loss = problem()
    theirs = walk(torch.optim.RAdam(parameters, **settings), parameters, loss, 20)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_lookahead_returns_part_of_the_way():
    parameters, loss = problem()
    start = [p.detach().clone() for p in parameters]
    fast = walk(Ranger(parameters, 0.05, every=0), parameters, loss, 3)
    parameters, loss = problem()
    slow = walk(Ranger(parameters, 0.05, every=3, share=0.25), parameters, loss, 3)
    for before, ahead, found in zip(start, fast, slow, strict=True):
        assert torch.allclose(found, before + 0.25 * (ahead - before), atol=1e-6)


def test_centred_gradients_keep_the_mean_over_inputs():
    parameters, loss = problem()
    before = parameters[0].detach().mean(1)
    after, bias = walk(Ranger(parameters, 0.01, every=0), parameters, loss, 1)
    assert torch.allclose(after.mean(1), before, atol=1e-6)
    assert not torch.allclose(after, problem()[0][0])
    assert not torch.allclose(bias, problem()[0][1])


def test_a_run_goes_on_from_its_state_to_the_same_bits():
    parameters, loss = problem()
    whole = walk(Ranger(parameters, 0.05), parameters, loss, 11)
    parameters, loss = problem()
    first = Ranger(parameters, 0.05)
    walk(first, parameters, loss, 4)
    second = Ranger(parameters, 0.05)
    second.load_state_dict(first.state_dict())
    parts = walk(second, parameters, loss, 7)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize(
    ("setting", "message"), [({"every": -1}, "0 steps"), ({"share": 0}, "0, 1")]
)
def test_settings_outside_their_range_are_refused(setting, message):
    with pytest.raises(BadValue, match=message):
        Ranger(problem()[0], **setting)
