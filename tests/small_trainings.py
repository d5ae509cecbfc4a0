"""What the tests of training share: a data set and networks that train in a moment."""

import numpy as np
from helpers import images

from tinycnn import session
from tinycnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPooling2D,
)
from tinycnn.models import Sequential


def toy(count=30, seed=0):
    return images(np.random.default_rng(seed), count)


def network(**first):
    """Every kind of layer that trains: convolution, batch norm, pooling, dropout, dense."""
    return Sequential(
        [
            Conv2D(4, (3, 3), activation="relu", **first),
            BatchNormalization(),
            MaxPooling2D((2, 2)),
            Dropout(0.25),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
    )


def compiled(optimizer="sgd", loss="categorical_crossentropy", metrics=("accuracy",)):
    model = network(input_shape=(8, 8, 1))
    model.compile(optimizer, loss, list(metrics))
    return model


def linear(optimizer="sgd"):
    """The smallest network that trains."""
    model = Sequential([Flatten(input_shape=(8, 8, 1)), Dense(3, activation="softmax")])
    model.compile(optimizer, metrics=["accuracy"])
    return model


def again(seed=0):
    """As in a new program: the same seed, layers numbered from 1."""
    session.clear_session()
    session.set_random_seed(seed)


def fit(model, x, y, **arguments):
    return model.fit(x, y, **{"batch_size": 8, "epochs": 2, "verbose": 0, **arguments})
