"""Weights by path or name: the network that a file is for."""

import pytest
import torch
from test_model import small_model

from xfer.encoders import IdentityEncoder
from xfer.errors import BadFile, MissingFile
from xfer.model import Transfer
from xfer.stylegan2.generator import Generator
from xfer.weights import convert, load


@torch.no_grad()
def test_a_file_opens_as_what_it_is_for(tmp_path):
    model = small_model()
    assert isinstance(load(model.save(tmp_path / "m.safetensors")), Transfer)
    assert isinstance(load(model.generator.save(tmp_path / "g.safetensors")), Generator)
    encoder = load(model.identity_encoder.save(tmp_path / "i.safetensors"))
    assert isinstance(encoder, IdentityEncoder) and not encoder.training


def test_a_network_that_is_not_known_and_a_name_that_is_not_are_named(tmp_path):
    from xfer.checkpoints import write_checkpoint

    path = write_checkpoint(tmp_path / "x.safetensors", {"glasses": ({}, {"a": torch.ones(1)})})
    with pytest.raises(BadFile, match="holds only glasses"):
        load(path)
    with pytest.raises(MissingFile, match=r"no checkpoint has that name; names: .*arcface"):
        load("nobody")


@torch.no_grad()
def test_a_model_in_half_precision_computes_nearly_the_same(tmp_path):
    model = small_model()
    whole = model.save(tmp_path / "m.safetensors", {"licence": "MIT"})
    half = convert(whole, tmp_path / "h.safetensors", half=True)
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    driver, identity = torch.randn(2, 3, 32, 32), torch.randn(1, 6, 6)
    meant = model.transfer(driver, identity)
    error = (load(half).transfer(driver, identity) - meant).abs().max() / meant.abs().max()
    assert error < 0.01


def test_the_last_of_several_files_gives_a_network(tmp_path):
    model, other = small_model(), small_model()
    other.mapper.weight.data.add_(1)
    files = [model.save(tmp_path / "m.safetensors"), other.mapper.save(tmp_path / "n.safetensors")]
    joined = load(convert(files[0], tmp_path / "j.safetensors", (files[1],)))
    assert torch.equal(joined.mapper.weight, other.mapper.weight)
    one, same = (dict(x.motion_encoder.named_parameters()) for x in (model, joined))
    assert all(torch.equal(value, same[name]) for name, value in one.items())
