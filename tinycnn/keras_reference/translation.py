"""tinycnn's layers and optimisers in Keras 3, on whatever backend Keras has."""

from __future__ import annotations

from typing import Any

from tinycnn import layers
from tinycnn.optimizers import Optimizer

# Keras's layers of the same names take the same options; those of images must be told where the channels are.
OF_IMAGES = (
    layers.Conv2D, layers.MaxPooling2D, layers.AveragePooling2D, layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D, layers.ZeroPadding2D, layers.UpSampling2D, layers.Conv2DTranspose, layers.Flatten,
)  # fmt: skip
OF_ANYTHING = (
    layers.Dense, layers.BatchNormalization, layers.Dropout, layers.Activation, layers.LeakyReLU, layers.ELU,
    layers.ReLU, layers.Softmax, layers.Add, layers.Concatenate,
)  # fmt: skip
RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}}  # arguments that Keras 3 calls otherwise than Keras 2


def keras_layer(layer: layers.Layer, **replaced: Any) -> Any:
    """The Keras layer that does what one of ours does, without its weights; `replaced`: options to give in their place.

    Raises ValueError for a layer of another kind.
    """
    import keras

    if not isinstance(layer, OF_IMAGES + OF_ANYTHING):
        raise ValueError(f"{layer.name} ({layer.type}) has no translation to Keras here")
    where = {"data_format": "channels_last"} if isinstance(layer, OF_IMAGES) else {}
    names = RENAMED.get(layer.type, {})
    options = {names.get(name, name): value for name, value in layer.options().items()}
    penalties = {f"{name}_regularizer": keras.regularizers.L1L2(r.l1, r.l2) for name, r in layer.regularizers.items()}
    return getattr(keras.layers, layer.type)(**{**options, **where, **penalties, **replaced})


def keras_optimizer(optimizer: Optimizer) -> Any:
    """Keras's optimiser with the settings of one of ours. Raises ValueError for one of another kind."""
    import keras

    made = rmsprop_of_keras_2() if optimizer.name == "RMSprop" else getattr(keras.optimizers, optimizer.name, None)
    if made is None:
        raise ValueError(f"the optimiser {optimizer.name} has no translation to Keras here")
    options = optimizer.options()
    if decay := options.pop("decay"):
        rate = keras.optimizers.schedules.InverseTimeDecay(options["learning_rate"], 1, decay)
        options["learning_rate"] = rate
    return made(**options)


def rmsprop_of_keras_2() -> Any:
    """Keras 3's RMSprop but for epsilon, which Keras 2 adds to the root and Keras 3 below it."""
    import keras

    class RMSprop(keras.optimizers.RMSprop):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            rate, g = keras.ops.cast(learning_rate, variable.dtype), keras.ops.cast(gradient, variable.dtype)
            velocity = self._velocities[self._get_variable_index(variable)]
            self.assign(velocity, self.rho * velocity + (1 - self.rho) * keras.ops.square(g))
            self.assign_sub(variable, rate * g / (keras.ops.sqrt(velocity) + self.epsilon))

    return RMSprop
