// What the host code of a whole program sees: CUDA's runtime, on memory of the CPU.
//
// There is one GPU, a described one (`--gpu`), and everything is done by the time that the call returns: streams and
// events are in order by that. Device memory is memory of the process, set apart only by the list of allocations that
// host_memory.cpp keeps, which is how a wrong pointer or a copy past an end is known. Every function takes, unseen, the
// line that it is called from.
#pragma once
#include "host_launch.h"
#include "host_types.h"

// ---------------------------------------------------------------- functions (host_*.cpp)

typedef void (*cudaHostFn_t)(void* data);
typedef void (*cudaStreamCallback_t)(cudaStream_t stream, cudaError_t status, void* data);

const char* cudaGetErrorName(cudaError_t);
const char* cudaGetErrorString(cudaError_t);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

cudaError_t cudaMalloc(void** p, size_t size, CUDASIM_HERE);
cudaError_t cudaMallocManaged(void** p, size_t size, unsigned flags = cudaMemAttachGlobal, CUDASIM_HERE);
cudaError_t cudaMallocHost(void** p, size_t size, unsigned flags = 0, CUDASIM_HERE);
cudaError_t cudaMallocPitch(void** p, size_t* pitch, size_t width, size_t height, CUDASIM_HERE);
cudaError_t cudaMalloc3D(cudaPitchedPtr* p, cudaExtent extent, CUDASIM_HERE);
cudaError_t cudaFree(void* p, CUDASIM_HERE);
cudaError_t cudaFreeHost(void* p, CUDASIM_HERE);
cudaError_t cudaHostRegister(void* p, size_t size, unsigned flags, CUDASIM_HERE);
cudaError_t cudaHostUnregister(void* p, CUDASIM_HERE);
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned flags = 0, CUDASIM_HERE);
cudaError_t cudaHostGetFlags(unsigned* flags, void* p, CUDASIM_HERE);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p);
cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind kind, CUDASIM_HERE);
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height,
                         cudaMemcpyKind kind, CUDASIM_HERE);
cudaError_t cudaMemcpy3D(const cudaMemcpy3DParms* how, CUDASIM_HERE);
cudaError_t cudaMemset(void* p, int value, size_t size, CUDASIM_HERE);
cudaError_t cudaMemset2D(void* p, size_t pitch, int value, size_t width, size_t height, CUDASIM_HERE);
cudaError_t cudaMemset3D(cudaPitchedPtr p, int value, cudaExtent extent, CUDASIM_HERE);
cudaError_t cudaMemPrefetchAsync(const void* p, size_t size, int device, cudaStream_t stream = 0, CUDASIM_HERE);
cudaError_t cudaMemAdvise(const void* p, size_t size, cudaMemoryAdvise advice, int device, CUDASIM_HERE);

cudaError_t cudaStreamCreate(cudaStream_t* stream, CUDASIM_HERE);
cudaError_t cudaStreamDestroy(cudaStream_t stream, CUDASIM_HERE);
cudaError_t cudaStreamSynchronize(cudaStream_t stream, CUDASIM_HERE);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags, CUDASIM_HERE);
cudaError_t cudaEventDestroy(cudaEvent_t event, CUDASIM_HERE);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = 0, CUDASIM_HERE);
cudaError_t cudaEventSynchronize(cudaEvent_t event, CUDASIM_HERE);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end, CUDASIM_HERE);

cudaError_t cudaDeviceSynchronize(CUDASIM_HERE);
cudaError_t cudaDeviceReset(CUDASIM_HERE);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device, CUDASIM_HERE);
cudaError_t cudaChooseDevice(int* device, const cudaDeviceProp* wanted);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device, CUDASIM_HERE);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device, CUDASIM_HERE);
cudaError_t cudaDeviceGetPCIBusId(char* text, int size, int device);
cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer);
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags, CUDASIM_HERE);
cudaError_t cudaDeviceDisablePeerAccess(int peer, CUDASIM_HERE);
cudaError_t cudaDeviceGetLimit(size_t* value, cudaLimit limit);
cudaError_t cudaDeviceSetLimit(cudaLimit limit, size_t value);

namespace cudasim {

cudaError_t fail(cudaError_t error, Site site, const char* format, ...) __attribute__((format(printf, 3, 4)));
cudaError_t copy_symbol(const void* symbol, size_t symbol_size, void* other, size_t size, size_t offset,
                        cudaMemcpyKind kind, bool to_symbol, Site site);
void give_address(const void* symbol);
cudaError_t set_function(const void* function, cudaFuncAttribute attribute, int value, Site site);
cudaError_t function_attributes(cudaFuncAttributes* attributes, const void* function);
int blocks_of_a_function(const void* function, int block, size_t shared);
cudaError_t check_stream(cudaStream_t stream, Site site);
cudaError_t check_event(cudaEvent_t event, Site site);
[[noreturn]] void fail_grid_barrier(Site site);

}  // namespace cudasim

// ---------------------------------------------------------------- the same, of any type

template <typename T> cudaError_t cudaMalloc(T** p, size_t size, CUDASIM_HERE) {
    return cudaMalloc((void**)p, size, site);
}
template <typename T>
cudaError_t cudaMallocManaged(T** p, size_t size, unsigned flags = cudaMemAttachGlobal, CUDASIM_HERE) {
    return cudaMallocManaged((void**)p, size, flags, site);
}
template <typename T> cudaError_t cudaMallocHost(T** p, size_t size, unsigned flags = 0, CUDASIM_HERE) {
    return cudaMallocHost((void**)p, size, flags, site);
}
template <typename T> cudaError_t cudaHostAlloc(T** p, size_t size, unsigned flags, CUDASIM_HERE) {
    return cudaMallocHost((void**)p, size, flags, site);
}
template <typename T> cudaError_t cudaMallocAsync(T** p, size_t size, cudaStream_t stream, CUDASIM_HERE) {
    if (cudaError_t error = cudasim::check_stream(stream, site)) return error;
    return cudaMalloc((void**)p, size, site);
}
inline cudaError_t cudaFreeAsync(void* p, cudaStream_t stream, CUDASIM_HERE) {
    if (cudaError_t error = cudasim::check_stream(stream, site)) return error;
    return cudaFree(p, site);
}
template <typename T>
cudaError_t cudaMallocPitch(T** p, size_t* pitch, size_t width, size_t height, CUDASIM_HERE) {
    return cudaMallocPitch((void**)p, pitch, width, height, site);
}
template <typename T> cudaError_t cudaHostGetDevicePointer(T** device, void* host, unsigned flags = 0, CUDASIM_HERE) {
    return cudaHostGetDevicePointer((void**)device, host, flags, site);
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind, cudaStream_t stream = 0,
                                   CUDASIM_HERE) {
    if (cudaError_t error = cudasim::check_stream(stream, site)) return error;
    return cudaMemcpy(to, from, size, kind, site);
}
inline cudaError_t cudaMemcpyPeer(void* to, int, const void* from, int, size_t size, CUDASIM_HERE) {
    return cudaMemcpy(to, from, size, cudaMemcpyDeviceToDevice, site);
}
inline cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t size, cudaStream_t stream = 0,
                                       CUDASIM_HERE) {
    if (cudaError_t error = cudasim::check_stream(stream, site)) return error;
    return cudaMemcpy(to, from, size, cudaMemcpyDeviceToDevice, site);
}
inline cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                                     size_t height, cudaMemcpyKind kind, cudaStream_t stream = 0, CUDASIM_HERE) {
    if (cudaError_t error = cudasim::check_stream(stream, site)) return error;
    return cudaMemcpy2D(to, to_pitch, from, from_pitch, width, height, kind, site);
}
inline cudaError_t cudaMemcpy3DAsync(const cudaMemcpy3DParms* how, cudaStream_t stream = 0, CUDASIM_HERE) {
    if (cudaError_t error = cudasim::check_stream(stream, site)) return error;
    return cudaMemcpy3D(how, site);
}
inline cudaError_t cudaMemsetAsync(void* p, int value, size_t size, cudaStream_t stream = 0, CUDASIM_HERE) {
    if (cudaError_t error = cudasim::check_stream(stream, site)) return error;
    return cudaMemset(p, value, size, site);
}
inline cudaError_t cudaMemset2DAsync(void* p, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream = 0,
                                     CUDASIM_HERE) {
    if (cudaError_t error = cudasim::check_stream(stream, site)) return error;
    return cudaMemset2D(p, pitch, value, width, height, site);
}
template <typename T>
cudaError_t cudaMemcpyToSymbol(const T& symbol, const void* from, size_t size, size_t offset = 0,
                               cudaMemcpyKind kind = cudaMemcpyHostToDevice, CUDASIM_HERE) {
    return cudasim::copy_symbol(&symbol, sizeof symbol, (void*)from, size, offset, kind, true, site);
}
template <typename T>
cudaError_t cudaMemcpyFromSymbol(void* to, const T& symbol, size_t size, size_t offset = 0,
                                 cudaMemcpyKind kind = cudaMemcpyDeviceToHost, CUDASIM_HERE) {
    return cudasim::copy_symbol(&symbol, sizeof symbol, to, size, offset, kind, false, site);
}
template <typename T>
cudaError_t cudaMemcpyToSymbolAsync(const T& symbol, const void* from, size_t size, size_t offset, cudaMemcpyKind kind,
                                    cudaStream_t stream = 0, CUDASIM_HERE) {
    if (cudaError_t error = cudasim::check_stream(stream, site)) return error;
    return cudasim::copy_symbol(&symbol, sizeof symbol, (void*)from, size, offset, kind, true, site);
}
template <typename T>
cudaError_t cudaMemcpyFromSymbolAsync(void* to, const T& symbol, size_t size, size_t offset, cudaMemcpyKind kind,
                                      cudaStream_t stream = 0, CUDASIM_HERE) {
    if (cudaError_t error = cudasim::check_stream(stream, site)) return error;
    return cudasim::copy_symbol(&symbol, sizeof symbol, to, size, offset, kind, false, site);
}
template <typename P, typename T> cudaError_t cudaGetSymbolAddress(P** p, const T& symbol) {
    cudasim::give_address(&symbol);
    *p = (P*)&symbol;
    return cudaSuccess;
}
template <typename T> cudaError_t cudaGetSymbolSize(size_t* size, const T& symbol) {
    *size = sizeof symbol;
    return cudaSuccess;
}

inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned, CUDASIM_HERE) {
    return cudaStreamCreate(stream, site);
}
inline cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int, CUDASIM_HERE) {
    return cudaStreamCreate(stream, site);
}
inline cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return cudaSuccess;
}
inline cudaError_t cudaStreamQuery(cudaStream_t stream, CUDASIM_HERE) { return cudaStreamSynchronize(stream, site); }
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned = 0, CUDASIM_HERE) {
    if (cudaError_t error = cudasim::check_event(event, site)) return error;
    return cudasim::check_stream(stream, site);
}
inline cudaError_t cudaStreamAttachMemAsync(cudaStream_t stream, void*, size_t = 0, unsigned = cudaMemAttachSingle,
                                            CUDASIM_HERE) {
    return cudasim::check_stream(stream, site);
}
inline cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data, CUDASIM_HERE) {
    if (cudaError_t error = cudasim::check_stream(stream, site)) return error;
    function(data);  // which may destroy the stream
    return cudaSuccess;
}
inline cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t function, void* data, unsigned,
                                         CUDASIM_HERE) {
    if (cudaError_t error = cudasim::check_stream(stream, site)) return error;
    function(stream, cudaSuccess, data);
    return cudaSuccess;
}
inline cudaError_t cudaEventCreate(cudaEvent_t* event, CUDASIM_HERE) {
    return cudaEventCreateWithFlags(event, cudaEventDefault, site);
}
inline cudaError_t cudaEventCreate(cudaEvent_t* event, unsigned flags, CUDASIM_HERE) {
    return cudaEventCreateWithFlags(event, flags, site);
}
inline cudaError_t cudaEventQuery(cudaEvent_t event, CUDASIM_HERE) { return cudaEventSynchronize(event, site); }

inline cudaError_t cudaThreadSynchronize(CUDASIM_HERE) { return cudaDeviceSynchronize(site); }
inline cudaError_t cudaThreadExit(CUDASIM_HERE) { return cudaDeviceReset(site); }
inline cudaError_t cudaSetDeviceFlags(unsigned) { return cudaSuccess; }
inline cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache) { return cudaSuccess; }
inline cudaError_t cudaDeviceGetCacheConfig(cudaFuncCache* config) { return *config = cudaFuncCachePreferNone, cudaSuccess; }
inline cudaError_t cudaDeviceSetSharedMemConfig(cudaSharedMemConfig) { return cudaSuccess; }
inline cudaError_t cudaDeviceGetSharedMemConfig(cudaSharedMemConfig* config) {
    *config = cudaSharedMemBankSizeFourByte;
    return cudaSuccess;
}
inline cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
inline cudaError_t cudaRuntimeGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
inline cudaError_t cudaProfilerStart() { return cudaSuccess; }
inline cudaError_t cudaProfilerStop() { return cudaSuccess; }

template <typename F> cudaError_t cudaFuncSetCacheConfig(F*, cudaFuncCache) { return cudaSuccess; }
template <typename F> cudaError_t cudaFuncSetSharedMemConfig(F*, cudaSharedMemConfig) { return cudaSuccess; }
template <typename F> cudaError_t cudaFuncSetAttribute(F* function, cudaFuncAttribute attribute, int value, CUDASIM_HERE) {
    return cudasim::set_function((const void*)function, attribute, value, site);
}
template <typename F> cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, F* function) {
    return cudasim::function_attributes(attributes, (const void*)function);
}
template <typename F>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, F* function, int block, size_t shared) {
    *blocks = cudasim::blocks_of_a_function((const void*)function, block, shared);
    return cudaSuccess;
}
template <typename F>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, F* function, int block, size_t shared,
                                                                   unsigned) {
    return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, block, shared);
}
template <typename F, typename S>
cudaError_t cudaOccupancyMaxPotentialBlockSizeVariableSMem(int* grid, int* block, F* function, S shared_of, int most = 0) {
    int best = 0;
    cudaDeviceProp gpu;
    cudaGetDeviceProperties(&gpu, 0);
    if (!most || most > gpu.maxThreadsPerBlock) most = gpu.maxThreadsPerBlock;
    for (int size = most; size >= gpu.warpSize; size -= gpu.warpSize) {  // the largest of those that fill it best
        int blocks;
        cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, size, shared_of(size));
        if (blocks * size <= best) continue;
        best = blocks * size;
        *grid = blocks * gpu.multiProcessorCount;
        *block = size;
    }
    return cudaSuccess;
}
template <typename F>
cudaError_t cudaOccupancyMaxPotentialBlockSize(int* grid, int* block, F* function, size_t shared = 0, int most = 0) {
    return cudaOccupancyMaxPotentialBlockSizeVariableSMem(grid, block, function, [=](int) { return shared; }, most);
}

template <typename... P>
cudaError_t cudaLaunchKernel(void (*function)(P...), dim3 grid, dim3 block, void** arguments, size_t shared = 0,
                             cudaStream_t stream = 0, CUDASIM_HERE) {
    return cudasim::launch_known(cudasim::address_of(function), grid, block, arguments, shared, false, stream, site);
}
inline cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared = 0,
                                    cudaStream_t stream = 0, CUDASIM_HERE) {
    return cudasim::launch_known(function, grid, block, arguments, shared, false, stream, site);
}
template <typename... P>
cudaError_t cudaLaunchCooperativeKernel(void (*function)(P...), dim3 grid, dim3 block, void** arguments,
                                        size_t shared = 0, cudaStream_t stream = 0, CUDASIM_HERE) {
    return cudasim::launch_known(cudasim::address_of(function), grid, block, arguments, shared, true, stream, site);
}
inline cudaError_t cudaLaunchCooperativeKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                                               size_t shared = 0, cudaStream_t stream = 0, CUDASIM_HERE) {
    return cudasim::launch_known(function, grid, block, arguments, shared, true, stream, site);
}

// A word of CUDA's that the C++ library has in its own attributes: a program that does not say it is better without.
#ifdef CUDASIM_NO_NOINLINE
#undef __noinline__
#endif
