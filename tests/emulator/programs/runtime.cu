// What host code asks of CUDA's runtime: every line of output is one question, and test_programs.py has the answers.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "cuda_runtime.h"
#include "device_launch_parameters.h"

__device__ int counter;
__constant__ float table[4];
__managed__ int shared_by_both = 5;
__global__ void count() { atomicAdd(&counter, 1); }
__global__ void use_table(float* x) { x[threadIdx.x] = table[threadIdx.x] * shared_by_both; }
__global__ void big_shared(int* out) {
    extern __shared__ int s[];
    s[threadIdx.x] = threadIdx.x;
    __syncthreads();
    if (!threadIdx.x) *out = s[blockDim.x - 1];
}
__global__ void add_one(int* x, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] += 1;
}
__global__ void rows(float* x, size_t pitch, int width, int height) {
    for (int y = 0; y < height; ++y)
        for (int i = threadIdx.x; i < width; i += blockDim.x) ((float*)((char*)x + y * pitch))[i] = y * 10 + i;
}
void CUDART_CB called_back(cudaStream_t, cudaError_t status, void* data) { *(int*)data = status == cudaSuccess ? 42 : 0; }
void host_function(void* data) { *(int*)data += 1; }

int main(int argc, char** argv) {
    printf("arguments %d %s\n", argc - 1, argc > 1 ? argv[1] : "");

    int zero = 0, value = -1;
    cudaMemcpyToSymbol(counter, &zero, sizeof(int));
    count<<<5, 7>>>();
    cudaMemcpyFromSymbol(&value, counter, sizeof(int));
    printf("symbol %d\n", value);
    float half_table[2] = {3, 4}, *x;
    cudaMemcpyToSymbol(table, half_table, sizeof half_table, 2 * sizeof(float), cudaMemcpyHostToDevice);
    cudaMallocManaged(&x, 4 * sizeof(float));
    shared_by_both = 10;
    use_table<<<1, 4>>>(x);
    cudaDeviceSynchronize();
    printf("constant %g %g\n", x[2], x[3]);
    int* address;
    size_t size;
    cudaGetSymbolAddress((void**)&address, counter);
    cudaGetSymbolSize(&size, table);
    cudaMemcpy(&value, address, sizeof(int), cudaMemcpyDeviceToHost);
    printf("address %d %zu\n", value, size);
    cudaFree(x);

    float *pitched, host[3][5];
    size_t pitch;
    cudaMallocPitch(&pitched, &pitch, 5 * sizeof(float), 3);
    rows<<<1, 32>>>(pitched, pitch, 5, 3);
    cudaMemcpy2D(host, sizeof host[0], pitched, pitch, sizeof host[0], 3, cudaMemcpyDeviceToHost);
    printf("pitched %d %g %g %g\n", pitch >= 20 && pitch % 32 == 0, host[0][4], host[1][0], host[2][4]);
    cudaFree(pitched);

    const int n = 1024, streams = 4;
    int *pinned, *device;
    cudaStream_t stream[streams];
    cudaMallocHost((void**)&pinned, n * sizeof(int));
    cudaMalloc(&device, n * sizeof(int));
    for (int i = 0; i < n; ++i) pinned[i] = i;
    for (int i = 0; i < streams; ++i) cudaStreamCreate(&stream[i]);
    cudaEvent_t begin, end;
    cudaEventCreate(&begin), cudaEventCreate(&end);
    cudaEventRecord(begin, 0);
    for (int i = 0; i < streams; ++i) {
        int part = n / streams, offset = i * part;
        cudaMemcpyAsync(device + offset, pinned + offset, part * sizeof(int), cudaMemcpyHostToDevice, stream[i]);
        add_one<<<1, 64, 0, stream[i]>>>(device + offset, part);
        cudaMemcpyAsync(pinned + offset, device + offset, part * sizeof(int), cudaMemcpyDeviceToHost, stream[i]);
    }
    int from_callback = 0, from_host = 1;
    cudaStreamAddCallback(stream[0], called_back, &from_callback, 0);
    cudaLaunchHostFunc(stream[1], host_function, &from_host);
    cudaEventRecord(end, 0);
    cudaEventSynchronize(end);
    float milliseconds = -1;
    cudaEventElapsedTime(&milliseconds, begin, end);
    long sum = 0;
    for (int i = 0; i < n; ++i) sum += pinned[i];
    printf("streams %ld %d %d %d %s\n", sum, milliseconds >= 0, from_callback, from_host,
           cudaGetErrorName(cudaStreamQuery(stream[2])));
    for (int i = 0; i < streams; ++i) cudaStreamDestroy(stream[i]);
    cudaEventDestroy(begin), cudaEventDestroy(end);
    cudaFreeHost(pinned);

    int *mapped, *seen_by_device;
    cudaHostAlloc(&mapped, 4 * sizeof(int), cudaHostAllocMapped);
    memset(mapped, 0, 4 * sizeof(int));
    cudaHostGetDevicePointer(&seen_by_device, mapped, 0);
    add_one<<<1, 4>>>(seen_by_device, 4);
    cudaDeviceSynchronize();
    cudaPointerAttributes attributes;
    cudaPointerGetAttributes(&attributes, device);
    printf("mapped %d %d\n", mapped[3], attributes.type == cudaMemoryTypeDevice);
    cudaFreeHost(mapped);

    cudaDeviceProp gpu;
    cudaGetDeviceProperties(&gpu, 0);
    int devices, multiprocessors, clock;
    cudaGetDeviceCount(&devices);
    cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0);
    cudaDeviceGetAttribute(&clock, cudaDevAttrMemoryClockRate, 0);
#if CUDART_VERSION < 13000  // which has it there no more
    if (clock != gpu.memoryClockRate) clock = 0;
#endif
    double bandwidth = 2.0 * clock * 1e3 * gpu.memoryBusWidth / 8;
    printf("gpu %d|%s|%d.%d|%d|%d|%zu\n", devices, gpu.name, gpu.major, gpu.minor, gpu.multiProcessorCount,
           multiprocessors, gpu.sharedMemPerBlockOptin);
    printf("bandwidth %.0f\n", bandwidth / 1e9);

    int blocks = 0, grid = 0, block = 0;
    cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, big_shared, 256, 100 * 1024);  // more than a launch may have yet
    cudaOccupancyMaxPotentialBlockSize(&grid, &block, add_one, 0, 0);
    printf("occupancy %d %d %d ", blocks, grid, block);
    cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, big_shared, 256, 40 * 1024);
    printf("%d\n", blocks);

    big_shared<<<1, 64, 100 * 1024>>>(device);
    printf("shared %s ", cudaGetErrorName(cudaGetLastError()));
    cudaFuncSetAttribute(big_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 * 1024);
    big_shared<<<1, 64, 100 * 1024>>>(device);
    cudaMemcpy(&value, device, sizeof(int), cudaMemcpyDeviceToHost);
    printf("%s %d\n", cudaGetErrorName(cudaGetLastError()), value);

    add_one<<<1, 2048>>>(device, 1);
    cudaError_t peeked = cudaPeekAtLastError(), got = cudaGetLastError(), then = cudaGetLastError();
    printf("errors %s|%s|%s\n", cudaGetErrorName(peeked), cudaGetErrorString(got), cudaGetErrorString(then));
    printf("invalid %s %s %s\n", cudaGetErrorName(cudaMemcpy(device, &value, n * 4 + 1, cudaMemcpyHostToDevice)),
           cudaGetErrorName(cudaFree(&value)), cudaGetErrorName(cudaSetDevice(3)));
    cudaGetLastError();

    int parts = 3, *pointer = device;
    void* launched[] = {&pointer, &parts};
    cudaMemset(device, 0, n * sizeof(int));
    cudaLaunchKernel((void*)add_one, dim3(1), dim3(32), launched, 0, 0);
    cudaLaunchKernel(add_one, dim3(1), dim3(32), launched, 0, NULL);
    int three[4];
    cudaMemcpy(three, device, sizeof three, cudaMemcpyDefault);
    printf("launched %d %d %d %d\n", three[0], three[1], three[2], three[3]);
    cudaFree(device);
    if (argc > 1) exit(atoi(argv[1]));
    return 0;
}
