"""Pictures for a network: however a digit was stored, the same digit is read; what holds none is refused by name."""

import os

import numpy as np
import pytest
from PIL import Image

from tinycnn.datasets.idx import write_idx
from tinycnn.datasets.images import FORMATS, read_image

SHAPE = (28, 28, 1)


def digit():
    """Light ink on black, uint8 (28, 28), like no turned or mirrored copy of itself: something like an F."""
    ink = np.zeros((28, 28), np.uint8)
    ink[4:24, 8:11] = ink[4:7, 8:21] = 255
    ink[12:15, 8:16] = 200
    return ink


def read(picture, path, **options):
    picture.save(path, **options)
    image, how = read_image(path, SHAPE)
    assert image.shape == (1, 28, 28, 1) and image.dtype == np.float32 and 0 <= image.min() <= image.max() <= 1
    return image[0, :, :, 0], how


def assert_is_the_digit(image, tolerance=0.01):
    np.testing.assert_allclose(image, digit() / np.float32(255), atol=tolerance)


# ---------------------------------------------------------------- how it is stored


STORED = {
    "8 bits": (".png", Image.fromarray),
    "16 bits": (".png", lambda ink: Image.fromarray(ink.astype(np.uint16) * 257)),
    "16 bits in a TIFF": (".tif", lambda ink: Image.fromarray(ink.astype(np.uint16) * 257)),
    "16 bits in a PGM": (".pgm", lambda ink: Image.fromarray(ink.astype(np.int32) * 257)),
    "floats from 0 to 1": (".tif", lambda ink: Image.fromarray(ink / np.float32(255))),
    "colours": (".png", lambda ink: Image.fromarray(ink).convert("RGB")),
    "a palette": (".gif", lambda ink: Image.fromarray(ink).convert("P")),
    "four inks": (".tif", lambda ink: Image.fromarray(ink).convert("RGB").convert("CMYK")),
    "opaque alpha": (".png", lambda ink: Image.fromarray(ink).convert("LA")),
    "JPEG": (".jpg", Image.fromarray),
    "WebP": (".webp", Image.fromarray),
    "BMP": (".bmp", Image.fromarray),
}


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("paper", ["black", "white"])
def test_the_same_digit_is_read_from_every_kind_of_picture(tmp_path, stored, paper):
    suffix, make = STORED[stored]
    ink = digit() if paper == "black" else 255 - digit()
    options = {".jpg": {"quality": 95}, ".webp": {"lossless": True}}.get(suffix, {})
    image, how = read(make(ink), tmp_path / f"digit{suffix}", **options)
    assert_is_the_digit(image, 0.1 if suffix == ".jpg" else 0.01)
    assert how == f"28x28 picture{', inverted' if paper == 'white' else ''}"


def test_a_picture_of_two_shades_is_read(tmp_path):
    image, _ = read(Image.fromarray(digit()).convert("1", dither=Image.Dither.NONE), tmp_path / "digit.png")
    np.testing.assert_array_equal(image, digit() > 127)


def test_16_bits_are_not_cut_off_at_8(tmp_path):
    paper = np.full((28, 28), 62_000, np.uint16)  # as a scanner has it: not quite white, not quite black
    paper[4:24, 13:16] = 3_000
    image, how = read(Image.fromarray(paper), tmp_path / "scan.png")
    assert how.endswith("inverted")
    np.testing.assert_allclose(image[10, [0, 14]], [1 - 62_000 / 65_535, 1 - 3_000 / 65_535], atol=1e-4)


@pytest.mark.parametrize("values", [np.float32([[0.0, 255.0]]), np.float32([[0, np.nan]]), np.int32([[0, 70_000]])])
def test_pixels_of_no_known_range_are_refused(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "deep.tif")
    with pytest.raises(ValueError, match=r"deep\.tif has pixels beyond 16 bits"):
        read_image(tmp_path / "deep.tif", SHAPE)


# How a camera held in one of eight ways stores what stands upright. The number is EXIF's.
HELD = {
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: np.transpose,
    6: np.rot90,
    7: lambda image: np.rot90(image, 2).T,
    8: lambda image: np.rot90(image, -1),
}


@pytest.mark.parametrize("orientation", HELD)
@pytest.mark.parametrize("deep", [False, True])
def test_a_picture_is_turned_as_its_camera_was_held(tmp_path, orientation, deep):
    stored = np.ascontiguousarray(HELD[orientation](digit()))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(stored.astype(np.uint16) * 257 if deep else stored)
    assert_is_the_digit(read(picture, tmp_path / "photo.png", exif=exif)[0])


# ---------------------------------------------------------------- what is transparent


def transparent(shade, alpha):
    """A picture of one shade, seen where alpha is."""
    flat = Image.new("L", (28, 28), shade)
    return Image.merge("RGBA", (flat, flat, flat, Image.fromarray(alpha)))


@pytest.mark.parametrize("shade, inverted", [(0, True), (60, True), (255, False), (200, False)])
def test_ink_on_nothing_is_seen_whatever_its_shade(tmp_path, shade, inverted):
    image, how = read(transparent(shade, digit()), tmp_path / "ink.png")
    assert how.endswith("inverted") == inverted
    strength = (255 - shade if inverted else shade) / 255
    np.testing.assert_allclose(image, digit() / 255 * strength, atol=0.01)


def test_ink_that_fills_most_of_its_picture_is_still_ink(tmp_path):
    alpha = np.full((28, 28), 255, np.uint8)
    alpha[:, :6] = 0
    assert np.ptp(read(transparent(255, alpha), tmp_path / "bar.png")[0]) == 1


@pytest.mark.parametrize("paper", [0, 255])
def test_a_page_with_transparent_corners_is_a_page(tmp_path, paper):
    page = np.stack([digit() if paper == 0 else 255 - digit()] * 3 + [np.full((28, 28), 255, np.uint8)], axis=2)
    page[:3, :3, 3] = page[-3:, -3:, 3] = 0
    assert_is_the_digit(read(Image.fromarray(page), tmp_path / "page.png")[0])


def test_a_transparent_shade_of_16_bits_is_transparent(tmp_path):
    ink = np.where(digit() > 0, 0, 40_000).astype(np.uint16)  # black ink; the shade 40,000 is not to be seen
    image, _ = read(Image.fromarray(ink), tmp_path / "key.png", transparency=40_000)
    np.testing.assert_array_equal(image, digit() > 0)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_picture_of_one_shade_is_refused(tmp_path, shade):
    faint = np.where(digit() > 0, abs(shade - 20), shade).astype(np.uint8)
    for picture in (Image.new("L", (90, 90), shade), Image.fromarray(faint)):
        picture.save(tmp_path / "empty.png")
        with pytest.raises(ValueError, match=r"empty\.png has no contrast: at 28x28 pixels"):
            read_image(tmp_path / "empty.png", SHAPE)


def test_a_picture_of_nothing_but_transparency_is_refused(tmp_path):
    transparent(255, np.zeros((28, 28), np.uint8)).save(tmp_path / "empty.png")
    with pytest.raises(ValueError, match=r"empty\.png has no contrast"):
        read_image(tmp_path / "empty.png", SHAPE)


def test_ink_too_thin_to_be_seen_is_refused(tmp_path):
    page = np.full((2800, 2800), 255, np.uint8)
    page[:, 1400:1404] = 0
    Image.fromarray(page).save(tmp_path / "thin.png")
    with pytest.raises(ValueError, match="draw with a thicker pen"):
        read_image(tmp_path / "thin.png", SHAPE)


def test_no_other_program_is_started_for_a_picture(tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript"))
    Image.fromarray(digit()).save(tmp_path / "digit.eps")
    with pytest.raises(ValueError, match=r"digit\.eps is neither an IDX file nor a picture of the kinds .*PNG, JPEG"):
        read_image(tmp_path / "digit.eps", SHAPE)


@pytest.mark.parametrize("kind", FORMATS)
def test_half_a_picture_is_refused_by_name(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 256, (90, 90), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole", format=kind)
    content = (tmp_path / "whole").read_bytes()
    (tmp_path / "half.img").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"half\.img is a damaged picture"):
        read_image(tmp_path / "half.img", SHAPE)


def test_what_is_no_file_is_refused_by_name(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_text("seven")
    for name, fault in (("pipe", "not a regular file"), ("none", "No such file"), ("text", "neither an IDX file")):
        with pytest.raises(ValueError, match=fault) as error:
            read_image(tmp_path / name, SHAPE)
        assert str(tmp_path / name) in str(error.value)
    with pytest.raises(ValueError, match="Is a directory"):
        read_image(tmp_path, SHAPE)


def test_only_images_that_an_idx_file_has_are_read(tmp_path):
    write_idx(tmp_path / "two", np.stack([digit(), 255 - digit()]))
    assert_is_the_digit(read_image(tmp_path / "two", SHAPE)[0][0, :, :, 0])
    np.testing.assert_array_equal(
        read_image(tmp_path / "two", SHAPE, 1)[0][0, :, :, 0], (255 - digit()) / np.float32(255)
    )
    for index in (-1, 2):
        with pytest.raises(ValueError, match=f"two has 2 images, 0 to 1; there is no image {index}"):
            read_image(tmp_path / "two", SHAPE, index)


@pytest.mark.parametrize("shape", [SHAPE, (32, 32, 3)])
def test_a_picture_has_no_number(tmp_path, shape):
    Image.fromarray(digit()).save(tmp_path / "digit.png")
    with pytest.raises(ValueError, match="digit.png is a picture, and has no image 0: --index is for IDX files"):
        read_image(tmp_path / "digit.png", shape, 0)


# ---------------------------------------------------------------- in colour


def test_16_bits_of_grey_are_as_grey_in_colour(tmp_path):
    Image.fromarray(np.linspace(0, 40000, 1024).reshape(32, 32).astype(np.uint16)).save(tmp_path / "deep.png")
    image, how = read_image(tmp_path / "deep.png", (32, 32, 3))
    assert image.shape == (1, 32, 32, 3) and how == "32x32 picture, grey"
    for channel in range(3):
        np.testing.assert_allclose(image[0, :, :, channel].ravel(), np.linspace(0, 40000, 1024) / 65535, atol=2e-5)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "L"])
def test_a_network_of_colours_gets_them_as_they_are(tmp_path, mode):
    colours = np.zeros((32, 32, 3), np.uint8)
    colours[:, :16] = (255, 0, 0)
    picture = Image.fromarray(colours).convert(mode)
    picture.save(path := tmp_path / ("c.tif" if mode == "CMYK" else "c.png"))
    image, how = read_image(path, (32, 32, 3))
    want = np.asarray(picture.convert("RGB"), np.float32)[None] / 255
    assert image.dtype == np.float32 and how == "32x32 picture, in colour"
    np.testing.assert_allclose(image, want, atol=0.01)


def test_what_is_transparent_is_white_in_colour_and_large_pictures_are_scaled(tmp_path):
    Image.new("RGBA", (90, 60), (255, 0, 0, 0)).save(tmp_path / "c.png")
    image, how = read_image(tmp_path / "c.png", (32, 32, 3))
    assert image.shape == (1, 32, 32, 3) and (image == 1).all() and how.startswith("90x60")


@pytest.mark.parametrize("channels, message", [(3, "is grey, but the network takes 3"), (2, "is grey")])
def test_an_idx_file_has_no_colours(tmp_path, channels, message):
    write_idx(tmp_path / "a", np.zeros((2, 28, 28), np.uint8))
    with pytest.raises(ValueError, match=message):
        read_image(tmp_path / "a", (28, 28, channels))
