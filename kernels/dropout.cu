// Dropout (Srivastava et al., 2014) without a stored mask.
//
//     for each element i:  y[i] = x[i] * scale where bits(i) >= threshold, else 0
//
// bits(i) is word i % 4 of Philox4x32-10 (Salmon et al., SC 2011) for the counter (i / 4, stream, step) under the key
// `seed`: see common.cuh. A random number costs a few dozen integer instructions and no memory, so the backward pass
// makes the mask again instead of reading it. What has to be remembered is the step, which moves on before the backward
// pass may run: thread 0 copies it to `saved`. The same as plain loops: tinycnn/devices/reference/dropout.py.
//
// One call of Philox gives four words, so a thread makes four elements, as one 16-byte load and store. No shared
// memory. Behind batch normalisation, batchnorm.cu does the same in passing.
#include "common.cuh"

// Forward and backward are the same but for `saved`: forward writes the step there, backward (keep_step 0) reads it
// as `step`.
template <typename T>
__global__ void dropout(
    const T* __restrict__ x, T* __restrict__ y, const long long* step, long long* saved, long long total,
    unsigned long long seed, unsigned int stream, unsigned long long threshold, T scale, int keep_step) {
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x, i = 4 * thread;
    if (thread == 0 && keep_step) *saved = *step;
    if (i >= total) return;
    const Mask<T> mask = {seed, stream, (unsigned long long)*step, threshold, scale};
    const int count = total - i < 4 ? total - i : 4;
    T v[4];
    load_some(v, x + i, count, true);
    drop(v, i, mask);
    store_some(y + i, v, count, true);
}
