"""Weights tell the truth about where they come from."""

import numpy as np
import pytest
import torch
from made_frames import make_frames

from xfer.encoders import IdentityEncoder, IdentityEncoderConfig
from xfer.errors import BadFile
from xfer.files.origin import expect_other_teachers, file_origin
from xfer.training.origins import facts_of, frames_origin, inherited, inputs

SLIM = {"resolution": 16, "channels": (8, 12), "blocks": (1, 1), "reduction": 4}


@pytest.fixture
def weights(tmp_path):
    """Any file of weights that tells these facts."""
    torch.manual_seed(0)
    network = IdentityEncoder(IdentityEncoderConfig(**SLIM, n_styles=6, w_dim=8))
    return lambda name, **facts: network.save(tmp_path / f"{name}.safetensors", facts)


def test_frames_of_the_face_world_tell_how_they_were_rendered(tmp_path):
    found = frames_origin(make_frames(tmp_path / "seen", people=4, frames=3, seed=7))
    wanted = {"people": 4, "frames": 3, "seed": 7, "preset": "studio"}
    assert found == ("MIT", wanted)
    assert frames_origin("world:wild", seed=5).trained_on["preset"] == "wild"


def test_other_pictures_are_named_and_their_licence_is_not_guessed(tmp_path):
    np.save(tmp_path / "frames.npy", np.zeros((1, 8, 8, 3), np.uint8))
    name = tmp_path.name
    assert frames_origin(tmp_path) == ("the licence of its data", {"folder": name})
    assert frames_origin(tmp_path / "frames.npy").trained_on == {"file": "frames.npy"}


def test_licences_are_inherited_once_each():
    assert inherited("MIT", generator="MIT") == "MIT"
    assert inherited("MIT", generator="NC") == "MIT; its generator: NC"
    both = inherited("MIT", generator="NC", inverter="MIT; its generator: NC")
    assert both == "MIT; its generator: NC"
    assert inherited("A", generator="A") == "A; its generator: A", "the words may mean other data"


def test_weights_tell_of_what_they_began_with_and_need(tmp_path, weights):
    told = weights("told", licence="NC", trained_on={"folder": "faces"})
    silent = weights("silent")
    assert file_origin(silent) == ("the licence of silent.safetensors", {"file": silent.name})
    found = facts_of(frames_origin("world"), start=silent, generator=told)
    assert found["licence"] == (
        "MIT; its generator: NC; its start: the licence of silent.safetensors"
    )
    assert found["trained_on"] == {
        "people": "endless", "seed": 0, "preset": "studio",
        "generator": {"folder": "faces"}, "before": {"file": "silent.safetensors"},
    }  # fmt: skip


def test_weights_tell_of_their_teachers_whose_licence_they_do_not_inherit(weights):
    teachers = weights("teachers", licence="NC", trained_on={"people": 10, "seed": 4})
    found = facts_of(frames_origin("world"), instruments=teachers)
    assert found["licence"] == "MIT"
    assert found["trained_on"]["instruments"] == {"people": 10, "seed": 4}


def test_judges_need_other_teachers_than_weights(weights):
    learned = weights("learned", trained_on={"generator": {"instruments": {"seed": 4}}, "seed": 1})
    expect_other_teachers(weights("apart", trained_on={"seed": 1}), learned)
    expect_other_teachers(weights("silent"), learned)
    with pytest.raises(BadFile, match="seed 4"):
        expect_other_teachers(
            weights("alike", trained_on={"seed": 7, "before": {"seed": 4}}), learned
        )


def test_a_fetched_file_has_the_licence_that_is_known_of_it(tmp_path, weights, monkeypatch):
    path = weights("public")
    monkeypatch.setattr("xfer.files.registry.place", lambda name: path)
    assert "Nvidia Source Code License" in file_origin(path).licence


def test_inputs_are_named_without_the_paths_of_a_machine(tmp_path, weights):
    given = inputs(frames=tmp_path / "mine", generator=weights("g"), start=None)
    assert given["frames"] == "mine" and set(given) == {"frames", "generator"}
    assert given["generator"].startswith("g.safetensors, sha256 ")
    assert inputs(frames="world") == {"frames": "world"}
