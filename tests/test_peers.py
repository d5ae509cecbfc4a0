"""The peers of the benchmarks: every framework computes and trains the network that tinycnn does."""

import sys

import contenders
import numpy as np
import pytest
from benchmark_inputs import learner

import tinycnn
from tinycnn import architectures, layers, models, optimizers


def every_kind_of_layer():
    """A graph with unequal strides and padding, batch-norm before and after Flatten, and branches."""
    x = layers.Input((9, 8, 2))
    a = layers.Conv2D(4, (3, 2), strides=(2, 1), padding="same", activation="relu")(x)
    b = layers.Conv2D(3, (2, 4), strides=(2, 1), padding="same", use_bias=False)(x)
    y = layers.BatchNormalization(momentum=0.9)(layers.Concatenate()([a, b]))
    y = layers.MaxPooling2D((2, 3), strides=(1, 2), padding="same")(layers.Activation("relu")(y))
    y = layers.BatchNormalization()(layers.Dropout(0.3)(layers.Flatten()(layers.Conv2D(4, 2)(y))))
    y = layers.BatchNormalization()(layers.Dense(6, activation="relu")(y))
    return models.Model(x, layers.Activation("softmax")(layers.Dense(5)(y)))


def network(name):
    """The model with every weight, the moving statistics too, moved off its initial value."""
    model = every_kind_of_layer() if name == "every kind of layer" else architectures.build(name)
    rng = np.random.default_rng(7)
    model.set_weights([w + rng.uniform(0, 0.1, w.shape).astype(np.float32) for w in model.get_weights()])
    return model, rng.random((5, *model.input.extents), np.float32)


NETWORKS = pytest.mark.parametrize(
    "name", [pytest.param("go-crazy", marks=pytest.mark.slow), "models-1", "every kind of layer"]
)


@NETWORKS
@pytest.mark.parametrize("layout", ["channels-first", "channels-last"])
def test_the_torch_module_computes_what_tinycnn_computes(reference, name, layout):
    torch = pytest.importorskip("torch")
    import peer_torch

    model, x = network(name)
    module = peer_torch.to_torch(model).to(memory_format=peer_torch.LAYOUTS[layout]).eval()
    assert peer_torch.count_params(module) == model.count_params()
    with torch.no_grad():
        got = torch.softmax(module(peer_torch.resident(x, layout)), dim=1).numpy()
    np.testing.assert_allclose(got, model.predict(x), atol=1e-4, equal_nan=False)


def test_torch_computes_in_the_layout_that_was_asked_for(reference):
    torch = pytest.importorskip("torch")
    import peer_torch

    model, x = network("go-crazy")
    for layout, memory_format in peer_torch.LAYOUTS.items():
        module = peer_torch.to_torch(model).to(memory_format=memory_format)
        features = module[0](peer_torch.resident(x, layout)[torch.tensor([2, 0])])
        assert features.is_contiguous(memory_format=memory_format)


@NETWORKS
def test_the_jax_functions_compute_what_tinycnn_computes(reference, name):
    jax = pytest.importorskip("jax")
    import peer_jax

    model, x = network(name)
    with jax.default_matmul_precision("highest"):
        logits, _ = peer_jax.logits_of(model, *peer_jax.weights_of(model), x, None, False)
    np.testing.assert_allclose(jax.nn.softmax(logits), model.predict(x), atol=1e-4, equal_nan=False)


@NETWORKS
def test_the_keras_model_computes_what_tinycnn_computes(reference, name):
    pytest.importorskip("keras")
    import peer_keras

    model, x = network(name)
    translated = peer_keras.to_keras(model)
    assert translated.count_params() == model.count_params()
    np.testing.assert_allclose(translated.predict(x, verbose=0), model.predict(x), atol=1e-4, equal_nan=False)


@pytest.mark.parametrize(
    ("framework", "module", "options"),
    [
        ("tinycnn", "numpy", {"device": "reference"}),
        ("PyTorch", "torch", {"threads": 1, "layout": "channels-last"}),
        ("Keras on JAX", "keras", {}),
        ("JAX", "jax", {"scan": False}),
        ("JAX", "jax", {"scan": True}),
    ],
)
def test_every_trainer_learns(reference, monkeypatch, framework, module, options):
    pytest.importorskip(module)
    monkeypatch.setattr(architectures, "build", lambda name: learner())
    x = np.random.default_rng(0).random((64, 8, 8, 1), np.float32)
    y = (x.mean(axis=(1, 2, 3)) > 0.5).astype(np.int64)
    threads = threads_of_torch() if module == "torch" else None
    try:
        trainer, schedule = contenders.make_trainer(framework, "learner", x, y, 24, options)
        losses = [trainer.epoch() for _ in range(12)]
        assert losses[-1] < losses[0] and schedule(2) == 0.25
        right, wrong = trainer.validation(x, y), trainer.validation(x, 1 - y)
        assert right() > 0.6 and right() + wrong() == pytest.approx(1)
        trainer.set_rate(0.0)
        before = right()
        trainer.epoch()
        assert right() == before
    finally:
        if threads:
            sys.modules["torch"].set_num_threads(threads)
    assert trainer.parameters == learner().count_params()


@pytest.mark.parametrize(
    "optimizer", [optimizers.Adam(0.01), optimizers.SGD(0.1, 0.9, True), optimizers.SGD(0.1), optimizers.Adadelta(1.0)]
)
def test_the_jax_optimizers_take_tinycnn_s_steps(reference, optimizer):
    jax = pytest.importorskip("jax")
    import peer_jax

    model, rng = learner(), np.random.default_rng(0)
    model.optimizer = type(optimizer)(**optimizer.options())
    make_state, update = peer_jax.optimizer_of(model)
    ours = tinycnn.Tensor(rng.standard_normal(5), requires_grad=True)
    theirs = ours.numpy().copy()
    state = make_state(theirs)
    for step in range(1, 6):
        gradient = rng.standard_normal(5).astype(np.float32)
        ours.grad = tinycnn.Tensor(gradient)
        model.optimizer.apply([ours])
        changes, state = update(model.optimizer.learning_rate, float(step), state, gradient)
        theirs = theirs + jax.device_get(changes)
    np.testing.assert_allclose(theirs, ours.numpy(), rtol=1e-4, atol=1e-6, equal_nan=False)


def threads_of_torch():
    import torch

    return torch.get_num_threads()
