"""Faults of the autograd engine, the reference device and the CPU device."""

from mutants.mutant import CPU, FUNCTIONAL, TEST, Mutant

REFERENCE = "tinycnn/devices/reference"
ARITHMETIC = "tinycnn/arithmetic.py"
TENSOR = "tinycnn/tensor.py"
GRAPH = "tinycnn/layers/graph.py"
TWO_PLACES = "test_models.py::test_a_dropout_behind_a_batch_normalisation_has_the_bits_that_it_has_alone"

AUTOGRAD = (
    Mutant(
        "leaf-accumulation", TENSOR,
        'gradient = self.device.elementwise("add", self.grad.data, self.device.whole(gradient))', "pass",
        "reference", "concatenate", "an input's second use overwrites its gradient",
    ),
    Mutant(
        "inner-accumulation", TENSOR,
        'pending[tensor.creator] = self.device.elementwise("add", pending[tensor.creator], gradient)',
        "pending[tensor.creator] = gradient",
        "reference", "concatenate", "a result's second use overwrites its gradient",
    ),
    Mutant(
        "broadcast-sum", ARITHMETIC,
        'return device.reduce("sum", gradient, axis=axes, keepdims=True).reshape(shape)',
        'return device.reduce("max", gradient, axis=axes, keepdims=True).reshape(shape)',
        "reference", "add", "a broadcast operand takes its largest gradient, not their sum",
    ),
    Mutant(
        "subtract-sign", ARITHMETIC,
        'lambda dy, y: of("negative", dy))\n\n\ndef multiply', "lambda dy, y: dy)\n\n\ndef multiply",
        "reference", "subtract", "the second operand's sign",
    ),
    Mutant(
        "multiply-operands", ARITHMETIC,
        '"multiply", a, b, lambda dy, y: of("multiply", dy, b.data)',
        '"multiply", a, b, lambda dy, y: of("multiply", dy, a.data)',
        "reference", "multiply", "the operand itself instead of the other one",
    ),
    Mutant(
        "divide-quotient", ARITHMETIC,
        'of("multiply", dy, y), b.data)', 'of("multiply", dy, a.data), b.data)',
        "reference", "divide", "a / b instead of a / b^2",
    ),
    Mutant(
        "power-exponent", ARITHMETIC,
        'of("subtract", b.data, 1.0)', "b.data",
        "reference", "power", "b a^b instead of b a^(b - 1)",
    ),
    Mutant(
        "power-logarithm", ARITHMETIC,
        'of("multiply", dy, of("multiply", y, logarithm))', 'of("multiply", dy, y)',
        "reference", "power", "the logarithm in the exponent's gradient missing",
    ),
    Mutant(
        "log-derivative", ARITHMETIC,
        '("divide", dy, x.data)', '("divide", dy, y)',
        "reference", "log", "1 / log(x) instead of 1 / x",
    ),
    Mutant(
        "sqrt-half", ARITHMETIC,
        'of("multiply", dy, 0.5)', "dy",
        "reference", "sqrt", "1 / sqrt(x) instead of 1 / (2 sqrt(x))",
    ),
    Mutant(
        "transpose-inverse", ARITHMETIC,
        "tuple(int(i) for i in np.argsort(order))", "tuple(order)",
        "reference", "transpose", "the permutation itself instead of its inverse",
    ),
    Mutant(
        "fused-relu", f"{FUNCTIONAL}/products.py",
        "y if relu else None", "None",
        "reference", "dense", "the way back goes past the fused ReLU",
    ),
    Mutant(
        "fused-relu-filter", "tinycnn/devices/activation_first.py",
        "filter(dz) if wanted.w", "filter(dy) if wanted.w",
        "reference", "conv1x1", "the filter's gradient goes past the fused ReLU",
    ),
    Mutant(
        "dropout-mask", f"{FUNCTIONAL}/normalization.py",
        "(device.dropout_backward(dy, rate, seed, stream, saved),)", "(dy,)",
        "reference", "dropout", "gradients reach what was dropped",
    ),
    Mutant(
        "dropped-place", GRAPH,
        "dropout.layer.mask_at(dropout.use)", "dropout.layer.mask_at(0)",
        "reference", TWO_PLACES, "behind batch-norm a dropout draws the same mask at both of its places", TEST,
    ),
    Mutant(
        "inference-gamma", f"{FUNCTIONAL}/normalization.py",
        'of("divide", gamma.data, std)', 'of("divide", 1.0, std)',
        "reference", "batchnorm_inference", "dx without gamma",
    ),
    Mutant(
        "inference-epsilon", f"{FUNCTIONAL}/normalization.py",
        'of("sqrt", of("add", variance, epsilon))', 'of("sqrt", variance)',
        "reference", "batchnorm_inference", "epsilon left out of the way back",
    ),
    Mutant(
        "inference-mean", f"{FUNCTIONAL}/normalization.py",
        'of("subtract", x.data, mean)', "x.data",
        "reference", "batchnorm_inference", "dgamma without the mean",
    ),
)  # fmt: skip

REFERENCE_DEVICE = (
    Mutant(
        "data-filter-not-turned", f"{REFERENCE}/conv2d.py",
        "tensordot(dy, w[r, s].T, axes=1)", "tensordot(dy, w[-1 - r, -1 - s].T, axes=1)",
        "reference", "conv2d", "dx from the filter turned once too often",
    ),
    Mutant(
        "data-padding", f"{REFERENCE}/conv2d.py",
        "    return without_padding(dx, geometry)", "    return without_padding(dx, geometry._replace(top=0))",
        "reference", "conv2d", "dx cut out as if there were no padding above",
    ),
    Mutant(
        "filter-turned", f"{REFERENCE}/conv2d.py",
        "dw[r, s] = tap(", "dw[-1 - r, -1 - s] = tap(",
        "reference", "conv2d", "dw turned by 180 degrees",
    ),
    Mutant(
        "filter-swapped-axes", f"{REFERENCE}/conv2d.py",
        "@ dy.reshape(-1, geometry.K)", "@ dy.swapaxes(1, 2).reshape(-1, geometry.K)",
        "reference", "conv2d", "dw from dy with height and width exchanged",
    ),
    Mutant(
        "bias-rows", f"{REFERENCE}/relu.py",
        "x.reshape(-1, x.shape[-1]).sum(", "x.reshape(-1, x.shape[-1])[1:].sum(",
        "reference", "dense", "db summed over one row too few",
    ),
    Mutant(
        "relu-open", f"{REFERENCE}/relu.py",
        "return np.where(y > 0, dy, dy.dtype.type(0))", "return dy",
        "reference", "relu", "the gradient passes everywhere",
    ),
    Mutant(
        "pooling-overlap", f"{REFERENCE}/maxpool2d.py",
        "[...] += np.where(argmax", "[...] = np.where(argmax",
        "reference", "maxpool2d", "overlapping windows overwrite each other",
    ),
    Mutant(
        "batchnorm-dbeta", f"{REFERENCE}/batchnorm.py",
        "(dy - dbeta / count - x_hat * (dgamma / count))", "(dy - x_hat * (dgamma / count))",
        "reference", "batchnorm", "dx without the way through the mean",
    ),
    Mutant(
        "batchnorm-dgamma", f"{REFERENCE}/batchnorm.py",
        "(dy - dbeta / count - x_hat * (dgamma / count))", "(dy - dbeta / count)",
        "reference", "batchnorm", "dx without the way through the variance",
    ),
    Mutant(
        "batchnorm-gamma", f"{REFERENCE}/batchnorm.py",
        "dx = (gamma * inverse_std) *", "dx = inverse_std *",
        "reference", "batchnorm", "dx without gamma",
    ),
    Mutant(
        "batchnorm-count", f"{REFERENCE}/batchnorm.py",
        "count = x.size // x.shape[-1]", "count = x.shape[0]",
        "reference", "batchnorm", "means over the images instead of all pixels",
    ),
    Mutant(
        "batchnorm-unbiased", f"{REFERENCE}/batchnorm.py",
        "((x - mean) ** 2).mean(axis=axes)", "x.var(axis=axes, ddof=1)",
        "reference", "batchnorm", "the variance of a sample: unbiased",
    ),
    Mutant(
        "batchnorm-mask", f"{REFERENCE}/batchnorm.py",
        "dy = dropout_backward(dy, *mask)", "pass",
        "reference", "batchnorm", "gradients reach what was dropped",
    ),
    Mutant(
        "softmax-dot", f"{REFERENCE}/softmax_crossentropy.py",
        "return y * (dy - (dy * y).sum(axis=-1, keepdims=True))", "return y * dy",
        "reference", "softmax", "the way through the sum missing",
    ),
    Mutant(
        "crossentropy-labels", f"{REFERENCE}/softmax_crossentropy.py",
        "(np.exp(log_p) - labels) / n", "np.exp(log_p) / n",
        "reference", "softmax_crossentropy", "dlogits without the labels",
    ),
    Mutant(
        "crossentropy-mean", f"{REFERENCE}/softmax_crossentropy.py",
        "(np.exp(log_p) - labels) / n", "np.exp(log_p) - labels",
        "reference", "softmax_crossentropy", "the loss is a mean, its gradient a sum",
    ),
)  # fmt: skip

CPU_DEVICE = (
    Mutant(
        "cpu-batchnorm-dbeta", f"{CPU}/batchnorm.py",
        "c[j] = -factor * sum_dy / M - x_factor * mean[task]", "c[j] = -x_factor * mean[task]",
        "cpu", "batchnorm", "dx without the way through the mean",
    ),
    Mutant(
        "cpu-batchnorm-rest", f"{CPU}/batchnorm.py",
        "        partial[first + j] += dy[i]\n", "        partial[first + j] = dy[i]\n",
        "cpu", "batchnorm", "the elements behind the last whole period overwrite their sum",
    ),
    Mutant(
        "cpu-batchnorm-mask", f"{CPU}/batchnorm.py",
        "dy = dropout_backward(dy, *saved.mask)", "pass",
        "cpu", "batchnorm", "gradients reach what was dropped",
    ),
    Mutant(
        "cpu-pooling-overlap", f"{CPU}/maxpool2d.py",
        "add(load_first16(dx, to, g.C - c), here)", "here",
        "cpu", "maxpool2d", "overlapping windows overwrite each other",
    ),
    Mutant(
        "cpu-dropout-scale", f"{CPU}/dropout.py",
        "launch(apply_mask, -(-dy.size // TASK), dy, saved, dx, 1 / (1 - rate), dy.size)",
        "launch(apply_mask, -(-dy.size // TASK), dy, saved, dx, 1.0, dy.size)",
        "cpu", "dropout", "the way back is not scaled",
    ),
    Mutant(
        "cpu-relu-open", f"{CPU}/relu.py",
        "dx[i] = dy[i] if y[i] > 0", "dx[i] = dy[i] if y[i] >= 0",
        "cpu", "relu", "the gradient passes everywhere",
    ),
)  # fmt: skip
