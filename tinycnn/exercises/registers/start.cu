// A matrix product by tiles of 32 x 32 in shared memory, 16 numbers a thread.
//
// launch: kernel=multiply grid=2,2 block=8,8 a=float[37,19] b=float[19,45] c=float[37,45] M=int:37 N=int:45 L=int:19
__global__ void multiply(const float* a, const float* b, float* c, int M, int N, int L) {
    __shared__ float a_tile[8][32], b_tile[8][32];  // [l][m], [l][n]
    const int m0 = blockIdx.y * 32, n0 = blockIdx.x * 32, tx = threadIdx.x, ty = threadIdx.y;
    float sum[4][4] = {};
    for (int l0 = 0; l0 < L; l0 += 8) {
        for (int i = ty * 8 + tx; i < 8 * 32; i += 64) {
            const int m = m0 + i / 8, l = l0 + i % 8;
            a_tile[i % 8][i / 8] = m < M && l < L ? a[m * L + l] : 0;
        }
        for (int i = ty * 8 + tx; i < 8 * 32; i += 64) {
            const int n = n0 + i % 32, l = l0 + i / 32;
            b_tile[i / 32][i % 32] = n < N && l < L ? b[l * N + n] : 0;
        }
        __syncthreads();
        // Change these lines.
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++)
                for (int l = 0; l < 8; l++) sum[i][j] += a_tile[l][ty + i * 8] * b_tile[l][tx + j * 8];
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const int m = m0 + ty + i * 8, n = n0 + tx + j * 8;
            if (m < M && n < N) c[m * N + n] = sum[i][j];
        }
}
