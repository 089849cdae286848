"""Checkpoint files as a user meets them: load, list, fetch, verify, inspect, convert."""

import dataclasses
import functools
import http.server
import json
import socket
import threading
import time
from pathlib import Path

import pytest
import torch
from by_rule import rosinality_discriminator, rosinality_generator, state

from xfer import cli, weights
from xfer.errors import BadFile, BadValue, MissingFile
from xfer.files import fetching, read_checkpoint, records, registry
from xfer.stylegan2.discriminator import Discriminator
from xfer.stylegan2.generator import Generator, GeneratorConfig

SHAPES = rosinality_generator(16, styles=12, mapping=2, top=6)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache and a folder of shipped files of our own."""
    monkeypatch.setenv("XFER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "SHIPPED", tmp_path / "shipped")
    return tmp_path / "cache" / "weights"


@pytest.fixture
def file(tmp_path) -> Path:
    torch.save({"g_ema": state(SHAPES), "latent_avg": torch.zeros(12)}, tmp_path / "g.pt")
    return tmp_path / "g.pt"


def served(monkeypatch, source: Path):
    """Every host can be reached and sends this file."""
    monkeypatch.setattr(fetching, "_expect_reachable", lambda *_: None)
    send = lambda _, path: path.write_bytes(source.read_bytes())
    monkeypatch.setattr(fetching, "_download", send)


def test_load_returns_whichever_network_a_file_holds(file, tmp_path):
    assert isinstance(weights.load(file), Generator)
    torch.save({"d": state(rosinality_discriminator(16, top=6))}, tmp_path / "d.pt")
    assert isinstance(weights.load(tmp_path / "d.pt"), Discriminator)


def test_a_shipped_file_has_a_name(file, tmp_path):
    path = tmp_path / "shipped" / "nano.safetensors"
    generator = weights.load(file)
    generator.save(path)
    assert torch.equal(weights.load("nano").const, generator.const)
    (row,) = (row for row in weights.known() if row["name"] == "nano")
    assert row["origin"] == str(path) and row["size"]
    assert "is whole" in weights.verify("nano")
    assert weights.fetch("nano") == path


def test_the_list_tells_licence_and_origin_of_every_public_file_and_invents_no_hash():
    rows = {row["name"]: row for row in weights.known()}
    assert set(registry.PUBLIC) <= set(rows)
    for name, item in registry.PUBLIC.items():
        assert rows[name]["licence"] and item.page in rows[name]["origin"]
        assert bool(item.url) != bool(item.drive_id)
        assert item.sha256 == "" and item.size is None  # nobody has verified any yet


def test_a_fetched_file_is_recorded_at_first_and_checked_ever_after(file, cache, monkeypatch):
    with pytest.raises(MissingFile, match="xfer weights fetch stylegan2-ffhq-config-f"):
        weights.load("stylegan2-ffhq-config-f")
    served(monkeypatch, file)
    path = weights.fetch("stylegan2-ffhq-config-f")
    assert path == cache / "stylegan2-ffhq-config-f.pt"
    record = json.loads(records.record_path(path).read_text())
    assert record["sha256"] == records.sha256(file)
    assert record["origin"].startswith("https://drive.google.com")
    assert isinstance(weights.load("stylegan2-ffhq-config-f"), Generator)
    assert weights.fetch("stylegan2-ffhq-config-f") == path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for use in (weights.load, weights.fetch, weights.verify):
        with pytest.raises(BadFile, match="damaged or was replaced"):
            use("stylegan2-ffhq-config-f")


def test_a_file_comes_over_http(file, cache, monkeypatch):
    handler = functools.partial(QuietHandler, directory=file.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/g.pt"
        item = dataclasses.replace(registry.PUBLIC["stylegan2-ffhq-256"], url=url)
        monkeypatch.setitem(registry.PUBLIC, "stylegan2-ffhq-256", item)
        path = weights.fetch("stylegan2-ffhq-256")
        assert path.read_bytes() == file.read_bytes()
        gone = dataclasses.replace(registry.PUBLIC["stylegan2-ffhq-512"], url=url + ".gone")
        monkeypatch.setitem(registry.PUBLIC, "stylegan2-ffhq-512", gone)
        with pytest.raises(MissingFile, match="404"):
            weights.fetch("stylegan2-ffhq-512")
        server.shutdown()
    assert {p.name for p in cache.iterdir()} == {path.name, f"{path.name}.json"}


def test_what_is_not_the_file_never_gets_its_name(tmp_path, cache, monkeypatch):
    page = tmp_path / "page.html"
    page.write_text("<!DOCTYPE html><title>Quota exceeded</title>")
    served(monkeypatch, page)
    with pytest.raises(BadFile, match="sent something that is not the file"):
        weights.fetch("arcface-ir-se50")
    assert not list(cache.iterdir())


def test_a_known_sha256_is_compared_at_once(file, cache, monkeypatch):
    name = "stylegan2-ffhq-config-f"
    item = dataclasses.replace(registry.PUBLIC[name], sha256="0" * 64)
    monkeypatch.setitem(registry.PUBLIC, name, item)
    served(monkeypatch, file)
    with pytest.raises(BadFile, match="sent another file: sha256"):
        weights.fetch(name)
    assert not list(cache.iterdir())


def test_a_broken_download_leaves_nothing_and_tells_how_to_do_it_by_hand(cache, monkeypatch):
    monkeypatch.setattr(fetching, "_expect_reachable", lambda *_: None)

    def half(_, path):
        path.write_bytes(b"half")
        raise ConnectionResetError("connection lost")

    monkeypatch.setattr(fetching, "_download", half)
    with pytest.raises(MissingFile, match=r"connection lost") as caught:
        weights.fetch("pose-transfer-paper")
    assert not list(cache.iterdir())
    assert "xfer weights verify pose-transfer-paper" in str(caught.value)


@pytest.mark.parametrize("name", ["stylegan2-ffhq-256", "pose-transfer-paper"])
def test_without_a_network_one_error_tells_address_place_and_check(name, cache, monkeypatch):
    def unreachable(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    start = time.perf_counter()
    with pytest.raises(MissingFile) as caught:
        weights.fetch(name)
    assert time.perf_counter() - start < fetching.REACHABLE_SECONDS
    message, item = str(caught.value), registry.PUBLIC[name]
    for part in (item.address, str(cache / item.file), f"xfer weights verify {name}", "not known"):
        assert part in message


def test_a_host_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(fetching, "REACHABLE_SECONDS", 0.2)

    def slow(*_, **__):
        time.sleep(1)
        raise OSError("at last")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with pytest.raises(MissingFile, match="no answer"):
        weights.fetch("arcface-ir-se50")


def test_a_file_put_in_place_by_hand_is_recorded_by_verify(file, cache):
    cache.mkdir(parents=True)
    (cache / "stylegan2-ffhq-config-f.pt").write_bytes(file.read_bytes())
    assert "recorded from now on" in weights.verify("stylegan2-ffhq-config-f")
    assert "is the recorded one" in weights.verify("stylegan2-ffhq-config-f")


def test_a_private_file_is_verified_and_not_recorded(file):
    assert records.sha256(file) in weights.verify(file)
    assert not records.record_path(file).exists()


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(BadValue, match=r"public files are .*arcface-ir-se50.*; got 'arcfase'"):
        weights.fetch("arcfase")


def test_inspecting_counts_what_is_there(file):
    checkpoint, rows = weights.inspect(file)
    numbers = sum(tensor.numel() for tensor in state(SHAPES).values())
    assert rows == [
        {
            "network": "generator",
            "layout": "rosinality",
            "tensors": str(len(SHAPES)),
            "numbers": f"{numbers:,}",
            "kind": "float32",
        }
    ]
    assert "latent_avg" in checkpoint.facts


def test_half_precision_halves_what_was_learned_and_keeps_the_facts(file, tmp_path):
    full = weights.load(file)
    full.save(tmp_path / "full.safetensors", facts={"kimg": 7})
    out = tmp_path / "half.safetensors"
    weights.convert(tmp_path / "full.safetensors", "xfer", out, half=True)
    checkpoint, (row,) = weights.inspect(out)
    assert "float16" in row["kind"] and checkpoint.facts["kimg"] == 7
    assert torch.equal(weights.load(out).const, full.const.half().float())
    with pytest.raises(BadValue, match="half precision"):
        weights.convert(file, "rosinality", tmp_path / "r.pt", half=True)


def test_converting_never_overwrites_and_knows_what_fits(file, tmp_path):
    out = weights.convert(file, "xfer")
    assert out == tmp_path / "g-xfer.safetensors"
    assert torch.equal(weights.load(out).const, weights.load(file).const)
    with pytest.raises(BadValue, match="exists already"):
        weights.convert(file, "xfer")
    with pytest.raises(BadValue, match="to is xfer or rosinality"):
        weights.convert(file, "onnx")
    torch.save({"linear_relu.0.weight": torch.ones(2, 4)}, tmp_path / "m.pt")
    with pytest.raises(BadValue, match="no place for: mapper"):
        weights.convert(tmp_path / "m.pt", "rosinality")


def test_blended_weights_lie_between_those_of_two_files(tmp_path):
    config = GeneratorConfig(8, 4, 4, 1, channel_base=32, channel_max=4)
    first, second = Generator(config), Generator(config)
    paths = [
        str(part.save(tmp_path / f"{name}.safetensors", {"kimg": name}))
        for name, part in (("first", first), ("second", second))
    ]
    out = tmp_path / "between.safetensors"
    assert cli.main(["weights", "blend", *paths, "--share", "0.25", "--out", str(out)]) == 0
    between, a, b = (part.state_dict() for part in (Generator.load(out), first, second))
    for name, value in between.items():
        torch.testing.assert_close(value, 0.75 * a[name] + 0.25 * b[name])
    assert read_checkpoint(out).facts == {
        "kimg": "first", "blended": ["first.safetensors", "second.safetensors", 0.25]
    }  # fmt: skip
    with pytest.raises(BadValue, match=r"exists already"):
        weights.blend(*paths, 0.5, out)
    with pytest.raises(BadValue, match=r"between 0 and 1; got 1.5"):
        weights.blend(*paths, 1.5, tmp_path / "none.safetensors")
    other = Generator(GeneratorConfig(8, 4, 6, 1, channel_base=32, channel_max=4))
    wider = other.save(tmp_path / "wider.safetensors")
    with pytest.raises(BadFile, match="do not fit a Generator"):
        weights.blend(paths[0], wider, 0.5, tmp_path / "none.safetensors")
    assert not (tmp_path / "none.safetensors").exists()
