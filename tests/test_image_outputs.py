"""Networks that make images larger and end in images, as autoencoders do: how they train, and what they see."""

import numpy as np
import pytest
from helpers import assert_close, normal
from oracles import rng_of

from tinycnn import Tensor, losses
from tinycnn import functional as F
from tinycnn.architectures.notation import parse
from tinycnn.fit import summary
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    Conv2D,
    Conv2DTranspose,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    UpSampling2D,
)
from tinycnn.models import Model, Sequential
from tinycnn.shapes import ShapeError

LAST = {"binary_crossentropy": "sigmoid", "mse": "tanh"}


def autoencoder(activation, *more):
    return Sequential(
        [
            Conv2D(3, (3, 3), activation="relu", padding="same", input_shape=(6, 4, 2)),
            MaxPooling2D((2, 2)),
            Conv2D(4, (2, 2), activation="relu", padding="same"),
            UpSampling2D((1, 2)),
            Conv2DTranspose(2, (3, 3), strides=(2, 1), padding="same", activation=activation),
            *more,
        ]
    )


def compiled(loss, flat):
    """The same weights each time; with flat outputs or not."""
    more = [Flatten(), Activation(LAST[loss])] if flat else []
    model = autoencoder(None if flat else LAST[loss], *more)
    rng = rng_of(10)
    model.set_weights([normal(rng, *w.shape) / 2 for w in model.weights])
    model.compile("sgd", loss, ["accuracy"] if loss == "binary_crossentropy" else None)
    return model


@pytest.mark.parametrize("loss", LAST)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_network_that_ends_in_images_is_trained_as_one_with_flat_outputs(device, loss, weighted):
    rng = rng_of(11)
    x = normal(rng, 7, 6, 4, 2)
    y = (normal(rng, 7, 6, 4, 2) > 0).astype(float)
    weights = rng.uniform(0, 2, 7) if weighted else None
    found = []
    for flat in (False, True):
        labels = y.reshape(7, -1) if flat else y
        model = compiled(loss, flat)
        options = {"shuffle": False, "sample_weight": weights, "validation_data": (x[:4], labels[:4])}
        history = model.fit(x, labels, 3, 2, verbose=0, **options)
        found.append((history.history, model.predict(x).reshape(7, -1), model.evaluate(x, labels, verbose=0)))
    (images, out, score), (rows, flat_out, flat_score) = found
    assert images.keys() == rows.keys() and ("accuracy" in images) == (loss == "binary_crossentropy")
    for name, values in images.items():
        assert_close(np.array(values), np.array(rows[name]), 100)
    assert_close(out, flat_out, 100)
    assert_close(np.ravel(score), np.ravel(flat_score), 100)


def test_the_loss_is_the_mean_over_all_pixels_and_accuracy_their_share(float64):
    model = compiled("binary_crossentropy", flat=False)
    rng = rng_of(12)
    x, y = normal(rng, 3, 6, 4, 2), (normal(rng, 3, 6, 4, 2) > 0).astype(float)
    p = model.predict(x)
    loss, accuracy = model.evaluate(x, y, verbose=0)
    assert loss == pytest.approx(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
    assert accuracy == pytest.approx(np.mean((p > 0.5) == y))


@pytest.mark.parametrize("loss", LAST)
def test_a_step_goes_along_the_gradient_that_the_tape_has(float64, loss):
    rng = rng_of(14)
    x, y = normal(rng, 3, 6, 4, 2), (normal(rng, 3, 6, 4, 2) > 0).astype(float)
    model = compiled(loss, flat=False)
    before = model.get_weights()
    losses.get(loss)(y.reshape(3, -1), F.flatten(model(x, training=True))).backward()
    gradients = [w.grad.numpy().copy() for w in model.weights]
    for weight in model.weights:
        weight.zero_grad()
    model.train_on_batch(x, y)
    for old, gradient, new in zip(before, gradients, model.get_weights(), strict=True):
        assert_close(new, old - 0.01 * gradient, 100)


def test_what_images_are_not_trained_by_is_refused_by_name(float64):
    x = np.zeros((3, 6, 4, 2))
    model = compiled("mse", flat=False)
    with pytest.raises(ShapeError, match=r"y has shape \(3, 48\).*gives \(N, 6, 4, 2\)"):
        model.fit(x, x.reshape(3, -1), verbose=0)
    model.compile("sgd", "mse", ["accuracy"])
    with pytest.raises(
        ValueError, match=r"\(6, 4, 2\), which under mean_squared_error has no accuracy.*without metrics"
    ):
        model.fit(x, x, verbose=0)
    ends = Sequential([AveragePooling2D((2, 2), input_shape=(6, 4, 2)), Conv2D(2, (1, 1), activation="softmax")])
    ends.compile("sgd", "categorical_crossentropy")
    with pytest.raises(ShapeError, match=r"ends with shape \(3, 2, 2\), not \(classes,\): add Flatten"):
        ends.fit(x, np.zeros((3, 3, 2, 2)), verbose=0)


@pytest.mark.parametrize(
    "text",
    [
        "CN(1,3)->UP(2)->CN(1,3)",
        "AP(2)->CT(1,(3,2),strides=2)->CN(1,2)",
        "CT(1,5,strides=3)->AP(2)->CN(1,(4,3))",
        "CN(1,2,strides=3)->UP(1,3)->CT(1,(4,3),strides=(2,1))->AP(2)",
    ],
)
def test_a_receptive_field_is_what_the_most_far_sighted_output_sees(float64, text):
    whole = parse(f"IN(24,24,1)->{text}->FL()->DN(10)")
    model = Model(whole.input, whole.layers[-3].output)
    for layer in model.layers:
        layer.set_weights([np.ones(w.shape) for w in layer.weights])  # nothing cancels out, and no ReLU is at 0
    rng = rng_of(13)
    seen = np.zeros(2, int)
    for p, q in np.ndindex(model.output.extents[:2]):
        x = Tensor(rng.uniform(1, 2, (1, 24, 24, 1)), requires_grad=True)
        model(x, training=True)[0, p, q, 0].backward()
        touched = x.grad.numpy()[0, :, :, 0] != 0
        seen = np.maximum(seen, [np.ptp(np.flatnonzero(touched.any(axis=1 - axis))) + 1 for axis in (0, 1)])
    assert summary.rows(model)[-1].receptive_field == tuple(seen)


def test_global_pooling_sees_the_whole_image(float64):
    model = Sequential([Conv2D(2, (3, 3), input_shape=(9, 8, 1)), GlobalAveragePooling2D()])
    assert [row.receptive_field for row in summary.rows(model)][-2:] == [(3, 3), (9, 8)]
