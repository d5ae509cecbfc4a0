"""Which operations the documented networks consist of, each distinct shape once, and who uses it."""

from problems import BatchNorm, Convolution, Dense, Dropout, MaxPool, SoftmaxCrossEntropy

import tinycnn
from tinycnn import architectures, layers, session, shapes

BATCH = 128
CLASSICS = (
    Convolution(BATCH, 56, 56, 64, 64, 3, 3, (1, 1), ((1, 1), (1, 1))),  # ResNet-50's conv2_x
    Convolution(BATCH, 14, 14, 256, 256, 3, 3, (1, 1), ((1, 1), (1, 1))),  # ... its conv4_x
    Convolution(BATCH, 14, 14, 256, 1024, 1, 1),  # ... and the 1x1 that widens it again
)
CLASSIC = "resnet-50"


def problem_of(symbol, batch):
    """What a layer computes at this place of a network, or None where that is nothing (Flatten) or not measured."""
    layer, source = symbol.layer, symbol.inputs[0].shape
    if isinstance(layer, layers.Conv2D):
        padding = shapes.window_padding(source[:2], layer.window, layer.stride, layer.padding)
        return Convolution(batch, *source, layer.filters, *layer.window, layer.stride, padding)
    if isinstance(layer, layers.Dense):
        return Dense(batch, *source, layer.units)
    if isinstance(layer, layers.MaxPooling2D):
        padding = shapes.window_padding(source[:2], layer.window, layer.stride, layer.padding)
        return MaxPool(batch, *source, layer.window, layer.stride, padding)
    if isinstance(layer, layers.BatchNormalization):
        return BatchNorm((batch, *source))
    if isinstance(layer, layers.Dropout):
        return Dropout((batch, *source), layer.rate)
    return None


def problems(networks=None, batch=BATCH):
    """{problem: the networks that contain it}, in the order in which they are first met."""
    found = {}
    with tinycnn.use_device("reference"), session.without_initial_weights():
        for name in networks or architectures.ARCHITECTURES:
            model = architectures.build(name)
            of_network = [problem_of(symbol, batch) for symbol in model.symbols[1:]]
            of_network.append(SoftmaxCrossEntropy(batch, model.output.shape[0]))
            for problem in of_network:
                if problem is not None and name not in found.setdefault(problem, []):
                    found[problem].append(name)
    return found


def convolutions():
    """Every distinct convolution of the networks, and a few classics."""
    of_networks = {p: names for p, names in problems().items() if isinstance(p, Convolution)}
    return {**of_networks, **{p: [CLASSIC] for p in CLASSICS}}


def other_layers():
    """Every distinct shape of the other layers."""
    kinds = (MaxPool, BatchNorm, Dropout, SoftmaxCrossEntropy, Dense)
    found = problems()
    return {p: names for kind in kinds for p, names in found.items() if isinstance(p, kind)}
