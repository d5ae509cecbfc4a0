"""The synthetic digits: always the same, never twice the same, and of MNIST's size, place and ink."""

import os

import numpy as np
import pytest

from tinycnn.datasets import files, glyphs, synthetic

REAL = os.environ.get("TINYCNN_DATA")


@pytest.fixture(scope="module")
def drawn():
    """2,000 digits to learn from and 400 others to test with."""
    return (*synthetic.digits(2000), *synthetic.digits(400, first=synthetic.FIRST_TEST_IMAGE))


def test_a_digit_does_not_depend_on_how_many_are_drawn(drawn):
    images, labels = drawn[:2]
    for n, first in ((1, 0), (300, 0), (1, 1234), (200, 1100)):
        some, their_labels = synthetic.digits(n, first=first)
        np.testing.assert_array_equal(some, images[first : first + n])
        np.testing.assert_array_equal(their_labels, labels[first : first + n])


def test_another_seed_draws_other_digits(drawn):
    images, _ = synthetic.digits(50, seed=1)
    assert not (images == drawn[0][:50]).all(axis=(1, 2)).any()


def test_training_and_test_digits_are_different_ones():
    (x_train, y_train), (x_test, y_test) = synthetic.load(train=30, test=20, seed=5)
    assert x_train.shape == (30, 28, 28) and x_test.shape == (20, 28, 28)
    assert x_train.dtype == y_train.dtype == np.uint8
    np.testing.assert_array_equal(x_test, synthetic.digits(20, 5, synthetic.FIRST_TEST_IMAGE)[0])
    assert not (x_train[:20] == x_test).all(axis=(1, 2)).any()


def test_no_digits_are_no_images():
    assert synthetic.digits(0)[0].shape == (0, 28, 28)


def test_every_digit_and_every_style_is_drawn(drawn):
    assert np.bincount(drawn[1], minlength=10).min() > 150
    # Over all random numbers for the digit and its style, each style of glyphs.py comes up, under its own digit.
    first, second, count = glyphs.dots()
    label, style = (grid.ravel() for grid in np.meshgrid(*[np.arange(0, 1, 0.01)] * 2))
    labels, x, _ = synthetic._pose({"label": label, "style": style, "pose": np.full_like(label, 1 / 12)})
    for digit, styles in enumerate(np.split(first[:, :, 0], np.cumsum(count)[:-1])):
        drawn_styles = np.unique(x[labels == digit], axis=0)
        np.testing.assert_allclose(drawn_styles, np.unique(styles, axis=0), atol=1e-9)
        assert len(drawn_styles) == count[digit] >= 2


def test_a_stroke_is_smooth_but_for_points_written_twice():
    def turns(stroke):
        dots = glyphs._spaced(glyphs._curve(stroke), 60)
        steps = np.diff(dots, axis=0) / np.linalg.norm(np.diff(dots, axis=0), axis=1, keepdims=True)
        return dots, (steps[1:] * steps[:-1]).sum(axis=1).min()  # the cosine of the largest turn

    smooth, cosine = turns("0,0 60,0 60,60")
    assert cosine > 0.9
    corner, cosine = turns("0,0 60,0 60,0 60,60")
    assert cosine < 0.8
    off_the_lines = np.minimum(abs(corner[:, 1]), abs(corner[:, 0] - 60))
    assert off_the_lines.max() < 1 < np.minimum(abs(smooth[:, 1]), abs(smooth[:, 0] - 60)).max()


def test_the_elastic_distortion_moves_neighbours_together():
    rng = np.random.default_rng(0)
    x, y = np.tile(np.linspace(6, 22, 65), (500, 1)), np.full((500, 65), 14.0)
    moved_x, moved_y = synthetic._elastic(x, y, rng.random((500, 2, *[len(synthetic.NODES)] * 2)))
    for move in (moved_x - x, moved_y - y):
        assert 0.8 < np.std(move) / synthetic.STRETCH < 1.2
        assert np.abs(np.diff(move, axis=1)).max() < 0.4  # dots a quarter of a pixel apart
        assert abs(np.corrcoef(move[:, 0], move[:, -1])[0, 1]) < 0.2  # and far ones move each its own way


def test_digits_lean_more_often_to_the_right(drawn):
    images, pixel = drawn[0].astype(float), np.arange(28) - 14.0
    lean = -np.einsum("nyx,y,x->n", images, pixel, pixel) / np.einsum("nyx,y->n", images, pixel**2)
    ones = lean[drawn[1] == 1]
    assert ones.mean() > 0.1 and ones.std() > 0.28 and (ones < 0).mean() > 0.05


def test_digits_have_mnists_size_place_and_ink(drawn):
    images = drawn[0].astype(float)
    mass, pixel = images.sum(axis=(1, 2)), np.arange(28)
    for axis in (1, 2):
        middle = images.sum(axis=axis) @ pixel / mass
        assert (np.abs(middle - 14) <= 0.5).all()  # MNIST: centred to whole pixels
    assert abs(images.mean() / 255 - 0.1307) < 0.01  # MNIST's mean
    assert abs(images.std() / 255 - 0.3081) < 0.02  # and standard deviation
    assert (images.max(axis=(1, 2)) > 190).all()
    longer_side = np.maximum(*(np.ptp(np.where((images > 128).any(axis=axis), pixel, 14), axis=1) for axis in (1, 2)))
    assert 16 < longer_side.mean() < 20


def test_digits_are_neither_trivial_nor_impossible(drawn):
    """The nearest of 2,000 training digits is usually, but not always, the same digit."""
    x, y, x_test, y_test = (a.reshape(len(a), -1).astype(np.float32) for a in drawn)
    distance = (x**2).sum(axis=1) - 2 * x_test @ x.T
    right = (y[distance.argmin(axis=1)] == y_test).mean()
    assert 0.9 < right < 0.995


@pytest.mark.skipif(not REAL or REAL == "synthetic", reason="TINYCNN_DATA does not name a folder with MNIST")
def test_digits_resemble_mnists(drawn, monkeypatch):
    """A digit of MNIST is mostly nearest to a synthetic one of the same name: one in ten would be by chance."""
    arrays = files.read(REAL)
    x, y = drawn[0].reshape(2000, -1).astype(np.float32), drawn[1]
    x_test = arrays.x_test[:1000].reshape(1000, -1).astype(np.float32)
    distance = (x**2).sum(axis=1) - 2 * x_test @ x.T
    assert (y[distance.argmin(axis=1)] == arrays.y_test[:1000]).mean() > 0.7
