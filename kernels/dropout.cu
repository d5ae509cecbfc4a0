// Dropout (Srivastava et al., 2014) without a stored mask.
//
//     for each element i:  y[i] = x[i] * scale where bits(i) >= threshold, else 0
//
// bits(i) is word i % 4 of Philox4x32-10 (Salmon et al., SC 2011) for the counter (i / 4, stream, step) under the key
// `seed`: tinycnn/philox.py gives the same bits, and says what the four counter words are. A random number costs a
// few dozen integer instructions and no memory, so the backward pass makes the mask again instead of reading it. What
// has to be remembered is the step, which moves on before the backward pass may run: thread 0 copies it to `saved`. The
// same as plain loops: tinycnn/devices/reference/dropout.py.
//
// One call of Philox gives four words, so a thread makes four elements, as one 16-byte load and store. No shared
// memory.
#include "common.cuh"

struct Words {
    unsigned int w[4];
};

// Ten rounds. The counter is (block, stream, step low, step high).
__device__ __forceinline__ Words
philox4x32(unsigned int block, unsigned int stream, unsigned long long step, unsigned long long seed) {
    unsigned int c0 = block, c1 = stream, c2 = (unsigned int)step, c3 = (unsigned int)(step >> 32);
    unsigned int k0 = (unsigned int)seed, k1 = (unsigned int)(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const unsigned long long p0 = (unsigned long long)c0 * 0xD2511F53u, p1 = (unsigned long long)c2 * 0xCD9E8D57u;
        c0 = (unsigned int)(p1 >> 32) ^ c1 ^ k0;
        c1 = (unsigned int)p1;
        c2 = (unsigned int)(p0 >> 32) ^ c3 ^ k1;
        c3 = (unsigned int)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

// Forward and backward are the same but for `saved`: forward writes the step there, backward (keep_step 0) reads it
// as `step`.
template <typename T>
__global__ void dropout(
    const T* __restrict__ x, T* __restrict__ y, const long long* step, long long* saved, long long total,
    unsigned long long seed, unsigned int stream, unsigned long long threshold, T scale, int keep_step) {
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x, i = 4 * thread;
    if (thread == 0 && keep_step) *saved = *step;
    if (i >= total) return;
    const Words bits = philox4x32((unsigned int)thread, stream, *step, seed);
    const int count = total - i < 4 ? total - i : 4;
    T v[4];
    load_some(v, x + i, count, true);
#pragma unroll
    for (int j = 0; j < 4; j++) v[j] = bits.w[j] >= threshold ? v[j] * scale : T(0);
    store_some(y + i, v, count, true);
}
