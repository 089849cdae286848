"""Latents of a folder of frames: what the encoder finds, resumable, never of other weights."""

import numpy as np
import pytest
import torch
from made_frames import make_frames

from xfer.encoders import IdentityEncoder, IdentityEncoderConfig
from xfer.errors import BadValue, MissingFile, RunError
from xfer.stylegan2.generator import Generator, GeneratorConfig
from xfer.training import latents
from xfer.training.distributed import World
from xfer.training.latents import invert_frames, read_latents
from xfer.training.transfer_recipes import open_clips
from xfer.training.world_frames import WorldFrames

SLIM = {"resolution": 16, "channels": (8, 12), "blocks": (1, 1), "reduction": 4}


@pytest.fixture
def files(tmp_path):
    """Frames, a generator and an inverter of it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = Generator(GeneratorConfig(16, 8, 8, 1, channel_base=64, channel_max=8)).eval()
        inverter = IdentityEncoder(IdentityEncoderConfig(**SLIM, n_styles=6, w_dim=8, rounds=2))
    paths = (generator.save(tmp_path / "g.safetensors"), inverter.save(tmp_path / "i.safetensors"))
    return make_frames(tmp_path / "frames"), *paths


@pytest.mark.parametrize(("half", "tolerance"), [("none", 1e-5), ("bfloat16", 0.02)])
def test_every_frame_has_the_latent_that_the_encoder_finds(files, half, tolerance):
    folder, generator, inverter = files
    path = invert_frames(folder, generator, inverter, batch=5, device="cpu", half=half)
    found = read_latents(folder, generator, inverter)
    assert path == folder / "latents.npy" and found.shape == (12, 6, 8)
    assert found.dtype == np.float32
    drawer, encoder = Generator.load(generator), IdentityEncoder.load(inverter)
    with torch.no_grad():
        wanted = encoder.invert(WorldFrames(folder).pictures([7]), drawer)
    seventh = torch.from_numpy(found[7:8].copy())
    torch.testing.assert_close(seventh, wanted, atol=tolerance, rtol=1e-4)


def test_an_interrupted_inversion_goes_on_to_the_same_bytes(files, monkeypatch):
    folder, generator, inverter = files
    whole = invert_frames(folder, generator, inverter, 2, "cpu").read_bytes()
    (folder / "latents.json").unlink()
    monkeypatch.setattr(latents, "CHUNK", 4)
    calls, real = [], IdentityEncoder.invert

    def failing(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(IdentityEncoder, "invert", failing)
    with pytest.raises(KeyboardInterrupt):
        invert_frames(folder, generator, inverter, 2, "cpu")
    assert invert_frames(folder, generator, inverter, 2, "cpu").read_bytes() == whole
    assert len(calls) == 8  # three good, one failed, the four after the last note
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_latents_of_other_weights_are_refused(files):
    folder, generator, inverter = files
    with pytest.raises(MissingFile, match="xfer train latents"):
        read_latents(folder, generator, inverter)
    invert_frames(folder, generator, inverter, device="cpu")
    encoder = IdentityEncoder.load(inverter)
    encoder.latent_mean += 1
    other = encoder.save(inverter.with_name("other.safetensors"))
    for refused in (read_latents, invert_frames):
        with pytest.raises(RunError, match="another inverter; delete"):
            refused(folder, generator, other)


def test_several_processes_make_no_latents_at_once(files):
    folder, generator, inverter = files
    with pytest.raises(BadValue, match=r"make .*'s with `xfer train latents`"):
        open_clips(folder, generator, inverter, 16, device="cpu", world=World(size=2))
    assert not (folder / "latents.json").exists()
