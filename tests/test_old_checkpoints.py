"""Checkpoints that tinycnn 0.1.0 wrote are still read.

tests/data/checkpoint_0_1_0.json holds what one says of itself: its header's `tinycnn` field and the shapes of its
tensors. The numbers are made here.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_same_bits, images
from safetensors.numpy import save_file

from tinycnn.layers import Activation, BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinycnn.models import Sequential, load_model
from tinycnn.optimizers import Adam

OLD = json.loads((Path(__file__).parent / "data" / "checkpoint_0_1_0.json").read_text(encoding="utf-8"))
X, Y = images(np.random.default_rng(0), 6)


@pytest.fixture
def tensors():
    rng = np.random.default_rng(1)
    return {name: rng.uniform(0.1, 1, shape).astype(np.float32) for name, shape in OLD["tensors"].items()}


@pytest.fixture
def path(tmp_path, tensors):
    save_file(tensors, tmp_path / "old.safetensors", {"tinycnn": json.dumps(OLD["tinycnn"])})
    return tmp_path / "old.safetensors"


def the_same_network():
    """As the program that wrote the checkpoint made it."""
    return Sequential(
        [
            Conv2D(3, (3, 3), strides=2, padding="same", activation="relu", input_shape=(8, 8, 1)),
            BatchNormalization(),
            MaxPooling2D((2, 2)),
            Dropout(0.25),
            Flatten(),
            Dense(5, use_bias=False),
            Activation("relu"),
            Dense(3, activation="softmax"),
        ]
    )


def test_it_predicts_by_the_weights_of_the_file(device, path, tensors):
    model, network = load_model(path), the_same_network()
    names = "1.kernel", "1.bias", "2.gamma", "2.beta", "2.moving_mean", "2.moving_variance"
    network.set_weights([tensors[name] for name in (*names, "6.kernel", "8.kernel", "8.bias")])
    assert_same_bits(model.predict(X), network.predict(X))


def test_its_training_goes_on_where_it_stopped(device, path, tensors):
    model = load_model(path)
    optimizer = model.optimizer
    assert type(optimizer) is Adam and optimizer.iterations == 6 and model.epoch == 2
    assert optimizer.options() == OLD["tinycnn"]["training"]["options"]
    assert model.history.history["val_acc"] == [row["val_acc"] for row in OLD["tinycnn"]["history"]]
    for slot in ("m", "v"):
        for i, array in enumerate(optimizer.state[slot]):
            assert_same_bits(device.numpy(array), tensors[f"optimizer.{slot}.{i}"].astype(device.dtype))
    before = model.get_weights()
    history = model.fit(X, Y, batch_size=6, epochs=3, initial_epoch=model.epoch, verbose=0)
    assert history.epoch == [2] and model.history.epoch == [0, 1, 2] and optimizer.iterations == 7
    assert int(device.numpy(model.step)[0]) == OLD["tinycnn"]["step"] + 1
    assert all(np.isfinite(after).all() for after in model.get_weights())
    assert not np.array_equal(model.get_weights()[0], before[0])
