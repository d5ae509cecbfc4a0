// A barrier for all blocks of a cooperative launch: a counter in global memory, 0 at the launch.
//
// Every block arrives by adding 1, and has waited when the counter has reached (barriers so far) * (blocks). What a block
// wrote before it arrived, every block may read after it has waited, past the first cache (__ldcg), which knows nothing
// of the other blocks. Between the two it may do what needs nobody else.
//
// A block that is not resident would never arrive, and the others would wait for ever: so they wait `patience` (about
// nanoseconds on a GPU, looks at the counter in the emulator), leave a 1 in `error`, and go past all further barriers.
// The host looks at `error`.
//
// The only inline PTX of kernels/step. A release (acquire) of one thread beside a barrier of its block counts for all
// threads of the block, and costs less than a fence of each of them.
#pragma once

#if !defined(CUDASIM) && defined(__CUDA_ARCH__)
#define HAS_RELEASE_AND_ACQUIRE 1
#else
#define HAS_RELEASE_AND_ACQUIRE 0
#endif

// By one thread, behind a barrier of its block.
__device__ __forceinline__ void count_arrival(unsigned* counter) {
#if HAS_RELEASE_AND_ACQUIRE
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(counter) : "memory");
#else
    atomicAdd(counter, 1u);
#endif
}

__device__ __forceinline__ unsigned arrivals_so_far(unsigned* counter) {
#if HAS_RELEASE_AND_ACQUIRE
    unsigned seen;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
    return seen;
#else
    const unsigned seen = atomicAdd(counter, 0u);
    __threadfence();
    return seen;
#endif
}

// A clock for patience: it need not be exact.
__device__ __forceinline__ long long moment(long long looks) {
#if HAS_RELEASE_AND_ACQUIRE
    long long t;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(t));
    return t;
#else
    return looks;
#endif
}

// Until the counter is at `target`; whether it is not, or `failed` says that it was not to be waited for.
__device__ __noinline__ int wait_for(unsigned* counter, unsigned target, int* error, long long patience, int failed) {
    if (threadIdx.x == 0 && !failed) {
        const long long began = moment(0);
        for (long long looks = 1; int(arrivals_so_far(counter) - target) < 0; looks++)
            if (looks % 256 == 0 && moment(looks) - began > patience) {
                *error = failed = 1;
                break;
            }
    }
    return __syncthreads_or(failed);
}

struct Grid {
    unsigned* counter;
    int* error;
    long long patience;
    unsigned target;
    int failed;  // known to all threads of the block
    int images;  // of this step: the first blocks have one each

    // All threads of the block, and then the block is counted.
    __device__ __forceinline__ void arrive() {
#if !HAS_RELEASE_AND_ACQUIRE
        __threadfence();
#endif
        __syncthreads();
        if (threadIdx.x == 0) count_arrival(counter);
    }

    // All threads of the block, until all blocks have arrived.
    __device__ __forceinline__ void wait() {
        target += gridDim.x;
        failed = wait_for(counter, target, error, patience, failed);
    }
};
