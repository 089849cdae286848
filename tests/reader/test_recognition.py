"""Recognisers: the public layout computes what the public code does, and people are told apart."""

import numpy as np
import pytest
import torch
from by_rule import KEYS, assert_agree, encoder_state, figures, given
from skimage.data import astronaut

from xfer import recognition
from xfer.errors import MissingFile, NoFace
from xfer.media.images import to_tensor
from xfer.recognition import FaceRecogniser, FaceRecogniserConfig, open_recogniser


@torch.no_grad()
def test_public_arcface_files_give_the_public_codes(tmp_path):
    torch.save(encoder_state(KEYS["arcface_ir_se50"]), tmp_path / "model_ir_se50.pth")
    recogniser = FaceRecogniser.load(tmp_path / "model_ir_se50.pth")
    assert recogniser.config == FaceRecogniserConfig()
    code = recogniser.embed(0.5 * given(6, (2, 3, 112, 112)))
    assert_agree(code, figures("arcface")["embedding"])
    torch.testing.assert_close(code.norm(dim=1), torch.ones(2))


def test_a_recogniser_of_ours_is_opened_by_its_path_and_looks_at_the_face(tmp_path):
    config = FaceRecogniserConfig(
        resolution=32, channels=(8, 8), blocks=(1, 1), reduction=2, embedding=6
    )
    FaceRecogniser(config).save(tmp_path / "ours.safetensors")
    recogniser = open_recogniser(str(tmp_path / "ours.safetensors"))
    image = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    code = recogniser(image)
    image[:, :, :30] = 0  # hair
    torch.testing.assert_close(recogniser(image), code)
    assert recogniser.name.endswith("ours.safetensors")


def test_where_no_recogniser_is_fetched_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("XFER_CACHE", str(tmp_path))
    monkeypatch.setattr("xfer.recognition.locate", lambda name: (_ for _ in ()).throw(MissingFile))
    assert open_recogniser() is None
    with pytest.raises(MissingFile):
        open_recogniser("mobilefacenet")


def test_mobilefacenet_knows_a_person_again_and_has_gradients(needs):
    needs("mobilefacenet")
    network = recognition.MobileFaceNet()
    image = to_tensor(astronaut()[20:220, 120:320])
    darker, other = image * 0.8 - 0.1, image.flip(2)
    with torch.no_grad():
        codes = network(torch.cat([image, darker, other]))
    assert codes.shape == (3, 192)
    assert codes[0] @ codes[1] > 0.8 > 0.5 > codes[0] @ codes[2]
    torch.testing.assert_close(network(darker), codes[1:2], rtol=0, atol=1e-5)
    image.requires_grad_()
    (network(image) @ codes[2]).sum().backward()
    assert image.grad.abs().max() > 0


def test_dlib_judges_one_person_below_its_threshold_and_no_face_is_an_error(needs):
    pytest.importorskip("dlib")
    needs("face-landmarker")
    judge = recognition.DlibRecogniser()
    image = astronaut()[:256, 96:352]
    code = judge.code(image)
    darker = (image * 0.7).astype(np.uint8)
    assert 0 < judge.distance(code, judge.code(darker)) < 0.35
    assert judge.distance(code, judge.code(astronaut())) < 0.3
    with pytest.raises(NoFace):
        judge.code(np.zeros((64, 64, 3), np.uint8))
