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
# What is measured first, for time may not last: the layers of these networks that take so many operations or more, ...
LARGE, LARGE_FLOP = ("models-9", "models-4", "models-7", "cn-1", "cn-3"), 2e9
FOREMOST = ("go-crazy", "vanilla-15k")  # ... then every layer of these


def problem_of(symbol, batch):
    """What a layer computes at this place of a network, or None where that is nothing (Flatten) or not measured."""
    layer, source = symbol.layer, symbol.inputs[0].extents
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
            of_network.append(SoftmaxCrossEntropy(batch, model.output.extents[0]))
            for problem in of_network:
                if problem is not None and name not in found.setdefault(problem, []):
                    found[problem].append(name)
    return found


def convolutions():
    """Every distinct convolution of the networks, and a few classics."""
    of_networks = {p: names for p, names in problems().items() if isinstance(p, Convolution)}
    return by_importance({**of_networks, **{p: [CLASSIC] for p in CLASSICS}}, LARGE)


def other_layers():
    """Every distinct shape of the other layers."""
    kinds = (MaxPool, BatchNorm, Dropout, SoftmaxCrossEntropy, Dense)
    found = problems()
    return by_importance({p: names for p, names in found.items() if isinstance(p, kinds)})


def by_importance(found, large=()):
    """The same in the order in which to measure it: the large layers of some networks, then all of others, then the
    rest; the longest first."""

    def rank(problem):
        flop, names = problem.flop(problem.directions[0]), found[problem]
        if flop >= LARGE_FLOP and any(name in names for name in large):
            return 0, 0, -flop
        foremost = [place for place, name in enumerate(FOREMOST) if name in names]
        return (1, foremost[0], -flop) if foremost else (2, 0, -flop)

    return {problem: found[problem] for problem in sorted(found, key=rank)}
