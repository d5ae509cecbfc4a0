"""What the tests of training share: a data set and networks that train in a moment."""

import threading

import numpy as np
from helpers import assert_same_bits, images

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


def assert_alike_alone_and_at_once(model_of, trained, predict):
    """Four models trained in threads of their own, beside one that predicts, give what each gives alone.

    model_of(seed) makes a model, trained(model) gives its arrays after training, predict(model) its answers.
    """
    alone = [trained(model_of(seed)) for seed in range(4)]
    served = model_of(9)
    want = predict(served)
    models, found, answers, done = [model_of(seed) for seed in range(4)], [None] * 4, [], threading.Event()

    def train(i):
        found[i] = trained(models[i])

    def serve():
        while not done.is_set():
            answers.append(np.array_equal(predict(served), want))

    server = threading.Thread(target=serve)
    trainers = [threading.Thread(target=train, args=(i,)) for i in range(4)]
    for worker in (server, *trainers):
        worker.start()
    for worker in trainers:
        worker.join()
    done.set()
    server.join()
    assert answers and all(answers)
    for got, wanted in zip(found, alone, strict=True):
        assert got is not None
        for a, b in zip(got, wanted, strict=True):
            assert_same_bits(a, b)
