// y[i] = max(x[i], 0), a thread for each number.
//
// launch: kernel=relu grid=8 block=128 x=float[1000] y=float[1000] n=int:1000
__global__ void relu(const float* x, float* y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0 ? x[i] : 0;
}
