"""Image files of every kind and damage; alignment against the public code's own images."""

import io
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from made import flip_bits, make_video, near, ramp, ramps, source_in
from PIL import Image, ImageCms
from skimage.data import astronaut

from xfer.errors import BadFile, BadValue, MissingFile
from xfer.media import align
from xfer.media.align import crop, ffhq_quad, paste, soft_mask, to_square
from xfer.media.images import Source, kind_of, read_image, to_array, to_tensor, write_image


def saved(path, picture, **options):
    picture.save(path, **options)
    return path


def test_bytes_become_the_range_from_minus_one_to_one_and_back():
    array = np.array([[[0, 128, 255]]], np.uint8)
    image = to_tensor(array)
    torch.testing.assert_close(image.flatten(), torch.tensor([-1.0, 1 / 255, 1.0]))
    assert np.array_equal(to_array(image)[0], array)
    assert to_array(torch.full((2, 3, 4, 5), 7.0)).shape == (2, 4, 5, 3)


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
        path = saved(tmp_path / f"{orientation}.png", picture, exif=exif)
        assert np.array_equal(read_image(path), upright), orientation


def swapped_profile():
    """A profile whose red and blue are those of sRGB the other way round."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = data.index(b"rXYZ", 128), data.index(b"bXYZ", 128)
    data[red : red + 4], data[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(data)


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_a_profile_is_applied_whatever_holds_the_colours(tmp_path, mode):
    picture = Image.new("RGB", (8, 8), (200, 0, 0))
    picture = picture.quantize(4) if mode == "P" else picture.convert(mode)
    path = saved(tmp_path / "a.png", picture, icc_profile=swapped_profile())
    assert np.abs(read_image(path)[0, 0].astype(int) - (0, 0, 200)).max() <= 4


def test_gray_cmyk_deep_and_float_pixels_and_foreign_profiles_are_read(tmp_path):
    gray = saved(tmp_path / "g.png", Image.new("L", (4, 4), 90), icc_profile=swapped_profile())
    assert read_image(gray)[0, 0].tolist() == pytest.approx([90, 90, 90], abs=2)
    cmyk = saved(tmp_path / "c.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=95)
    assert np.abs(read_image(cmyk)[8, 8].astype(int) - (255, 0, 0)).max() <= 8
    odd = saved(tmp_path / "d.png", Image.new("RGB", (4, 4), (9, 8, 7)), icc_profile=b"not one")
    assert read_image(odd)[0, 0].tolist() == [9, 8, 7]
    deep = Image.fromarray(np.array([[0, 32768, 65535]], np.uint16))
    assert read_image(saved(tmp_path / "a.png", deep))[0, :, 0].tolist() == [0, 128, 255]
    floats = Image.fromarray(np.array([[0.0, 0.5, np.nan]], np.float32))
    assert read_image(saved(tmp_path / "a.tif", floats))[0, :, 0].tolist() == [0, 128, 0]


def test_transparency_of_every_kind_is_laid_over_white(tmp_path):
    clear = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 127]]], np.uint8)
    expected = [[255, 0, 0], [255, 255, 255], [128, 128, 128]]
    for suffix in ("png", "webp", "tif"):
        options = {"lossless": True} if suffix == "webp" else {}
        path = saved(tmp_path / f"a.{suffix}", Image.fromarray(clear), **options)
        assert read_image(path)[0].tolist() == expected, suffix
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    path = saved(tmp_path / "p.png", palette, transparency=1)
    assert read_image(path)[0].tolist() == [[10, 20, 30], [255, 255, 255]]
    gray = saved(tmp_path / "la.png", Image.new("LA", (1, 1)))
    assert read_image(gray)[0].tolist() == [[255, 255, 255]]


def huge_png():
    """A file of a few bytes that announces 3.6 thousand million pixels."""
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    start = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big")
    return start + header + zlib.crc32(header).to_bytes(4, "big")


def test_whatever_is_wrong_with_a_file_is_one_sentence(tmp_path):
    jpeg = io.BytesIO()
    Image.fromarray(ramp(200, 300)).save(jpeg, "JPEG")
    heic = b"\0\0\0\x18ftypheic" + bytes(40)
    bad = {"empty": b"", "letter": b"Dear reader,", "huge": huge_png(), "heic": heic,
           "half": jpeg.getvalue()[: len(jpeg.getvalue()) // 2]}  # fmt: skip
    for name, data in bad.items():
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(data)
        with pytest.raises(BadFile) as caught:
            read_image(path)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    for missing in (tmp_path / "none.png", "a text is no path, " * 20, "a\0b"):
        with pytest.raises(MissingFile):
            read_image(missing)
    with pytest.raises(BadFile):
        read_image(tmp_path)


def test_two_hundred_broken_pictures_never_stop_the_reader(tmp_path):
    rng, read = np.random.default_rng(0), 0
    for form in ("PNG", "JPEG", "WEBP", "GIF", "TIFF"):
        file = io.BytesIO()
        Image.fromarray(ramp(60, 80)).save(file, form)
        for k in range(40):
            path = tmp_path / "a.img"
            path.write_bytes(flip_bits(file.getvalue(), 1 + k // 4, rng))
            try:
                read += read_image(path).ndim == 3
            except BadFile as error:
                assert "\n" not in str(error)
    assert read > 40


def test_what_counts_as_an_input_is_known_by_content(tmp_path):
    frames = [Image.fromarray(f) for f in ramps(3)]
    film = make_video(tmp_path / "film.mp4", ramps(3))
    files = {
        "still.gif": "image", "moving.gif": "video", "moving.png": "video", "moving.webp": "video",
        "film.mp4": "video", "film.jpg": "video", "00001.MTS": "video", "film.dat": "video",
        "broken.mp4": "video", "empty.png": "image", "notes.txt": None, "letter": None,
    }  # fmt: skip
    frames[0].save(tmp_path / "still.gif")
    for suffix in ("gif", "png", "webp"):
        frames[0].save(tmp_path / f"moving.{suffix}", save_all=True, append_images=frames[1:])
    for name in ("film.jpg", "film.dat"):
        (tmp_path / name).write_bytes(film.read_bytes())
    make_video(tmp_path / "00001.MTS", ramps(3), form="mpegts")
    for name in ("broken.mp4", "empty.png", "notes.txt", "letter"):
        (tmp_path / name).write_bytes(b"" if name == "empty.png" else b"some words")
    assert {name: kind_of(tmp_path / name) for name in files} == files
    assert kind_of("smile and turn to the left, " * 12) is None
    assert kind_of(tmp_path) is None and kind_of(tmp_path / "none.mp4") is None


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_what_is_written_says_that_it_is_synthetic(tmp_path, suffix):
    path = tmp_path / ("a" * (254 - len(suffix)) + "." + suffix)
    write_image(path, ramp(), Source.COMPOSITE, note="seed 5")
    assert near(read_image(path), ramp(), 5) and source_in(path) is Source.COMPOSITE
    with pytest.raises(BadValue, match=r"\.png"):
        write_image(tmp_path / "a.bmp", ramp(), Source.GENERATED)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


DATA = Path(__file__).parents[1] / "data" / "align"
LANDMARKS = json.loads((DATA / "landmarks.json").read_text())
LANDMARKS = {name: np.array(points, np.float32) for name, points in LANDMARKS.items()}


def image_of(name):
    image = astronaut()
    if name == "astronaut_cropped":
        return np.ascontiguousarray(image[60:260, 150:300])
    if name == "astronaut_2048":
        return np.array(Image.fromarray(image).resize((2048, 2048), Image.Resampling.BICUBIC))
    return image


def upright(centre, side):
    return np.array(centre) + np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * side / 2


@pytest.mark.parametrize("name", LANDMARKS)
def test_crops_equal_those_of_the_public_code(name):
    expected = np.array(Image.open(DATA / f"{name}_256.png")).astype(float)
    assert np.abs(crop(image_of(name), ffhq_quad(LANDMARKS[name]), 256) - expected).mean() < 0.7


def test_points_go_into_the_crop_and_back_and_an_upright_crop_is_a_plain_cut():
    points = LANDMARKS["astronaut"]
    quad = ffhq_quad(points)
    inside = to_square(points, quad, 256)
    eyes = inside[36:48].mean(0)
    assert abs(eyes[0] - 127.5) < 12 and 90 < eyes[1] < 128
    matrix = align.square_to_image(quad, 256)
    assert np.abs(inside @ matrix[:, :2].T + matrix[:, 2] - points).max() < 1e-3
    assert np.allclose(matrix @ (-0.5, -0.5, 1), quad[0])
    image = astronaut()
    # Pixel centres are whole numbers, so 64 pixels from 100 on have their middle at 131.5.
    assert np.array_equal(crop(image, upright((231.5, 131.5), 64), 64), image[100:164, 200:264])


def test_crops_beyond_the_image_are_mirrored_and_senseless_ones_refused():
    image = astronaut()
    edge = crop(image, upright((0.0, 256.0), 128), 128)
    assert np.abs(edge[40:90, 70:90].astype(int) - edge[40:90, 38:58][:, ::-1]).mean() < 16
    assert crop(image, upright((-900.0, 2000.0), 300), 32).shape == (32, 32, 3)
    for side in (0.0, 1e9, float("nan")):
        with pytest.raises(BadValue, match="side lies between"):
            crop(image, upright((10.0, 10.0), side), 32)


@pytest.mark.parametrize("size", [256, 1024])
def test_pasting_a_crop_back_changes_almost_nothing(size):
    image, quad = image_of("astronaut_2048"), ffhq_quad(LANDMARKS["astronaut_2048"])
    before = image.copy()
    mask = align.face_mask(to_square(LANDMARKS["astronaut_2048"], quad, 128), 128)
    again = paste(image, crop(image, quad, size), quad, mask)
    assert np.abs(again.astype(float) - image).mean() < 0.3 and np.array_equal(image, before)
    row, column = to_square(LANDMARKS["astronaut_2048"], quad, 128)[30].round().astype(int)[::-1]
    assert mask[row, column] > 0.95 and mask[0].max() < 0.05 and mask[-1, 0] < 0.05


def test_a_pasted_face_takes_on_the_image_s_colours_and_leaves_the_rest_alone():
    image, quad = astronaut(), upright((231.5, 131.5), 64)
    dark = (crop(image, quad, 128) * 0.5).astype(np.uint8)
    result = paste(image, dark, quad, soft_mask())
    assert np.abs(result.astype(int) - image)[100:164, 200:264].mean() < 14
    result[100:164, 200:264] = image[100:164, 200:264]
    assert np.array_equal(result, image)
    image, face = astronaut(), np.full((16, 16, 3), 255, np.uint8)
    result = paste(image, face, upright((0.0, 0.0), 40), soft_mask())
    assert np.array_equal(result[21:], image[21:])
    away = paste(image, face, upright((-500.0, 0.0), 40), soft_mask())
    assert np.array_equal(away, image)
