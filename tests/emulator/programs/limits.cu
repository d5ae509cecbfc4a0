// What a kernel itself limits: each word is how a launch or a question ended.
#include <cstdio>

template <int B> __global__ void __launch_bounds__(B) bounded(int* x) { x[threadIdx.x] = B; }
template <typename T> __global__ void tiled(T* x) {
    __shared__ T tile[4096];
    extern __shared__ int more[];
    tile[threadIdx.x] = more[threadIdx.x] = 1;
    __syncthreads();
    x[threadIdx.x] = tile[threadIdx.x ^ 1] + more[threadIdx.x ^ 1];
}
__global__ void quiet(int* x) {
    __shared__ int tile[4096];
    tile[threadIdx.x] = 1;
    __syncthreads();
    if (!x) *x = tile[threadIdx.x ^ 1];
}
void say() { printf("%s ", cudaGetErrorName(cudaGetLastError())); }
int main() {
    int *x, h, blocks; cudaMalloc(&x, 4096); cudaMemset(x, 0, 4096); cudaFuncAttributes a;
    bounded<128><<<1, 129>>>(x); say();  // too many threads
    cudaMemcpy(&h, x, 4, cudaMemcpyDeviceToHost); printf("%d ", h);
    bounded<128><<<1, 128>>>(x); say();
    tiled<<<1, 64, 32 * 1024>>>(x); say();
    tiled<<<1, 64, 32 * 1024 + 4>>>(x); say();  // too much memory
    cudaFuncSetAttribute(tiled<int>, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024); say();  // allows it
    cudaFuncSetAttribute(tiled<int>, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 * 1024); say();
    tiled<int><<<1, 64, 100 * 1024>>>(x); say();
    cudaFuncGetAttributes(&a, tiled<int>);
    cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, tiled<int>, 64, 40 * 1024);
    printf("%zu %d %d\n", a.sharedSizeBytes, a.maxDynamicSharedSizeBytes, blocks);

    int multiprocessors;
    void* arguments[] = {&x};
    cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0);
    cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, quiet, 64, 32 * 1024);
    printf("together %d ", blocks);
    cudaLaunchCooperativeKernel((void*)quiet, blocks * multiprocessors, 64, arguments, 32 * 1024, 0); say();
    cudaLaunchCooperativeKernel((void*)quiet, blocks * multiprocessors + 1, 64, arguments, 32 * 1024, 0); say();  // one more
    printf("\n");
    cudaFree(x);
}
