"""Checkpoint files: every layout is recognised; damaged and hostile ones end in one `BadFile`."""

import argparse
import os
import pickle
import random
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from by_rule import KEYS, prefixed, small_rosinality
from nvlabs_pickles import Persistent, dump, modules_of_nvlabs, small_generator
from safetensors.torch import load_file, save_file

from xfer.checkpoints import read_checkpoint, write_checkpoint
from xfer.encoders import MotionEncoder, MotionEncoderConfig
from xfer.errors import BadFile, BadValue, MissingFile
from xfer.stylegan2.generator import Generator, GeneratorConfig

GENERATOR, MEAN = small_rosinality(), torch.arange(12.0)

STATE = {
    "a.weight": torch.arange(12.0).reshape(3, 4),
    "count": torch.tensor(7),
    "half": torch.ones(2, dtype=torch.float16),
    "shared": torch.ones(1, 3).expand(2, 3),
    "empty": torch.ones(0, 2),
}


def write(path, **facts):
    return write_checkpoint(path, {"generator": ({"size": 3, "clamp": None}, STATE)}, facts)


def test_networks_configuration_and_facts_come_back(tmp_path):
    mean = torch.ones(5)
    path = write(tmp_path / "a.safetensors", latent_avg=mean, opts={"lr": 0.1, "name": "x"})
    checkpoint = read_checkpoint(path)
    network = checkpoint.networks["generator"]
    assert network.layout == "xfer" and network.config == {"size": 3, "clamp": None}
    assert network.tensors.keys() == STATE.keys()
    for name, value in STATE.items():
        assert torch.equal(network.tensors[name], value)
        assert network.tensors[name].dtype == value.dtype
    assert torch.equal(checkpoint.facts["latent_avg"], mean)
    assert checkpoint.facts["opts"] == {"lr": 0.1, "name": "x"}
    assert os.listdir(tmp_path) == ["a.safetensors"]
    assert path.read_bytes() == write(tmp_path / "b.safetensors", **checkpoint.facts).read_bytes()


def test_another_name_format_or_place_is_refused(tmp_path):
    with pytest.raises(BadValue, match=r"end in \.safetensors"):
        write(tmp_path / "a.pt")
    path = write(tmp_path / "a.safetensors")
    for header in ('{"format": 99, "networks": {}, "facts": {}}', "", "[]", "{}", "[" * 100_000):
        save_file(load_file(path), path, {"xfer": header})
        with pytest.raises(BadFile):
            read_checkpoint(path)
    nothing = [1, 2], torch.ones(3), {}, {"state_dict": {}}, {"g_ema": {}}, {1: 2}, "a", None
    for content in nothing:
        torch.save(content, tmp_path / "x.pt")
        with pytest.raises(BadFile):
            read_checkpoint(tmp_path / "x.pt")
    with pytest.raises(MissingFile, match="no checkpoint has that name"):
        read_checkpoint(tmp_path / "nothing.pt")
    with pytest.raises(BadFile, match="regular file"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"blocks": [10**6, 1, 1]}, {"channels": [10**6, 12, 16]}, {"n_styles": 10**6},
     {"w_dim": 10**9}, {"bottleneck": 10**7}, {"reduction": 0}, {"resolution": None},
     {"w_dim": "6"}, {"surprise": 1}],
    ids=str,
)  # fmt: skip
def test_a_header_that_does_not_fit_its_tensors_is_refused_before_memory_is_spent(change, tmp_path):
    config = MotionEncoderConfig(
        32, 3, (8, 12, 16), (1, 1, 1), reduction=4, n_styles=6, w_dim=6, bottleneck=5, pool=2
    )
    settings, tensors = MotionEncoder(config).pack()
    path = tmp_path / "m.safetensors"
    write_checkpoint(path, {"motion_encoder": (settings, tensors)})
    assert opened(path, MotionEncoder).config == config
    write_checkpoint(path, {"motion_encoder": (settings | change, tensors)})
    assert opened(path, MotionEncoder) is None


class Holder(torch.nn.Module):
    """A module of tensors by dotted names, saved whole and so with the name of its class."""

    def __init__(self, tensors: dict[str, torch.Tensor]):
        super().__init__()
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if not rest:
                self.register_buffer(part, tensor)
            elif part not in self._modules:
                inner = {n: t for n, t in tensors.items() if n.startswith(f"{part}.")}
                self.add_module(part, Holder({n[len(part) + 1 :]: t for n, t in inner.items()}))


TINY = {
    layout: {name: torch.ones([1] * len(shape)) for name, shape in shapes.items()}
    for layout, shapes in KEYS.items()
}
"""Every name of a public network, tiny tensors."""
MOTION, MAPPER = TINY["reference_motion_encoder"], TINY["reference_mapping_net"]
IDENTITY, ARCFACE = TINY["restyle_psp_encoder"], TINY["arcface_ir_se50"]
DISCRIMINATOR = TINY["rosinality_discriminator_32"]
DECODER = prefixed("decoder", GENERATOR)
PAPER = prefixed("encoder", MOTION) | prefixed("mapping_net", MAPPER)
ALL = {"g": GENERATOR, "d": DISCRIMINATOR, "g_ema": GENERATOR, "latent_avg": MEAN, "args": {"x": 1}}

RESTYLE = {
    "state_dict": prefixed("encoder", IDENTITY) | DECODER,
    "latent_avg": MEAN.expand(6, 12).clone(),
    "opts": argparse.Namespace(n_iters=5, lr=np.float64(0.5), path=Path("a/b")),
}
FILES = {
    "rosinality, all": (ALL, {"generator", "generator_raw", "discriminator"}),
    "rosinality, raw only": ({"g": GENERATOR}, {"generator_raw"}),
    "rosinality, discriminator only": ({"d": DISCRIMINATOR}, {"discriminator"}),
    "rosinality, bare": (GENERATOR, {"generator"}),
    "rosinality, several devices": ({"g_ema": prefixed("module", GENERATOR)}, {"generator"}),
    "rosinality, compiled": ({"g_ema": prefixed("_orig_mod", GENERATOR)}, {"generator"}),
    "rosinality, a whole module": (
        {"g_ema": torch.nn.DataParallel(Holder(GENERATOR))},
        {"generator"},
    ),
    "both": (prefixed("module._orig_mod", GENERATOR), {"generator"}),
    "ReStyle": (RESTYLE, {"identity_encoder", "generator"}),
    "ReStyle, bare": (IDENTITY, {"identity_encoder"}),
    "the paper": ({"state_dict": PAPER | DECODER}, {"motion_encoder", "mapper", "generator"}),
    "motion encoder, bare": (MOTION, {"motion_encoder"}),
    "mapper, bare": (MAPPER, {"mapper"}),
    "ArcFace": (ARCFACE, {"face_recogniser"}),
    "NVlabs, bare": (TINY["nvlabs_generator_32"], {"generator"}),
    "NVlabs, discriminator": (TINY["nvlabs_discriminator_32"], {"discriminator"}),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_is_known_by_what_it_holds(name, zipped, tmp_path):
    content, roles = FILES[name]
    path = tmp_path / "x.pt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    if name == "rosinality, bare" and zipped:
        save_file(GENERATOR, path := tmp_path / "x.safetensors")
    checkpoint = read_checkpoint(path)
    assert checkpoint.networks.keys() == roles
    found = checkpoint.networks.get("generator")
    if found and found.layout == "rosinality":
        assert all(torch.equal(found.tensors[key], GENERATOR[key]) for key in GENERATOR)
    if name == "ReStyle":
        assert checkpoint.facts["opts"] == {"n_iters": 5, "lr": 0.5, "path": None}
        assert torch.equal(checkpoint.facts["latent_avg"], content["latent_avg"])
    if name == "rosinality, raw only":
        assert checkpoint.pick("generator").role == "generator_raw"
        with pytest.raises(BadFile, match="holds no mapper; it holds: generator raw"):
            checkpoint.pick("mapper")


CONTENT = {"g_ema": GENERATOR, "latent_avg": MEAN}
OURS = GeneratorConfig(16, 12, 12, 2, channel_base=96, channel_max=6)
WHOLE = {
    "ours.safetensors": (lambda path: Generator(OURS).save(path), True),
    "zip.pt": (lambda path: torch.save(CONTENT, path), True),
    "old.pt": (lambda p: torch.save(CONTENT, p, _use_new_zipfile_serialization=False), False),
    "nvlabs.pkl": (lambda path: dump(path, {"G_ema": (small_generator(), {}, {})}), False),
}
"""How each kind is written, and whether a checksum stands over its weights."""


def damaged(whole: bytes, seed: int) -> bytes:
    rng, data = random.Random(seed), bytearray(whole)
    at = rng.randrange(len(data) - 64)
    if seed % 2:  # half of the damage near the ends, where the structure stands
        at = rng.choice([at % 600, len(data) - 64 - at % 600])
    kind = ("flip", "cut", "swap", "blank")[seed // 2 % 4]
    if kind == "flip":
        data[at] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[at:]
    elif kind == "swap":
        other = rng.randrange(len(data) - 64)
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


@pytest.mark.parametrize(
    "seeds", [range(24), pytest.param(range(24, 400), marks=pytest.mark.long)], ids=["some", "many"]
)
@pytest.mark.parametrize("name", WHOLE)
def test_a_damaged_file_gives_one_error_or_what_was_meant(name, seeds, tmp_path):
    write, checked = WHOLE[name]
    write(path := tmp_path / name)
    whole, meant, refused = path.read_bytes(), Generator.load(path).state_dict(), 0
    for seed in seeds:
        path.write_bytes(damaged(whole, seed))
        network = opened(path)
        refused += network is None
        for key, tensor in network.state_dict().items() if network else ():
            assert tensor.shape == meant[key].shape and torch.isfinite(tensor).all()
            assert not checked or key == "w_mean" or torch.equal(tensor, meant[key])
    assert refused >= len(seeds) // (2 if checked else 6)


@pytest.mark.parametrize("name, value", [
    ("conv1.conv.weight", torch.ones(1, 6, 7, 3, 3)), ("style.2.weight", None),
    ("convs.2.conv.weight", torch.ones(1, 5, 6, 3, 3)), ("style.1.weight", torch.ones(12)),
    ("noises.noise_1", torch.ones(1, 1, 7, 7)), ("convs.0.noise.weight", torch.ones(3)),
    ("convs.90.conv.weight", torch.ones(1, 6, 6, 3, 3)),
    ("convs.1.conv.weight", torch.ones(0, 0)), ("convs.0.conv.blur.kernel", torch.ones(4, 4)),
    ("noises.noise_2", torch.full((1, 1, 8, 8), float("nan"))),
    ("noises.noise_2", torch.full((1, 1, 8, 8), -float("inf"))),
])  # fmt: skip
def test_a_missing_misshapen_or_infinite_tensor_is_refused(name, value, tmp_path):
    tensors = {n: t for n, t in (GENERATOR | {name: value}).items() if t is not None}
    torch.save({"g_ema": tensors}, tmp_path / "g.pt")
    assert opened(tmp_path / "g.pt") is None


BYTES = {
    "nothing": b"",
    "a web page": b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>" * 9,
    "zeros": bytes(4096),
    "noise": random.Random(0).randbytes(4096),
    "a header of 2^60 bytes": struct.pack("<Q", 1 << 60) + b"{}",
    "a nested header": struct.pack("<Q", 60000) + b'{"a":' * 12000,
    "a tensor outside": struct.pack("<Q", 62)
    + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,9999999999]}}',
    "a zip without content": b"PK\x05\x06" + bytes(18),
    "a zip's start": b"PK\x03\x04" + bytes(200),
    "half a pickle": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f}",
}


@pytest.mark.parametrize("name", BYTES)
def test_what_was_never_a_checkpoint_is_refused(name, tmp_path):
    for ending in (".safetensors", ".pt"):
        (tmp_path / f"x{ending}").write_bytes(BYTES[name])
        assert opened(tmp_path / f"x{ending}") is None


text = lambda value: b"X" + struct.pack("<I", len(value)) + value.encode()
"""Opcodes that push a string."""
bare = lambda attack: b"\x80\x04" + attack + b"."


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """Opcodes that call a global with arguments."""
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


COMMAND, HUGE = text("touch canary"), b"\x8a\x06" + (1 << 40).to_bytes(6, "little")
FLOATS = b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + HUGE + b"tQ"
ATTACKS = {
    "a command": call("os", "system", COMMAND),
    "a command by INST": b"(" + COMMAND + b"ios\nsystem\n",
    "a command by NEWOBJ": b"csubprocess\nPopen\n(" + COMMAND + b"t\x81",
    "code": call("builtins", "eval", text("open('canary', 'w')")),
    "a nested torch.load": call("torch", "load", text("other.pt")),
    "a command in tensor bytes": call("torch.storage", "_load_from_bytes", b"C\x05cos\n."),
    "an attribute walk": call("collections", "OrderedDict.__init__.__globals__"),
    "a state for a function": b"ctorch._utils\n_rebuild_parameter\n}Nsb",
    "a view of more than is stored": call(
        "torch._utils", "_rebuild_tensor_v2",
        b"(" + text("storage") + FLOATS, b"K\x00", HUGE + b"\x85", b"K\x01\x85", b"\x89N",
    ),
    "a far memo slot": b"}r\xff\xff\xff\xff0",
    "a promise of bytes": b"\x8e" + struct.pack("<Q", 1 << 62),
    "a promise of an array": b"\x96" + struct.pack("<Q", 1 << 40),
    "deep tuples as a key": b"}" + b")" + b"\x85" * 190_000 + b"Ns",
    "deep lists": b"]" * 100_000 + b"a" * 99_999,
    "many steps": b"N0" * 2_000_000,
    "doubling": b"]q\x00" + b"".join(b"]q" + bytes([i]) + (b"h" + bytes([i - 1]) + b"a") * 2
                                     for i in range(1, 200)),
}  # fmt: skip


def in_an_old_file(attack: bytes) -> bytes:
    head = b"".join(pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little": True}))
    return head + bare(attack) + pickle.dumps(["0"], 2) + struct.pack("<Q", 16) + bytes(64)


@pytest.mark.parametrize("container", ["bare", "zip", "old", "tensor bytes"])
@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_file_runs_nothing_and_ends_in_one_error(name, container, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, attack, old = tmp_path / "x.pt", ATTACKS[name], in_an_old_file(ATTACKS[name])
    inner = call("torch.storage", "_load_from_bytes", b"B" + struct.pack("<I", len(old)) + old)
    whole = {"bare": bare(attack), "old": old, "tensor bytes": bare(inner)}
    if container == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", bare(attack))
            archive.writestr("archive/data/0", bytes(64))
    else:
        path.write_bytes(whole[container])
    assert opened(path) is None
    assert os.listdir(tmp_path) == ["x.pt"]


def test_the_attacks_are_real(tmp_path, monkeypatch):
    """Python's own unpickler falls for them, so the canary would show."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(bare(ATTACKS["a command"]))
    assert os.listdir(tmp_path) == ["canary"]


def test_an_attack_hidden_in_a_good_file_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/canary",)

    layers = {"synthesis.b4.": {"extra": [Attack()]}}
    path = dump(tmp_path / "g.pkl", {"G_ema": (small_generator(), layers, {})})
    assert opened(path) is None
    torch.save({"g_ema": GENERATOR, "opts": {"x": Attack()}}, path)
    assert opened(path) is None and not (tmp_path / "canary").exists()


def test_bombs_of_zips_views_and_layers_are_refused(tmp_path):
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/data.pkl", bytes(200 << 20))
    assert opened(path) is None
    torch.save({"linear_relu.0.weight": torch.ones(1).expand(1 << 20, 1 << 20)}, path)
    assert opened(path) is None
    once = torch.ones(1 << 18)
    torch.save({"linear_relu.0.weight": once} | {f"x{i}": once for i in range(4000)}, path)
    assert opened(path) is None
    inner = Persistent({"_modules": {}})
    for _ in range(30):  # two children each, all shared: a billion paths in a small file
        inner = Persistent({"_modules": {"a": inner, "b": inner}})
    with modules_of_nvlabs():
        path.write_bytes(pickle.dumps({"G_ema": inner}))
    assert opened(path) is None
