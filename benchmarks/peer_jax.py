"""tinycnn's networks in plain JAX: functions of arrays, a data set on the device, a step or a whole epoch compiled."""

import math
from functools import partial

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from trainer import Trainer

from tinycnn import layers, shapes

DATA = ("NHWC", "HWIO", "NHWC")


def weights_of(model):
    """({place: {name: array}}, the same of the moving statistics): a layer's place is that of its symbol."""
    trainable, moving = {}, {}
    for place, symbol in enumerate(model.symbols):
        for name, tensor in symbol.layer.parameters.items():
            part = trainable if tensor.requires_grad else moving
            part.setdefault(place, {})[name] = jnp.asarray(tensor.numpy())
    return trainable, moving


def logits_of(model, weights, moving, x, key, training):
    """(logits, the moving statistics as they are then). Raises TypeError for a layer that has no counterpart."""
    values, moving = {model.input: x}, dict(moving)
    for place, symbol in enumerate(model.symbols[1:], 1):
        layer, inputs = symbol.layer, [values[i] for i in symbol.inputs]
        x, own = inputs[0], weights.get(place, {})
        if isinstance(layer, layers.Conv2D):
            pads = shapes.window_padding(x.shape[1:3], layer.window, layer.stride, layer.padding)
            x = lax.conv_general_dilated(x, own["kernel"], layer.stride, pads, dimension_numbers=DATA)
            x = x + own["bias"] if layer.use_bias else x
        elif isinstance(layer, layers.Dense):
            x = x @ own["kernel"]
            x = x + own["bias"] if layer.use_bias else x
        elif isinstance(layer, layers.MaxPooling2D):
            pads = shapes.window_padding(x.shape[1:3], layer.window, layer.stride, layer.padding)
            window, stride = (1, *layer.window, 1), (1, *layer.stride, 1)
            x = lax.reduce_window(x, -jnp.inf, lax.max, window, stride, ((0, 0), *pads, (0, 0)))
        elif isinstance(layer, layers.BatchNormalization):
            x, moving[place] = batchnorm(layer, own, moving[place], x, training)
        elif isinstance(layer, layers.Dropout):
            if training:
                kept = jax.random.bernoulli(jax.random.fold_in(key, place), 1 - layer.rate, x.shape)
                x = jnp.where(kept, x / (1 - layer.rate), 0)
        elif isinstance(layer, layers.Flatten):
            x = x.reshape((len(x), -1))
        elif isinstance(layer, layers.Concatenate):
            x = jnp.concatenate(inputs, axis=-1)
        elif not isinstance(layer, layers.Activation):
            raise TypeError(f"{layer.name} ({layer.type}) has no translation to JAX here")
        activation = getattr(layer, "activation", None)
        if activation == "softmax" and symbol is not model.output:
            raise TypeError(f"{layer.name}: a softmax before the output has no translation to JAX here")
        values[symbol] = jax.nn.relu(x) if activation == "relu" else x
    return values[model.output], moving


def batchnorm(layer, own, moving, x, training):
    mean, variance = moving["moving_mean"], moving["moving_variance"]
    if training:
        axes = tuple(range(x.ndim - 1))
        mean, variance = x.mean(axes), x.var(axes)
        share = layer.momentum
        moving = {
            "moving_mean": moving["moving_mean"] * share + mean * (1 - share),
            "moving_variance": moving["moving_variance"] * share + variance * (1 - share),
        }
    return (x - mean) * (own["gamma"] * lax.rsqrt(variance + layer.epsilon)) + own["beta"], moving


def optimizer_of(model):
    """(weights -> state, (rate, step from 1, state, gradients) -> (changes of the weights, state)), as in Keras.

    Raises TypeError where there is none.
    """
    options, tree = model.optimizer.options(), partial(jax.tree.map)
    if options["decay"]:
        raise TypeError("a learning rate with decay has no translation to JAX here")
    zeros = partial(tree, jnp.zeros_like)
    if model.optimizer.name == "Adam":
        b1, b2, epsilon = options["beta_1"], options["beta_2"], options["epsilon"]

        def adam(rate, step, state, gradients):
            m = tree(lambda m, g: b1 * m + (1 - b1) * g, state[0], gradients)
            v = tree(lambda v, g: b2 * v + (1 - b2) * g * g, state[1], gradients)
            rate = rate * jnp.sqrt(1 - b2**step) / (1 - b1**step)
            return tree(lambda m, v: -rate * m / (jnp.sqrt(v) + epsilon), m, v), (m, v)

        return lambda weights: (zeros(weights), zeros(weights)), adam
    if model.optimizer.name == "Adadelta":
        rho, epsilon = options["rho"], options["epsilon"]

        def adadelta(rate, step, state, gradients):
            square = tree(lambda s, g: rho * s + (1 - rho) * g * g, state[0], gradients)
            delta = tree(lambda d, s, g: jnp.sqrt((d + epsilon) / (s + epsilon)) * g, state[1], square, gradients)
            mean = tree(lambda m, d: rho * m + (1 - rho) * d * d, state[1], delta)
            return tree(lambda d: -rate * d, delta), (square, mean)

        return lambda weights: (zeros(weights), zeros(weights)), adadelta
    if model.optimizer.name == "SGD":
        momentum, nesterov = options["momentum"], options["nesterov"]

        def sgd(rate, step, state, gradients):
            velocity = tree(lambda v, g: momentum * v - rate * g, state, gradients)
            if nesterov:
                return tree(lambda v, g: momentum * v - rate * g, velocity, gradients), velocity
            return velocity, velocity

        return zeros, sgd
    raise TypeError(f"the optimiser {model.optimizer.name} has no translation to JAX here")


def trainer(model, x, y, batch, device="cpu", scan=False):
    """The Trainer of a tinycnn model's translation. x (N, H, W, C), y (N,) whole numbers.

    scan: a whole epoch is one compiled loop; else a step is what is compiled. Raises RuntimeError for CUDA where there
    is none.
    """
    jax.config.update("jax_default_matmul_precision", "highest")  # float32 is float32, in convolutions too
    if device == "cuda" and jax.default_backend() != "gpu":
        raise RuntimeError("this JAX finds no GPU: pip install 'jax[cuda13]'")
    make_state, update = optimizer_of(model)
    weights, moving = weights_of(model)
    images, labels = jnp.asarray(x), jnp.asarray(y)
    key = jax.random.key(0)
    # What a step changes: weights, moving statistics, the optimiser's state, its count, summed loss, right answers.
    carry = weights, moving, make_state(weights), jnp.zeros((), jnp.int32), jnp.zeros(()), jnp.zeros((), jnp.int32)

    def loss_of(weights, moving, x, y, key):
        logits, moving = logits_of(model, weights, moving, x, key, True)
        loss = -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()
        return loss, (moving, (logits.argmax(1) == y).sum())

    def step(carry, index, images, labels, rate):
        weights, moving, state, count, total, right = carry
        grad = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (moving, correct)), gradients = grad(
            weights, moving, images[index], labels[index], jax.random.fold_in(key, count)
        )
        changes, state = update(rate, count + 1.0, state, gradients)
        weights = jax.tree.map(jnp.add, weights, changes)
        return weights, moving, state, count + 1, total + loss * len(index), right + correct.astype(jnp.int32)

    def loop(carry, indices, images, labels, rate):
        return lax.scan(lambda c, index: (step(c, index, images, labels, rate), None), carry, indices)[0]

    step, loop = jax.jit(step, donate_argnums=0), jax.jit(loop, donate_argnums=0)
    infer = jax.jit(lambda weights, moving, x: logits_of(model, weights, moving, x, None, False)[0].argmax(1))
    rate, epochs, whole = [np.float32(model.optimizer.learning_rate)], [0], len(x) // batch * batch

    def epoch():
        nonlocal carry
        carry = *carry[:4], jnp.zeros(()), jnp.zeros((), jnp.int32)
        order = jax.random.permutation(jax.random.fold_in(jax.random.key(1), epochs[0]), len(x))
        epochs[0] += 1
        indices = order[:whole].reshape((-1, batch))
        if scan:
            carry = loop(carry, indices, images, labels, rate[0])
        else:
            for index in indices:
                carry = step(carry, index, images, labels, rate[0])
        if whole < len(x):
            carry = step(carry, order[whole:], images, labels, rate[0])
        return float(carry[4]) / len(x)

    def validation(x, y):
        batches = [(jnp.asarray(x[i : i + 1000]), jnp.asarray(y[i : i + 1000])) for i in range(0, len(x), 1000)]
        return lambda: float(sum((infer(*carry[:2], x) == y).sum() for x, y in batches)) / len(y)

    def set_rate(value):
        rate[0] = np.float32(value)

    parameters = sum(math.prod(array.shape) for array in jax.tree.leaves(weights_of(model)))
    return Trainer(epoch, validation, set_rate, parameters)
