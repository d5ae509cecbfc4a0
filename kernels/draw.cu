// Random numbers: uniform in [0, 1), or standard normal.
//
//     u(i) = (word(i) >> 8) / 2^24
//     y[i] = u(i), or for neighbours i, i + 1, the first of them even (Box and Muller, 1958),
//     y[i], y[i + 1] = sqrt(-2 log(1 - u(i))) * (cos(2 pi u(i + 1)), sin(2 pi u(i + 1)))
//
// word(i) is word i % 4 of Philox4x32-10 (Salmon et al., SC 2011) for the counter (i / 4, stream, step) under the key
// `seed`: see common.cuh. The step is read from memory, so a recorded launch draws anew when it has moved on. 24 bits
// are what a float keeps; 1 - u is never 0, so its logarithm is finite. The same as plain loops:
// tinycnn/devices/reference/draw.py.
//
// One call of Philox gives four words, so a thread makes four neighbours, as one 16-byte store. No shared memory.
#include "common.cuh"

template <typename T>
__global__ void draw(
    T* __restrict__ y, const long long* __restrict__ step, long long total, unsigned long long seed,
    unsigned int stream, int normal) {
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x, i = 4 * thread;
    if (i >= total) return;
    const Words bits = philox4x32((unsigned int)thread, stream, (unsigned long long)*step, seed);
    T v[4];
#pragma unroll
    for (int j = 0; j < 4; j++) v[j] = T(bits.w[j] >> 8) * T(1.0 / 16777216);
    if (normal) {
#pragma unroll
        for (int j = 0; j < 4; j += 2) {
            const T radius = sqrt(T(-2) * log(T(1) - v[j])), turns = 2 * v[j + 1];
            v[j] = radius * cospi(turns);
            v[j + 1] = radius * sinpi(turns);
        }
    }
    store_some(y + i, v, total - i < 4 ? int(total - i) : 4, true);
}
