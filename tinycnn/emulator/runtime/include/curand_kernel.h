// cuRAND on the device: its Philox generator, number for number. Its other generators are not supported by the emulator.
#pragma once
#include <cuda_runtime.h>

struct curandStatePhilox4_32_10 {
    uint4 ctr, output;
    uint2 key;
    unsigned STATE;  // which of the four numbers comes next
    int boxmuller_flag, boxmuller_flag_double;
    float boxmuller_extra;
    double boxmuller_extra_double;
};
typedef curandStatePhilox4_32_10 curandStatePhilox4_32_10_t;

namespace cudasim {

CUDASIM_INLINE uint4 philox(uint4 c, uint2 k) {
    for (int round = 0; round < 10; ++round) {
        if (round) k.x += 0x9E3779B9u, k.y += 0xBB67AE85u;
        uint64_t a = (uint64_t)0xD2511F53u * c.x, b = (uint64_t)0xCD9E8D57u * c.z;
        c = uint4((unsigned)(b >> 32) ^ c.y ^ k.x, (unsigned)b, (unsigned)(a >> 32) ^ c.w ^ k.y, (unsigned)a);
    }
    return c;
}
CUDASIM_INLINE void add(uint4& c, unsigned long long n) {
    unsigned long long low = (unsigned long long)c.y << 32 | c.x, sum = low + n;
    c.x = (unsigned)sum, c.y = (unsigned)(sum >> 32);
    if (sum < low && ++c.z == 0) ++c.w;
}

}  // namespace cudasim

CUDASIM_INLINE void skipahead(unsigned long long n, curandStatePhilox4_32_10_t* s) {
    s->STATE += (unsigned)(n & 3);
    n /= 4;
    if (s->STATE > 3) ++n, s->STATE -= 4;
    cudasim::add(s->ctr, n);
    s->output = cudasim::philox(s->ctr, s->key);
}
CUDASIM_INLINE void skipahead_sequence(unsigned long long n, curandStatePhilox4_32_10_t* s) {
    unsigned long long high = ((unsigned long long)s->ctr.w << 32 | s->ctr.z) + n;
    s->ctr.z = (unsigned)high, s->ctr.w = (unsigned)(high >> 32);
    s->output = cudasim::philox(s->ctr, s->key);
}
CUDASIM_INLINE void curand_init(unsigned long long seed, unsigned long long subsequence, unsigned long long offset,
                                curandStatePhilox4_32_10_t* s) {
    s->ctr = uint4(0, 0, 0, 0);
    s->key = uint2((unsigned)seed, (unsigned)(seed >> 32));
    s->STATE = 0;
    s->boxmuller_flag = s->boxmuller_flag_double = 0;
    s->boxmuller_extra = 0, s->boxmuller_extra_double = 0;
    skipahead_sequence(subsequence, s);
    skipahead(offset, s);
}
CUDASIM_INLINE unsigned curand(curandStatePhilox4_32_10_t* s) {
    unsigned found = s->STATE == 0 ? s->output.x : s->STATE == 1 ? s->output.y : s->STATE == 2 ? s->output.z : s->output.w;
    if (++s->STATE == 4) {
        cudasim::add(s->ctr, 1);
        s->output = cudasim::philox(s->ctr, s->key);
        s->STATE = 0;
    }
    return found;
}
CUDASIM_INLINE uint4 curand4(curandStatePhilox4_32_10_t* s) {
    unsigned a = curand(s), b = curand(s), c = curand(s), d = curand(s);
    return uint4(a, b, c, d);
}

namespace cudasim {
CUDASIM_INLINE float uniform(unsigned x) { return x * 2.3283064e-10f + (2.3283064e-10f / 2.0f); }  // of 2^-32; up to 1
CUDASIM_INLINE float2 box_muller(unsigned x, unsigned y) {
    float u = uniform(x), v = y * (2.3283064e-10f * 6.2831855f) + (2.3283064e-10f * 6.2831855f / 2.0f);
    float s = __builtin_sqrtf(-2.0f * __builtin_logf(u));
    return make_float2(s * __builtin_sinf(v), s * __builtin_cosf(v));
}
}  // namespace cudasim

CUDASIM_INLINE float curand_uniform(curandStatePhilox4_32_10_t* s) { return cudasim::uniform(curand(s)); }
CUDASIM_INLINE float4 curand_uniform4(curandStatePhilox4_32_10_t* s) {
    uint4 x = curand4(s);
    return make_float4(cudasim::uniform(x.x), cudasim::uniform(x.y), cudasim::uniform(x.z), cudasim::uniform(x.w));
}
CUDASIM_INLINE float2 curand_normal2(curandStatePhilox4_32_10_t* s) {
    unsigned x = curand(s), y = curand(s);
    return cudasim::box_muller(x, y);
}
CUDASIM_INLINE float curand_normal(curandStatePhilox4_32_10_t* s) {
    if (s->boxmuller_flag) {
        s->boxmuller_flag = 0;
        return s->boxmuller_extra;
    }
    float2 both = curand_normal2(s);
    s->boxmuller_flag = 1;
    s->boxmuller_extra = both.y;
    return both.x;
}
CUDASIM_INLINE float4 curand_normal4(curandStatePhilox4_32_10_t* s) {
    uint4 x = curand4(s);
    float2 a = cudasim::box_muller(x.x, x.y), b = cudasim::box_muller(x.z, x.w);
    return make_float4(a.x, a.y, b.x, b.y);
}
