"""How much arithmetic a network's training costs, counted from the shapes of tinycnn's layers."""

import math

from tinycnn.layers import Conv2D, Dense


def multiply_adds(model):
    """[(layer, multiply-adds of its forward pass for one image, whether its input needs a gradient)].

    Layers with a matrix or a filter alone: the others cost memory traffic, not arithmetic. An input needs no
    gradient where no parameters come before it.
    """
    rows, learnt = [], {model.input: False}  # learnt: which symbols depend on parameters
    for symbol in model.symbols[1:]:
        layer, source = symbol.layer, symbol.inputs[0]
        before = any(learnt[i] for i in symbol.inputs)
        if isinstance(layer, Conv2D):
            rows.append((layer, math.prod(symbol.extents) * math.prod(layer.window) * source.extents[-1], before))
        elif isinstance(layer, Dense):
            rows.append((layer, symbol.extents[0] * source.extents[0], before))
        learnt[symbol] = before or bool(layer.trainable_weights)
    return rows


def training_flop(model):
    """Floating-point operations for one image, forward and backward.

    The gradients of the input and of the weights cost as much as the forward pass each; a multiply-add is two.
    """
    return 2 * sum(count * (3 if needs_gradient else 2) for _, count, needs_gradient in multiply_adds(model))
