"""A photograph in, an aligned face out; no face is one clear error."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from xfer.errors import BadFile, NoFace
from xfer.media.portrait import read_portrait

ALIGNED = Path(__file__).parents[1] / "data" / "align" / "astronaut_256.png"


def test_a_photograph_gives_the_aligned_face_of_the_public_code(tmp_path):
    Image.fromarray(astronaut()).save(tmp_path / "a.png")
    portrait = read_portrait(tmp_path / "a.png", 256, "dlib")
    expected = np.array(Image.open(ALIGNED)).astype(float)
    found = (portrait.image[0].permute(1, 2, 0).numpy() + 1) * 127.5
    # The landmarks are read anew here, and may lie some tenths of a pixel apart.
    assert np.abs(found - expected).mean() < 6
    assert portrait.others == 0 and portrait.landmarks.abs().max() < 1


def test_a_picture_without_a_face_says_so(tmp_path):
    Image.fromarray(astronaut()[:80, 350:]).save(tmp_path / "a.png")
    with pytest.raises(NoFace, match=r"no face was found in .*a\.png \(162 x 80 pixels\)"):
        read_portrait(tmp_path / "a.png", 64, "dlib")
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(BadFile, match=r"b\.png is no picture"):
        read_portrait(tmp_path / "b.png", 64, "dlib")
