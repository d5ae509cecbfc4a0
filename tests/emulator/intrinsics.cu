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
