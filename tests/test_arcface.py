"""ArcFace in the place of the instruments: shown pictures as public code does, and no reader."""

import pytest
import torch
import torch.nn.functional as F
from by_rule import given

from xfer.errors import BadFile, BadValue
from xfer.instruments import FaceRecogniser, load_instruments


@pytest.fixture(scope="module")
def measure(arcface):
    return load_instruments(arcface, "loss", reader=False)


def shown_by_public_code(image):
    """pSp and ReStyle: 256 px, rows 35 to 222 and columns 32 to 219 of it, 112 px; in [-1, 1]."""
    if image.shape[2] != 256:
        image = F.adaptive_avg_pool2d(image, (256, 256))
    return F.adaptive_avg_pool2d(image[:, :, 35:223, 32:220], (112, 112))


@torch.no_grad()
@pytest.mark.parametrize("size", [256, 512])
def test_identity_is_read_from_the_crop_that_public_code_shows(arcface, measure, size):
    pair = F.interpolate(given(1, (2, 3, 8, 8)), (size, size), mode="bilinear").clamp(-1, 1)
    bare = FaceRecogniser.load(arcface)
    expected, ours, whole = bare(shown_by_public_code(pair)), measure.recogniser(pair), bare(pair)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)
    cosine = lambda found: found[0] @ found[1]
    torch.testing.assert_close(cosine(ours), cosine(expected), atol=1e-5, rtol=0)
    assert (cosine(whole) - cosine(expected)).abs() > 1e-4  # the crop is no detail


@torch.no_grad()
def test_small_pictures_are_enlarged_first(arcface, measure):
    image = 0.5 * given(2, (1, 3, 32, 32))
    large = F.interpolate(image, (256, 256), mode="bilinear", align_corners=False)
    expected = FaceRecogniser.load(arcface)(shown_by_public_code(large))
    torch.testing.assert_close(measure.recogniser(image), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_look_is_the_recogniser_alone_at_its_own_size_and_says_so_once(measure, capsys):
    image = 0.5 * given(3, (1, 3, 64, 64))
    found = measure.look("recogniser")(image)
    assert capsys.readouterr().err == ""
    shown = F.interpolate(image, (112, 112), mode="bilinear", align_corners=False)
    expected = measure.recogniser.backbone.stages(shown)
    assert [x.shape[2] for x in found] == [112, 56, 28, 14, 7]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)
    for _ in range(2):
        both = measure.look("both")(image)
    assert all(torch.equal(a, b) for a, b in zip(both, found, strict=True))
    assert capsys.readouterr().err.count("look=both is the recogniser alone") == 1


def test_what_needs_a_reader_says_so(arcface, measure):
    with pytest.raises(BadValue, match=r"look=reader: ArcFace.*neither pose nor expression"):
        measure.look("reader")
    for copy in ("loss", "judge"):
        with pytest.raises(BadFile, match=r"model_ir_se50.pth: ArcFace.*a reader are needed here"):
            load_instruments(arcface, copy)


def test_a_lone_recogniser_of_the_face_world_is_no_arcface(measure, tmp_path):
    path = measure.recogniser.save(tmp_path / "recogniser.safetensors")
    for copy in ("loss", "judge"):
        with pytest.raises(BadFile, match="holds no instruments"):
            load_instruments(path, copy, reader=False)
