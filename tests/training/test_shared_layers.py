"""Layers that look at a whole batch: exact in one process, and over two in double precision."""

import pytest
import torch
from torch import nn
from two_processes import train_in_two

from xfer.backbones import Backbone, BackboneConfig
from xfer.losses import r1_penalty
from xfer.training import shared_layers
from xfer.training.distributed import World
from xfer.training.shared_layers import SharedDropout, share_layers


def norms():
    layers = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.Flatten(), nn.BatchNorm1d(16))
    for i, p in enumerate(layers.parameters()):
        p.data = numbers(i, *p.shape)
    return layers.double()


def numbers(seed, *shape):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng, dtype=torch.float32).double()


def pass_through(layers, samples):
    """Output, gradients and running statistics, as a checkpoint would keep them."""
    x, wanted = numbers(10, 6, 3, 2, 2), numbers(11, 6, 16)
    shown = layers(x[samples])
    (shown * wanted[samples]).sum(1).mean().backward()
    return shown.detach()


def penalised(layers, samples):
    """Gradients of a penalty of gradients, as R1 is, through norms that keep no statistics."""
    x = numbers(10, 6, 3, 2, 2)[samples].requires_grad_()
    r1_penalty(layers(x).square().sum(1, keepdim=True), x).backward()


def critic():
    layers = norms()
    layers[0] = nn.BatchNorm2d(3, track_running_stats=False).double()
    return layers


def norms_in_two(folder, world):
    layers, samples = norms(), world.samples(6)
    share_layers(layers, world)
    shown = pass_through(layers, samples)
    world.average_gradients(layers)
    found = {name: p.grad for name, p in layers.named_parameters()} | dict(layers.named_buffers())
    torch.save((shown, found), folder / f"{world.rank}.pt")
    layers = critic()
    share_layers(layers, world)
    penalised(layers, samples)
    world.average_gradients(layers)
    torch.save([p.grad for p in layers.parameters()], folder / f"penalty_{world.rank}.pt")


def test_norms_of_two_processes_are_those_of_the_whole_batch(tmp_path):
    train_in_two(norms_in_two, tmp_path)
    layers = norms()
    shown = pass_through(layers, list(range(6)))
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), shown)
    whole = {name: p.grad for name, p in layers.named_parameters()} | dict(layers.named_buffers())
    for _, found in parts:
        torch.testing.assert_close(found, whole)
    layers = critic()
    penalised(layers, list(range(6)))
    for rank in (0, 1):
        found = torch.load(tmp_path / f"penalty_{rank}.pt")
        torch.testing.assert_close(found, [p.grad for p in layers.parameters()])


def test_norms_that_keep_no_statistics_look_at_the_batch_in_eval_mode_too(monkeypatch):
    monkeypatch.setattr(shared_layers, "_mean", lambda x: x)
    layers, x = critic()[:1].eval(), numbers(10, 6, 3, 2, 2)
    wanted = layers(x)
    share_layers(layers, World(size=2))
    torch.testing.assert_close(layers(x), wanted)


def test_a_lone_process_keeps_its_norms_and_every_name():
    body = Backbone(BackboneConfig(16, channels=(4, 8), blocks=(1, 1), reduction=2))
    before = list(body.state_dict())
    share_layers(body, World())
    assert isinstance(body.stem[1], nn.BatchNorm2d)
    share_layers(body, World(size=2))
    assert not isinstance(body.stem[1], nn.BatchNorm2d) and list(body.state_dict()) == before
    assert body.blocks[0].residual[0].weight.requires_grad


def test_a_sample_loses_the_same_features_in_any_share():
    x = torch.ones(4, 100)

    def dropped(samples):
        torch.manual_seed(3)
        return SharedDropout(0.25, samples, 4)(x[samples])

    whole = dropped([0, 1, 2, 3])
    assert torch.equal(dropped([2, 3]), whole[2:])
    assert whole.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert 0.5 < (whole > 0).float().mean() < 0.95
    assert torch.equal(SharedDropout(0.25, [0], 4).eval()(x), x)
