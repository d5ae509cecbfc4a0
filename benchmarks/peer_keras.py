"""tinycnn's networks as Keras 3 models, trained by Keras's own `fit`. KERAS_BACKEND says on what."""

import keras
import numpy as np
from trainer import Trainer

from tinycnn import layers


def to_keras(model):
    """The Keras model for a tinycnn model, with copies of the weights. Raises TypeError for an unknown layer."""
    made, values = {}, {model.input: keras.Input(model.input.shape)}
    for symbol in model.symbols[1:]:
        if symbol.layer not in made:  # a layer that is used twice stays one layer
            made[symbol.layer] = keras_layer(symbol.layer)
        inputs = [values[i] for i in symbol.inputs]
        values[symbol] = made[symbol.layer](inputs if len(inputs) > 1 else inputs[0])
    for layer, copy in made.items():
        if layer.weights:
            copy.set_weights(layer.get_weights())
    return keras.Model(values[model.input], values[model.output])


def keras_layer(layer):
    if isinstance(layer, layers.Conv2D):
        return keras.layers.Conv2D(
            layer.filters, layer.window, layer.stride, layer.padding,
            data_format="channels_last", activation=layer.activation, use_bias=layer.use_bias,
            kernel_initializer=layer.kernel_initializer,
        )  # fmt: skip
    if isinstance(layer, layers.MaxPooling2D):
        return keras.layers.MaxPooling2D(layer.window, layer.stride, layer.padding, data_format="channels_last")
    if isinstance(layer, layers.BatchNormalization):
        return keras.layers.BatchNormalization(momentum=layer.momentum, epsilon=layer.epsilon)
    if isinstance(layer, layers.Dense):
        return keras.layers.Dense(
            layer.units, activation=layer.activation, use_bias=layer.use_bias,
            kernel_initializer=layer.kernel_initializer,
        )  # fmt: skip
    if isinstance(layer, layers.Dropout):
        return keras.layers.Dropout(layer.rate)
    if isinstance(layer, layers.Flatten):
        return keras.layers.Flatten(data_format="channels_last")
    if isinstance(layer, layers.Activation):
        return keras.layers.Activation(layer.activation or "linear")
    if isinstance(layer, layers.Concatenate):
        return keras.layers.Concatenate(axis=-1)
    raise TypeError(f"{layer.name} ({layer.type}) has no translation to Keras here")


def optimizer_of(model):
    """Keras's optimiser of the same name, with the same settings. Raises TypeError where there is none."""
    options = model.optimizer.options()
    if options.pop("decay"):
        raise TypeError("a learning rate with decay has no translation to Keras 3 here")
    made = getattr(keras.optimizers, model.optimizer.name, None)
    if made is None:
        raise TypeError(f"the optimiser {model.optimizer.name} has no translation to Keras here")
    return made(**options)


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
    net.compile(optimizer=optimizer_of(model), loss="categorical_crossentropy", metrics=["accuracy"])
    labels = np.eye(model.output.shape[0], dtype=np.float32)[y]

    def epoch():
        return float(net.fit(x, labels, batch_size=batch, epochs=1, verbose=0).history["loss"][0])

    def validation(x, y):
        right = np.eye(model.output.shape[0], dtype=np.float32)[y]
        return lambda: float(net.evaluate(x, right, batch_size=1000, verbose=0, return_dict=True)["accuracy"])

    def set_rate(rate):
        net.optimizer.learning_rate = rate

    return Trainer(epoch, validation, set_rate, net.count_params())
