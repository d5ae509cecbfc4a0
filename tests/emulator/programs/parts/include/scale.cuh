#pragma once
#include <cstdio>
#include <cuda_runtime.h>

static __global__ void scale(float* x, float by) { x[threadIdx.x] *= by; }
template <typename T> __global__ void add(T* x, T* y) { x[threadIdx.x] += y[threadIdx.x]; }
inline void doubled(float* x, int n) { add<<<1, n>>>(x, x); }
void scale_all(float* host, int n, float by);
