// The intrinsics that test_intrinsics.py cannot write as one function of numbers each.

__global__ void matches(const int* x, const long long* wide, unsigned* y, int all_same) {
    int t = threadIdx.x, all;
    y[t] = __match_any_sync(0xffffffffu, x[t]);
    y[32 + t] = __match_any_sync(0xffffffffu, wide[t]);
    y[64 + t] = __match_all_sync(0xffffffffu, all_same ? 7 : x[t], &all);
    y[96 + t] = all;
}

__global__ void reductions(const int* x, int* y) {
    int t = threadIdx.x;
    unsigned mask = t < 12 ? 0xfffu : 0xfffff000u;
    y[t] = __reduce_add_sync(mask, x[t]);
    y[32 + t] = __reduce_min_sync(mask, x[t]);
    y[64 + t] = __reduce_max_sync(mask, x[t]);
    y[96 + t] = __reduce_and_sync(mask, (unsigned)x[t]);
    y[128 + t] = __reduce_or_sync(mask, (unsigned)x[t]);
    y[160 + t] = __reduce_xor_sync(mask, (unsigned)x[t]);
    y[192 + t] = __reduce_max_sync(mask, (unsigned)x[t]);
}

// Of lanes that are there: one of 24 has returned, and a block may have fewer than 32.
__global__ void of_those_left(int* y) {
    int t = threadIdx.x, all;
    if (t == 3) return;
    y[t] = __reduce_add_sync(0xffffffffu, t);
    y[32 + t] = (int)__match_any_sync(0xffffffffu, t % 2);
    y[64 + t] = (int)__match_all_sync(0xffffffffu, 7, &all);
}

// A bool, a char and a short are ints to these.
__global__ void small_values(int* y) {
    int t = threadIdx.x;
    y[t] = __shfl_down_sync(0xffffffffu, (unsigned char)(250 + t), 1);
    y[32 + t] = __shfl_xor_sync(0xffffffffu, (short)-t, 1);
    y[64 + t] = __shfl_sync(0xffffffffu, t == 5, 5) + 2 * __shfl_up_sync(0xffffffffu, (char)1, 1);
    y[96 + t] = (int)__match_any_sync(0xffffffffu, (bool)(t & 1));
}

template <typename A, typename B>
struct Two {
    A a;
    B b;
};
__device__ float2 rsqrt(float2 v) { return make_float2(rsqrt(v.x), rsqrt(v.y)); }  // a program's own
__device__ double2 sinpi(double2 v) { return make_double2(sinpi(v.x), sinpi(v.y)); }
__global__ void in_templates(const void* p, float* y) {
    y[0] = __ldg(&reinterpret_cast<const Two<int, float>*>(p)->b);
    __stcg(&reinterpret_cast<Two<int, float>*>(y + 2)->b, __fmul_rn(Two<int, float>{2, 3}.b, 2));
    float4 four = {7};  // and zeros
    float2 two = {7};
    y[1] = rsqrt(make_float2(4, 16)).y + four.y + four.z + four.w + two.y;
    y[2] = (float)sinpi(make_double2(0, 0.5)).y;
}

// Of each its size and alignment, and the sum of its numbers.
__global__ void vectors(int* y) {
#define OF(type, sum) *y++ = sizeof(type), *y++ = alignof(type), *y++ = (int)(sum)
#define ALL(name) \
    OF(name##1, make_##name##1(1).x); \
    OF(name##2, make_##name##2(1, 2).x + make_##name##2(1, 2).y); \
    OF(name##3, make_##name##3(1, 2, 3).y + make_##name##3(1, 2, 3).z); \
    OF(name##4, make_##name##4(1, 2, 3, 4).x + make_##name##4(1, 2, 3, 4).w)
    ALL(char); ALL(uchar); ALL(short); ALL(ushort); ALL(int); ALL(uint); ALL(float);
    ALL(long); ALL(ulong); ALL(longlong); ALL(ulonglong); ALL(double);
}

// Every thread makes each of them once; y begins as 12s.
template <typename T>
__global__ void atomics(T* y) {
    T t = (T)threadIdx.x;
    atomicAdd(y, t), atomicAdd_block(y + 1, t), atomicAdd_system(y + 2, t);
    atomicSub(y + 3, t), atomicSub_block(y + 4, t), atomicSub_system(y + 5, t);
    atomicMax(y + 6, t), atomicMax_block(y + 7, t), atomicMax_system(y + 8, t);
    atomicMin(y + 9, t), atomicMin_block(y + 10, t), atomicMin_system(y + 11, t);
    atomicExch(y + 12, t), atomicExch_block(y + 13, t), atomicExch_system(y + 14, t);
    atomicAnd(y + 15, t), atomicAnd_block(y + 16, t), atomicAnd_system(y + 17, t);
    atomicOr(y + 18, t), atomicOr_block(y + 19, t), atomicOr_system(y + 20, t);
    atomicXor(y + 21, t), atomicXor_block(y + 22, t), atomicXor_system(y + 23, t);
    atomicCAS(y + 24, (T)12, t), atomicCAS_block(y + 25, (T)12, t), atomicCAS_system(y + 26, (T)12, t);
}

__global__ void counters(unsigned* y) {
    atomicInc(y, 20u), atomicInc_block(y + 1, 20u), atomicInc_system(y + 2, 20u);
    atomicDec(y + 3, 20u), atomicDec_block(y + 4, 20u), atomicDec_system(y + 5, 20u);
}

__global__ void wide_atomics(float2* two, float4* four) {
    float t = threadIdx.x;
    float2 before = atomicAdd(two, make_float2(t, 1));
    if (threadIdx.x == 31) two[1] = before;
    atomicAdd(four, make_float4(1, 2, 3, t));
}

__global__ void memory(const float* x, float* y, unsigned* where, long long* ticks) {
    __shared__ float kept[1];
    float own = 0;
    where[0] = __isGlobal(x) + 10 * __isGlobal(kept) + 100 * __isGlobal(&own);
    where[1] = __isShared(x) + 10 * __isShared(kept) + 100 * __isShared(&own);
    where[2] = __isLocal(x) + 10 * __isLocal(kept) + 100 * __isLocal(&own);
    __stcg(y, __ldg(x)), __stcs(y + 1, __ldcg(x + 1)), __stwb(y + 2, __ldcs(x + 2)), __stwt(y + 3, __ldca(x + 3));
    y[4] = __ldlu(x + 4), y[5] = __ldcv(x + 5);
    ticks[0] = clock64(), ticks[1] = clock(), ticks[2] = clock64();
}

__global__ void votes(int* y, int* counter) {
    int t = threadIdx.x;
    y[t] = __syncthreads_count(t % 3 == 0) + 100 * !!__syncthreads_and(t < 64) + 1000 * !!__syncthreads_or(t == 5);
    __threadfence(), __threadfence_block(), __threadfence_system();
    __nanosleep(10);
}
