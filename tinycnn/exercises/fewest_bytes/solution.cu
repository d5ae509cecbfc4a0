// A convolution by filters of 3 x 3: 4 blocks for all images.
//
// launch: kernel=layer grid=4 block=256 shared=49152 x=float[8,10,10,16] w=float[3,3,16,16] y=float[8,8,8,16] \
//     N=int:8 H=int:10 W=int:10 C=int:16 K=int:16
__global__ void layer(const float* x, const float* w, float* y, int N, int H, int W, int C, int K) {
    extern __shared__ float memory[];  // 48 KB
    const int P = H - 2, Q = W - 2;
    float *filters = memory, *image = memory + 9 * C * K;
    for (int i = threadIdx.x; i < 9 * C * K; i += blockDim.x) filters[i] = w[i];
    for (int n = blockIdx.x; n < N; n += gridDim.x) {
        __syncthreads();  // nobody needs the image before this one any more
        for (int i = threadIdx.x; i < H * W * C; i += blockDim.x) image[i] = x[n * H * W * C + i];
        __syncthreads();
        for (int i = threadIdx.x; i < P * Q * K; i += blockDim.x) {
            const int k = i % K, q = i / K % Q, p = i / K / Q;
            float sum = 0;
            for (int r = 0; r < 3; r++)
                for (int s = 0; s < 3; s++)
                    for (int c = 0; c < C; c++)
                        sum += image[((p + r) * W + q + s) * C + c] * filters[((r * 3 + s) * C + c) * K + k];
            y[n * P * Q * K + i] = sum;
        }
    }
}
