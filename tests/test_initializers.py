"""Initial weights: their distributions, the numbers and seeds of one's own, and how Keras writes them."""

import math

import numpy as np
import pytest

import tinycnn
from tinycnn import initializers, layers, models
from tinycnn.devices.network import Network
from tinycnn.fit.description import describe

pytestmark = pytest.mark.usefixtures("reference")


@pytest.fixture
def reference():
    with tinycnn.use_device("reference"):
        yield


def made(layer):
    """The weights that a layer begins with."""
    return models.Sequential([layer]).get_weights()


# ---------------------------------------------------------------- by their names

SHAPES = [(5, 3, 16, 24), (200, 100)]


def fans(shape):
    receptive = 1
    for n in shape[:-2]:
        receptive *= n
    return shape[-2] * receptive, shape[-1] * receptive


def limits(name, shape):
    """(bound, standard deviation) from keras-semantics.md."""
    fan_in, fan_out = fans(shape)
    share = {"glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in}[name.split("_")[0]]
    if name.endswith("uniform"):
        return math.sqrt(3 * share), math.sqrt(share)
    return 2 * math.sqrt(share) / 0.87962566103423978, math.sqrt(share)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["glorot_uniform", "glorot_normal", "he_uniform", "he_normal"])
def test_initial_weights_have_keras_s_bounds_and_deviation(name, shape):
    w = initializers.INITIALIZERS[name](shape, seed=1, stream=2)
    bound, deviation = limits(name, shape)
    assert w.shape == shape
    assert 0.98 * bound < np.abs(w).max() <= bound
    assert abs(w.mean()) < 5 * deviation / math.sqrt(w.size)
    assert abs(w.std() / deviation - 1) < 5 / math.sqrt(w.size)


def test_zeros_and_ones():
    assert not initializers.zeros((2, 3)).any() and initializers.zeros((2, 3)).shape == (2, 3)
    assert (initializers.ones((4,)) == 1).all()


def test_a_bias_has_its_length_for_a_fan():
    assert initializers.fans((6,)) == (6, 6)
    bias = made(layers.Dense(400, bias_initializer="he_uniform", input_shape=(3,)))[1]
    assert 0.9 * math.sqrt(6 / 400) < np.abs(bias).max() <= math.sqrt(6 / 400)


# ---------------------------------------------------------------- with numbers of one's own


def drawn(initializer, shape=(300, 200), seed=1, stream=2):
    return initializers.draw(initializers.get(initializer), shape, seed, stream)


def test_constant_is_one_number():
    assert (drawn(initializers.Constant(0.1), (3, 2)) == 0.1).all() and not drawn("constant", (2,)).any()


def test_uniform_numbers_lie_between_the_two():
    w = drawn(initializers.RandomUniform(1.0, 3.0))
    assert 1 <= w.min() < 1.01 and 2.99 < w.max() < 3 and abs(w.mean() - 2) < 0.02


def test_normal_numbers_have_the_mean_and_the_deviation():
    w = drawn(initializers.RandomNormal(mean=0.3, stddev=0.02))
    assert abs(w.mean() - 0.3) < 5 * 0.02 / math.sqrt(w.size) and abs(w.std() / 0.02 - 1) < 0.01
    assert np.abs(w - 0.3).max() > 4 * 0.02


def test_truncated_normal_numbers_end_at_two_deviations():
    w = drawn(initializers.TruncatedNormal(mean=0.3, stddev=0.02))
    assert 1.99 * 0.02 < np.abs(w - 0.3).max() <= 2 * 0.02
    assert abs(w.std() / (0.02 * 0.87962566) - 1) < 0.01  # the deviation of a normal distribution that is cut there


@pytest.mark.parametrize(("mode", "fan"), [("fan_in", 3 * 3 * 20), ("fan_out", 3 * 3 * 50), ("fan_avg", 3 * 3 * 35)])
@pytest.mark.parametrize("distribution", ["normal", "uniform", "truncated_normal", "untruncated_normal"])
def test_the_variance_is_scaled_by_the_fan(mode, fan, distribution):
    w = drawn(initializers.VarianceScaling(3.0, mode, distribution), (3, 3, 20, 50))
    deviation = math.sqrt(3 / fan)
    assert abs(w.std() / deviation - 1) < 0.05 and abs(w.mean()) < 5 * deviation / math.sqrt(w.size)
    largest = {"uniform": math.sqrt(3), "untruncated_normal": 3.5}.get(distribution, 2 / 0.87962566)
    assert (np.abs(w).max() > largest * deviation) == (distribution == "untruncated_normal")


@pytest.mark.parametrize("scale, mode, name", [(1, "fan_avg", "glorot"), (2, "fan_in", "he"), (1, "fan_in", "lecun")])
@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_the_named_ones_are_scalings(scale, mode, name, distribution):
    assert initializers.VarianceScaling(scale, mode, distribution) == f"{name}_{distribution}"
    numbers = {"scale": scale, "mode": mode, "distribution": distribution}
    scaled = initializers.Configured("variance_scaling", **numbers)((5, 3, 4, 6), 1, 2)
    np.testing.assert_allclose(scaled, drawn(f"{name}_{distribution}", (5, 3, 4, 6)), rtol=1e-14)


@pytest.mark.parametrize("shape", [(12, 12), (20, 7), (7, 20), (3, 3, 4, 8), (1, 2, 3, 8)], ids=str)
def test_orthogonal_columns_are_orthonormal_or_else_the_rows(shape):
    w = drawn(initializers.Orthogonal(gain=2.0), shape).reshape(-1, shape[-1])
    rows, columns = w.shape
    product = w.T @ w if rows >= columns else w @ w.T
    np.testing.assert_allclose(product, 4 * np.eye(min(rows, columns)), atol=1e-12)
    assert drawn("orthogonal", shape).shape == shape


def test_identity_is_a_diagonal():
    np.testing.assert_array_equal(drawn(initializers.Identity(3.0), (2, 3)), [[3, 0, 0], [0, 3, 0]])


def test_a_seed_of_its_own_is_the_same_for_every_layer_and_session():
    def kernels(initializer, session):
        tinycnn.set_random_seed(session)
        return [made(layers.Dense(4, kernel_initializer=initializer, input_shape=(3,)))[0] for _ in range(2)]

    first, second = kernels(initializers.glorot_uniform(seed=5), 0)
    again = kernels(initializers.glorot_uniform(seed=5), 1)[0]
    assert np.array_equal(first, second) and np.array_equal(first, again)
    assert not np.array_equal(first, kernels(initializers.glorot_uniform(seed=6), 0)[0])
    first, second = kernels(initializers.glorot_uniform(seed=None), 0)
    assert not np.array_equal(first, second)


# ---------------------------------------------------------------- as Keras writes them


def network(kernel, bias="zeros"):
    options = {"kernel_initializer": kernel, "bias_initializer": bias}
    return models.Sequential([layers.Conv2D(2, 3, input_shape=(5, 5, 1), **options), layers.Flatten(), layers.Dense(3)])


def chosen(model):
    return model.layers[0].kernel_initializer, model.layers[0].bias_initializer


OWN = {
    "normal": initializers.RandomNormal(stddev=0.02), "uniform": initializers.RandomUniform(-1, 1, seed=3),
    "scaling": initializers.VarianceScaling(3.0, "fan_out", "uniform"), "seeded": initializers.he_normal(seed=7),
    "orthogonal": initializers.Orthogonal(0.5),
}  # fmt: skip


@pytest.mark.parametrize("kernel", OWN.values(), ids=OWN)
def test_they_come_back_from_files_and_configs(kernel, tmp_path):
    tinycnn.set_random_seed(0)
    model = network(kernel, initializers.Constant(0.1))
    model.compile("sgd")
    model.save(tmp_path / "m.safetensors")
    assert chosen(models.load_model(tmp_path / "m.safetensors")) == chosen(model)
    tinycnn.set_random_seed(0)
    back = models.model_from_json(model.to_json())
    assert chosen(back) == chosen(model) == (kernel, initializers.Constant(0.1))
    assert np.array_equal(back.get_weights()[0], model.get_weights()[0]) and (back.get_weights()[1] == 0.1 * 1).all()


KERAS_2 = {"VarianceScaling", "RandomNormal", "RandomUniform", "Orthogonal"}  # all classes there that have numbers


@pytest.mark.parametrize("kernel", OWN.values(), ids=OWN)
def test_keras_reads_them_and_they_are_read_of_keras(keras, kernel):
    config = network(kernel).layers[0].get_config()["kernel_initializer"]
    assert config["class_name"] in KERAS_2
    theirs = keras.initializers.get(config)
    assert type(theirs).__name__ == config["class_name"]
    written = keras.saving.serialize_keras_object(theirs)
    assert initializers.get(written) == initializers.get(config) == kernel


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"class_name": "Zeros", "config": {"dtype": "float32"}}, "zeros"),
        ({"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": 0.05, "seed": None}}, "random_normal"),
        ("RandomNormal", "random_normal"),
        ("one", "ones"),
        ("variance_scaling", "lecun_normal"),
        ({"class_name": "HeNormal", "config": {"seed": 3}}, initializers.he_normal(seed=3)),
        (initializers.ones, "ones"),
        (
            {"class_name": "VarianceScaling",
             "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None}},
            "glorot_uniform",
        ),
    ],
)  # fmt: skip
def test_every_form_of_keras_is_understood(written, meant):
    assert initializers.get(written) == meant


@pytest.mark.parametrize("shape", [(5, 3, 16, 24), (200, 100)], ids=str)
@pytest.mark.parametrize(
    "name, config",
    [
        ("glorot_uniform", {}), ("glorot_normal", {}), ("he_uniform", {}), ("he_normal", {}),
        ("random_normal", {"mean": 0.1, "stddev": 0.3}), ("truncated_normal", {"mean": 0.1, "stddev": 0.3}),
        ("random_uniform", {"minval": -0.1, "maxval": 0.3}),
        ("variance_scaling", {"scale": 2.0, "mode": "fan_out", "distribution": "truncated_normal"}),
        ("variance_scaling", {"scale": 2.0, "mode": "fan_avg", "distribution": "untruncated_normal"}),
    ],
)  # fmt: skip
def test_initial_weights_are_distributed_as_keras_s(keras, name, config, shape):
    written = {"class_name": name, "config": config}
    ours = drawn(written, shape).ravel()
    theirs = np.asarray(keras.initializers.get({"class_name": name, "config": {**config, "seed": 1}})(shape)).ravel()
    n = ours.size
    # The two-sample Kolmogorov-Smirnov distance, at a level of about 1e-6.
    values = np.sort(np.concatenate([ours, theirs]))
    distance = np.abs(
        np.searchsorted(np.sort(ours), values, side="right") - np.searchsorted(np.sort(theirs), values, side="right")
    ).max()
    assert distance / n < 2.7 * np.sqrt(2 / n)
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=5 / np.sqrt(n))
    if name != "random_normal" and config.get("distribution") != "untruncated_normal":  # which have no bounds
        np.testing.assert_allclose(np.abs(ours).max(), np.abs(theirs).max(), rtol=0.02)


def test_how_weights_began_does_not_matter_to_a_step_in_one_kernel():
    begun = layers.Dense(3, activation="softmax", bias_initializer="ones", kernel_initializer=OWN["normal"])
    model = models.Sequential([layers.Flatten(input_shape=(4, 4, 1)), begun])
    model.compile("sgd")
    assert isinstance(describe(model), Network)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: initializers.get("sparse"), ValueError, "called 'sparse'; there are: zeros, .*orthogonal"),
        (lambda: initializers.get(None), ValueError, "called None"),
        (lambda: initializers.get(lambda shape: shape), ValueError, "weights="),
        (lambda: initializers.get({"class_name": "Zeros", "config": {"gain": 2}}), ValueError, "no option 'gain'"),
        (lambda: initializers.RandomNormal(stddev=-1), ValueError, "stddev of the initializer random_normal must be"),
        (lambda: initializers.RandomNormal(stddev="a"), ValueError, "stddev"),
        (lambda: initializers.RandomNormal(mean=math.nan), ValueError, "mean"),
        (lambda: initializers.RandomNormal(sigma=1), TypeError, "no option 'sigma'; it has: mean, stddev, seed"),
        (lambda: initializers.RandomNormal(0, 1, 2, 3), TypeError, "3 options, not 4"),
        (lambda: initializers.he_normal(seed=-1), ValueError, "a seed is a whole number"),
        (
            lambda: initializers.VarianceScaling(mode="fan"),
            ValueError,
            "mode .*must be one of fan_in, fan_out, fan_avg",
        ),
        (lambda: initializers.VarianceScaling(scale=0), ValueError, "scale .*positive"),
        (lambda: made(layers.Conv2D(2, 3, kernel_initializer="identity", input_shape=(5, 5, 1))), ValueError, "dense"),
        (lambda: made(layers.Dense(2, bias_initializer="orthogonal", input_shape=(5,))), ValueError, "draws kernels"),
    ],
)
def test_what_cannot_be_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()
