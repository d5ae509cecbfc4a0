"""What every method of a device takes, on small odd shapes: for the tests that go over all operations."""

import importlib

import numpy as np
from helpers import one_hot

from tinycnn import kernels
from tinycnn.devices.base import Mask

UNPADDED, PADDED = ((0, 0), (0, 0)), ((1, 2), (2, 1))


class Inputs:
    """What the operations take. Two of them give the same numbers: for operations that change their arguments."""

    def __init__(self, dtype):
        self.dtype, self.rng = dtype, np.random.default_rng(0)

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(self.dtype)

    def positive(self, *shape):
        return self.normal(*shape) ** 2 + np.asarray(0.1, self.dtype)

    def few(self, *shape):
        """Numbers of which many are equal."""
        return self.rng.integers(-1, 2, shape).astype(self.dtype)

    def number(self, value):
        return np.array([value], self.dtype)

    def several(self):
        return [self.positive(3, 2, 1, 5), self.positive(7), self.positive(1, 1)]


def step_of(value):
    return np.array([value])


def mask_of(step):
    """Of a dropout behind batch normalisation; in what forward saved, the step is what dropout saved."""
    return Mask(0.3, 2**40 + 1, 7, step)


def places(on, *shape, below):
    return on.rng.integers(0, below, shape).astype(np.int32)


# For each method of a device: functions of Inputs that give its arguments. Odd shapes, one channel and more than four,
# strides, padding, ties.
ARGUMENTS = {
    "conv2d_forward": [
        lambda on: (on.normal(2, 6, 5, 1), on.normal(3, 2, 1, 5), None, (1, 1), UNPADDED, False),
        lambda on: (on.normal(1, 7, 6, 5), on.normal(4, 3, 5, 3), on.normal(3), (2, 3), PADDED, True),
        lambda on: (on.normal(1, 4, 5, 16), on.normal(3, 3, 16, 17), on.normal(17), (1, 1), UNPADDED, True),
    ],
    "conv2d_backward_data": [
        lambda on: (on.normal(2, 4, 4, 5), on.normal(3, 2, 1, 5), (2, 6, 5, 1), (1, 1), UNPADDED),
        lambda on: (on.normal(1, 4, 3, 3), on.normal(4, 3, 5, 3), (1, 7, 6, 5), (2, 3), PADDED),
        lambda on: (on.normal(1, 2, 3, 17), on.normal(3, 3, 16, 17), (1, 4, 5, 16), (1, 1), UNPADDED),
    ],
    "conv2d_backward_filter": [
        lambda on: (on.normal(2, 6, 5, 1), on.normal(2, 4, 4, 5), (3, 2, 1, 5), (1, 1), UNPADDED),
        lambda on: (on.normal(1, 7, 6, 5), on.normal(1, 4, 3, 3), (4, 3, 5, 3), (2, 3), PADDED),
        lambda on: (on.normal(1, 4, 5, 16), on.normal(1, 2, 3, 17), (3, 3, 16, 17), (1, 1), UNPADDED),
    ],
    "conv1x1_forward": [
        lambda on: (on.normal(2, 3, 4, 1), on.normal(1, 1, 1, 5), None, False),
        lambda on: (on.normal(1, 3, 2, 6), on.normal(1, 1, 6, 3), on.normal(3), True),
        lambda on: (on.normal(1, 3, 5, 16), on.normal(1, 1, 16, 17), on.normal(17), True),
    ],
    "conv1x1_backward_data": [lambda on: (on.normal(2, 3, 4, 5), on.normal(1, 1, 3, 5))],
    "conv1x1_backward_filter": [lambda on: (on.normal(2, 3, 4, 5), on.normal(2, 3, 4, 3))],
    "dense_forward": [
        lambda on: (on.normal(3, 7), on.normal(7, 5), None, False),
        lambda on: (on.normal(1, 9), on.normal(9, 1), on.normal(1), True),
        lambda on: (on.normal(4, 3), on.normal(3, 6), on.normal(6), True),
    ],
    "dense_backward_data": [lambda on: (on.normal(3, 5), on.normal(7, 5))],
    "dense_backward_filter": [lambda on: (on.normal(3, 7), on.normal(3, 5))],
    "bias_relu_backward": [
        lambda on: (on.normal(2, 3, 4, 5), on.few(2, 3, 4, 5)),
        lambda on: (on.normal(6, 1), None),
        lambda on: (on.normal(40, 16), on.few(40, 16)),
        lambda on: (on.normal(40, 16), None),
    ],
    "relu_forward": [lambda on: (on.few(3, 4, 5),), lambda on: (on.normal(7),)],
    "relu_backward": [lambda on: (on.normal(3, 4, 5), on.few(3, 4, 5))],
    "activation_forward": [
        lambda on, name=name: (name, on.normal(3, 4, 5), 0.3)
        for name in ("tanh", "sigmoid", "elu", "leaky_relu", "softplus")
    ],
    "activation_backward": [
        lambda on, name=name: (name, on.normal(3, 4, 5), on.normal(3, 4, 5), 0.3)
        for name in ("tanh", "sigmoid", "elu", "leaky_relu", "softplus")
    ],
    "zeropad2d_forward": [
        lambda on: (on.normal(2, 3, 4, 5), PADDED),
        lambda on: (on.normal(1, 2, 3, 4), ((0, 3), (0, 0))),
    ],
    "zeropad2d_backward": [
        lambda on: (on.normal(2, 6, 7, 5), PADDED),
        lambda on: (on.normal(1, 5, 3, 4), ((0, 3), (0, 0))),
    ],
    "upsample2d_forward": [
        lambda on: (on.normal(2, 3, 4, 5), (2, 2)),
        lambda on: (on.normal(1, 2, 3, 4), (1, 3)),
    ],
    "upsample2d_backward": [
        lambda on: (on.normal(2, 6, 8, 5), (2, 2)),
        lambda on: (on.normal(1, 2, 9, 4), (1, 3)),
    ],
    "maxpool2d_forward": [
        lambda on: (on.few(2, 6, 5, 1), (2, 2), (2, 2), UNPADDED),
        lambda on: (on.few(1, 7, 6, 5), (3, 2), (2, 1), ((1, 2), (1, 0))),
        lambda on: (on.few(1, 4, 4, 17), (2, 2), (2, 2), UNPADDED),
    ],
    "maxpool2d_backward": [
        lambda on: (on.normal(2, 3, 2, 1), places(on, 2, 3, 2, 1, below=4), (2, 6, 5, 1), (2, 2), (2, 2), UNPADDED),
        lambda on: (
            on.normal(1, 4, 6, 5),
            places(on, 1, 4, 6, 5, below=6),
            (1, 7, 6, 5),
            (3, 2),
            (2, 1),
            ((1, 2), (1, 0)),
        ),
    ],
    "avgpool2d_forward": [
        lambda on: (on.normal(2, 6, 5, 1), (2, 2), (2, 2), UNPADDED),
        lambda on: (on.normal(1, 7, 6, 5), (3, 2), (2, 1), ((1, 2), (1, 0))),
        lambda on: (on.normal(1, 4, 4, 20), (2, 2), (2, 2), UNPADDED),
    ],
    "avgpool2d_backward": [
        lambda on: (on.normal(2, 3, 2, 1), (2, 6, 5, 1), (2, 2), (2, 2), UNPADDED),
        lambda on: (on.normal(1, 4, 6, 5), (1, 7, 6, 5), (3, 2), (2, 1), ((1, 2), (1, 0))),
        lambda on: (on.normal(1, 2, 2, 20), (1, 4, 4, 20), (2, 2), (2, 2), UNPADDED),
    ],
    "globalavgpool2d_forward": [lambda on: (on.normal(3, 4, 5, 7),), lambda on: (on.normal(1, 1, 1, 40),)],
    "globalavgpool2d_backward": [lambda on: (on.normal(3, 7), (3, 4, 5, 7))],
    "globalmaxpool2d_forward": [lambda on: (on.few(3, 4, 5, 7),), lambda on: (on.few(1, 1, 1, 40),)],
    "globalmaxpool2d_backward": [lambda on: (on.normal(3, 7), x := on.few(3, 2, 5, 7), x.max(axis=(1, 2)))],
    "batchnorm_forward": [
        lambda on: (on.normal(3, 4, 5, 1), *(on.positive(1) for _ in range(4)), 0.9, 1e-3),
        lambda on: (on.normal(7, 6), *(on.positive(6) for _ in range(4)), 0.75, 1e-5),
        lambda on: (on.normal(60, 8), *(on.positive(8) for _ in range(4)), 0.9, 1e-3),
        lambda on: (on.normal(9, 3), *(on.positive(3) for _ in range(4)), 0.9, 1e-3, mask_of(step_of(2**33))),
        lambda on: (on.normal(9, 4), *(on.positive(4) for _ in range(4)), 0.9, 1e-3, mask_of(step_of(2**33))),
    ],
    "batchnorm_inference": [
        lambda on: (on.normal(2, 3, 3, 6), *(on.positive(6) for _ in range(4)), 1e-3),
        lambda on: (on.normal(2, 3, 3, 8), *(on.positive(8) for _ in range(4)), 1e-3),
    ],
    "batchnorm_backward": [
        lambda on: (on.normal(3, 4, 5, 1), on.normal(3, 4, 5, 1), on.normal(1), (on.normal(1), on.positive(1), None)),
        lambda on: (on.normal(7, 6), on.normal(7, 6), on.normal(6), (on.normal(6), on.positive(6), None)),
        lambda on: (on.normal(60, 8), on.normal(60, 8), on.normal(8), (on.normal(8), on.positive(8), None)),
        lambda on: (
            on.normal(7, 6),
            on.normal(7, 6),
            on.normal(6),
            (on.normal(6), on.positive(6), mask_of(on.normal(7, 6) > 0)),
        ),
    ],
    "draw": [
        lambda on, normal=normal: (np.zeros((3, 7), on.dtype), normal, 2**40 + 1, 7, step_of(2**33))
        for normal in (False, True)
    ],
    "dropout_forward": [lambda on: (on.normal(3, 5, 1), 0.3, 2**40 + 1, 7, step_of(2**33))],
    "dropout_backward": [lambda on: (on.normal(3, 5), 0.3, 1, 7, on.normal(3, 5) > 0)],
    "softmax_forward": [lambda on: (on.normal(3, 7),), lambda on: (on.normal(2, 1),)],
    "softmax_backward": [lambda on: (on.normal(3, 7), on.positive(3, 7))],
    "softmax_crossentropy": [
        lambda on: (on.normal(5, 7), one_hot([0, 6, 3, 3, 1], 7).astype(on.dtype)),
        lambda on: (on.normal(3, 5), one_hot([4, 0, 2], 5).astype(on.dtype), on.positive(3, 1)),
        lambda on: (on.few(9, 3), np.full((9, 3), 1 / 3, on.dtype)),  # equal labels, equal logits: the first counts
        lambda on: (on.normal(6, 4), one_hot([3, 0, 1, 2, 2, 0], 4).astype(on.dtype), None, np.array([1.0, 2.0])),
    ],
    "binary_crossentropy": [
        lambda on: (on.normal(5, 7), on.few(5, 7) ** 2, True),
        lambda on: (on.normal(3, 5), on.few(3, 5) ** 2, True, on.positive(3, 1), np.array([1.0, 2.0])),
        lambda on: (on.normal(5, 7) / 2 + np.asarray(0.5, on.dtype), on.few(5, 7) ** 2, False),  # some are clipped
        lambda on: (on.few(4, 1) ** 2, on.few(4, 1) ** 2, False, on.positive(4, 1)),
    ],
    "mean_squared_error": [
        lambda on: (on.normal(5, 7), on.normal(5, 7)),
        lambda on: (on.normal(3, 5), on.few(3, 5), on.positive(3, 1), np.array([1.0, 2.0])),
        lambda on: (on.normal(4, 1), on.few(4, 1) ** 2),
    ],
    "regularize": [
        lambda on: (on.normal(3, 4, 5), on.normal(3, 4, 5), 0.25, 0.125),
        lambda on: (on.few(7, 5), on.normal(7, 5), 0.25, 0.0, 3, np.array([1.0, 2.0])),
        lambda on: (on.normal(9), None, 0.0, 0.5, 4, np.array([1.0, 2.0])),
    ],
    "sgd_step": [
        lambda on: (on.several(), on.several(), [], on.number(0.1), 0.0, False),
        lambda on: (on.several(), on.several(), on.several(), on.number(0.1), 0.9, False),
        lambda on: (on.several(), on.several(), on.several(), on.number(0.1), 0.9, True),
    ],
    "adam_step": [
        lambda on: (*(on.several() for _ in range(4)), on.number(0.1), step_of(3), (0.9, 0.999), 1e-7),
    ],
    "adadelta_step": [lambda on: (*(on.several() for _ in range(4)), on.number(0.5), 0.95, 1e-7)],
    "rmsprop_step": [lambda on: (*(on.several() for _ in range(3)), on.number(0.1), 0.9, 1e-7)],
    "elementwise": [
        *(
            (lambda on, name=name: (name, on.few(3, 1, 5), on.few(4, 1)))
            for name in ("add", "subtract", "multiply", "equal", "greater")
        ),
        lambda on: ("divide", on.normal(3, 5), on.positive(5)),
        lambda on: ("power", on.positive(3, 1), on.normal(2)),
        lambda on: ("subtract", 0.5, on.normal(3)),
        lambda on: ("keep", on.normal(4, 1), on.few(4, 5)),
        *((lambda on, name=name: (name, on.positive(3, 5))) for name in ("negative", "exp", "log", "sqrt")),
    ],
    "reduce": [
        *((lambda on, name=name: (name, on.normal(3, 4, 5))) for name in ("sum", "max")),
        *((lambda on, name=name: (name, on.normal(3, 4, 5), (0, -1), True)) for name in ("sum", "max")),
        lambda on: ("sum", on.normal(3, 4, 5), 1),
    ],
    "transpose": [lambda on: (on.normal(3, 5), (1, 0)), lambda on: (on.normal(2, 3, 4, 5), (2, 0, -1, 1))],
    "add": [
        lambda on: ([on.normal(2, 3, 5), on.normal(2, 3, 5)],),
        lambda on: ([on.normal(7) for _ in range(6)],),
    ],
    "concatenate": [lambda on: ([on.normal(2, 3, 1), on.normal(2, 3, 5), on.normal(2, 3, 2)],)],
    "split": [lambda on: (on.normal(2, 3, 8), [1, 5, 2])],
    "gather_batch": [lambda on: (on.normal(9, 3, 2, 1), on.normal(9, 4), on.rng.permutation(9), step_of(2), 5)],
    "advance": [lambda on: ([(step_of(3), 1), (step_of(0), 5)],)],
    "assign": [lambda on: (on.normal(1), np.array([0.5])), lambda on: (on.normal(2, 3), on.normal(2, 3))],
}


def arrays_in(value):
    """The arrays in nested lists and tuples, in order."""
    if isinstance(value, (list, tuple)):
        return [array for part in value for array in arrays_in(part)]
    return [value] if isinstance(value, np.ndarray) else []


def loops_of(method):
    """The function of plain loops for a device's method, wherever it stands in devices/reference; None without one."""
    found = [
        getattr(module, f"{method}_loops")
        for module in map(reference_file, kernels.INSTANCES)
        if getattr(getattr(module, f"{method}_loops", None), "__module__", None) == module.__name__
    ]
    assert len(found) < 2
    return found[0] if found else None


def reference_file(name):
    return importlib.import_module(f"tinycnn.devices.reference.{name}")
