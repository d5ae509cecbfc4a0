// Blocks of a cooperative launch that wait for one another. Each fault has a number; 0 is the correct kernel.
// test_together.py launches, checks and traces them.

enum Fault { NONE, NO_BARRIER, NO_FENCE, NOT_ALL_ARRIVED, TOO_FEW, NOT_ALL_WAIT };

// Thread 0 counts the block in, and waits for the others.
template <int fault, typename Wait>
__device__ void grid_barrier(unsigned* counter, unsigned round, Wait wait) {
    if (fault == NO_BARRIER) return __syncthreads();
    if (fault != NOT_ALL_ARRIVED) __syncthreads();
    if (threadIdx.x == 0) {
        if (fault != NO_FENCE) __threadfence();
        atomicAdd(counter, 1u);
        wait(counter, round * gridDim.x - (fault == TOO_FEW));
    }
    if (fault != NOT_ALL_WAIT) __syncthreads();
}

// y becomes x, with every number at the place of that in the next block, and one more, `steps` times.
template <int fault, typename Wait>
__device__ void rotate(float* x, float* y, unsigned* counter, int steps, Wait wait) {
    extern __shared__ float kept[];
    int i = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x;
    for (int step = 1; step <= steps; ++step) {
        const float* from = step % 2 ? x : y;
        float* to = step % 2 ? y : x;
        kept[threadIdx.x] = from[(i + blockDim.x) % n];  // READ
        grid_barrier<fault>(counter, 2 * step - 1, wait);
        to[i] = kept[threadIdx.x] + 1.f;  // WRITE
        grid_barrier<fault>(counter, 2 * step, wait);
    }
}

template <int fault>
__global__ void by_atomics(float* x, float* y, unsigned* counter, int steps) {
    rotate<fault>(x, y, counter, steps, [](unsigned* counter, unsigned target) {
        while (atomicAdd(counter, 0u) < target) {}
    });
}

__global__ void by_sleeping(float* x, float* y, unsigned* counter, int steps) {
    rotate<NONE>(x, y, counter, steps, [](unsigned* counter, unsigned target) {
        while (atomicCAS(counter, 0u, 0u) < target) __nanosleep(100);
    });
}

__global__ void by_fences(float* x, float* y, unsigned* counter, int steps) {
    rotate<NONE>(x, y, counter, steps, [](unsigned* counter, unsigned target) {
        while (*(volatile unsigned*)counter < target) __threadfence();
        atomicAdd(counter, 0u);
    });
}

// Half of block 1 waits at a barrier that the other half does not come to.
__global__ void stuck(unsigned* counter) {
    if (blockIdx.x == 1 && threadIdx.x < 32) __syncthreads();  // WAITS
    if (blockIdx.x == 1 && threadIdx.x >= 32) __syncthreads();
    atomicAdd(counter, 1u);
}
