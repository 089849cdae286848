"""Mappers: how they start, and that the cheap path is the plain one."""

import pytest
import torch

from xfer.errors import BadValue
from xfer.mapper import Mapper, MapperConfig


def codes(batch=3, n_styles=5, w_dim=6, seed=0):
    rng = torch.Generator().manual_seed(seed)
    draw = lambda: torch.randn(batch, n_styles, w_dim, generator=rng)
    return draw(), draw()


def small(kind):
    """A mapper of a kind; "some" moves three of the five styles."""
    kind, moved = ("low_rank", 3) if kind == "some" else (kind, 0)
    return Mapper.build(MapperConfig(kind, 5, 6, rank=4, gates=3, motion_styles=moved))


def shaken(kind):
    """A mapper of a kind with random weights."""
    torch.manual_seed(1)
    mapper = small(kind)
    with torch.no_grad():
        for parameter in mapper.parameters():
            parameter.normal_(std=0.3)
    return mapper.eval()


@pytest.mark.parametrize("kind", ["affine", "low_rank", "some", "conditioned"])
@torch.no_grad()
def test_a_mapper_starts_by_showing_the_identity_unmoved(kind):
    identity, motion = codes()
    mapper = small(kind)
    torch.testing.assert_close(mapper(identity, motion), identity)


@torch.no_grad()
def test_the_paper_s_start_is_its_constants():
    identity, motion = codes()
    mapper = Mapper.build(MapperConfig("affine", 5, 6, init="paper"))
    expected = 1e-5 * (identity.sum((1, 2)) + motion.sum((1, 2))) + 1e-3
    torch.testing.assert_close(mapper(identity, motion), expected.view(3, 1, 1).expand(3, 5, 6))
    with pytest.raises(BadValue, match="or paper if affine"):
        MapperConfig("conditioned", init="paper")


@pytest.mark.parametrize("kind", ["affine", "low_rank", "some", "conditioned"])
@torch.no_grad()
def test_the_cheap_path_equals_the_plain_one_for_one_person_and_for_many(kind):
    mapper = shaken(kind)
    rng = torch.Generator().manual_seed(2)
    weight, bias, h = (torch.randn(s, generator=rng) for s in ((30, 7), (30,), (3, 7)))
    motion = (h @ weight.T + bias).view(3, 5, 6)
    identity, _ = codes()
    many = mapper.person(identity, weight, bias).latents(h)
    torch.testing.assert_close(many, mapper(identity, motion), atol=1e-4, rtol=1e-4)
    one = mapper.person(identity[:1], weight, bias).latents(h)
    expected = mapper(identity[:1].expand(3, -1, -1), motion)
    torch.testing.assert_close(one, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_affine_motion_is_the_same_for_everyone_and_conditioned_motion_is_not():
    identity, motion = codes()
    for kind, same in (("affine", True), ("low_rank", True), ("conditioned", False)):
        mapper = shaken(kind)
        moved = [mapper(i.expand(3, -1, -1), motion) for i in identity[:2]]
        changes = [m - m[:1] for m in moved]
        assert torch.allclose(changes[0], changes[1], atol=1e-4) is same


@torch.no_grad()
def test_styles_beyond_those_of_motion_are_the_identity_s():
    identity, motion = codes()
    mapper = shaken("some")
    mapper.bias.zero_()
    changed = (mapper(identity, motion) - identity).abs().amax((0, 2))
    assert (changed[:3] > 0).all() and (changed[3:] == 0).all()
