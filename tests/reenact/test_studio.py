"""A model opened for use: what its file tells of its world, and where others compute for it."""

import pytest
import torch
from reenact_world import studio

from xfer.reenact import desk
from xfer.reenact.desk import Desk
from xfer.reenact.settings import Settings
from xfer.reenact.studio import Studio, open_studio, untrained_model

WORLD = {"people": 3000, "frames": 8, "seed": 3, "preset": "studio"}
OWN_VIDEOS = {"folder": "mine", "generator": WORLD, "before": "face world"}


@pytest.mark.parametrize(
    "facts, known",
    [
        ({"trained_on": WORLD | {"generator": OWN_VIDEOS}}, True),
        ({"trained_on": "face world"}, True),
        ({"trained_on": OWN_VIDEOS}, False),
        ({"trained_on": {"file": "frames.npy"}}, False),
        ({}, False),
    ],
)
def test_a_file_tells_whether_its_weights_know_the_face_world_only(facts, known, tmp_path):
    """Also before anybody learned controls, which bring a reader of landmarks."""
    path = untrained_model().save(tmp_path / "transfer.safetensors", facts)
    opened = open_studio(path)
    assert opened.of_the_face_world is known
    assert opened.reads("auto", rendered=False) == "pictures"


class OnASecondCard(Studio):
    """A studio whose model computes on a GPU that there is not."""

    device = torch.device("cuda:1")


def test_faces_are_looked_for_on_the_device_of_the_model(monkeypatch):
    asked = []
    monkeypatch.setattr(desk, "_detector", lambda *given: asked.append(given))
    Desk(OnASecondCard(studio().model), Settings())._looker("pictures")
    assert asked == [("auto", "cuda:1")]
