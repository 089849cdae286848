"""Hostile pickles: nothing in them is executed, and each is one error within two seconds.

Every attack is tried as a bare pickle, inside a PyTorch file of both kinds, and as tensor bytes
inside an NVlabs pickle. The canary is a file that a successful attack would make.
"""

import builtins
import io
import os
import pickle
import pickletools
import resource
import struct
import subprocess
import time
import zipfile

import pytest
import torch
from nvlabs_pickles import dump, modules_of_nvlabs, small_generator

from xfer.errors import BadFile, XferError
from xfer.files import read_checkpoint
from xfer.weights import load


def text(value: str) -> bytes:
    """Opcodes that push a string."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def call(module: str, attribute: str, *arguments: bytes) -> bytes:
    """Opcodes that call a global with arguments."""
    return name(module, attribute) + b"(" + b"".join(arguments) + b"tR"


COMMAND = text("touch canary")
CODE = text("open('canary', 'w').write('executed')")
WORDS = b"]" + text("touch") + b"a" + text("canary") + b"a"
GADGETS = {
    "os.system": call("os", "system", COMMAND),
    "posix.system": call("posix", "system", COMMAND),
    "nt.system": call("nt", "system", COMMAND),
    "os.popen": call("os", "popen", COMMAND),
    "os.execvp": call("os", "execvp", text("touch"), WORDS),
    "eval": call("builtins", "eval", CODE),
    "exec": call("builtins", "exec", CODE),
    "python 2's eval": call("__builtin__", "eval", CODE),
    "open": call("builtins", "open", text("canary"), text("w")),
    "io.open": call("io", "open", text("canary"), text("w")),
    "compile": call("builtins", "compile", CODE, text("x"), text("exec")),
    "import": call("builtins", "__import__", text("antigravity")),
    "importlib": call("importlib", "import_module", text("antigravity")),
    "subprocess.Popen": call("subprocess", "Popen", WORDS),
    "subprocess.check_output": call("subprocess", "check_output", COMMAND),
    "pty.spawn": call("pty", "spawn", COMMAND),
    "timeit": call("timeit", "timeit", CODE),
    "runpy": call("runpy", "run_path", text("canary.py")),
    "code": call("code", "InteractiveInterpreter"),
    "pathlib.touch": call("pathlib", "Path.touch", text("canary")),
    "shutil": call("shutil", "rmtree", text("important")),
    "getattr": call("builtins", "getattr", name("os", "path"), text("os")),
    "operator": call("operator", "attrgetter", text("system")),
    "methodcaller": call("operator", "methodcaller", text("system"), COMMAND),
    "functools.partial": call("functools", "partial", name("os", "system"), COMMAND),
    "map": call("builtins", "map", name("os", "system"), b"]" + COMMAND + b"a"),
    "dotted walk from an allowed name": call("collections", "OrderedDict.__init__.__globals__"),
    "globals": call("builtins", "globals"),
    "pickle.loads": call("pickle", "loads", b"C\x04cos\n"),
    "marshal": call("marshal", "loads", b"C\x01N"),
    "ctypes": call("ctypes", "CDLL", text("libc.so.6")),
    "torch.load": call("torch", "load", text("other.pt")),
    "torch.serialization.load": call("torch.serialization", "load", text("other.pt")),
    "torch.hub.load": call("torch.hub", "load", text("a/b"), text("c")),
    "torch.jit": call("torch.jit", "load", text("x")),
    "torch.ops.load_library": call("torch.ops", "load_library", text("x.so")),
    "torch's inline compiler": call("torch.utils.cpp_extension", "load_inline", text("x"), CODE),
    "torch's own unpickler": call("torch._utils", "_rebuild_wrapper_subclass"),
    "numpy.load": call("numpy", "load", text("x.npy"), b"N\x88"),
    "numpy's runstring": call("numpy.testing._private.utils", "runstring", CODE, b"}"),
    "numpy.f2py": call("numpy.f2py.crackfortran", "myeval", CODE),
    "numpy of objects": call("numpy", "dtype", text("O8"), b"\x89\x88"),
    "numpy of a huge item": call("numpy", "dtype", text("V99999999999"), b"\x89\x88"),
    "a codec that unpacks": call("_codecs", "encode", text("x"), text("zlib")),
    "a whole pickled model": call("torch.nn.modules.linear", "Linear", b"K\x02K\x02"),
    "NVlabs' own loader of source": call("torch_utils.persistence", "_src_to_module", CODE),
    "a TensorFlow network": call("dnnlib.tflib.network", "Network"),
    "two names in one": b"\x8c\x02os\x8c\x06system\x93(" + COMMAND + b"tR",
    "a name made of numbers": b"K\x01K\x02\x93)R",
    "INST": b"(" + COMMAND + b"ios\nsystem\n",
    "OBJ": b"(" + name("os", "system") + COMMAND + b"o",
    "NEWOBJ": name("subprocess", "Popen") + b"(" + COMMAND + b"t\x81",
    "NEWOBJ with names": name("subprocess", "Popen") + b")}" + text("args") + COMMAND + b"s\x92",
    "an extension": b"\x82\x01",
    "a persistent name": b"Psomething\n",
    "a persistent thing": b"(" + text("module") + name("os", "system") + b"ttQ",
    "a state for a class": name("collections", "OrderedDict")
    + b"}" + text("__setstate__") + name("os", "system") + b"sb",
    "a state for an allowed class": name("argparse", "Namespace")
    + b"}" + text("__setstate__") + name("argparse", "Namespace") + b"sb",
    "a state for a number": b"K\x01}b",
    "a call of a value": b"K\x01)R",
    "a call with no tuple": name("collections", "OrderedDict") + b"K\x01R",
    "a label that is called": call("torch", "FloatStorage"),
    "OrderedDict of nonsense": call("collections", "OrderedDict", b"K\x01"),
    "OrderedDict of unhashable keys": call("collections", "OrderedDict", b"](]]ta"),
    "a tensor of nothing": call("torch._utils", "_rebuild_tensor_v2"),
    "a tensor of a number": call("torch._utils", "_rebuild_tensor_v2", b"K\x01K\x00)))N"),
    "a parameter with a bad call": call("torch._utils", "_rebuild_parameter"),
    "tensor bytes that are no bytes": call("torch.storage", "_load_from_bytes", b"K\x05"),
    "tensor bytes that are noise": call("torch.storage", "_load_from_bytes", b"C\x03abc"),
    "tensor bytes with a command": call(
        "torch.storage", "_load_from_bytes", b"C\x16cos\nsystem\n(Vtouch\ntR."
    ),
    "an object without state": call("torch_utils.persistence", "_reconstruct_persistent_obj", b"}"),
    "an object of a number": call(
        "torch_utils.persistence", "_reconstruct_persistent_obj", b"K\x01"
    ),
}  # fmt: skip

HUGE = b"\x8a\x06" + (1 << 40).to_bytes(6, "little")
BOMBS = {
    "bytearray": call("builtins", "bytearray", HUGE),
    "bytes": call("builtins", "bytes", HUGE),
    "a far memo slot": b"}r\xff\xff\xff\xff0",
    "a promise of bytes": b"\x8e" + struct.pack("<Q", 1 << 62),
    "a promise of an array": b"\x96" + struct.pack("<Q", 1 << 40),
    "a promise of text": b"\x8d" + struct.pack("<Q", 1 << 33),
    "a promise of a number": b"\x8b" + struct.pack("<i", (1 << 31) - 1),
    "a frame": b"\x95" + struct.pack("<Q", 1 << 60),
    "a number of many digits": b"I" + b"9" * 100_000 + b"\n",
    "a long number of many digits": b"L" + b"9" * 100_000 + b"L\n",
    "deep tuples as a key": b"}" + b")" + b"\x85" * 300_000 + b"Ns",
    "deep lists": b"]" * 200_000 + b"a" * 199_999,
    "many steps": b"N0" * 2_000_000,
    "many copies": b"]" + b"2" * 400_000,
    "doubling": b"]q\x00" + b"".join(b"]q" + bytes([i]) + b"h" + bytes([i - 1]) + b"ah"
                                     + bytes([i - 1]) + b"a" for i in range(1, 200)),
    "a huge view": call(
        "torch._utils", "_rebuild_tensor_v2",
        b"(" + text("storage") + name("torch", "FloatStorage")
        + text("0") + text("cpu") + HUGE + b"tQ",
        b"K\x00", HUGE + b"\x85", b"K\x01\x85", b"\x89N",
    ),
    "a set of everything": b"\x8f("
    + b"".join(b"J" + struct.pack("<i", i) for i in range(90_000)) + b"\x90",
}  # fmt: skip


def bare(attack: bytes, protocol: int = 4) -> bytes:
    return bytes([0x80, protocol]) + attack + b"."


def in_a_zip(attack: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", bare(attack, 2))
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", bytes(64))
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def in_an_old_file(attack: bytes) -> bytes:
    head = [
        pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    ]
    return (
        b"".join(head)
        + bare(attack, 2)
        + pickle.dumps(["0"], 2)
        + struct.pack("<Q", 16)
        + bytes(64)
    )


def in_tensor_bytes(attack: bytes) -> bytes:
    inner = in_an_old_file(attack)
    content = b"B" + struct.pack("<I", len(inner)) + inner
    return bare(b"}" + text("G_ema") + call("torch.storage", "_load_from_bytes", content) + b"s")


CONTAINERS = (bare, in_a_zip, in_an_old_file, in_tensor_bytes)


@pytest.fixture(autouse=True)
def traps(tmp_path, monkeypatch):
    """An empty folder to work in, where nothing may appear that the test did not write."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "canary").exists()


def assert_refused(data: bytes, path) -> None:
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with pytest.raises(XferError) as caught:
        load(path)
    assert time.process_time() - start < 2
    assert isinstance(caught.value, BadFile) and str(path) in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("attack", [*GADGETS, *BOMBS])
def test_an_attack_is_refused(attack, container, tmp_path):
    assert_refused(container((GADGETS | BOMBS)[attack]), tmp_path / "x.pt")


@pytest.mark.parametrize("attack", ["os.system", "two names in one", "INST", "NEWOBJ", "eval"])
def test_the_attacks_are_real(attack, tmp_path, monkeypatch):
    """Python's own unpickler falls for them; so the canary would have shown."""
    fell = []
    monkeypatch.setattr(os, "system", fell.append)
    monkeypatch.setattr(
        subprocess, "Popen", type("P", (), {"__new__": lambda c, *a: fell.append(a)})
    )
    monkeypatch.setattr(builtins, "eval", fell.append)
    pickle.loads(bare(GADGETS[attack]))
    assert fell


def test_an_attack_hidden_in_a_good_file_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.system, ("touch canary",)

    class Hidden(dict):
        def __reduce__(self):
            return os.system, ("touch canary",), None, None, iter({"a": 1}.items())

    tensors = small_generator()
    for place in (Attack(), Hidden(), [Attack()], {"deep": (1, [Attack()])}):
        layers = {"synthesis.b4.": {"extra": place}}
        path = dump(tmp_path / "g.pkl", {"G_ema": ("Generator", tensors, layers, {})})
        assert_refused(path.read_bytes(), path)
        torch.save({"g_ema": tensors, "opts": {"x": place}}, tmp_path / "g.pt")
        assert_refused((tmp_path / "g.pt").read_bytes(), tmp_path / "g.pt")


def test_a_networks_layers_that_repeat_without_end_are_refused(tmp_path):
    """Two children each, thirty deep, all shared: a billion paths in a small file."""
    from nvlabs_pickles import Persistent

    inner = Persistent("Leaf", {"_modules": {}}, "")
    for _ in range(30):
        inner = Persistent("Twice", {"_modules": {"a": inner, "b": inner}}, "")
    with modules_of_nvlabs():
        data = pickle.dumps({"G_ema": inner})
    assert_refused(data, tmp_path / "g.pkl")


def test_a_view_beyond_its_storage_is_refused(tmp_path):
    """PyTorch's own reader would show memory that is not the file's."""
    torch.save({"linear_relu.0.weight": torch.ones(4, 4)}, tmp_path / "m.pt")
    with zipfile.ZipFile(tmp_path / "m.pt") as archive:
        records = {entry: archive.read(entry) for entry in archive.namelist()}
    pickled = next(n for n in records if n.endswith("data.pkl"))
    for old, new in ((b"K\x10tq", b"K\x99tq"), (b"K\x04K\x04\x86", b"K\x09K\x04\x86")):
        assert old in records[pickled]
        changed = records | {pickled: records[pickled].replace(old, new, 1)}
        with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
            for entry, data in changed.items():
                archive.writestr(entry, data)
        assert_refused((tmp_path / "x.pt").read_bytes(), tmp_path / "x.pt")


def test_a_tensor_that_repeats_one_number_without_end_is_refused(tmp_path):
    vast = torch.ones(1).expand(1 << 20, 1 << 20)
    torch.save({"linear_relu.0.weight": vast}, tmp_path / "m.pt")
    assert_refused((tmp_path / "m.pt").read_bytes(), tmp_path / "m.pt")


def test_many_tensors_of_the_same_numbers_are_refused(tmp_path):
    once = torch.ones(1 << 18)
    torch.save(
        {"linear_relu.0.weight": once} | {f"x{i}": once for i in range(4000)}, tmp_path / "m.pt"
    )
    assert_refused((tmp_path / "m.pt").read_bytes(), tmp_path / "m.pt")


def test_options_of_every_harmless_kind_are_read(tmp_path):
    import argparse
    import pathlib

    import numpy as np

    opts = argparse.Namespace(
        lr=np.float64(0.5), n=np.int64(3), betas=np.array([0.9, 0.99]), out=pathlib.PurePosixPath,
    )  # fmt: skip
    opts.out, opts.none = pathlib.Path("runs") / "a", None
    opts.device, opts.size, opts.kind = torch.device("cpu"), torch.Size([2]), torch.float16
    state = {"mapping_net.linear_relu.0.weight": torch.ones(2, 4)}
    for zipped in (True, False):
        path = tmp_path / "m.pt"
        content = {"state_dict": state, "opts": opts}
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        found = read_checkpoint(path).facts["opts"]
        assert (found["lr"], found["n"], found["none"]) == (0.5, 3, None)
        np.testing.assert_array_equal(found["betas"], [0.9, 0.99])
        assert str(found["out"]) == "runs/a"


def test_the_list_of_allowed_names_holds_nothing_that_acts():
    from xfer.files.nvlabs import ALLOWED

    for allowed in ALLOWED.values():
        module = getattr(allowed, "__module__", "builtins")
        assert module.startswith("xfer.files") or allowed in (set, tuple)


def test_the_attacks_can_be_taken_apart():
    """They are well-formed pickles, and not refused for a slip of ours."""
    for attack in GADGETS.values():
        assert list(pickletools.genops(bare(attack)))
