// A convolution of one channel, a thread for each output, 8 x 8 of them a block.
//
// launch: kernel=convolve grid=3,1,2 block=8,8 shared=480 x=float[2,12,19] w=float[5,3] y=float[2,8,17] \
//     N=int:2 H=int:12 W=int:19 R=int:5 S=int:3
__global__ void convolve(const float* x, const float* w, float* y, int N, int H, int W, int R, int S) {
    extern __shared__ float tile[];  // 8 + R - 1 rows of 8 + S - 1 pixels
    const int P = H - R + 1, Q = W - S + 1, n = blockIdx.z;
    const int p = blockIdx.y * 8 + threadIdx.y, q = blockIdx.x * 8 + threadIdx.x;
    const int rows = 8 + R - 1, columns = 8 + S - 1;
    for (int i = threadIdx.y * 8 + threadIdx.x; i < rows * columns; i += 64) {
        const int h = blockIdx.y * 8 + i / columns, v = blockIdx.x * 8 + i % columns;
        if (h < H && v < W) tile[i] = x[(n * H + h) * W + v];
    }
    __syncthreads();
    if (p >= P || q >= Q) return;
    float sum = 0;
    for (int r = 0; r < R; r++)
        for (int s = 0; s < S; s++) sum += tile[(threadIdx.y + r) * columns + threadIdx.x + s] * w[r * S + s];
    y[(n * P + p) * Q + q] = sum;
}
