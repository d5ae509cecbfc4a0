// Copies from global to shared memory that a thread starts and does not wait for: the only inline PTX of kernels/fast.
//
// cp.async takes 4, 8 or 16 bytes past the registers, from compute capability 8.0 on. A thread starts copies, closes
// them off as a group, and waits later until all but the youngest groups have arrived. It then sees what it copied
// itself; what others copied, after a barrier. Elsewhere, and in the emulator, which has no PTX, the same words copy at
// once: right in the same order, only that nothing goes on meanwhile.
#pragma once

#if !defined(CUDASIM) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define HAS_ASYNC_COPIES 1
#else
#define HAS_ASYNC_COPIES 0
#endif

// V neighbouring numbers, V * sizeof(T) bytes at a multiple of that many; zeros where `inside` is false: then `from` is
// not read, and may be anywhere.
template <int V, typename T>
__device__ __forceinline__ void start_copy(T* to, const T* from, bool inside) {
    constexpr int BYTES = V * sizeof(T);
    static_assert(V == 1 || V == 2 || V == 4, "a number, a pair or four");
    if constexpr (BYTES > 16) {
        start_copy<V / 2>(to, from, inside);
        start_copy<V / 2>(to + V / 2, from + V / 2, inside);
    } else {
#if HAS_ASYNC_COPIES
        const unsigned place = static_cast<unsigned>(__cvta_generic_to_shared(to));
        const int there = inside ? BYTES : 0;  // what is not there is filled with zeros
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(place), "l"(from), "n"(BYTES), "r"(there)
                     : "memory");
#else
        if constexpr (V == 4) {
            T four[4] = {0, 0, 0, 0};
            if (inside) load4(four, from);
            store4(to, four);
        } else {
#pragma unroll
            for (int i = 0; i < V; i++) to[i] = inside ? from[i] : T(0);
        }
#endif
    }
}

// What was started since the last group is a group.
__device__ __forceinline__ void close_group() {
#if HAS_ASYNC_COPIES
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Wait until no more than the OUTSTANDING youngest groups are on their way.
template <int OUTSTANDING>
__device__ __forceinline__ void wait_for_groups() {
#if HAS_ASYNC_COPIES
    asm volatile("cp.async.wait_group %0;" ::"n"(OUTSTANDING) : "memory");
#endif
}
