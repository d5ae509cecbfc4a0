"""tinycnn's networks as Keras 3 models, trained by Keras's own `fit`. KERAS_BACKEND says on what."""

import keras
import numpy as np
from trainer import Trainer

from tinycnn.keras_reference.translation import keras_layer, keras_optimizer


def to_keras(model):
    """The Keras model for a tinycnn model, with copies of the weights. Raises ValueError for an unknown layer."""
    made, values = {}, {model.input: keras.Input(model.input.extents)}
    for symbol in model.symbols[1:]:
        if symbol.layer not in made:  # a layer that is used twice stays one layer
            made[symbol.layer] = keras_layer(symbol.layer)
        inputs = [values[i] for i in symbol.inputs]
        values[symbol] = made[symbol.layer](inputs if len(inputs) > 1 else inputs[0])
    for layer, copy in made.items():
        if layer.weights:
            copy.set_weights(layer.get_weights())
    return keras.Model(values[model.input], values[model.output])


def check_gpu():
    """Raises RuntimeError where the backend would compute on the CPU."""
    if keras.backend.backend() == "torch":
        import torch

        found, remedy = torch.cuda.is_available(), "pip install torch with CUDA"
    else:
        import jax

        found, remedy = jax.default_backend() == "gpu", "pip install 'jax[cuda13]'"
    if not found:
        raise RuntimeError(f"{keras.backend.backend()} finds no GPU: {remedy}")


def trainer(model, x, y, batch, device="cpu"):
    """The Trainer of a tinycnn model's translation: Keras's own `fit`. x (N, H, W, C), y (N,) whole numbers."""
    if device == "cuda":
        check_gpu()
    net = to_keras(model)
    net.compile(optimizer=keras_optimizer(model.optimizer), loss="categorical_crossentropy", metrics=["accuracy"])
    labels = np.eye(model.output.extents[0], dtype=np.float32)[y]

    def epoch():
        return float(net.fit(x, labels, batch_size=batch, epochs=1, verbose=0).history["loss"][0])

    def validation(x, y):
        right = np.eye(model.output.extents[0], dtype=np.float32)[y]
        return lambda: float(net.evaluate(x, right, batch_size=1000, verbose=0, return_dict=True)["accuracy"])

    def set_rate(rate):
        net.optimizer.learning_rate = rate

    return Trainer(epoch, validation, set_rate, net.count_params())
