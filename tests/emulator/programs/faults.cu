// Faults, one function each, and the same done right: `faults.cu` makes them all, `faults.cu -- right` none.
#include <cstdio>
#include <cstdlib>

const int n = 64;
__global__ void fill(float* x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] = i;  // fill's line
}
__global__ void all_the_grid(float* x) { x[threadIdx.x] = blockIdx.x ? 0 : threadIdx.x; }  // a race of two blocks
__global__ void barrier(float* x, bool right) {
    if (right || threadIdx.x < 16) __syncthreads();  // the barrier
    x[threadIdx.x] = 1;
}
__global__ void double_all(float* x) { x[threadIdx.x] *= 2; }  // reads what nobody wrote
void use_what_nobody_wrote(bool right) {
    float* x;
    cudaMalloc(&x, n * sizeof(float));
    if (right) cudaMemset(x, 0, n * sizeof(float));
    double_all<<<1, 64>>>(x);
    double_all<<<1, 64>>>(x);
    cudaFree(x);
}
void use_host_memory(bool right) {
    float* x = (float*)malloc(n * sizeof(float));
    if (right) cudaMallocManaged(&x, n * sizeof(float));
    fill<<<1, 64>>>(x, n);
    cudaDeviceSynchronize();
    if (right) cudaFree(x);
}
void read_device_memory(bool right) {
    float *x, first = 0;
    cudaMalloc(&x, n * sizeof(float));
    fill<<<1, 64>>>(x, n);
    if (right) cudaMemcpy(&first, x, sizeof first, cudaMemcpyDeviceToHost);
    else first = x[0];  // the host reads the device's
    printf("%g\n", first);
    cudaFree(x);
}
void copy_too_much(bool right) {
    float *x, host[n + 1] = {};
    cudaMalloc(&x, n * sizeof(float));
    cudaMemcpy(x, host, (right ? n : n + 1) * sizeof(float), cudaMemcpyHostToDevice);  // one too many
    cudaFree(x);
}
void write_too_far(bool right) {
    float* x;
    cudaMalloc(&x, n * sizeof(float));
    fill<<<1, 96>>>(x, right ? n : n + 3);
    cudaFree(x);
}
void use_what_was_freed(bool right) {
    float* x;
    cudaMalloc(&x, n * sizeof(float));
    if (!right) cudaFree(x);  // too early
    fill<<<1, 64>>>(x, n);
    if (right) cudaFree(x);
}
void free_twice(bool right) {
    float* x;
    cudaMalloc(&x, n * sizeof(float));
    cudaFree(x);
    if (!right) cudaFree(x);  // the second time
}
void leak(bool right) {
    float* x;
    cudaMalloc(&x, n * sizeof(float));  // never freed
    fill<<<1, 64>>>(x, n);
    if (right) cudaFree(x);
}
void wrong_way(bool right) {
    float *x, host[n] = {};
    cudaMalloc(&x, n * sizeof(float));
    cudaMemcpy(x, host, sizeof host, right ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost);  // the wrong way
    cudaFree(x);
}
void too_many_threads(bool right) {
    float* x;
    cudaMalloc(&x, n * sizeof(float));
    fill<<<1, right ? 1024 : 1025>>>(x, n);  // too many threads
    cudaFree(x);
}
void race(bool right) {
    float* x;
    cudaMalloc(&x, n * sizeof(float));
    all_the_grid<<<right ? 1 : 2, 64>>>(x);
    cudaFree(x);
}
void divergent_barrier(bool right) {
    float* x;
    cudaMalloc(&x, n * sizeof(float));
    barrier<<<1, 32>>>(x, right);
    cudaFree(x);
}

int main(int argc, char** argv) {
    bool right = argc > 1;
    use_what_nobody_wrote(right);
    use_host_memory(right);
    read_device_memory(right);
    copy_too_much(right);
    write_too_far(right);
    use_what_was_freed(right);
    free_twice(right);
    leak(right);
    wrong_way(right);
    too_many_threads(right);
    race(right);
    divergent_barrier(right);
}
