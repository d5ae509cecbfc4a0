"""ImageDataGenerator: what Keras's does to an image, drawn by the seed; batches of arrays and of folders; refusals."""

import builtins
import warnings

import numpy as np
import pytest
from helpers import assert_same_bits
from small_trainings import again, fit, linear, toy

import tinycnn
from tinycnn import philox
from tinycnn.datasets import DataError
from tinycnn.preprocessing import draws
from tinycnn.preprocessing.image import ImageDataGenerator, array_to_img, img_to_array, load_img

ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed: pip install 'tinycnn[test]'")
Image = pytest.importorskip("PIL.Image")

X = np.random.default_rng(0).integers(0, 256, (12, 9, 9, 3)).astype(np.float32)
Y = np.arange(12)


@pytest.fixture(autouse=True)
def start():
    again()
    with tinycnn.use_device("reference"):
        yield


# ---------------------------------------------------------------- one image


@pytest.fixture(scope="module")
def keras_image():
    """Keras 3 still has Keras 2's module, for old programs."""
    pytest.importorskip("keras", reason="Keras is not installed: pip install 'tinycnn[test]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras.src.legacy.preprocessing.image")


CHANGES = {
    "rotation": {"theta": 33.0},
    "shift": {"tx": 2.0, "ty": -1.5},
    "shear": {"shear": 20.0},
    "zoom": {"zx": 0.8, "zy": 1.3},
    "all of them": {"theta": -12.0, "tx": 0.5, "ty": 1.0, "shear": 7.0, "zx": 1.1, "zy": 0.7},
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("fill_mode", ["nearest", "constant", "reflect", "wrap"])
@pytest.mark.parametrize("change", CHANGES)
def test_an_image_is_moved_as_by_keras(keras_image, monkeypatch, change, fill_mode):
    """Keras 3's copy of Keras 2's code swaps rows and columns, which Keras 2.3 did not: it is shown a turned image."""
    monkeypatch.setattr(keras_image, "scipy", SCIPY)
    options = {"fill_mode": fill_mode, "cval": 7.0, "interpolation_order": 1}
    got = ImageDataGenerator(rotation_range=1, **options).apply_transform(X[0], CHANGES[change])
    theirs = keras_image.ImageDataGenerator(data_format="channels_last", dtype="float32", **options)
    want = theirs.apply_transform(X[0].transpose(1, 0, 2), CHANGES[change]).transpose(1, 0, 2)
    np.testing.assert_allclose(got, want, atol=1e-3)


class SCIPY:
    """SciPy with the old name of its module, by which Keras calls it."""

    class ndimage:
        interpolation = ndimage


def test_height_means_rows_and_width_columns():
    """Of images that are not square, by SciPy's own shift: the content goes the other way, and edges are drawn out."""
    x = np.random.default_rng(1).random((7, 11, 1), np.float32)
    generator = ImageDataGenerator(width_shift_range=1)
    for change, by in (({"tx": 2.0}, (-2, 0, 0)), ({"ty": 3.25}, (0, -3.25, 0))):
        want = ndimage.shift(x, by, order=1, mode="nearest")
        np.testing.assert_allclose(generator.apply_transform(x, change), want, atol=1e-6)
    upside_down = generator.apply_transform(x, {"theta": 180.0})
    np.testing.assert_allclose(upside_down, x[::-1, ::-1], atol=1e-5)


def test_flips_and_shifts_of_a_channel():
    generator = ImageDataGenerator()
    assert_same_bits(generator.apply_transform(X[0], {"flip_horizontal": True}), X[0][:, ::-1])
    assert_same_bits(generator.apply_transform(X[0], {"flip_vertical": True}), X[0][::-1])
    got = generator.apply_transform(X[0], {"channel_shift_intensity": 60.0})
    np.testing.assert_allclose(got, np.minimum(X[0] + 60, X[0].max()), atol=1e-4)


@pytest.mark.parametrize("factor", [0.3, 1.7])
@pytest.mark.parametrize("scale, offset", [(1, 0), (4, -300)])
def test_brightness_is_keras_s_but_for_its_rounding_to_bytes(keras_image, factor, scale, offset):
    x = X[0] * scale + offset
    got = ImageDataGenerator().apply_transform(x, {"brightness": factor})
    want = keras_image.apply_brightness_shift(x, factor, scale=False)
    np.testing.assert_allclose(got, want, atol=3 * scale)


def test_brightness_of_images_from_0_to_1_is_a_factor():
    np.testing.assert_allclose(ImageDataGenerator().apply_transform(X[0] / 255, {"brightness": 0.5}), X[0] / 510)


# ---------------------------------------------------------------- normalised


@pytest.mark.parametrize(
    "options",
    [
        {"rescale": 1 / 255},
        {"samplewise_center": True},
        {"samplewise_std_normalization": True},
        {"featurewise_center": True, "rescale": 0.5},
        {"featurewise_std_normalization": True},
        {"preprocessing_function": lambda x: x - 3, "rescale": 2.0},
        {"zca_whitening": True, "zca_epsilon": 1e-1},
    ],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.filterwarnings("ignore:This ImageDataGenerator specifies")
def test_images_are_normalised_as_by_keras(keras_image, options):
    ours = ImageDataGenerator(**options)
    theirs = keras_image.ImageDataGenerator(data_format="channels_last", dtype="float32", **options)
    small = X[:, :3, :3]
    ours.fit(small)
    theirs.fit(small.copy())
    got = np.concatenate([x for x, _ in [next(ours.flow(small, Y, batch_size=12, shuffle=False))]])
    want = np.stack([theirs.standardize(x.copy()) for x in small])
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


def test_a_generator_that_has_seen_no_data_says_so():
    with pytest.warns(UserWarning, match=r"call fit\(x\) first"):
        assert_same_bits(ImageDataGenerator(featurewise_center=True).standardize(X[0]), X[0])


def test_fit_can_measure_changed_images():
    one, other = (ImageDataGenerator(featurewise_center=True, brightness_range=(0.1, 0.2)) for _ in range(2))
    one.fit(X, augment=True, rounds=3, seed=1)
    other.fit(X)
    assert (one.mean < 0.25 * other.mean).all()


# ---------------------------------------------------------------- drawn


RANGES = {
    "theta": ({"rotation_range": 20}, -20, 20),
    "tx": ({"height_shift_range": 0.25}, -0.25 * 9, 0.25 * 9),
    "ty": ({"width_shift_range": 3.0}, -3, 3),
    "shear": ({"shear_range": 0.5}, -0.5, 0.5),
    "zx": ({"zoom_range": 0.2}, 0.8, 1.2),
    "zy": ({"zoom_range": [0.5, 2]}, 0.5, 2),
    "brightness": ({"brightness_range": [0.2, 1.0]}, 0.2, 1),
    "channel_shift_intensity": ({"channel_shift_range": 40.0}, -40, 40),
}


@pytest.mark.parametrize("name", RANGES)
def test_changes_fill_the_range_that_was_asked_for(name):
    options, low, high = RANGES[name]
    generator = ImageDataGenerator(**options)
    values = np.array([generator.get_random_transform((9, 9, 3))[name] for _ in range(400)])
    assert low <= values.min() < low + 0.05 * (high - low) and high - 0.05 * (high - low) < values.max() <= high
    assert abs(values.mean() - (low + high) / 2) < 0.1 * (high - low)


@pytest.mark.parametrize("wanted, values", [(3, {-2, -1, 0, 1, 2}), ([2, 5], {-5, -2, 2, 5})])
def test_whole_shifts_are_of_whole_pixels(wanted, values):
    generator = ImageDataGenerator(width_shift_range=wanted)
    assert {generator.get_random_transform((9, 9, 3))["ty"] for _ in range(200)} == values


def test_half_of_the_images_are_mirrored_in_either_way_apart():
    generator = ImageDataGenerator(horizontal_flip=True, vertical_flip=True)
    changes = [generator.get_random_transform((9, 9, 3)) for _ in range(800)]
    for ways in ((True, True), (True, False), (False, True), (False, False)):
        found = sum((c["flip_horizontal"], c["flip_vertical"]) == ways for c in changes)
        assert 150 < found < 250


def test_nothing_is_changed_that_was_not_asked_for():
    x, y = next(ImageDataGenerator().flow(X, Y, batch_size=12, shuffle=False))
    assert_same_bits(x, X)
    assert y.tolist() == Y.tolist()


def test_the_numbers_of_an_image_are_the_generator_s_words():
    words = philox.random_bits(12, 5, philox.stream_id(philox.AUGMENTATION), step=2**32 + 7)
    assert_same_bits(draws.drawn(5, np.array([2**32 + 7], np.uint64))[0], philox.unit(words))


# ---------------------------------------------------------------- batches


def passes(seed=None, count=2, **options):
    """The images and labels of some passes of a flow, one pass after the other."""
    flow = ImageDataGenerator(rotation_range=30).flow(X, Y, seed=seed, **{"batch_size": 5, **options})
    result = []
    for _ in range(count):
        x, y = zip(*(next(flow) for _ in range(len(flow))), strict=True)
        result.append((np.concatenate(x), np.concatenate(y)))
    return result


def test_a_flow_is_the_same_for_a_seed_and_changes_from_pass_to_pass():
    (x1, y1), (x2, y2) = passes(seed=3)
    assert sorted(y1) == sorted(y2) == Y.tolist() and y1.tolist() != y2.tolist()
    assert not np.array_equal(x1[np.argsort(y1)], x2[np.argsort(y2)])
    assert_same_bits(x1, passes(seed=3)[0][0])
    assert not np.array_equal(x1, passes(seed=4)[0][0])
    again(9)
    one = passes()[0][0]
    again(9)
    assert_same_bits(one, passes()[0][0])


def test_how_an_image_is_changed_does_not_depend_on_its_batch():
    (x, y), (x2, y2) = passes(seed=3, batch_size=5)
    (other, y3), _ = passes(seed=3, batch_size=12, shuffle=False)
    assert_same_bits(x[np.argsort(y)], other)


def test_batches_by_number_are_those_of_a_pass():
    flow = ImageDataGenerator(zoom_range=0.5).flow(X, Y, batch_size=5, seed=1)
    assert len(flow) == 3 and [len(flow[i][0]) for i in range(3)] == [5, 5, 2]
    for i in range(3):
        assert_same_bits(flow[i][0], next(flow)[0])
    with pytest.raises(IndexError, match="no batch 3"):
        flow[3]


def test_a_flow_of_images_alone_and_one_with_weights():
    assert next(ImageDataGenerator().flow(X, batch_size=4)).shape == (4, 9, 9, 3)
    x, y, weights = next(ImageDataGenerator().flow(X, Y, 4, sample_weight=Y * 2))
    assert (weights == 2 * y).all()


def test_a_part_is_for_validation():
    generator = ImageDataGenerator(validation_split=0.25)
    parts = [generator.flow(X, Y, 12, shuffle=False, subset=name) for name in ("training", "validation")]
    assert [next(part)[1].tolist() for part in parts] == [list(range(3, 12)), [0, 1, 2]]


def test_a_network_trains_on_a_flow_and_repeats_itself_to_the_bit():
    x, y = toy(30)
    weights = []
    for workers in (1, 0, 1):
        again()
        model = linear("adam")
        generator = ImageDataGenerator(rotation_range=10, width_shift_range=0.1)
        model.fit_generator(generator.flow(x, y, 8), epochs=3, verbose=0, workers=workers)
        weights.append(model.get_weights())
    for other in weights[1:]:
        for got, want in zip(other, weights[0], strict=True):
            assert_same_bits(got, want)
    again()
    plain = linear("adam")
    fit(plain, x, y, epochs=3)
    assert not np.array_equal(plain.get_weights()[0], weights[0][0])


# ---------------------------------------------------------------- folders


@pytest.fixture
def folder(tmp_path):
    """Two classes of pictures of one grey each, one of them in a folder within, and files that are no pictures."""
    for name, grey in (("cats/b.png", 10), ("cats/a.png", 20), ("dogs/inner/c.jpg", 200), ("dogs/d.PNG", 30)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 4), grey, np.uint8)).save(path)
    (tmp_path / "cats" / "notes.txt").write_text("no picture")
    (tmp_path / "loose.png").write_bytes((tmp_path / "cats" / "a.png").read_bytes())
    return tmp_path


def test_folders_are_classes_in_the_order_of_their_names(folder, capsys):
    flow = ImageDataGenerator(rescale=0.1).flow_from_directory(folder, (5, 7), batch_size=8, shuffle=False)
    x, y = next(flow)
    assert capsys.readouterr().out == "Found 4 images belonging to 2 classes.\n"
    assert x.shape == (4, 5, 7, 3) and x.dtype == np.float32
    assert x[:, 0, 0, 0].round().tolist() == [2, 1, 3, 20]
    assert y.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    assert flow.class_indices == {"cats": 0, "dogs": 1} and flow.classes.tolist() == [0, 0, 1, 1]
    assert flow.filenames == ["cats/a.png", "cats/b.png", "dogs/d.PNG", "dogs/inner/c.jpg"]
    assert flow.samples == flow.n == 4 and flow.image_shape == (5, 7, 3)


@pytest.mark.parametrize(
    "mode, labels", [("sparse", [0, 0, 1, 1]), ("binary", [0, 0, 1, 1]), ("input", None), (None, None)]
)
def test_labels_come_as_they_are_asked_for(folder, mode, labels):
    flow = ImageDataGenerator().flow_from_directory(
        folder, (6, 4), "grayscale", class_mode=mode, batch_size=4, shuffle=False
    )
    batch = next(flow)
    images = batch if mode is None else batch[0]
    assert images[:, 0, 0, 0].tolist() == [20, 10, 30, 200]
    if labels is not None:
        assert batch[1].tolist() == labels
    if mode == "input":
        assert_same_bits(batch[0], batch[1])


def test_classes_may_be_named(folder):
    flow = ImageDataGenerator().flow_from_directory(folder, (2, 2), classes=["dogs", "cats"], shuffle=False)
    assert flow.class_indices == {"dogs": 0, "cats": 1} and flow.classes.tolist() == [0, 0, 1, 1]


def test_a_damaged_picture_is_named(folder):
    path = folder / "dogs" / "d.PNG"
    path.write_bytes(path.read_bytes()[:50])
    flow = ImageDataGenerator().flow_from_directory(folder, (2, 2), batch_size=4)
    with pytest.raises(ValueError, match=r"d\.PNG is a damaged picture"):
        next(flow)


def test_folders_that_are_no_classes_are_refused(folder):
    flow = ImageDataGenerator(validation_split=0.1).flow_from_directory
    for call, message in (
        (lambda: flow(folder / "none"), "none: cannot be read: No such file"),
        (lambda: flow(folder / "cats"), "no pictures in folders of their classes"),
        (lambda: flow(folder, classes=["birds"]), "birds: there is no folder of this class"),
        (lambda: flow(folder, classes=["cats"], class_mode="binary"), "takes two classes, and there are 1"),
    ):
        with pytest.raises(DataError, match=message):
            call()
    with pytest.raises(ValueError, match="subset='validation' has no images"):
        flow(folder, subset="validation")


# ---------------------------------------------------------------- pictures


def test_pictures_become_arrays_and_arrays_pictures(tmp_path):
    x = np.random.default_rng(2).integers(0, 256, (5, 4, 3)).astype(np.float32)
    array_to_img(x, scale=False).save(tmp_path / "x.png")
    assert_same_bits(img_to_array(load_img(tmp_path / "x.png")), x)
    assert load_img(tmp_path / "x.png", grayscale=True, target_size=(2, 9)).size == (9, 2)
    scaled = img_to_array(array_to_img(np.array([[[-1.0], [1.0]]])))
    assert scaled.tolist() == [[[0.0], [255.0]]]


# ---------------------------------------------------------------- what is refused


BAD = {
    "fill_mode": (lambda: ImageDataGenerator(fill_mode="nearer"), "fill_mode.*did you mean nearest"),
    "data_format": (lambda: ImageDataGenerator(data_format="channels_first"), "channels_last"),
    "dtype": (lambda: ImageDataGenerator(dtype="float16"), "images are float32"),
    "zoom": (lambda: ImageDataGenerator(zoom_range=(1, 2, 3)), "zoom_range is a number or two numbers"),
    "brightness": (lambda: ImageDataGenerator(brightness_range=0.5), "brightness_range is two numbers"),
    "split": (lambda: ImageDataGenerator(validation_split=1), "validation_split"),
    "flat images": (lambda: ImageDataGenerator().flow(X[0]), r"\(N, H, W, C\)"),
    "too few labels": (lambda: ImageDataGenerator().flow(X, Y[:3]), r"y of shape \(3,\)"),
    "a subset": (lambda: ImageDataGenerator().flow(X, subset="test"), "no subset is called 'test'"),
    "no subset": (lambda: ImageDataGenerator().flow(X, subset="validation"), "has no images"),
    "save_to_dir": (lambda: ImageDataGenerator().flow(X, save_to_dir="."), "array_to_img"),
    "a dataframe": (lambda: ImageDataGenerator().flow_from_dataframe(None, x_col="x"), "flow_from_directory"),
    "fit": (lambda: ImageDataGenerator().fit(X[0]), r"\(9, 9, 3\)"),
    "a batch size": (lambda: ImageDataGenerator().flow(X, batch_size=0), "batch_size"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_there_is_refused(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_without_scipy_the_command_is_named_before_anything_is_trained(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments):
        if name == "scipy":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    for options in ({"rotation_range": 5}, {"width_shift_range": [1, 2]}, {"zoom_range": 0.1}, {"shear_range": 1}):
        with pytest.raises(ValueError, match=r"pip install 'tinycnn\[augment\]'"):
            ImageDataGenerator(**options)
    next(ImageDataGenerator(horizontal_flip=True, rescale=0.5, brightness_range=(0.5, 1)).flow(X, Y))
