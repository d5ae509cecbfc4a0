"""Faults of kernels/, their Numba twins, and what launches them."""

from mutants.mutant import CHECK, CPU, FUNCTIONAL, TEST, Mutant

HOST = "tinycnn/devices/gpu/launches"
KERNEL_DEVICES = "test_kernel_devices.py"
FUSED_RELU = "test_products.py::test_relu_and_bias_ride_in_the_convolution"
MANY_IMAGES = "test_layer_operations.py::test_batch_normalisation_of_many_and_of_few_images"
EQUAL_MAXIMA = "gradients/test_gradients.py::test_the_gradient_of_equal_maxima_goes_to_the_first"
SHARED_MAXIMA = "test_layer_operations.py::test_equal_maxima_of_an_image_share_the_gradient_and_so_do_nans"
SMALL_AND_LARGE = "test_layer_operations.py::test_an_activation_keeps_the_digits_of_small_numbers_and_bears_large_ones"
PENALTY = "test_training.py::test_a_penalty_is_part_of_the_loss_and_makes_weights_small[reference]"
LARGE_WINDOWS = "test_layer_operations.py::test_pooling_finds_the_maximum_at_the_last_place_of_a_large_window"
RMSPROP = "test_operations.py::test_rmsprop"
RANDOM = "test_layer_operations.py::test_random_numbers_are_those_of_philox_s_words"
TOTALS = "test_operations.py::test_totals_sum_the_loss_by_image_and_the_hits"

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
