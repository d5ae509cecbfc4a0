// A transpose by tiles of 32 x 32 in shared memory.
//
// launch: kernel=transpose grid=2,2 block=32,8 x=float[35,40] y=float[40,35] rows=int:35 columns=int:40
__global__ void transpose(const float* x, float* y, int rows, int columns) {
    __shared__ float tile[32][32];  // change this line
    const int row = blockIdx.y * 32, column = blockIdx.x * 32;  // where the tile begins
    for (int i = threadIdx.y; i < 32; i += 8)
        if (row + i < rows && column + threadIdx.x < columns)
            tile[i][threadIdx.x] = x[(row + i) * columns + column + threadIdx.x];
    __syncthreads();
    for (int i = threadIdx.y; i < 32; i += 8)
        if (column + i < columns && row + threadIdx.x < rows)
            y[(column + i) * rows + row + threadIdx.x] = tile[threadIdx.x][i];
}
