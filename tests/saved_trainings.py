"""What the tests of checkpoints share: networks with something to remember, and trainings of them."""

import numpy as np
from helpers import images

from tinycnn import optimizers, session
from tinycnn.layers import (
    Activation,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
)
from tinycnn.models import Model, Sequential

X, Y = images(np.random.default_rng(0), 22)


def network():
    """Everything that has something to remember: weights, moving statistics, dropout streams."""
    return Sequential(
        [
            Conv2D(3, (3, 3), strides=(2, 1), padding="same", activation="relu", input_shape=(8, 8, 1)),
            BatchNormalization(momentum=0.9),
            MaxPooling2D((2, 2), strides=1),
            Dropout(0.25),
            Flatten(),
            Dense(5, use_bias=False, kernel_initializer="he_normal", kernel_regularizer="l2"),
            Activation("relu"),
            Dropout(0.5),
            Dense(3, activation="softmax"),
        ]
    )


def graph():
    inputs = Input(shape=(8, 8, 1))
    shared = Conv2D(2, (3, 3), padding="same")
    left = shared(inputs)
    right = BatchNormalization()(shared(Dropout(0.1)(inputs)))
    joined = Flatten()(Concatenate()([left, right, inputs]))
    return Model(inputs, Dense(3, activation="softmax")(joined))


OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.05, decay=0.01),
    "nesterov": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: optimizers.Adam(0.01, beta_1=0.8),
    "adadelta": lambda: optimizers.Adadelta(rho=0.9),
    "rmsprop": lambda: optimizers.RMSprop(rho=0.8),
}


def compiled(build=network, optimizer="adam"):
    session.clear_session()
    session.set_random_seed(7)
    model = build()
    model.compile(OPTIMIZERS[optimizer](), metrics=["accuracy"])
    return model


def fit(model, epochs, **arguments):
    return model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, initial_epoch=model.epoch, **arguments)


def saved_to(path):
    """A checkpoint after one epoch is written there; the model it is of."""
    model = compiled()
    fit(model, 1)
    model.save(path)
    return model
