#include "scale.cuh"

void scale_all(float* host, int n, float by) {
    float* x;
    cudaMalloc(&x, n * sizeof(float));
    cudaMemcpy(x, host, n * sizeof(float), cudaMemcpyHostToDevice);
    scale << <1, n>> > (x, by);  // as some editors lay it out
    doubled(x, n);
    cudaMemcpy(host, x, n * sizeof(float), cudaMemcpyDeviceToHost);
    cudaFree(x);
}
