"""Deliberately broken backwards and kernels. Every one of them has to be caught: `make mutants`.

A mutant is a small change of one file: `old`, which stands there exactly once, becomes `new`. The faults are those that
people make: a wrong sign, a filter that is not turned, a term of batch normalisation's gradient left out, a barrier
forgotten. run_mutants.py applies them one at a time, to a copy of the package, and asks a tool whether it notices.
"""

from typing import NamedTuple

GRADCHECK, CHECK, TEST = "gradcheck", "check", "test"


class Mutant(NamedTuple):
    """file: from the repository's root; device, operation: where the fault has to show; why: what is broken.

    tool: who has to notice. GRADCHECK is `tinycnn gradcheck operation --device device`. CHECK is `tinycnn check
    operation`, for faults that may well give the right numbers: a missing barrier, an access behind an array's end.
    TEST is a test of our own, operation its name: at equal maxima there is no gradient that differences could find.
    """

    name: str
    file: str
    old: str
    new: str
    device: str
    operation: str
    why: str
    tool: str = GRADCHECK


REFERENCE = "tinycnn/devices/reference"
FUNCTIONAL = "tinycnn/functional"
ARITHMETIC = "tinycnn/arithmetic.py"
TENSOR = "tinycnn/tensor.py"
CPU = "tinycnn/devices/cpu"
HOST = "tinycnn/devices/gpu/launches"
KERNEL_DEVICES = "test_kernel_devices.py"
FUSED_RELU = "test_products.py::test_relu_and_bias_ride_in_the_convolution"
GRAPH = "tinycnn/layers/graph.py"
MANY_IMAGES = "test_layer_operations.py::test_batch_normalisation_of_many_and_of_few_images"
TWO_PLACES = "test_models.py::test_a_dropout_behind_a_batch_normalisation_has_the_bits_that_it_has_alone"
EQUAL_MAXIMA = "gradients/test_gradients.py::test_the_gradient_of_equal_maxima_goes_to_the_first"

SHARED_MAXIMA = "test_layer_operations.py::test_equal_maxima_of_an_image_share_the_gradient_and_so_do_nans"
SMALL_AND_LARGE = "test_layer_operations.py::test_an_activation_keeps_the_digits_of_small_numbers_and_bears_large_ones"
PENALTY = "test_training.py::test_a_penalty_is_part_of_the_loss_and_makes_weights_small[reference]"
LARGE_WINDOWS = "test_layer_operations.py::test_pooling_finds_the_maximum_at_the_last_place_of_a_large_window"
RMSPROP = "test_operations.py::test_rmsprop"
RANDOM = "test_layer_operations.py::test_random_numbers_are_those_of_philox_s_words"
TOTALS = "test_operations.py::test_totals_sum_the_loss_by_image_and_the_hits"

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

KERNELS = (
    Mutant(
        "relu-at-zero", "kernels/relu.cu",
        "d[j] = v[j] > 0 ?", "d[j] = v[j] >= 0 ?",
        "emulator", "relu", "the gradient passes everywhere",
    ),
    Mutant(
        "through-relu", "kernels/common.cuh",
        "relu && !(y[i] > 0)", "relu && y[i] > 0",
        "emulator", "dense", "the gradient passes where ReLU gave 0, and nowhere else",
    ),
    Mutant(
        "through-relu-four", "kernels/common.cuh",
        "if (!(active[j] > 0)) v[j] = 0;", "if (active[j] < 0) v[j] = 0;",
        "emulator", FUSED_RELU, "four numbers at a time, the gradient goes past the fused ReLU", TEST,
    ),
    Mutant(
        "dense-bias-rows", "kernels/common.cuh",
        "l < TILE_L; l++) of_tile", "l < TILE_L - 13; l++) of_tile",
        "emulator", "dense", "db without most of every 16 rows",
    ),
    Mutant(
        "conv2d-bias-pixels", "kernels/conv2d.cu",
        "pixel < TP * TQ; pixel += bias_lanes", "pixel < TP * TQ - 1; pixel += bias_lanes",
        "emulator", "conv2d", "a tile's last pixel is missing in db",
    ),
    Mutant(
        "conv2d-bias-lanes", "kernels/conv2d.cu",
        "lane < bias_lanes; lane++", "lane < 1; lane++",
        "emulator", "conv2d", "db of the first threads alone",
    ),
    Mutant(
        "conv2d-bias-barrier", "kernels/conv2d.cu",
        "    __syncthreads();\n    if (sums_bias) sums[threadIdx.x] = db;",
        "    if (sums_bias) sums[threadIdx.x] = db;",
        "emulator", "conv2d", "db overwrites sums of dw that others still read", CHECK,
    ),
    Mutant(
        "hand-over-fence", "kernels/common.cuh",
        "    __threadfence();\n    __syncthreads();\n    if (threadIdx.x == 0 &&",
        "    __syncthreads();\n    if (threadIdx.x == 0 &&",
        "emulator", "dense", "the last block may not see yet what the others wrote", CHECK,
    ),
    Mutant(
        "hand-over-count", "kernels/common.cuh",
        "if (is_last) *arrivals = 0;", "",
        "emulator", f"{KERNEL_DEVICES}::test_counters_are_zero_again_after_a_launch",
        "the next launch finds counters that are not zero", TEST,
    ),
    Mutant(
        "optimiser-last-slice", "kernels/optimizers.cu",
        "slice < at.slices;", "slice < at.slices - 1;",
        "emulator", f"{KERNEL_DEVICES}::test_optimisers_add_up_gradients_in_slices",
        "the optimiser leaves the last slice of a gradient out", TEST,
    ),
    Mutant(
        "optimiser-sums-barrier", "kernels/optimizers.cu",
        "        __syncthreads();\n        if (int(threadIdx.x) < threads)", "        if (int(threadIdx.x) < threads)",
        "emulator", "optimizers", "warps' sums are read before they are written", CHECK,
    ),
    Mutant(
        "rmsprop-epsilon", "kernels/optimizers.cu",
        "rate * g / (sqrt(a) + epsilon)", "rate * g / sqrt(a + epsilon)",
        "emulator", f"{RMSPROP}_adds_epsilon_to_the_root_and_not_below_it", "epsilon inside the root", TEST,
    ),
    Mutant(
        "cpu-rmsprop-mean", f"{CPU}/optimizers.py",
        "a_k = a[k] + new * (g[k] * g[k] - a[k])\n        a[k] = a_k\n        p[k] -= learning_rate * g[k]",
        "a_k = a[k] + new * g[k] * g[k]\n        a[k] = a_k\n        p[k] -= learning_rate * g[k]",
        "cpu", RMSPROP, "the squares are summed and never forgotten", TEST,
    ),
    Mutant(
        "block-rows-odd", "kernels/batchnorm.cu",
        "const int half = (left + 1) / 2;", "const int half = left / 2;",
        "emulator", "batchnorm", "the last row lost where a block halves an odd number of them",
    ),
    Mutant(
        "bias-column", "kernels/common.cuh",
        "n + j < N ? bias[n + j]", "n + j < N ? bias[j]",
        "emulator", "dense", "every four columns take the first four's bias",
    ),
    Mutant(
        "tile-guard", "kernels/common.cuh",
        "const bool inside = n0 + n < N && l0 + l < last;", "const bool inside = n0 + n < N;",
        "emulator", "conv1x1_backward_filter", "a tile reads rows behind the matrix's end", CHECK,
    ),
    Mutant(
        "tile-barrier", "kernels/common.cuh",
        "__syncthreads();  // before the next 16 overwrite these", "",
        "emulator", "conv1x1_backward_filter", "a tile is overwritten while others read it", CHECK,
    ),
    Mutant(
        "dense-last-slice", "kernels/dense.cu",
        "slice < int(gridDim.y); slice++", "slice < int(gridDim.y) - 1; slice++",
        "emulator", "dense", "the last slice of a long sum lost",
    ),
    Mutant(
        "dense-sliced-bias", "kernels/dense.cu",
        "y, N, O, m0, n0, b, has_bias, relu);", "y, N, O, m0, n0, b, has_bias && gridDim.y == 1, relu);",
        "emulator", "dense", "the bias missing where a sum is cut into slices",
    ),
    Mutant(
        "conv1x1-transpose", "kernels/conv1x1.cu",
        "multiply_tile<T, BM, BN, false, true>(", "multiply_tile<T, BM, BN, false, false>(",
        "emulator", "conv1x1", "dx from the filter that is not transposed",
    ),
    Mutant(
        "conv2d-image-edge", "kernels/conv2d.cu",
        "const bool inside = h >= 0 &&", "const bool inside = h > 0 &&",
        "emulator", "conv2d", "the first row of an image taken for padding",
    ),
    Mutant(
        "conv2d-filter-not-turned", "kernels/conv2d.cu",
        "stride_h * (taps_h - 1 - j0 - j)", "stride_h * (j0 + j)",
        "emulator", "conv2d", "dx from a filter whose rows are not turned",
    ),
    Mutant(
        "conv2d-halo", "kernels/conv2d.cu",
        "c0, (TP - 1) * stride_h + rows, columns, CB", "c0, (TP - 1) * stride_h + rows - 1, columns, CB",
        "emulator", "conv2d", "the tile's halo one row too short",
    ),
    Mutant(
        "host-slices", f"{HOST}/products.py",
        'reduce_middle(device, "sum", gradient.parts, 1, slices, prod(shape))',
        'reduce_middle(device, "sum", gradient.parts, 1, slices - 1, prod(shape))',
        "emulator", "conv2d", "the last block's partial sums lost",
    ),
    Mutant(
        "host-padding", f"{HOST}/conv2d.py",
        "y, *geometry[1:], int(b", "y, *geometry[1:11], geometry.left, geometry.top, int(b",
        "emulator", "conv2d", "padding above and at the left exchanged",
    ),
    Mutant(
        "host-split-offset", f"{HOST}/layout.py",
        "copy_columns(device, array, part, size, first, 0)", "copy_columns(device, array, part, size, 0, 0)",
        "emulator", "concatenate", "every part takes the first one's gradient",
    ),
    Mutant(
        "tanh-slope", "kernels/activations.cu",
        "case 0: return T(1) - y * y;", "case 0: return T(1) - y;",
        "emulator", "tanh", "1 - y instead of 1 - y^2",
    ),
    Mutant(
        "elu-alpha", "kernels/activations.cu",
        "y > 0 ? T(1) : y + alpha;", "y > 0 ? T(1) : y + T(1);",
        "emulator", "elu", "the slope of alpha = 1 whatever alpha is",
    ),
    Mutant(
        "softplus-overflow", "kernels/activations.cu",
        "relu_of(x) + log1p(exp(x > 0 ? -x : x))", "log1p(exp(x))",
        "emulator", SMALL_AND_LARGE,
        "exp(x) overflows", TEST,
    ),
    Mutant(
        "cpu-sigmoid-slope", f"{CPU}/activations.py",
        "return y * (one - y)", "return y",
        "cpu", "sigmoid", "y instead of y (1 - y)",
    ),
    Mutant(
        "numba-leaky-slope", "kernels/numba/activations.py",
        "return T(1) if y > 0 else alpha", "return T(1)",
        "numba", "leaky_relu", "the slope below 0 is that above it",
    ),
    Mutant(
        "padding-guard", "kernels/zeropad2d.cu",
        "h >= 0 && h < H &&", "h >= 0 && h <= H &&",
        "emulator", "zeropad2d", "the row behind the last one is read", CHECK,
    ),
    Mutant(
        "host-padding-back", f"{HOST}/zeropad2d.py",
        "-top - bottom, -left - right, -top, -left)", "-top - bottom, -left - right, -bottom, -right)",
        "emulator", "zeropad2d", "on the way back as many rows are cut off above as there were below",
    ),
    Mutant(
        "upsample-place", "kernels/upsample2d.cu",
        "* H + p / R) * W + q / S)", "* H + p % H) * W + q / S)",
        "emulator", "upsample2d", "rows are repeated one image after the other, not each for itself",
    ),
    Mutant(
        "upsample-last-row", "kernels/upsample2d.cu",
        "for (int r = 0; r < R; r++)", "for (int r = 1; r < R; r++)",
        "emulator", "upsample2d", "the first of the pixels that one became does not count on the way back",
    ),
    Mutant(
        "cpu-upsample-stride", f"{CPU}/upsample2d.py",
        "(task * g.H + p * g.R + r) * g.W + q * g.S", "(task * g.H + p * g.S + r) * g.W + q * g.R",
        "cpu", "upsample2d", "rows and columns of the size are taken for each other",
    ),
    Mutant(
        "numba-upsample-back", "kernels/numba/upsample2d.py",
        "sum += dy[", "sum = dy[",
        "numba", "upsample2d", "the last of the pixels that one became stands for their sum",
    ),
    Mutant(
        "transposed-not-back", f"{FUNCTIONAL}/products.py",
        "device.conv2d_forward(dy, w.data, None, stride, pads, False) if wanted.x",
        "device.conv2d_forward(dy, w.data[::-1].copy(), None, stride, pads, False) if wanted.x",
        "reference", "conv2d_transpose", "the filter is turned on the way back",
    ),
    Mutant(
        "transposed-bias", f"{FUNCTIONAL}/products.py",
        'device.reduce("sum", dy, (0, 1, 2)) if wanted.b', 'device.reduce("max", dy, (0, 1, 2)) if wanted.b',
        "reference", "conv2d_transpose", "the bias has the largest gradient of its pixels for their sum",
    ),
    Mutant(
        "transposed-size", "tinycnn/shapes.py",
        'max(k - step, 0) if padding == "valid"', 'k - step if padding == "valid"',
        "reference", "test_products.py::test_transposed_convolution",
        "where windows leave gaps, the last one is cut off", TEST,
    ),
    Mutant(
        "draw-order", "kernels/draw.cu",
        "v[j] = radius * cospi(turns);", "v[j] = radius * sinpi(turns);",
        "emulator", RANDOM, "two neighbours of a normal distribution are the same number", TEST,
    ),
    Mutant(
        "numba-draw-pairs", "kernels/numba/draw.py",
        "for j in range(0, 4, 2):", "for j in range(0, 2, 2):",
        "numba", RANDOM, "every second pair stays uniform", TEST,
    ),
    Mutant(
        "draw-streams", "tinycnn/drawing.py",
        "self.next, self.has_drawn = self.next + 1, True", "self.has_drawn = True",
        "reference", "test_own_losses.py::test_random_numbers_have_the_mean_and_the_spread_that_are_asked_for",
        "two draws of a pass are the same", TEST,
    ),
    Mutant(
        "own-loss-weights", "tinycnn/fit/own_losses.py",
        "return (of_image * factors).mean()", "return of_image.mean()",
        "reference", "test_own_losses.py::test_it_trains_as_the_same_loss_of_tinycnn_s_does",
        "weights of images do not count in a loss of one's own", TEST,
    ),
    Mutant(
        "add-last", "kernels/add.cu",
        "if (k + 1 >= count) break;", "if (k + 2 >= count) break;",
        "emulator", "add", "the last array is left out",
    ),
    Mutant(
        "add-sum-so-far", f"{HOST}/add.py",
        "first, rest = y, rest[AT_ONCE - 1 :]", "rest = rest[AT_ONCE - 1 :]",
        "emulator", "add", "of more than four arrays the sum of the first ones is lost",
    ),
    Mutant(
        "layout-offset", "kernels/layout.cu",
        "y[row * y_width + y_first + column]", "y[row * y_width + column]",
        "emulator", "concatenate", "joined parts lie over each other",
    ),
    Mutant(
        "pooling-last-maximum", "kernels/maxpool2d.cu",
        "= value[j] > best[j] ||", "= value[j] >= best[j] ||",
        "emulator", EQUAL_MAXIMA, "of equal maxima the last instead of the first", TEST,
    ),
    Mutant(
        "pooling-windows", "kernels/maxpool2d.cu",
        "sum[j] += d[j]", "sum[j] = d[j]",
        "emulator", "maxpool2d", "of overlapping windows the last alone",
    ),
    Mutant(
        "pooling-strides", "kernels/maxpool2d.cu",
        "(h + top - p * stride_h) * S + v + left - q * stride_w;",
        "(h + top - p * stride_w) * S + v + left - q * stride_h;",
        "emulator", "maxpool2d", "row and column strides exchanged",
    ),
    Mutant(
        "pooling-guard", "kernels/common.cuh",
        "least(count - 1, at / stride)};", "at / stride};",
        "emulator", "maxpool2d_backward", "rows behind the last window ask windows that are not there", CHECK,
    ),
    Mutant(
        "average-padding", "kernels/avgpool2d.cu",
        "const int count = inside(h0, R, H) * inside(v0, S, W);", "const int count = R * S;",
        "emulator", "test_layer_operations.py::test_average_pooling_of_any_shape", "padding counts in the mean", TEST,
    ),
    Mutant(
        "average-backward-padding", "kernels/avgpool2d.cu",
        "const int count = inside(p * stride_h - top, R, H) * inside(q * stride_w - left, S, W);",
        "const int count = R * S;",
        "emulator", "avgpool2d", "on the way back padding counts in the mean",
    ),
    Mutant(
        "average-windows", "kernels/avgpool2d.cu",
        "sum[j] += d[j] / count;", "sum[j] = d[j] / count;",
        "emulator", "avgpool2d", "of overlapping windows the last alone",
    ),
    Mutant(
        "cpu-average-overlap", f"{CPU}/avgpool2d.py",
        "add(load_first16(dx, to, g.C - c), gradient)", "gradient",
        "cpu", "avgpool2d", "overlapping windows overwrite each other",
    ),
    Mutant(
        "global-odd", "kernels/globalpool2d.cu",
        "const int half = (left + 1) / 2;", "const int half = left / 2;",
        "emulator", "globalavgpool2d", "a pixel's sum lost where an odd count is halved",
    ),
    Mutant(
        "global-barrier", "kernels/globalpool2d.cu",
        "        __syncthreads();\n        if (int(threadIdx.y)", "        if (int(threadIdx.y)",
        "emulator", "globalpool2d", "threads join what others have not written yet", CHECK,
    ),
    Mutant(
        "global-ties", "kernels/globalpool2d.cu",
        "const T share = dy[place] / ties;", "const T share = dy[place];",
        "emulator", SHARED_MAXIMA, "equal maxima take the whole gradient each", TEST,
    ),
    Mutant(
        "numba-global-mean", "kernels/numba/globalpool2d.py",
        "dx[i] = dy[i // C // pixels * C + i % C] / T(pixels)", "dx[i] = dy[i // C // pixels * C + i % C]",
        "numba", "globalavgpool2d", "the mean's gradient is that of a sum",
    ),
    Mutant(
        "pooling-byte", f"{HOST}/maxpool2d.py",
        "PLACES_OF_A_BYTE = 256", "PLACES_OF_A_BYTE = 2**31",
        "emulator", LARGE_WINDOWS, "places from 256 on cut to a byte", TEST,
    ),
    Mutant(
        "kernel-batchnorm-centre", "kernels/batchnorm.cu",
        "+= d[j] * ((v[j] - middle[j]) * scale[j]);", "+= d[j] * (v[j] * scale[j]);",
        "emulator", "batchnorm", "dgamma without the mean",
    ),
    Mutant(
        "kernel-batchnorm-epsilon", "kernels/batchnorm.cu",
        "inverse[j] = T(1) / sqrt(variance + epsilon);", "inverse[j] = T(1) / sqrt(variance);",
        "emulator", "batchnorm", "epsilon left out",
    ),
    Mutant(
        "kernel-batchnorm-join", "kernels/batchnorm.cu",
        "b.squares[j] + apart * apart * a.count * share", "b.squares[j]",
        "emulator", "batchnorm", "threads' variances joined as if their means were equal",
    ),
    Mutant(
        "kernel-batchnorm-odd", "kernels/batchnorm.cu",
        "const int half = (left + 1) / 2;", "const int half = left / 2;",
        "emulator", "batchnorm", "the last row lost where a block halves an odd number of them",
    ),
    Mutant(
        "kernel-batchnorm-barrier", "kernels/batchnorm.cu",
        "        __syncthreads();\n", "",
        "emulator", "batchnorm", "threads join what others have not written yet", CHECK,
    ),
    Mutant(
        "kernel-batchnorm-fence", "kernels/common.cuh",
        "    __threadfence();\n    __syncthreads();\n", "    __syncthreads();\n",
        "emulator", "batchnorm", "a block is counted before its part is there to be read", CHECK,
    ),
    Mutant(
        "kernel-batchnorm-last-part", "kernels/batchnorm.cu",
        "other.count = least(rows_per_block, rows - part * rows_per_block);", "other.count = rows_per_block;",
        "emulator", MANY_IMAGES, "the last block's few rows weigh as much as every other block's", TEST,
    ),
    Mutant(
        "kernel-batchnorm-first-part", "kernels/batchnorm.cu",
        "load(other.dbeta, from + C);\n        join(mine, other);",
        "load(other.dbeta, from + C);\n        if (part > 0) join(mine, other);",
        "emulator", MANY_IMAGES, "the first block's sums lost", TEST,
    ),
    Mutant(
        "kernel-batchnorm-order", "kernels/batchnorm.cu",
        "load(other.mean, from);\n        load(other.squares, from + C);",
        "load(other.squares, from);\n        load(other.mean, from + C);",
        "emulator", "batchnorm", "means and squares read in the wrong order",
    ),
    Mutant(
        "kernel-batchnorm-moving", "kernels/batchnorm.cu",
        "    store(moving_variance + at.column, moved_variance);\n", "",
        "emulator", MANY_IMAGES, "the moving variance does not move", TEST,
    ),
    Mutant(
        "kernel-batchnorm-mask-sums", "kernels/batchnorm.cu",
        "            if constexpr (DROPS) drop(d, i, mask);\n", "",
        "emulator", "batchnorm", "dgamma and dbeta from a gradient that did not come through the mask",
    ),
    Mutant(
        "kernel-batchnorm-mask-data", "kernels/batchnorm.cu",
        "\n        if constexpr (DROPS) drop(d, i, mask);", "",
        "emulator", "batchnorm", "gradients reach what was dropped",
    ),
    Mutant(
        "kernel-batchnorm-step", "kernels/batchnorm.cu",
        "*saved = *step;", "*saved = 0;",
        "emulator", "batchnorm", "the way back draws the mask of another step",
    ),
    Mutant(
        "reduce-odd", "kernels/reduce.cu",
        "const int half = (left + 1) / 2;", "const int half = left / 2;",
        "emulator", "sum", "a number lost where an odd count is halved",
    ),
    Mutant(
        "reduce-barrier", "kernels/reduce.cu",
        "        __syncthreads();\n", "",
        "emulator", "reduce", "threads add what others have not written yet", CHECK,
    ),
    Mutant(
        "dropout-word", "kernels/dropout.cu",
        "drop(v, i, mask);", "drop(v, keep_step ? i : i + 4, mask);",
        "emulator", "dropout", "the way back takes its neighbours' random words",
    ),
    Mutant(
        "dropout-word-of-four", "kernels/common.cuh",
        "WIDTH == 4 ? j : int(first & 3)", "WIDTH == 4 ? j : 0",
        "emulator", "batchnorm", "single elements all take the first of the four words",
    ),
    Mutant(
        "dropout-scale", "kernels/common.cuh",
        "rounded_product(v[j], mask.scale)", "v[j]",
        "emulator", "dropout", "what is kept is not scaled",
    ),
    Mutant(
        "subtract-operands", "kernels/elementwise.cu",
        "case 1: return a - b;", "case 1: return b - a;",
        "emulator", "subtract", "the operands exchanged",
    ),
    Mutant(
        "number-operands", "kernels/elementwise.cu",
        "y[i] = number_first ?", "y[i] = !number_first ?",
        "emulator", "power", "array - number instead of number - array, and the other way round",
    ),
    Mutant(
        "kernel-softmax-dot", "kernels/softmax_crossentropy.cu",
        "    dot = warp_sum(dot);\n", "",
        "emulator", "softmax", "every lane keeps its own part of the sum",
    ),
    Mutant(
        "kernel-crossentropy-mean", "kernels/softmax_crossentropy.cu",
        "((exp(log_p) - label) / N)", "((exp(log_p) - label) / K)",
        "emulator", "softmax_crossentropy", "divided by the classes instead of the rows",
    ),
    Mutant(
        "loss-fence", "kernels/common.cuh",
        "__threadfence();\n    __syncthreads();\n    if (threadIdx.x", "__syncthreads();\n    if (threadIdx.x",
        "emulator", "softmax_crossentropy", "the last block adds up rows that others may not have written yet", CHECK,
    ),
    Mutant(
        "loss-barrier", "kernels/softmax_crossentropy.cu",
        "losses[threadIdx.y] = sum, rights[threadIdx.y] = right;\n    __syncthreads();\n",
        "losses[threadIdx.y] = sum, rights[threadIdx.y] = right;\n",
        "emulator", "softmax_crossentropy", "one warp adds what the others have not written yet", CHECK,
    ),
    Mutant(
        "penalty-square", "kernels/regularize.cu",
        "+ 2 * l2 * v[j];", "+ l2 * v[j];",
        "emulator", "regularize", "half of the square's gradient",
    ),
    Mutant(
        "penalty-barrier", "kernels/regularize.cu",
        "        __syncthreads();\n", "",
        "emulator", "regularize", "threads add what others have not written yet", CHECK,
    ),
    Mutant(
        "penalty-of-a-batch", "tinycnn/fit/loop.py",
        "regularizer.l2, size, self.totals)", "regularizer.l2, 1, self.totals)",
        "reference", PENALTY, "a batch of images bears the penalty of one", TEST,
    ),
    Mutant(
        "binary-logits-mean", "kernels/softmax_crossentropy.cu",
        "gradient[i] = weight * ((p - label) / N / K);", "gradient[i] = weight * ((p - label) / N);",
        "emulator", "binary_crossentropy", "a mean over the rows, not over all numbers",
    ),
    Mutant(
        "binary-slope", "kernels/softmax_crossentropy.cu",
        "((p - label) / (p * (T(1) - p)) / N / K)", "((p - label) / N / K)",
        "emulator", "binary_crossentropy", "the gradient of logits for probabilities",
    ),
    Mutant(
        "cpu-squares", f"{CPU}/softmax_crossentropy.py",
        "weight * (np.float32(2) * apart / size)", "weight * (apart / size)",
        "cpu", "mean_squared_error", "half of the gradient",
    ),
    Mutant(
        "totals-by-batch", "kernels/softmax_crossentropy.cu",
        "totals[0] += double(*loss) * N;", "totals[0] += double(*loss);",
        "emulator", TOTALS, "a small last batch counts as much as a whole one", TEST,
    ),
    Mutant(
        "numba-relu-open", "kernels/numba/relu.py",
        "dx[j] = dy[j] if y[j] > 0", "dx[j] = dy[j] if y[j] >= 0",
        "numba", "relu", "the gradient passes everywhere",
    ),
    Mutant(
        "numba-batchnorm-mask", "kernels/numba/batchnorm.py",
        "for_beta[j] += d[j]", "for_beta[j] += dy[i + j]",
        "numba", "batchnorm", "dbeta from a gradient that did not come through the mask",
    ),
    Mutant(
        "numba-softmax-dot", "kernels/numba/softmax_crossentropy.py",
        "y[row + k] * (dy[row + k] - dot)", "y[row + k] * dy[row + k]",
        "numba", "softmax", "the way through the sum missing",
    ),
)  # fmt: skip

FAST_RIGHT = "test_fast.py::test_every_case_is_right[fast/{}-float32]"
FAST_TURNED = "test_fast.py::test_backward_data_as_a_forward_pass_over_filters_that_were_turned"
FAST_HOST = "tinycnn/devices/gpu/fast"
FAST = (
    Mutant(
        "fast-turned-taps", "kernels/layout.cu",
        "x += (gridDim.y - 1 - blockIdx.y) * size", "x += blockIdx.y * size",
        "emulator", FAST_TURNED, "filters are transposed, but not turned", TEST,
    ),
    Mutant(
        "fast-turned-padding", f"{FAST_HOST}/instances.py",
        "R - 1 - top, S - 1 - left)", "top, left)",
        "emulator", FAST_TURNED, "the padding of the layer, where its gradient has the rest of the filter", TEST,
    ),
    Mutant(
        "fast-turned-mask", f"{FAST_HOST}/launches.py",
        "dz = dy if y is None else device.relu_backward(dy, y)", "dz = dy",
        "emulator", FAST_TURNED, "what the ReLU had cut off comes back", TEST,
    ),
    Mutant(
        "fast-phase", "kernels/fast/conv.cuh",
        "stride, stride * first + phase - pad, -stride,", "stride, stride * first - pad, -stride,",
        "emulator", FAST_RIGHT.format("conv_gemm"), "the pixels of a stride's phase stored in another's place", TEST,
    ),
    Mutant(
        "fast-filter-turned", "kernels/fast/conv.cuh",
        "phase - pad, -stride, last_tap}", "phase - pad, stride, phase}",
        "emulator", FAST_RIGHT.format("conv_small"), "backward data with the filter not turned", TEST,
    ),
    Mutant(
        "fast-mask", "kernels/fast/tiles.cuh",
        "d[i] = v[i] > 0 ? d[i] : T(0)", "d[i] = v[i] >= 0 ? d[i] : -d[i]",
        "emulator", FAST_RIGHT.format("conv_small_filter"), "what the ReLU has cut off comes back", TEST,
    ),
    Mutant(
        "fast-skipped-tap", "kernels/fast/conv_gemm.cu",
        "const int last_s = least(columns.taps, W + columns.pad - q0 * STRIDE_W);",
        "const int last_s = least(columns.taps, W + columns.pad - q0 * STRIDE_W - 1);",
        "emulator", FAST_RIGHT.format("conv_gemm"), "a tap left out at the right edge", TEST,
    ),
    Mutant(
        "fast-last-block", "kernels/fast/conv_gemm.cu",
        "for (int z = 0; z < SPLIT; z++, sums += slice)", "for (int z = 1; z < SPLIT; z++, sums += slice)",
        "emulator", FAST_RIGHT.format("conv_gemm"), "the last block leaves the last slice out", TEST,
    ),
    Mutant(
        "fast-step-barrier", "kernels/fast/conv_gemm.cu",
        "        __syncthreads();  // all have copied this step, and are done with the one overwritten now\n",
        "",
        "emulator", "fast/conv_gemm", "a step is read before others have copied it", CHECK,
    ),
    Mutant(
        "fast-mask-late", "kernels/fast/conv_gemm_filter.cu",
        "if (MASKED) mask_chunk<WIDTH_K>(mine, mine + DY_TILE);",
        "if (MASKED) mask_chunk<WIDTH_K>(stage + DY_AT, stage + DY_AT + DY_TILE);",
        "emulator", "fast/conv_gemm_filter", "every thread masks the first chunk, which another has copied", CHECK,
    ),
    Mutant(
        "fast-bias-rows", "kernels/fast/conv_gemm_filter.cu",
        "constexpr int ROWS = least(BL, DyChunks::AT_ONCE);", "constexpr int ROWS = 1;",
        "emulator", FAST_RIGHT.format("conv_gemm_filter"), "the bias's gradient of one row of threads", TEST,
    ),
    Mutant(
        "fast-last-filters", "kernels/fast/conv_gemm_filter.cu",
        "const bool k_inside = K % BN == 0 || k0 + dy_column < K;", "const bool k_inside = true;",
        "emulator", "fast/conv_gemm_filter", "filters behind the last one are read", CHECK,
    ),
    Mutant(
        "fast-groups", "kernels/fast/conv_small.cu",
        "        __syncthreads();  // all are done with the band\n", "",
        "emulator", "fast/conv_small", "sums are stored where others still read the image", CHECK,
    ),
    Mutant(
        "fast-next-band", "kernels/fast/conv_small_filter.cu",
        "        __syncthreads();  // before the next band overwrites this one\n", "",
        "emulator", "fast/conv_small_filter", "a band is overwritten while others read it", CHECK,
    ),
    Mutant(
        "fast-bias-pixels", "kernels/fast/conv_small_filter.cu",
        "pixel < TP * Q; pixel += BIAS_ROWS)", "pixel < TP * Q; pixel += BIAS_THREADS)",
        "emulator", FAST_RIGHT.format("conv_small_filter"), "pixels that no thread adds to the bias's gradient", TEST,
    ),
    Mutant(
        "fast-sliding", "kernels/fast/conv_small_filter.cu",
        "a[s][c] = a[s + STRIDE_W][c];", "a[s][c] = a[s + 1][c];",
        "emulator", FAST_RIGHT.format("conv_small_filter"), "pixels slide on by one, whatever the stride", TEST,
    ),
)  # fmt: skip

STEP = "kernels/step"
PLAN = "tinycnn/devices/gpu/step"
STEP_RIGHT = "test_whole_steps.py::test_gradients_are_those_of_the_reference_in_float64"
STEP_PATHS = "test_whole_steps.py::test_weights_after_some_steps_are_those_of_the_general_path"

ONE_KERNEL = (
    Mutant(
        "step-turned", f"{STEP}/planes.cuh",
        "((taps - 1 - tap) * K + i - row * K)", "(tap * K + i - row * K)",
        "emulator", STEP_RIGHT, "backward data with the filter not turned", TEST,
    ),
    Mutant(
        "step-rows", f"{STEP}/conv.cuh",
        "if (p + r - of.top < 0 || p + r - of.top >= of.x.H) continue;", "if (p + r - of.top < 0) continue;",
        "emulator", STEP_RIGHT, "a convolution reads rows below the image", TEST,
    ),
    Mutant(
        "step-last-group", f"{STEP}/conv.cuh",
        "if (q + i >= first) finish(of, below, backward, 4 * quad, p, q + i);",
        "finish(of, below, backward, 4 * quad, p, q + i);",
        "emulator", STEP_RIGHT, "pixels that two threads have get their bias twice", TEST,
    ),
    Mutant(
        "step-dilation", f"{STEP}/conv.cuh",
        "if (w < 0 || w % of.dilation.w || w / of.dilation.w >= of.x.W) continue;",
        "if (w < 0 || w / of.dilation.w >= of.x.W) continue;",
        "emulator", STEP_RIGHT, "with a stride, backward data takes each column of dy more than once", TEST,
    ),
    Mutant(
        "step-filter-row", f"{STEP}/conv.cuh",
        "inside[r] ? row[x_plane[i] + r * of.x.pitch + q + S - 1] : 0.f",
        "row[x_plane[i] + r * of.x.pitch + q + S - 1]",
        "emulator", STEP_RIGHT, "the filter's gradient reads rows beyond the image", TEST,
    ),
    Mutant(
        "step-scale", f"{STEP}/masks.cuh",
        "return kept(c, h * y.W + w) ? rounded_product(gradient, scale) : 0.f;",
        "return kept(c, h * y.W + w) ? gradient : 0.f;",
        "emulator", STEP_RIGHT, "gradients come back through dropout without its scale", TEST,
    ),
    Mutant(
        "step-stream", f"{STEP}/masks.cuh",
        "((long long)blockIdx.x * pixels + pixel) * C + from", "((long long)pixel) * C + from",
        "emulator", STEP_RIGHT, "all images draw the mask of the first", TEST,
    ),
    Mutant(
        "step-mean-term", f"{STEP}/batchnorm.cuh",
        "(*d - *norm.of(DBETA, c) * share - x_hat", "(*d - x_hat",
        "emulator", STEP_RIGHT, "the mean's share of batch normalisation's gradient left out", TEST,
    ),
    Mutant(
        "step-parts", f"{STEP}/batchnorm.cuh",
        "sum += squares[part] + apart * apart * (norm.begin(part + 1) - norm.begin(part));", "sum += squares[part];",
        "emulator", STEP_RIGHT, "the distance of the parts' means is no variance", TEST,
    ),
    Mutant(
        "step-images", f"{STEP}/batchnorm.cuh",
        "const float mean = warp_sum(sum) / images;", "const float mean = warp_sum(sum) / gridDim.x;",
        "emulator", STEP_PATHS, "a last batch of fewer images is normalised by a full one's count", TEST,
    ),
    Mutant(
        "step-pool-overlap", f"{STEP}/maxpool2d.cuh",
        "windows_over(w + of.left, of.S, of.stride_w, dy.W);",
        "windows_over(w + of.left, of.stride_w, of.stride_w, dy.W);",
        "emulator", STEP_RIGHT, "of overlapping windows only the last gives its gradient", TEST,
    ),
    Mutant(
        "step-dense-bias", f"{STEP}/dense.cuh",
        "if (bias >= 0) sum +=", "if (bias > 1000000) sum +=",
        "emulator", STEP_RIGHT, "a dense layer without its bias", TEST,
    ),
    Mutant(
        "step-adadelta", f"{STEP}/optimizers.cuh",
        "g * sqrtf(d + epsilon) / sqrtf(a + epsilon)", "g / sqrtf(a + epsilon)",
        "emulator", STEP_PATHS, "Adadelta without the running mean of its updates", TEST,
    ),
    Mutant(
        "step-block-barrier", f"{PLAN}/writing.py",
        "a.shares(b) for a in stage.writes for b in read", "a.shares(b) for a in stage.writes for b in []",
        "emulator", "step", "a place is overwritten while others read what was there", CHECK,
    ),
    Mutant(
        "step-grid-barrier", f"{PLAN}/forward.py",
        "        self.load(self.next_conv(index))\n        self.barrier(WAIT)\n",
        "        self.load(self.next_conv(index))\n",
        "emulator", "step", "the statistics of a batch are read before all blocks have left theirs", CHECK,
    ),
    Mutant(
        "step-update-barrier", f"{PLAN}/builder.py",
        "        self.barrier(WAIT)\n        self.plan.stages.append(Stage(STOP,",
        "        self.plan.stages.append(Stage(STOP,",
        "emulator", "step", "gradients are added up before all blocks have left theirs", CHECK,
    ),
    Mutant(
        "step-arrival", f"{STEP}/grid.cuh",
        "        __syncthreads();\n        if (threadIdx.x == 0) count_arrival(counter);",
        "        if (threadIdx.x == 0) count_arrival(counter);",
        "emulator", "step", "a block arrives before its threads have written", CHECK,
    ),
    Mutant(
        "step-wait", f"{STEP}/grid.cuh",
        "return __syncthreads_or(failed);", "return failed;",
        "emulator", "step", "only one thread of a block waits for the others", CHECK,
    ),
)  # fmt: skip

MUTANTS = (*AUTOGRAD, *REFERENCE_DEVICE, *CPU_DEVICE, *KERNELS, *FAST, *ONE_KERNEL)
