// The gradient of a convolution by its image, a thread for each number of dx.
//
// launch: kernel=conv2d_backward_data grid=6,2 block=128 \
//     dy=float[2,8,5,12] w=float[3,2,8,12] dx=float[2,9,10,8] \
//     N=int:2 H=int:9 W=int:10 C=int:8 K=int:12 R=int:3 S=int:2 P=int:8 Q=int:5 \
//     stride_h=int:1 stride_w=int:2 top=int:1 left=int:0
__global__ void conv2d_backward_data(
    const float* dy, const float* w, float* dx, int N, int H, int W, int C, int K, int R, int S, int P, int Q,
    int stride_h, int stride_w, int top, int left) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, n = blockIdx.y;
    if (i >= H * W * C) return;
    const int c = i % C, v = i / C % W, h = i / C / W;
    float sum = 0;
    for (int r = 0; r < R; r++)
        for (int s = 0; s < S; s++) {
            const int from_p = h + top - r, from_q = v + left - s;
            if (from_p < 0 || from_p % stride_h != 0 || from_q < 0 || from_q % stride_w != 0) continue;
            const int p = from_p / stride_h, q = from_q / stride_w;
            if (p >= P || q >= Q) continue;
            for (int k = 0; k < K; k++) sum += dy[((n * P + p) * Q + q) * K + k] * w[((r * S + s) * C + c) * K + k];
        }
    dx[((n * H + h) * W + v) * C + c] = sum;
}
