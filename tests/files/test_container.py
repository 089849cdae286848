"""Our own files: what is written comes back, whole or not at all."""

import json
import os

import pytest
import torch

from xfer.errors import BadFile, BadValue, MissingFile
from xfer.files import container, fill, read_checkpoint, records, write_checkpoint

STATE = {
    "a.weight": torch.arange(12.0).reshape(3, 4),
    "count": torch.tensor(7),
    "half": torch.ones(2, dtype=torch.float16),
    "shared": torch.ones(1, 3).expand(2, 3),
}


def write(path, **facts):
    return write_checkpoint(path, {"generator": ({"size": 3, "clamp": None}, STATE)}, facts)


def test_networks_configuration_and_facts_come_back(tmp_path):
    mean = torch.ones(5)
    path = write(tmp_path / "a.safetensors", latent_avg=mean, opts={"lr": 0.1, "name": "x"})
    checkpoint = read_checkpoint(path)
    network = checkpoint.networks["generator"]
    assert checkpoint.layout == network.layout == "xfer"
    assert network.config == {"size": 3, "clamp": None}
    assert network.tensors.keys() == STATE.keys()
    for name, value in STATE.items():
        assert torch.equal(network.tensors[name], value)
        assert network.tensors[name].dtype == value.dtype
    assert torch.equal(checkpoint.facts["latent_avg"], mean)
    assert checkpoint.facts["opts"] == {"lr": 0.1, "name": "x"}


def test_the_sha256_stands_in_a_json_beside_the_file(tmp_path):
    path = write(tmp_path / "a.safetensors")
    record = json.loads((tmp_path / "a.safetensors.json").read_text())
    assert record["sha256"] == records.sha256(path) and record["bytes"] == path.stat().st_size
    assert sorted(os.listdir(tmp_path)) == ["a.safetensors", "a.safetensors.json"]


def test_a_failed_write_leaves_the_old_file_and_no_debris(tmp_path, monkeypatch):
    path = write(tmp_path / "a.safetensors")
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(container, "_seal", full)
    with pytest.raises(OSError, match="no space"):
        write(path)
    assert path.read_bytes() == before
    monkeypatch.undo()
    assert read_checkpoint(path).networks["generator"].config["size"] == 3


def test_what_cannot_be_a_checkpoint_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(BadValue, match=r"end in \.safetensors"):
        write(tmp_path / "a.pt")
    with pytest.raises(BadValue, match="at least one network"):
        write_checkpoint(tmp_path / "a.safetensors", {})
    with pytest.raises(BadValue, match="role"):
        write_checkpoint(tmp_path / "a.safetensors", {"a/b": ({}, STATE)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("with_record", [True, False])
def test_a_single_flipped_bit_anywhere_is_found(with_record, tmp_path):
    path = write(tmp_path / "a.safetensors")
    if not with_record:
        records.record_path(path).unlink()
    whole = path.read_bytes()
    for at in range(0, len(whole), 13):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        with pytest.raises(BadFile):
            read_checkpoint(path)
    path.write_bytes(whole)
    read_checkpoint(path)


@pytest.mark.parametrize("record", ["", "{}", "[1]", '{"sha256": "12"}', '{"sha256": null}'])
def test_a_record_that_cannot_be_read_is_no_licence_to_load(record, tmp_path):
    path = write(tmp_path / "a.safetensors")
    records.record_path(path).write_text(record)
    with pytest.raises(BadFile, match=r"a\.safetensors\.json"):
        read_checkpoint(path)


def test_a_foreign_file_with_a_record_is_checked_too(tmp_path):
    path = tmp_path / "g.pt"
    torch.save({"linear_relu.0.weight": torch.ones(2, 4)}, path)
    assert read_checkpoint(path).networks.keys() == {"mapper"}
    records.record(path)
    read_checkpoint(path)
    torch.save({"linear_relu.0.weight": torch.zeros(2, 4)}, path)
    with pytest.raises(BadFile, match="its sha256 is"):
        read_checkpoint(path)


def test_a_name_that_is_nowhere_lists_the_known_ones(tmp_path):
    with pytest.raises(MissingFile, match=r"names: .*stylegan2-ffhq-config-f"):
        read_checkpoint(tmp_path / "nothing.pt")


def test_filling_a_network_names_everything_that_does_not_fit():
    layer = torch.nn.Linear(2, 3)
    state = {"weight": torch.ones(3, 5), "extra": torch.ones(1)}
    with pytest.raises(BadFile) as caught:
        fill(layer, state)
    message = str(caught.value)
    assert "1 tensors missing (bias)" in message and "1 tensors unknown (extra)" in message
    assert "weight is 3 x 5 and should be 3 x 2" in message
