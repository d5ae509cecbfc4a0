// One product of small matrices on tensor cores, by a whole warp: the ladder's only inline PTX.
//
//     for m < 16, n < 8:  C[m][n] += sum over l < 8 of A[m][l] * B[l][n]
//
// No thread has a matrix; each of the 32 lanes has a few numbers of each. With g = lane / 4 and t = lane % 4 (the PTX
// manual's "matrix fragments for mma.m16n8k8", type .tf32):
//
//     a[0] = A[g][t]     a[1] = A[g+8][t]     a[2] = A[g][t+4]     a[3] = A[g+8][t+4]
//     b[0] = B[t][g]     b[1] = B[t+4][g]
//     c[0] = C[g][2*t]   c[1] = C[g][2*t+1]   c[2] = C[g+8][2*t]   c[3] = C[g+8][2*t+1]
//
// A and B are TF32: floats whose significand is rounded to 11 bits, a relative error of at most 2^-11. Their products
// are exact, and they are summed in float. Before compute capability 8.0, and in the emulator, which has no PTX, the
// lanes exchange the same numbers by shuffles: the same product, slowly, so that the rest of the kernel can be tested.
#pragma once

#if !defined(CUDASIM) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define HAS_TF32_CORES 1
#else
#define HAS_TF32_CORES 0
#endif

// Rounds to the nearest TF32, halves away from 0.
__device__ __forceinline__ float to_tf32(float x) {
#if HAS_TF32_CORES
    unsigned int bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return __uint_as_float(bits);
#else
    const unsigned int bits = __float_as_uint(x);
    if ((bits & 0x7f800000u) == 0x7f800000u) return x;  // infinite or NaN
    return __uint_as_float((bits + 0x1000u) & ~0x1fffu);
#endif
}

// All 32 lanes of the warp must take part.
__device__ __forceinline__ void multiply_16x8x8(float (&c)[4], const float (&a)[4], const float (&b)[2]) {
#if HAS_TF32_CORES
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
                   "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
#else
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int l = 0; l < 8; l++) {
        const int half = l / 4;  // which of its numbers the owner of column l of A, row l of B, has to send
        const float upper = __shfl_sync(ALL_LANES, a[2 * half], 4 * g + l % 4);
        const float lower = __shfl_sync(ALL_LANES, a[2 * half + 1], 4 * g + l % 4);
        const float left = __shfl_sync(ALL_LANES, b[half], 4 * (2 * t) + l % 4);
        const float right = __shfl_sync(ALL_LANES, b[half], 4 * (2 * t + 1) + l % 4);
        c[0] += upper * left, c[1] += upper * right, c[2] += lower * left, c[3] += lower * right;
    }
#endif
}
