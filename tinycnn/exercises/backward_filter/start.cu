// The gradient of a convolution by its filters: eight threads for each number of dw.
//
// launch: kernel=conv2d_backward_filter grid=48,1 block=16,8 \
//     x=float[2,9,10,8] dy=float[2,8,5,12] dw=float[3,2,8,12] \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_backward_filter(
    const float* x, const float* dy, float* dw, int N, int H, int W, int C, int K, int R, int S, int P, int Q,
    int stride_h, int stride_w, int top, int left) {
    const int share = threadIdx.y, k = blockIdx.y * 16 + threadIdx.x;
    const int c = blockIdx.x % C, s = blockIdx.x / C % S, r = blockIdx.x / C / S;
    float sum = 0;
    for (int i = share; i < N * P * Q; i += 8) {
        const int q = i % Q, p = i / Q % P, n = i / Q / P;
        const int h = p * stride_h + r - top, v = q * stride_w + s - left;
        if (h < 0 || h >= H || v < 0 || v >= W || k >= K) continue;
        sum += x[((n * H + h) * W + v) * C + c] * dy[i * K + k];
    }
    // Change this: eight threads write the same number, each its own sum.
    if (k < K) dw[blockIdx.x * K + k] = sum;
}
