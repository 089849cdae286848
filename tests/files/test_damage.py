"""300 damaged checkpoints: each gives one error of ours, within two seconds, or what was meant.

A file that carries a checksum (our seal, a recorded sha256, a zip's) gives exactly what was
written or an error. The old formats have none: there a flipped bit of a weight cannot be seen, and
what loads must at least have the right names and shapes and finite numbers.
"""

import random
import struct
import time
import zipfile

import pytest
import torch
from by_rule import rosinality_discriminator, rosinality_generator, state
from nvlabs_pickles import dump, small_generator
from safetensors.torch import load_file, save_file

from xfer.encoders import IdentityEncoder
from xfer.errors import BadFile
from xfer.files import records
from xfer.stylegan2.discriminator import Discriminator
from xfer.stylegan2.generator import Generator, GeneratorConfig

SHAPES = rosinality_generator(16, styles=12, mapping=2, top=6)
SEEDS = {"flip": range(24), "cut": range(12), "swap": range(8), "blank": range(8)}


def write_ours(path):
    torch.manual_seed(0)
    return Generator(GeneratorConfig(16, 12, 12, 2, channel_base=96, channel_max=6)).save(path)


def write_bare(path):
    records.record_path(write_ours(path)).unlink()
    return path


def write_zip(path):
    torch.save({"g_ema": state(SHAPES), "latent_avg": torch.ones(12)}, path)
    return path


def write_legacy(path):
    content = {"g_ema": state(SHAPES), "latent_avg": torch.ones(12)}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def write_parts(path):
    parts = {f"decoder.{name}": tensor for name, tensor in state(SHAPES).items()}
    torch.save({"state_dict": parts, "opts": {"lr": 1e-4}}, path)
    return path


def write_nvlabs(path):
    return dump(path, {"G_ema": ("Generator", small_generator(), {}, {"c_dim": 0})})


FILES = {
    "ours": (write_ours, ".safetensors"),
    "without record": (write_bare, ".safetensors"),
    "zip": (write_zip, ".pt"),
    "parts": (write_parts, ".pt"),
    "legacy": (write_legacy, ".pt"),
    "nvlabs": (write_nvlabs, ".pkl"),
}
CHECKED = {"ours", "without record", "zip", "parts"}
"""Formats with a checksum over the weights."""


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return {name: write(folder / f"{name}{end}") for name, (write, end) in FILES.items()}


def damaged(whole: bytes, kind: str, seed: int) -> bytes:
    rng, data = random.Random(f"{kind} {seed}"), bytearray(whole)
    at = rng.randrange(len(data) - 64)
    if seed % 2:  # half of the damage near the ends, where the structure stands
        at = rng.choice([at % 600, len(data) - 64 - at % 600])
    other = rng.randrange(len(data) - 64)
    if kind == "flip":
        data[at] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "swap":
        data[at : at + 64], data[other : other + 64] = data[other : other + 64], data[at : at + 64]
    else:
        data[at : at + 64] = bytes(64)
    return bytes(data)


def opened(path, cls=Generator):
    """The network, or None where one `BadFile` says why not; two seconds are enough for either."""
    start = time.process_time()
    try:
        return cls.load(path)
    except BadFile as error:
        assert str(path) in str(error) and len(str(error)) < 1000
        return None
    finally:
        assert time.process_time() - start < 2


@pytest.mark.parametrize("kind", SEEDS)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_gives_one_error_or_what_was_meant(name, kind, originals, tmp_path):
    whole = originals[name].read_bytes()
    meant = Generator.load(originals[name]).state_dict()
    path = tmp_path / originals[name].name
    record = records.record_path(originals[name])
    if record.exists():
        records.record_path(path).write_bytes(record.read_bytes())
    refused = 0
    for seed in SEEDS[kind]:
        path.write_bytes(damaged(whole, kind, seed))
        network = opened(path)
        refused += network is None
        if network is None or path.read_bytes() == whole:
            continue
        assert name not in ("ours", "without record"), "our own files never load when damaged"
        for key, tensor in network.state_dict().items():
            assert tensor.shape == meant[key].shape and torch.isfinite(tensor).all()
            assert name not in CHECKED or key == "w_mean" or torch.equal(tensor, meant[key])
    assert refused >= (len(SEEDS[kind]) // 2 if name in CHECKED else 1)


def test_that_makes_three_hundred():
    assert len(FILES) * sum(map(len, SEEDS.values())) >= 300


def rewritten(path, change):
    """Save a PyTorch file again after a change of its generator."""
    content = torch.load(path, weights_only=True)
    change(content["g_ema"])
    torch.save(content, path)
    return path


def put(name, value):
    return lambda state: state.__setitem__(name, value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["style.1.weight", "to_rgbs.1.bias", "noises.noise_2"])
def test_weights_that_are_no_numbers_are_named(name, bad, tmp_path):
    def spoil(state):
        state[name].view(-1)[-1] = bad

    path = rewritten(write_zip(tmp_path / "g.pt"), spoil)
    with pytest.raises(BadFile, match=rf"{name} holds NaN or infinity"):
        Generator.load(path)


def test_weights_that_are_no_numbers_are_named_in_our_own_files_too(tmp_path):
    generator = Generator(GeneratorConfig(16, 12, 12, 2, channel_base=96, channel_max=6))
    torch.nn.init.constant_(generator.const, torch.nan)
    path = generator.save(tmp_path / "g.safetensors")
    with pytest.raises(BadFile, match="const holds NaN or infinity"):
        Generator.load(path)


@pytest.mark.parametrize("name", [n for n in SHAPES if not n.startswith("noises")])
def test_a_missing_tensor_is_named(name, tmp_path):
    path = rewritten(write_zip(tmp_path / "g.pt"), lambda state: state.pop(name))
    if name.endswith("kernel"):  # fixed by the architecture; some files leave them out
        assert Generator.load(path).resolution == 16
        return
    with pytest.raises(BadFile, match=r"missing|no network that xfer knows|make no generator"):
        Generator.load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("conv1.conv.weight", torch.ones(1, 6, 7, 3, 3)),
        ("convs.2.conv.weight", torch.ones(1, 5, 6, 3, 3)),
        ("convs.0.activate.bias", torch.ones(7)),
        ("style.2.weight", torch.ones(12, 13)),
        ("style.1.weight", torch.ones(12)),
        ("to_rgb1.bias", torch.ones(1, 4, 1, 1)),
        ("input.input", torch.ones(1, 6, 8, 8)),
        ("noises.noise_1", torch.ones(1, 1, 7, 7)),
        ("convs.0.noise.weight", torch.ones(3)),
        ("convs.90.conv.weight", torch.ones(1, 6, 6, 3, 3)),
        ("convs.4.conv.weight", torch.ones(1, 6, 6, 3, 3)),
        ("convs.1.conv.weight", torch.ones(0, 0)),
        ("convs.0.conv.blur.kernel", torch.ones(4, 4)),
        ("input.input", torch.ones(1, 6, 4, 4, dtype=torch.int64)),
    ],
)
def test_a_tensor_of_the_wrong_shape_is_refused_or_harmless(name, value, tmp_path):
    path = rewritten(write_zip(tmp_path / "g.pt"), put(name, value))
    network = opened(path)
    assert network is None or value.dtype == torch.int64


def test_another_network_than_wanted_is_named(tmp_path):
    torch.save({"d": state(rosinality_discriminator(16, top=6))}, tmp_path / "d.pt")
    assert Discriminator.load(tmp_path / "d.pt").resolution == 16
    with pytest.raises(BadFile, match="should hold a generator; it holds: discriminator"):
        Generator.load(tmp_path / "d.pt")
    with pytest.raises(BadFile, match="should hold a discriminator; it holds: generator"):
        Discriminator.load(write_ours(tmp_path / "g.safetensors"))
    with pytest.raises(BadFile, match="should hold an identity encoder; it holds: generator"):
        IdentityEncoder.load(write_ours(tmp_path / "i.safetensors"))
    torch.save({"g_ema": state(rosinality_discriminator(16, top=6))}, tmp_path / "d.pt")
    with pytest.raises(BadFile, match="a discriminator stands where a generator should"):
        Generator.load(tmp_path / "d.pt")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "l.pt")
    with pytest.raises(BadFile, match="no network that xfer knows; it begins with weight, bias"):
        Generator.load(tmp_path / "l.pt")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"resolution": 32}, "the header says resolution 32, the tensors 16"),
        ({"mapping_layers": 10**9}, "mapping_layers"),
        ({"channel_max": 10**9}, "channels"),
        ({"w_dim": "12"}, "w_dim"),
        ({"channel_base": None}, "generator"),
        ({"conv_clamp": "much"}, "generator"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_header_that_does_not_fit_its_tensors_is_refused(change, complaint, tmp_path):
    from xfer.files import read_checkpoint, write_checkpoint

    network = read_checkpoint(write_ours(tmp_path / "g.safetensors")).networks["generator"]
    config = network.config | change
    path = write_checkpoint(tmp_path / "x.safetensors", {"generator": (config, network.tensors)})
    with pytest.raises(BadFile, match=complaint):
        Generator.load(path)


BYTES = {
    "nothing": b"",
    "a word": b"hello",
    "a web page": b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>" * 9,
    "zeros": bytes(4096),
    "noise": random.Random(0).randbytes(4096),
    "only a length": struct.pack("<Q", 100),
    "a header of 2^60 bytes": struct.pack("<Q", 1 << 60) + b"{}",
    "a header of 2^63 bytes": struct.pack("<Q", (1 << 64) - 1) + b"{" + bytes(99),
    "a header that is no object": struct.pack("<Q", 4) + b"[{}]",
    "a nested header": struct.pack("<Q", 60000) + b'{"a":' * 12000,
    "a tensor outside": struct.pack("<Q", 62)
    + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,9999999999]}}',
    "a zip without content": b"PK\x05\x06" + bytes(18),
    "a zip's start": b"PK\x03\x04" + bytes(200),
    "a tar": b"data/" + bytes(252) + b"ustar" + bytes(600),
    "half a pickle": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f}",
}


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".pkl"])
@pytest.mark.parametrize("name", BYTES)
def test_what_was_never_a_checkpoint_is_refused(name, ending, tmp_path):
    path = tmp_path / f"x{ending}"
    path.write_bytes(BYTES[name])
    assert opened(path) is None


def test_a_header_in_the_name_of_another_format_is_refused(tmp_path):
    path = write_bare(tmp_path / "g.safetensors")
    tensors = load_file(path)
    save_file(tensors, path, {"xfer": '{"format": 99, "networks": {}, "facts": {}}'})
    assert opened(path) is None
    for header in ("", "[]", "{}", "[" * 100_000, '{"format": 1, "networks": 3}'):
        save_file(tensors, path, {"xfer": header})
        assert opened(path) is None


def test_a_zip_that_unpacks_to_more_than_it_weighs_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/data.pkl", bytes(200 << 20))
    with pytest.raises(BadFile, match="compressed"):
        Generator.load(tmp_path / "bomb.pt")


def test_a_folder_a_lack_of_permission_and_a_pipe_are_named(tmp_path, monkeypatch):
    import os

    with pytest.raises(BadFile, match="is a folder"):
        Generator.load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadFile, match="no regular file"):
        Generator.load(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadFile, match="no regular file"):
        Generator.load(tmp_path / "dangling")
    path = write_zip(tmp_path / "g.pt")
    path.chmod(0)
    # The superuser may read everything.
    monkeypatch.setattr(os, "access", lambda *_: False) if os.geteuid() == 0 else None
    with pytest.raises(BadFile, match="no permission"):
        Generator.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"blocks": [10**6, 1, 1]},
        {"channels": [10**6, 12, 16]},
        {"n_styles": 10**6},
        {"w_dim": 10**9},
        {"w_dim": 10**5},
        {"bottleneck": 10**7},
        {"reduction": 0},
        {"resolution": None},
    ],
    ids=str,
)
def test_a_header_that_asks_for_a_giant_is_refused_before_memory_is_spent(change, tmp_path):
    from xfer.encoders import MotionEncoder, MotionEncoderConfig
    from xfer.files import write_checkpoint

    slim = {"resolution": 32, "channels": (8, 12, 16), "blocks": (1, 1, 1), "reduction": 4}
    config = MotionEncoderConfig(**slim, n_styles=6, w_dim=6, bottleneck=5, pool=2)
    settings, tensors = MotionEncoder(config).pack()
    path = tmp_path / "m.safetensors"
    write_checkpoint(path, {"motion_encoder": (settings, tensors)})
    assert opened(path, MotionEncoder).config == config
    write_checkpoint(path, {"motion_encoder": (settings | change, tensors)})
    assert opened(path, MotionEncoder) is None
