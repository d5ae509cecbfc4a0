// Blocks that hand over: the last to arrive at a counter adds up what all have written. Each fault is marked on its
// line, with a correct twin (template argument true). test_handover.py finds them.
//
// x has 64 numbers for each block, partials 64 as well, y the 64 sums; a counter is 0 before and after a launch.

// What a thread of the last block does: the sum over the blocks, in their order, and so the same bits every time.
__device__ float sum_over_blocks(const float* partials) {
    float sum = 0.f;
    for (int i = 0; i < gridDim.x; ++i) sum += partials[i * 64 + threadIdx.x];  // READ
    return sum;
}

__device__ void put_partial(const float* x, float* partials) {
    int i = blockIdx.x * 64 + threadIdx.x;
    partials[i] = 2.f * x[i];  // WRITE
}

template <bool right>
__global__ void fence_in_every_thread(const float* x, float* partials, unsigned* counter, float* y) {
    __shared__ bool last;
    put_partial(x, partials);
    if (right) __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicAdd(counter, 1u) == gridDim.x - 1;  // COUNT
    __syncthreads();
    if (!last) return;
    y[threadIdx.x] = sum_over_blocks(partials);
    if (threadIdx.x == 0) *counter = 0;  // RESET
}

template <bool right>
__global__ void fence_in_one_thread(const float* x, float* partials, unsigned* counter, float* y) {
    __shared__ bool last;
    put_partial(x, partials);
    if (!right && threadIdx.x == 0) __threadfence();  // of its own number alone
    __syncthreads();
    if (threadIdx.x == 0) {
        if (right) __threadfence();
        last = atomicInc(counter, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (last) y[threadIdx.x] = sum_over_blocks(partials);
}

template <bool right>
__global__ void fence_behind_the_atomic(const float* x, float* partials, unsigned* counter, float* y) {
    __shared__ bool last;
    put_partial(x, partials);
    __syncthreads();
    if (threadIdx.x == 0) {
        if (right) __threadfence();
        last = atomicInc(counter, gridDim.x - 1) == gridDim.x - 1;
        __threadfence();
    }
    __syncthreads();
    if (last) y[threadIdx.x] = sum_over_blocks(partials);
}

template <bool right>
__global__ void fence_before_the_write(const float* x, float* partials, unsigned* counter, float* y) {
    __shared__ bool last;
    if (!right) __threadfence();
    put_partial(x, partials);
    if (right) __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicInc(counter, gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (last) y[threadIdx.x] = sum_over_blocks(partials);
}

template <bool right>
__global__ void fence_of_the_block_only(const float* x, float* partials, unsigned* counter, float* y) {
    __shared__ bool last;
    put_partial(x, partials);
    if (right) __threadfence();
    else __threadfence_block();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicInc(counter, gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (last) y[threadIdx.x] = sum_over_blocks(partials);
}

template <bool right>
__global__ void barrier_before_the_atomic(const float* x, float* partials, unsigned* counter, float* y) {
    __shared__ bool last;
    put_partial(x, partials);
    __threadfence();
    if (right) __syncthreads();
    if (threadIdx.x == 0) last = atomicInc(counter, gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (last) y[threadIdx.x] = sum_over_blocks(partials);
}

template <bool right>
__global__ void counter_without_atomic(const float* x, float* partials, unsigned* counter, float* y) {
    __shared__ bool last;
    put_partial(x, partials);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned before = right ? atomicAdd(counter, 1u) : (*counter)++;  // COUNT of its own
        last = before == gridDim.x - 1;
        if (last) *counter = 0;  // RESET of its own
    }
    __syncthreads();
    if (last) y[threadIdx.x] = sum_over_blocks(partials);
}

template <bool right>
__global__ void fence_in_some_blocks(const float* x, float* partials, unsigned* counter, float* y) {
    __shared__ bool last;
    put_partial(x, partials);
    if (right || blockIdx.x == 0 || blockIdx.x == gridDim.x - 1) __threadfence();
    __syncthreads();
    if (threadIdx.x == blockIdx.x) last = atomicAdd(counter, 1u) == gridDim.x - 1;  // COUNT of some
    __syncthreads();
    if (last) y[threadIdx.x] = sum_over_blocks(partials);
    if (last && threadIdx.x == 0) *counter = 0;  // RESET of some
}

// Which block is the last to arrive is for the counter to say, not for its number.
template <bool right>
__global__ void last_by_its_number(const float* x, float* partials, unsigned* counter, float* y) {
    __shared__ bool last;
    put_partial(x, partials);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicInc(counter, gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (right ? last : blockIdx.x == gridDim.x - 1) y[threadIdx.x] = sum_over_blocks(partials);
}

template <bool right>
__global__ void the_last_but_one(const float* x, float* partials, unsigned* counter, float* y) {
    __shared__ bool last;
    put_partial(x, partials);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicInc(counter, gridDim.x - 1) == gridDim.x - (right ? 1 : 2);
    __syncthreads();
    if (last) y[threadIdx.x] = sum_over_blocks(partials);
}

template <bool right>
__global__ void every_thread_counts(const float* x, float* partials, unsigned* counter, float* y) {
    put_partial(x, partials);
    if (right) __threadfence();
    __syncthreads();
    if (!__syncthreads_or(atomicAdd(counter, 1u) == gridDim.x * 64 - 1)) return;
    y[threadIdx.x] = sum_over_blocks(partials);
    if (right && threadIdx.x == 0) *counter = 0;
}

// Two counters, two arrays: the fence of each must stand before its own atomic.
template <bool right>
__global__ void two_counters(const float* x, float* partials, unsigned* counters, float* y) {
    __shared__ bool first_last, second_last;
    float* second = partials + gridDim.x * 64;
    int i = blockIdx.x * 64 + threadIdx.x;
    put_partial(x, partials);
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        first_last = atomicInc(counters, gridDim.x - 1) == gridDim.x - 1;
    }
    second[i] = x[i];  // WRITE two_counters
    __syncthreads();
    if (threadIdx.x == 0) {
        if (right) __threadfence();
        second_last = atomicInc(counters + 1, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (first_last) y[threadIdx.x] = sum_over_blocks(partials);
    if (second_last)
        for (int j = 0; j < gridDim.x; ++j) y[64 + threadIdx.x] += second[j * 64 + threadIdx.x];  // READ two_counters
}

// One counter for every two blocks, and one for the pairs: what a block wrote reaches the last by way of another.
template <bool right>
__global__ void by_way_of_another(const float* x, float* partials, unsigned* counters, float* y) {
    __shared__ bool last;
    put_partial(x, partials);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicInc(counters + 1 + blockIdx.x / 2, 1u) == 1;
        if (right) __threadfence();
    }
    __syncthreads();
    if (threadIdx.x == 32 && last) last = atomicInc(counters, gridDim.x / 2 - 1) == gridDim.x / 2 - 1;
    __syncthreads();
    if (last) y[threadIdx.x] = sum_over_blocks(partials);
}

// Warps that count for themselves, without a barrier of the block's. Neither side's shuffle orders memory.
template <bool before, bool behind>
__device__ void warps_count(const float* x, float* partials, unsigned* counters, float* y) {
    unsigned arrived = 0;
    put_partial(x, partials);
    if (before) __syncwarp();
    if (threadIdx.x % 32 == 0) {
        __threadfence();
        arrived = atomicInc(counters + threadIdx.x / 32, gridDim.x - 1) + 1;
    }
    arrived = __shfl_sync(0xffffffffu, arrived, 0);
    if (behind) __syncwarp();
    if (arrived == gridDim.x) y[threadIdx.x] = sum_over_blocks(partials);
}

template <bool right>
__global__ void syncwarp_before_the_atomic(const float* x, float* partials, unsigned* counters, float* y) {
    warps_count<right, true>(x, partials, counters, y);
}

template <bool right>
__global__ void syncwarp_behind_the_atomic(const float* x, float* partials, unsigned* counters, float* y) {
    warps_count<true, right>(x, partials, counters, y);
}

// All blocks read x, and the last to arrive writes there, but one of them does not count.
template <bool right>
__global__ void readers_not_waited_for(float* x, float* partials, unsigned* counter, float* y) {
    __shared__ bool last;
    float value = x[threadIdx.x];  // READ readers_not_waited_for
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        unsigned all = right ? gridDim.x : gridDim.x - 1;
        last = (right || blockIdx.x != 2) && atomicInc(counter, all - 1) == all - 1;
    }
    __syncthreads();
    if (last) x[threadIdx.x] = value + 1.f;  // WRITE readers_not_waited_for
    if (last) y[threadIdx.x] = value;
}

// A sum by atomics, which the last to arrive reads, but one of the blocks does not count.
template <bool right>
__global__ void atomics_not_waited_for(const float* x, float* partials, unsigned* counter, float* y) {
    __shared__ bool last;
    if (threadIdx.x < 2) atomicAdd(partials, 1.f);  // ADD atomics_not_waited_for
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        unsigned all = right ? gridDim.x : gridDim.x - 1;
        last = (right || blockIdx.x != 2) && atomicInc(counter, all - 1) == all - 1;
    }
    __syncthreads();
    if (last) y[threadIdx.x] = partials[0];  // READ atomics_not_waited_for
}

// Such a sum, of which the fence has only its own thread's part.
template <bool right>
__global__ void atomics_of_other_threads(const float* x, float* partials, unsigned* counter, float* y) {
    __shared__ bool last;
    atomicAdd(partials, 1.f);  // ADD atomics_of_other_threads
    if (right) __syncthreads();
    if (threadIdx.x == 63) {
        __threadfence();
        last = atomicInc(counter, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (last) y[threadIdx.x] = partials[0];  // READ atomics_of_other_threads
}
