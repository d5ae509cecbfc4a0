"""Networks of several inputs, beside a network of one that computes the same."""

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, normal
from small_trainings import again, fit

from tinycnn import backend as K
from tinycnn import optimizers
from tinycnn.fit import summary
from tinycnn.layers import Add, Concatenate, Dense, Flatten, Input, Lambda
from tinycnn.models import Model, load_model, model_from_json
from tinycnn.shapes import ShapeError
from tinycnn.tensor import Tensor

RNG = np.random.default_rng(0)
A, B = normal(RNG, 20, 4), normal(RNG, 20, 3)
BOTH = np.concatenate([A, B], axis=1)
Y = np.eye(2)[(A.sum(axis=1) > B.sum(axis=1)).astype(int)]
WEIGHTS = RNG.uniform(0.5, 2, 20)


def compiled(model):
    model.compile(optimizers.SGD(0.25, momentum=0.5), metrics=["accuracy"])
    return model


def two():
    """A dense layer for each of two inputs; their sum is that of one dense layer on both inputs side by side."""
    again()
    a, b = Input((4,)), Input((3,))
    x = Add()([Dense(6, use_bias=False, name="of_a")(a), Dense(6, name="of_b")(b)])
    return compiled(Model([a, b], Dense(2, activation="softmax", name="last")(x)))


def one(like):
    """The network of one input that computes what `like` does."""
    of_a, of_b, last = (like.get_layer(name).get_weights() for name in ("of_a", "of_b", "last"))
    again()
    x = Input((7,))
    model = Model(x, Dense(2, activation="softmax")(Dense(6)(x)))
    model.set_weights([np.concatenate([of_a[0], of_b[0]]), of_b[1], *last])
    return compiled(model)


def batches(x):
    while True:
        for start in range(0, 20, 5):
            part = slice(start, start + 5)
            yield [array[part] for array in x] if isinstance(x, list) else x[part], Y[part]


HOW = {
    "from arrays": lambda model, x: fit(
        model, x, Y, validation_split=0.25, sample_weight=WEIGHTS, class_weight={0: 2.0, 1: 1.0}
    ),
    "a batch": lambda model, x: model.train_on_batch(x, Y),
    "by a generator": lambda model, x: model.fit_generator(batches(x), steps_per_epoch=4, epochs=2, verbose=0),
}


@pytest.mark.parametrize("how", HOW)
def test_it_trains_as_one_input_does(device, how):
    model = two()
    twin = one(model)
    found, want = (HOW[how](m, x) for m, x in ((model, [A, B]), (twin, BOTH)))
    of_a, of_b, last = (model.get_layer(name).get_weights() for name in ("of_a", "of_b", "last"))
    for got, expected in zip([np.concatenate([of_a[0], of_b[0]]), of_b[1], *last], twin.get_weights(), strict=True):
        assert_close(got, expected, length=64)
    if hasattr(want, "history"):
        found, want = found.history, want.history
        assert found.keys() == want.keys()
        found, want = list(found.values()), list(want.values())
    assert_close(np.array(found, device.dtype), want, length=64)


def test_it_is_measured_and_predicts_as_one_input_does(device):
    model = two()
    twin = one(model)
    assert_close(model.predict([A, B], batch_size=8), twin.predict(BOTH), length=64)
    assert_close(model.predict_on_batch([A, B]), twin.predict(BOTH), length=64)
    assert_close(np.array(model.evaluate([A, B], Y, batch_size=8), device.dtype), twin.evaluate(BOTH, Y), length=64)
    assert_close(np.array(model.test_on_batch([A, B], Y), device.dtype), twin.evaluate(BOTH, Y), length=64)


def test_it_is_written_and_read(float64, tmp_path):
    model = two()
    want = model.predict([A, B])
    for name in ("m.safetensors", "m.h5"):
        if name.endswith("h5"):
            pytest.importorskip("h5py")
        model.save(tmp_path / name)
        assert_same_bits(load_model(tmp_path / name).predict([A, B]), want)
    made = model_from_json(model.to_json())
    made.set_weights(model.get_weights())
    assert made.input_shape == [(None, 4), (None, 3)]
    assert_same_bits(made.predict([A, B]), want)


def test_a_dense_layer_sees_the_inputs_that_it_depends_on(float64):
    a, b = Input((8, 6, 1)), Input((3,))
    of_a, of_b = Dense(2)(Flatten()(a)), Dense(2)(b)
    rows = summary.rows(Model([a, b], Dense(2, name="last")(Concatenate()([of_a, of_b]))))
    seen = {row.name: row.receptive_field for row in rows}
    assert (seen[of_a.layer.name], seen[of_b.layer.name], seen["last"]) == ((8, 6), (1, 3), (8, 6))


@pytest.mark.parametrize(
    "x, message",
    [
        (A, "list of 2 arrays.*not a ndarray"),
        ([A], "list of 2 arrays.*not 1 of them"),
        ([A, B[:7]], "20 and 7 images"),
        ([B, A], r"x\[0\] has shape \(20, 3\), but .* takes \(N, 4\)"),
    ],
)
def test_what_does_not_fit_the_inputs_is_refused(float64, x, message):
    for wrong in (lambda model: model.predict(x), lambda model: fit(model, x, Y)):
        with pytest.raises((ShapeError, ValueError), match=message):
            wrong(two())


def test_pairs_are_told_apart_by_a_loss_of_ones_own(device):
    """Hadsell, Chopra and LeCun, 2006: two images through one network, near where they are of one class."""
    a, b = Input((4,)), Input((4,))
    base = Dense(3, activation="tanh")
    distance = Lambda(lambda v: K.sqrt(K.maximum(K.sum(K.square(v[0] - v[1]), axis=1, keepdims=True), 1e-7)))
    model = Model([a, b], distance([base(a), base(b)]))
    same = (np.arange(20) % 2)[:, None].astype(float)
    near = A + np.where(same > 0, 0.05, 1.0) * normal(RNG, 20, 4)

    def contrastive(y, d):
        return K.mean(y * K.square(d) + (1 - y) * K.square(K.maximum(1 - d, 0)))

    optimizer, seen = optimizers.SGD(0.5), []
    for _ in range(5):
        loss = contrastive(Tensor(same), model([A, near], training=True))
        loss.backward()
        optimizer.apply(model.trainable_weights)
        for weight in model.trainable_weights:
            weight.zero_grad()
        seen.append(loss.numpy().item())
    assert seen == sorted(seen, reverse=True) and seen[-1] < 0.95 * seen[0]
