"""Picture files: every kind comes in the same way, every damage is one error."""

import io
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from xfer.errors import BadFile, BadValue, MissingFile
from xfer.media.pictures import (
    FORMATS,
    decode_picture,
    encode_picture,
    picture_source,
    read_picture,
    read_pixels,
    write_picture,
)
from xfer.media.provenance import Source


def ramp(height=12, width=20):
    """A picture without symmetry: red grows to the right, green downwards."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 250, width).astype(np.uint8)
    pixels[..., 1] = np.linspace(0, 250, height).astype(np.uint8)[:, None]
    return pixels


def saved(tmp_path, picture, name, **options):
    path = tmp_path / name
    picture.save(path, **options)
    return path


def test_bytes_become_the_range_from_minus_one_to_one(tmp_path):
    pixels = np.array([[[0, 128, 255]]], np.uint8)
    image = read_picture(saved(tmp_path, Image.fromarray(pixels), "a.png"))
    torch.testing.assert_close(image.flatten(), torch.tensor([-1.0, 1 / 255, 1.0]))


def test_every_exif_orientation_comes_out_upright(tmp_path):
    upright = ramp()
    turns = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright),
        7: np.rot90(upright, 2).transpose(1, 0, 2), 8: np.rot90(upright, -1),
    }  # fmt: skip
    for orientation, stored in turns.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture = Image.fromarray(np.ascontiguousarray(stored))
        path = saved(tmp_path, picture, f"{orientation}.png", exif=exif)
        assert np.array_equal(read_pixels(path), upright), orientation


@pytest.mark.parametrize("content", [b"", b"Dear reader, this is a letter."])
def test_a_file_that_only_has_a_picture_s_name_is_no_picture(content, tmp_path):
    path = tmp_path / "letter.png"
    path.write_bytes(content)
    for read in (read_pixels, picture_source):
        with pytest.raises(BadFile, match=r"letter\.png is no picture: its content is of no known"):
            read(path)


def test_pillow_knows_every_format_and_several_pictures_in_one_file_open(tmp_path):
    Image.init()
    assert set(FORMATS) <= set(Image.OPEN)
    left, right = Image.fromarray(ramp()), Image.fromarray(ramp()[:, ::-1].copy())
    path = saved(tmp_path, left, "pair.mpo", save_all=True, append_images=[right])
    assert read_pixels(path).shape == (12, 20, 3)


def test_transparency_is_laid_over_white(tmp_path):
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = [0, 128, 255]
    read = read_pixels(saved(tmp_path, Image.fromarray(pixels), "a.png"))
    assert read[0, :, 0].tolist() == [255, 127, 0]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
def test_every_mode_gives_three_channels_of_the_same_grey(tmp_path, mode):
    grey = Image.new("L", (5, 4), 255 if mode == "1" else 200)
    if mode == "I;16":
        picture = Image.fromarray(np.full((4, 5), 200 * 257, np.uint16))
    elif mode == "LA":
        picture = Image.merge("LA", (grey, Image.new("L", (5, 4), 255)))
    else:
        picture = grey.convert("RGB").convert(mode) if mode != "F" else grey.convert("F")
    suffix = {"CMYK": "tif", "YCbCr": "jpg", "F": "tif"}.get(mode, "png")
    pixels = read_pixels(saved(tmp_path, picture, f"a.{suffix}"))
    assert pixels.shape == (4, 5, 3)
    assert np.abs(pixels.astype(int) - (255 if mode == "1" else 200)).max() <= 4


def test_an_embedded_profile_is_converted_and_a_broken_one_ignored(tmp_path):
    picture = Image.fromarray(ramp())
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = saved(tmp_path, picture, "srgb.png", icc_profile=plain)
    broken = saved(tmp_path, picture, "broken.png", icc_profile=b"no profile" * 20)
    assert np.abs(read_pixels(same).astype(int) - ramp()).max() <= 1
    assert np.array_equal(read_pixels(broken), ramp())


def test_a_wrong_extension_does_not_matter(tmp_path):
    path = saved(tmp_path, Image.fromarray(ramp()), "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(read_pixels(path), ramp())


def huge_header():
    """A PNG that promises 20000 x 20000 pixels and holds none."""
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    data = bytearray(file.getvalue())
    data[16:24] = (20000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


def test_a_huge_header_is_refused_before_memory_is_taken(tmp_path):
    with pytest.raises(BadFile, match="20000 x 20000"):
        decode_picture(huge_header(), "a.png")
    (tmp_path / "a.png").write_bytes(huge_header())
    assert picture_source(tmp_path / "a.png") is None, "its origin takes no memory"


@pytest.mark.parametrize("brands", [b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic"])
def test_a_phone_s_heic_is_named_and_what_to_do(brands, tmp_path):
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(b"\0\0\0\x18ftyp" + brands + b"\0\0\0\x08mdat")
    for read in (read_pixels, picture_source):
        with pytest.raises(BadFile, match="is HEIC, which cannot be read: export it as JPEG"):
            read(path)


def test_reading_in_threads_leaves_warnings_and_limits_of_others_alone():
    data, before = encode_picture(ramp(), ".png"), [*warnings.filters]
    most, interval = Image.MAX_IMAGE_PIXELS, sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: decode_picture(data, f"{n}"), range(200)))
        assert [*warnings.filters] == before and most == Image.MAX_IMAGE_PIXELS
    finally:
        sys.setswitchinterval(interval)
        warnings.filters[:], Image.MAX_IMAGE_PIXELS = before, most


def broken_pictures(count, seed=0):
    """Truncated, bit-flipped, empty and foreign files, made from good ones."""
    rng = np.random.default_rng(seed)
    good = []
    for suffix in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (40, 30, 3), np.uint8)).save(file, suffix)
        good.append(file.getvalue())
    for number in range(count):
        data = bytearray(good[number % len(good)])
        if number % 3 == 0:
            yield bytes(data[: rng.integers(0, len(data))])
        elif number % 3 == 1:
            for place in rng.integers(0, len(data), rng.integers(1, 60)):
                data[place] ^= 1 << rng.integers(8)
            yield bytes(data)
        else:
            yield rng.bytes(rng.integers(0, 3000))


def test_a_broken_picture_is_read_or_is_one_error():
    refused = 0
    for number, data in enumerate(broken_pictures(240)):
        try:
            assert decode_picture(data, f"{number}").dtype == np.uint8
        except BadFile as error:
            assert str(error).startswith(f"{number} ")
            refused += 1
    assert refused > 120


def test_a_picture_that_is_not_there_and_a_folder_are_named(tmp_path):
    with pytest.raises(MissingFile, match="there is no picture"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(BadFile, match="cannot be read"):
        read_picture(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("source", [*Source, None])
def test_a_written_picture_says_where_it_comes_from(tmp_path, suffix, source):
    image = torch.zeros(1, 3, 8, 8)
    path = write_picture(tmp_path / f"a{suffix}", image, source, note="seed 3 & <more>")
    assert picture_source(path) is source
    assert (b"seed 3 &amp; &lt;more&gt;" in path.read_bytes()) == (source is not None)
    assert read_picture(path).abs().max() < 0.01


def test_png_gives_back_the_same_pixels_and_the_same_bytes():
    pixels = ramp()
    data = encode_picture(pixels, ".png")
    assert np.array_equal(decode_picture(data, "a"), pixels)
    assert data == encode_picture(pixels, ".png")


def test_nothing_is_left_where_writing_fails(tmp_path):
    with pytest.raises(BadValue, match="finite"):
        write_picture(tmp_path / "a.png", torch.full((1, 3, 2, 2), float("nan")))
    with pytest.raises(BadValue, match=r"\.png, \.jpg"):
        write_picture(tmp_path / "a.gif", torch.zeros(1, 3, 2, 2))
    assert list(tmp_path.iterdir()) == []
