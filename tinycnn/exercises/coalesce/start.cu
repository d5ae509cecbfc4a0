// A convolution with padding and strides, a thread for each output.
//
// launch: kernel=conv2d_forward grid=4,2 block=128 \
//     x=float[2,9,10,8] w=float[3,2,8,12] y=float[2,8,5,12] \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_forward(
    const float* x, const float* w, float* y, int N, int H, int W, int C, int K, int R, int S, int P, int Q,
    int stride_h, int stride_w, int top, int left) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, n = blockIdx.y;
    if (i >= P * Q * K) return;
    const int q = i % Q, p = i / Q % P, k = i / Q / P;  // change this line
    float sum = 0;
    for (int r = 0; r < R; r++)
        for (int s = 0; s < S; s++) {
            const int h = p * stride_h + r - top, v = q * stride_w + s - left;
            if (h < 0 || h >= H || v < 0 || v >= W) continue;
            for (int c = 0; c < C; c++) sum += x[((n * H + h) * W + v) * C + c] * w[((r * S + s) * C + c) * K + k];
        }
    y[((n * P + p) * Q + q) * K + k] = sum;
}
