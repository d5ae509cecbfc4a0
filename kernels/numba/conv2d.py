"""Convolution with stride and padding: forward, and the gradients of images and filters. conv2d.cu says how they go.

Shared memory is dynamic: [image tile | filters] or [x tile | dy tile], later [the threads' sums]. VECTOR says that C++
may take four channels at a time, as 16-byte loads; here it changes nothing.
"""

# ruff: noqa: E741  (l is the C file's name)

from functools import partial

import numpy as np
from numba import cuda
from tinycnn.kernels.numba.common import device_template, relu_of, template, through_relu


@device_template
def load_image_tile(T):
    """A rectangle of an image (H,W,C) to shared memory: rows h0.., columns v0.., channels c0.. .

    What lies outside is 0. A pixel takes `pitch` numbers in the tile, the first `depth` of them filled. The image is
    read through_relu(y, relu); C++ passes a ThroughRelu for a gradient, and Values for an image.
    """
    value = through_relu(T)

    def load_image_tile(tile, image, y, relu, H, W, C, h0, v0, c0, rows, columns, depth, pitch):
        thread = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
        threads = cuda.blockDim.x * cuda.blockDim.y
        width = 4 if C % 4 == 0 and depth % 4 == 0 and pitch % 4 == 0 else 1  # numbers copied at a time
        per_pixel = depth // width
        for i in range(thread, rows * columns * per_pixel, threads):
            pixel = i // per_pixel
            c = (i - pixel * per_pixel) * width
            row = pixel // columns
            column = pixel - row * columns
            h, v = h0 + row, v0 + column
            inside = h >= 0 and h < H and v >= 0 and v < W and c0 + c < C
            at, to = (h * W + v) * C + c0 + c, pixel * pitch + c
            for j in range(width):
                tile[to + j] = value(image, y, relu, at + j) if inside else T(0)

    return load_image_tile


@device_template
def accumulate_pixels(T, PIXELS):
    """sum[pixel, k] += the tile's image under the filters, for one chunk of filter rows and channels.

    images: the tile, its first pixel under tap (0,0) of output pixel 0; at[i]: where output pixel i of this thread
    begins. filters: rows (r, s, c) of KB numbers, already moved to this thread's four.
    """

    def accumulate_pixels(sum, images, at, filters, R, S, depth, pitch, columns, KB):
        f = cuda.local.array(4, T)
        # Without a gap between pixels, the S taps of a filter row are one run of S * depth numbers.
        runs = 1 if pitch == depth else S
        length = S * depth if pitch == depth else depth
        row = 0  # of the filters
        for r in range(R):
            for run in range(runs):
                image = (r * columns + run) * pitch
                for j in range(length):
                    for k in range(4):
                        f[k] = filters[row + k]
                    row += KB
                    for i in range(PIXELS):
                        v = images[image + at[i] + j]
                        for k in range(4):
                            sum[i, k] += v * f[k]

    return accumulate_pixels


@template
def conv2d_forward(T, PIXELS, VECTOR):
    """y[n][p][q][k] = act(b[k] + sum over r, s, c of x[n][p*stride + r - top][q*stride + s - left][c] * w[r][s][c][k]).

    x (N,H,W,C), w (R,S,C,K), b (K,), y (N,P,Q,K). grid: (N * tiles_p * tiles_q, blocks of KB filters); block: (KB / 4,
    groups of pixels). A block computes a tile of TP x TQ pixels; a thread has four filters and PIXELS pixels,
    blockDim.y apart. Shared memory (dynamic): the image tile and the filters, CB channels and RB filter rows at a time.
    """
    load_tile, accumulate, relu_of_T = load_image_tile(T), accumulate_pixels(T, PIXELS), relu_of(T)

    def conv2d_forward(
        x, w, b, y, H, W, C, K, R, S, P, Q, stride_h, stride_w, top, left, has_bias, relu,
        TP, TQ, tiles_p, tiles_q, KB, CB, RB, pitch,
    ):  # fmt: skip
        tile, n = cuda.blockIdx.x % (tiles_p * tiles_q), cuda.blockIdx.x // (tiles_p * tiles_q)
        p0, q0 = tile // tiles_q * TP, tile % tiles_q * TQ
        k = cuda.blockIdx.y * KB + 4 * cuda.threadIdx.x
        columns, tile_rows = (TQ - 1) * stride_w + S, (TP - 1) * stride_h + RB
        images = cuda.shared.array(0, T)
        filters = images[(tile_rows * columns * pitch + 3) // 4 * 4 :]
        mine = filters[4 * cuda.threadIdx.x :]
        image = x[n * H * W * C :]

        at = cuda.local.array(PIXELS, np.int32)
        sum = cuda.local.array((PIXELS, 4), T)
        for i in range(PIXELS):
            # A pixel behind the tile's end is the last one, computed once more and not stored.
            pixel = min(cuda.threadIdx.y + i * cuda.blockDim.y, TP * TQ - 1)
            at[i] = (pixel // TQ * stride_h * columns + pixel % TQ * stride_w) * pitch
            for j in range(4):
                sum[i, j] = T(0)
        for r0 in range(0, R, RB):
            rows = min(RB, R - r0)
            for c0 in range(0, C, CB):
                h0, v0 = p0 * stride_h - top + r0, q0 * stride_w - left
                tile_rows = (TP - 1) * stride_h + rows
                load_tile(images, image, image, False, H, W, C, h0, v0, c0, tile_rows, columns, CB, pitch)
                for row in range(cuda.threadIdx.y, rows * S * CB, cuda.blockDim.y):  # filters[r][s][c][k]
                    tap = row // CB
                    c = c0 + row - tap * CB
                    source = ((r0 * S + tap) * C + c) * K + k
                    for j in range(4):
                        mine[row * KB + j] = w[source + j] if c < C and k + j < K else T(0)
                cuda.syncthreads()
                accumulate(sum, images, at, mine, rows, S, CB, pitch, columns, KB)
                cuda.syncthreads()  # before the next chunk overwrites this one
        for i in range(PIXELS):
            pixel = cuda.threadIdx.y + i * cuda.blockDim.y
            p, q = p0 + pixel // TQ, q0 + pixel % TQ
            if pixel >= TP * TQ or p >= P or q >= Q:
                continue
            to = ((n * P + p) * Q + q) * K + k
            for j in range(4):
                if k + j < K:
                    value = sum[i, j]
                    if has_bias:
                        value += b[k + j]
                    y[to + j] = relu_of_T(value) if relu else value

    return conv2d_forward


@cuda.jit(device=True)
def first_of_phase(phase, pad, stride):
    """The first u with stride * u + phase - pad >= 0."""
    return (pad - phase + stride - 1) // stride if pad > phase else 0


@template
def conv2d_backward_data(T, PIXELS, VECTOR):
    """dx[n][h][v][c] = sum over p, q, k, r, s of dy[n][p][q][k] * w[r][s][c][k], wherever (p, q) sees (h, v) by (r, s).

    Where `relu` is set, of those dy whose y > 0. dy, y (N,P,Q,K), w (R,S,C,K), dx (N,H,W,C). grid: (N * tiles_h *
    tiles_w, blocks of CB channels, phases of the stride); block: (CB / 4, groups of pixels). A block computes TH x TW
    pixels of one phase; a thread has four channels and PIXELS pixels. Shared memory (dynamic): the tile of dy and the
    filters, KB filters and RB filter rows at a time.
    """
    load_tile, accumulate = load_image_tile(T), accumulate_pixels(T, PIXELS)

    def conv2d_backward_data(
        dy, y, w, dx, H, W, C, K, R, S, P, Q, stride_h, stride_w, top, left, relu,
        TH, TW, tiles_h, tiles_w, CB, KB, RB, pitch,
    ):  # fmt: skip
        tile, n = cuda.blockIdx.x % (tiles_h * tiles_w), cuda.blockIdx.x // (tiles_h * tiles_w)
        phase_h, phase_w = cuda.blockIdx.z // stride_w, cuda.blockIdx.z % stride_w
        taps_h = (R - phase_h + stride_h - 1) // stride_h if R > phase_h else 0
        taps_w = (S - phase_w + stride_w - 1) // stride_w if S > phase_w else 0
        u0 = first_of_phase(phase_h, top, stride_h) + tile // tiles_w * TH
        v0 = first_of_phase(phase_w, left, stride_w) + tile % tiles_w * TW
        c = cuda.blockIdx.y * CB + 4 * cuda.threadIdx.x
        columns = TW - 1 + taps_w
        images = cuda.shared.array(0, T)
        filters = images[((TH - 1 + RB) * (TW - 1 + (S + stride_w - 1) // stride_w) * pitch + 3) // 4 * 4 :]
        mine = filters[4 * cuda.threadIdx.x :]
        gradient, activated = dy[n * P * Q * K :], y[n * P * Q * K :]

        at = cuda.local.array(PIXELS, np.int32)
        sum = cuda.local.array((PIXELS, 4), T)
        for i in range(PIXELS):
            pixel = min(cuda.threadIdx.y + i * cuda.blockDim.y, TH * TW - 1)
            at[i] = (pixel // TW * columns + pixel % TW) * pitch
            for l in range(4):
                sum[i, l] = T(0)
        # j counts the phase's taps from the last to the first: that is the filter turned.
        for j0 in range(0, taps_h if taps_w > 0 else 0, RB):
            rows = min(RB, taps_h - j0)
            for k0 in range(0, K, KB):
                p0, q0 = u0 - (taps_h - 1) + j0, v0 - (taps_w - 1)
                load_tile(images, gradient, activated, relu, P, Q, K, p0, q0, k0, TH - 1 + rows, columns, KB, pitch)
                for row in range(cuda.threadIdx.y, rows * taps_w * KB, cuda.blockDim.y):  # filters[r][s][k][c]
                    tap = row // KB
                    k, j = k0 + row - tap * KB, tap // taps_w
                    r = phase_h + stride_h * (taps_h - 1 - j0 - j)
                    s = phase_w + stride_w * (taps_w - 1 - (tap - j * taps_w))
                    for i in range(4):
                        source = ((r * S + s) * C + c + i) * K + k
                        mine[row * CB + i] = w[source] if c + i < C and k < K else T(0)
                cuda.syncthreads()
                accumulate(sum, images, at, mine, rows, taps_w, KB, pitch, columns, CB)
                cuda.syncthreads()
        for i in range(PIXELS):
            pixel = cuda.threadIdx.y + i * cuda.blockDim.y
            h = stride_h * (u0 + pixel // TW) + phase_h - top
            v = stride_w * (v0 + pixel % TW) + phase_w - left
            if pixel >= TH * TW or h >= H or v >= W:
                continue
            to = ((n * H + h) * W + v) * C + c
            for l in range(4):
                if c + l < C:
                    dx[to + l] = sum[i, l]

    return conv2d_backward_data


@partial(template, most_threads=512)  # 64-bit indices take it to 168 registers, where a block of 512 has 128 each
def conv2d_backward_filter(T, VECTOR):
    """partial[slice][r][s][c][k] = sum over the slice's n, p, q of dy[n][p][q][k] * x[n][h][v][c]; partial_db: of dy.

    Where `relu` is set, of those dy whose y > 0. x (N,H,W,C), dy, y (N,P,Q,K), partial (slices, R, S, C, K), partial_db
    (slices, K). grid: (blocks of units, slices of the N * tiles_p * tiles_q tiles); block: units * splits threads, or
    KB. A unit is (filter row, four (s, c), four k), and a thread has its 4 x 4 numbers, summed over every splits-th
    pixel of a tile. Shared memory (dynamic): the tiles of x and dy, then the threads' sums.
    """
    load_tile = load_image_tile(T)

    def conv2d_backward_filter(
        x, dy, y, partial, partial_db, N, H, W, C, K, R, S, P, Q, stride_h, stride_w, top, left, has_bias, relu,
        TP, TQ, tiles_p, tiles_q, RU, CB, KB, splits,
    ):  # fmt: skip
        blocks_k, blocks_c = (K + KB - 1) // KB, (C + CB - 1) // CB
        k0 = cuda.blockIdx.x % blocks_k * KB
        c0 = cuda.blockIdx.x // blocks_k % blocks_c * CB
        r0 = cuda.blockIdx.x // blocks_k // blocks_c * RU
        length, k_quads = S * CB, KB // 4
        quads = (length + 3) // 4
        units = RU * quads * k_quads
        columns, rows = (TQ - 1) * stride_w + S, (TP - 1) * stride_h + RU
        x_tile = cuda.shared.array(0, T)
        dy_tile = x_tile[(rows * columns * CB + 3) // 4 * 4 :]

        unit, split = cuda.threadIdx.x % units, cuda.threadIdx.x // units
        k, j, r = 4 * (unit % k_quads), 4 * (unit // k_quads % quads), unit // k_quads // quads
        a = cuda.local.array(4, T)
        d = cuda.local.array(4, T)
        sum = cuda.local.array((4, 4), T)
        for i in range(4):
            for l in range(4):
                sum[i, l] = T(0)
        bias_lanes, bias_lane = cuda.blockDim.x // KB, cuda.threadIdx.x // KB
        sums_bias = has_bias and cuda.blockIdx.x < blocks_k and bias_lane < bias_lanes
        db = T(0)
        for item in range(cuda.blockIdx.y, N * tiles_p * tiles_q, cuda.gridDim.y):
            n, tile = item // (tiles_p * tiles_q), item % (tiles_p * tiles_q)
            p0, q0 = tile // tiles_q * TP, tile % tiles_q * TQ
            h0, v0 = p0 * stride_h - top + r0, q0 * stride_w - left
            image, outputs = x[n * H * W * C :], n * P * Q * K
            load_tile(x_tile, image, image, False, H, W, C, h0, v0, c0, rows, columns, CB, CB)
            load_tile(dy_tile, dy[outputs:], y[outputs:], relu, P, Q, K, p0, q0, k0, TP, TQ, KB, KB)
            cuda.syncthreads()
            if sums_bias:
                of_tile = T(0)  # apart, so that a long sum keeps its digits
                for pixel in range(bias_lane, TP * TQ, bias_lanes):
                    of_tile += dy_tile[pixel * KB + cuda.threadIdx.x % KB]
                db += of_tile
            if split < splits:
                p, q = split // TQ, split % TQ
                while p < TP:  # dy is 0 behind the image's edge, so every tile may be taken as full
                    window, pixel = ((p * stride_h + r) * columns + q * stride_w) * CB, (p * TQ + q) * KB + k
                    for i in range(4):
                        # Behind the end the last number stands again; what comes of it is not stored.
                        a[i] = x_tile[window + min(j + i, length - 1)]
                        d[i] = dy_tile[pixel + i]
                    for i in range(4):
                        for l in range(4):
                            sum[i, l] += a[i] * d[l]
                    q += splits
                    while q >= TQ:
                        q -= TQ
                        p += 1
            cuda.syncthreads()
        # The splits of a unit are added up in their order. Sums lie by (split, element, unit): conv2d.cu says why.
        sums = x_tile
        if split < splits:
            for i in range(16):
                sums[(split * 16 + i) * units + unit] = sum[i // 4, i % 4]
        cuda.syncthreads()
        part = partial[cuda.blockIdx.y * R * S * C * K :]
        for i in range(cuda.threadIdx.x, 16 * units, cuda.blockDim.x):
            # Neighbouring threads take neighbouring k, so that they write neighbouring numbers.
            k_low, to_k, j_low, rest = i % 4, i // 4 % k_quads, i // 4 // k_quads % 4, i // 16 // k_quads
            source = (j_low * 4 + k_low) * units + rest * k_quads + to_k
            to_j, to_r = rest % quads * 4 + j_low, r0 + rest // quads
            s, c, filter = to_j // CB, c0 + to_j % CB, k0 + 4 * to_k + k_low
            if to_j >= length or to_r >= R or c >= C or filter >= K:
                continue
            total = T(0)
            for z in range(splits):
                total += sums[z * 16 * units + source]
            part[((to_r * S + s) * C + c) * K + filter] = total
        if not has_bias or cuda.blockIdx.x >= blocks_k:
            return  # the whole block
        cuda.syncthreads()
        if sums_bias:
            sums[cuda.threadIdx.x] = db
        cuda.syncthreads()
        if cuda.threadIdx.x < KB and k0 + cuda.threadIdx.x < K:
            total = T(0)
            for lane in range(bias_lanes):
                total += sums[lane * KB + cuda.threadIdx.x]
            partial_db[cuda.blockIdx.y * K + k0 + cuda.threadIdx.x] = total

    return conv2d_backward_filter
