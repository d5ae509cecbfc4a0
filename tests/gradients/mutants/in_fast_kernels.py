"""Faults of kernels/fast and kernels/step, and of what plans and launches them."""

from mutants.mutant import CHECK, TEST, Mutant

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
