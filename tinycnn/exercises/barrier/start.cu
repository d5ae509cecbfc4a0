// Prefix sums of every 128 numbers, in shared memory.
//
// launch: kernel=prefix_sums grid=3 block=128 x=float[300] y=float[300] n=int:300
__global__ void prefix_sums(const float* x, float* y, int n) {
    __shared__ float sums[128];
    const int t = threadIdx.x, i = blockIdx.x * 128 + t;
    sums[t] = i < n ? x[i] : 0;
    for (int distance = 1; distance < 128; distance *= 2) {
        const float left = t >= distance ? sums[t - distance] : 0;
        sums[t] += left;
    }
    if (i < n) y[i] = sums[t];
}
