// What the host code of a whole program sees: CUDA's runtime, on memory of the CPU.
//
// There is one GPU, a described one (`--gpu`), and everything is done by the time that the call returns: streams and
// events are in order by that. Device memory is memory of the process, set apart only by the table of allocations that
// host.cpp keeps, which is how a wrong pointer or a copy past an end is known. Every function takes, unseen, the line
// that it is called from.
#pragma once
#include <limits.h>
#include <time.h>

#include <type_traits>

#include "cudasim.h"
#include "errors.h"
#include "kernel_table.h"

#define __NVCC__ 1
// By these, other headers see that they come after cuda_runtime.h.
#define __CUDA_RUNTIME_H__
#define __CUDA_RUNTIME_API_H__
#define __DRIVER_TYPES_H__
#define CUDART_VERSION 12080
#define CUDA_VERSION 12080
#define CUDART_CB
#define CUDARTAPI
#define __managed__ __attribute__((visibility("default"), used))
#define __device_builtin__
#define __cudart_builtin__

#define CUDASIM_ENUMERATOR(number, name, text) name = number,
enum cudaError { CUDASIM_ERRORS(CUDASIM_ENUMERATOR) };
#undef CUDASIM_ENUMERATOR
typedef enum cudaError cudaError_t;

enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
};

struct CUstream_st;
struct CUevent_st;
typedef CUstream_st* cudaStream_t;
typedef CUevent_st* cudaEvent_t;
#define cudaStreamLegacy ((cudaStream_t)1)
#define cudaStreamPerThread ((cudaStream_t)2)

#define cudaHostAllocDefault 0u
#define cudaHostAllocPortable 1u
#define cudaHostAllocMapped 2u
#define cudaHostAllocWriteCombined 4u
#define cudaHostRegisterDefault 0u
#define cudaHostRegisterPortable 1u
#define cudaHostRegisterMapped 2u
#define cudaHostRegisterIoMemory 4u
#define cudaHostRegisterReadOnly 8u
#define cudaMemAttachGlobal 1u
#define cudaMemAttachHost 2u
#define cudaMemAttachSingle 4u
#define cudaStreamDefault 0u
#define cudaStreamNonBlocking 1u
#define cudaEventDefault 0u
#define cudaEventBlockingSync 1u
#define cudaEventDisableTiming 2u
#define cudaEventInterprocess 4u
#define cudaDeviceScheduleAuto 0u
#define cudaDeviceScheduleSpin 1u
#define cudaDeviceScheduleYield 2u
#define cudaDeviceScheduleBlockingSync 4u
#define cudaDeviceBlockingSync 4u
#define cudaDeviceMapHost 8u
#define cudaDeviceLmemResizeToMax 16u
#define cudaOccupancyDefault 0u
#define cudaCpuDeviceId ((int)-1)
#define cudaInvalidDeviceId ((int)-2)

// ---------------------------------------------------------------- the described GPU

struct cudaUUID_t { char bytes[16]; };
struct cudaDeviceProp {
    char name[256];
    cudaUUID_t uuid;
    char luid[8];
    unsigned luidDeviceNodeMask;
    size_t totalGlobalMem, sharedMemPerBlock;
    int regsPerBlock, warpSize;
    size_t memPitch;
    int maxThreadsPerBlock, maxThreadsDim[3], maxGridSize[3], clockRate;
    size_t totalConstMem;
    int major, minor;
    size_t textureAlignment, texturePitchAlignment;
    int deviceOverlap, multiProcessorCount, kernelExecTimeoutEnabled, integrated, canMapHostMemory, computeMode;
    int maxTexture1D, maxTexture1DMipmap, maxTexture1DLinear, maxTexture2D[2], maxTexture2DMipmap[2];
    int maxTexture2DLinear[3], maxTexture2DGather[2], maxTexture3D[3], maxTexture3DAlt[3], maxTextureCubemap;
    int maxTexture1DLayered[2], maxTexture2DLayered[3], maxTextureCubemapLayered[2];
    int maxSurface1D, maxSurface2D[2], maxSurface3D[3], maxSurface1DLayered[2], maxSurface2DLayered[3];
    int maxSurfaceCubemap, maxSurfaceCubemapLayered[2];
    size_t surfaceAlignment;
    int concurrentKernels, ECCEnabled, pciBusID, pciDeviceID, pciDomainID, tccDriver, asyncEngineCount;
    int unifiedAddressing, memoryClockRate, memoryBusWidth, l2CacheSize, persistingL2CacheMaxSize;
    int maxThreadsPerMultiProcessor, streamPrioritiesSupported, globalL1CacheSupported, localL1CacheSupported;
    size_t sharedMemPerMultiprocessor;
    int regsPerMultiprocessor, managedMemory, isMultiGpuBoard, multiGpuBoardGroupID, hostNativeAtomicSupported;
    int singleToDoublePrecisionPerfRatio, pageableMemoryAccess, concurrentManagedAccess;
    int computePreemptionSupported, canUseHostPointerForRegisteredMem, cooperativeLaunch;
    int cooperativeMultiDeviceLaunch;
    size_t sharedMemPerBlockOptin;
    int pageableMemoryAccessUsesHostPageTables, directManagedMemAccessFromHost, maxBlocksPerMultiProcessor;
    int accessPolicyMaxWindowSize;
    size_t reservedSharedMemPerBlock;
    int hostRegisterSupported, memoryPoolsSupported, clusterLaunch;
};

enum cudaComputeMode {
    cudaComputeModeDefault, cudaComputeModeExclusive, cudaComputeModeProhibited, cudaComputeModeExclusiveProcess
};
// Those whose answer is a member of cudaDeviceProp, and which.
#define CUDASIM_ATTRIBUTES(X)                                                       \
    X(1, MaxThreadsPerBlock, maxThreadsPerBlock)                                    \
    X(2, MaxBlockDimX, maxThreadsDim[0]) X(3, MaxBlockDimY, maxThreadsDim[1])       \
    X(4, MaxBlockDimZ, maxThreadsDim[2]) X(5, MaxGridDimX, maxGridSize[0])          \
    X(6, MaxGridDimY, maxGridSize[1]) X(7, MaxGridDimZ, maxGridSize[2])             \
    X(8, MaxSharedMemoryPerBlock, sharedMemPerBlock)                                \
    X(9, TotalConstantMemory, totalConstMem) X(10, WarpSize, warpSize)              \
    X(11, MaxPitch, memPitch) X(12, MaxRegistersPerBlock, regsPerBlock)             \
    X(13, ClockRate, clockRate) X(14, TextureAlignment, textureAlignment)           \
    X(15, GpuOverlap, deviceOverlap) X(16, MultiProcessorCount, multiProcessorCount) \
    X(17, KernelExecTimeout, kernelExecTimeoutEnabled) X(18, Integrated, integrated) \
    X(19, CanMapHostMemory, canMapHostMemory) X(20, ComputeMode, computeMode)       \
    X(31, ConcurrentKernels, concurrentKernels) X(32, EccEnabled, ECCEnabled)       \
    X(33, PciBusId, pciBusID) X(34, PciDeviceId, pciDeviceID) X(35, TccDriver, tccDriver) \
    X(36, MemoryClockRate, memoryClockRate)                                         \
    X(37, GlobalMemoryBusWidth, memoryBusWidth) X(38, L2CacheSize, l2CacheSize)     \
    X(39, MaxThreadsPerMultiProcessor, maxThreadsPerMultiProcessor)                 \
    X(40, AsyncEngineCount, asyncEngineCount) X(41, UnifiedAddressing, unifiedAddressing) \
    X(75, ComputeCapabilityMajor, major) X(76, ComputeCapabilityMinor, minor)       \
    X(78, StreamPrioritiesSupported, streamPrioritiesSupported)                     \
    X(79, GlobalL1CacheSupported, globalL1CacheSupported)                           \
    X(80, LocalL1CacheSupported, localL1CacheSupported)                             \
    X(81, MaxSharedMemoryPerMultiprocessor, sharedMemPerMultiprocessor)             \
    X(82, MaxRegistersPerMultiprocessor, regsPerMultiprocessor)                     \
    X(83, ManagedMemory, managedMemory) X(84, IsMultiGpuBoard, isMultiGpuBoard)     \
    X(86, HostNativeAtomicSupported, hostNativeAtomicSupported)                     \
    X(88, PageableMemoryAccess, pageableMemoryAccess)                               \
    X(89, ConcurrentManagedAccess, concurrentManagedAccess)                         \
    X(90, ComputePreemptionSupported, computePreemptionSupported)                   \
    X(95, CooperativeLaunch, cooperativeLaunch)                                     \
    X(97, MaxSharedMemoryPerBlockOptin, sharedMemPerBlockOptin)                     \
    X(106, MaxBlocksPerMultiprocessor, maxBlocksPerMultiProcessor)                  \
    X(111, ReservedSharedMemoryPerBlock, reservedSharedMemPerBlock)                 \
    X(115, MemoryPoolsSupported, memoryPoolsSupported)
#define CUDASIM_ENUMERATOR(number, name, member) cudaDevAttr##name = number,
enum cudaDeviceAttr { CUDASIM_ATTRIBUTES(CUDASIM_ENUMERATOR) };
#undef CUDASIM_ENUMERATOR

enum cudaFuncCache {
    cudaFuncCachePreferNone, cudaFuncCachePreferShared, cudaFuncCachePreferL1, cudaFuncCachePreferEqual
};
enum cudaSharedMemConfig {
    cudaSharedMemBankSizeDefault, cudaSharedMemBankSizeFourByte, cudaSharedMemBankSizeEightByte
};
enum cudaFuncAttribute {
    cudaFuncAttributeMaxDynamicSharedMemorySize = 8, cudaFuncAttributePreferredSharedMemoryCarveout = 9
};
enum cudaSharedCarveout {
    cudaSharedmemCarveoutDefault = -1, cudaSharedmemCarveoutMaxL1 = 0, cudaSharedmemCarveoutMaxShared = 100
};
struct cudaFuncAttributes {
    size_t sharedSizeBytes, constSizeBytes, localSizeBytes;
    int maxThreadsPerBlock, numRegs, ptxVersion, binaryVersion, cacheModeCA, maxDynamicSharedSizeBytes;
    int preferredShmemCarveout;
};
enum cudaLimit {
    cudaLimitStackSize, cudaLimitPrintfFifoSize, cudaLimitMallocHeapSize, cudaLimitDevRuntimeSyncDepth,
    cudaLimitDevRuntimePendingLaunchCount, cudaLimitMaxL2FetchGranularity, cudaLimitPersistingL2CacheSize
};
enum cudaMemoryAdvise {
    cudaMemAdviseSetReadMostly = 1, cudaMemAdviseUnsetReadMostly, cudaMemAdviseSetPreferredLocation,
    cudaMemAdviseUnsetPreferredLocation, cudaMemAdviseSetAccessedBy, cudaMemAdviseUnsetAccessedBy
};
enum cudaMemoryType {
    cudaMemoryTypeUnregistered, cudaMemoryTypeHost, cudaMemoryTypeDevice, cudaMemoryTypeManaged
};
struct cudaPointerAttributes {
    cudaMemoryType type;
    int device;
    void *devicePointer, *hostPointer;
};
struct cudaExtent { size_t width, height, depth; };
struct cudaPos { size_t x, y, z; };
struct cudaPitchedPtr {
    void* ptr;
    size_t pitch, xsize, ysize;
};
struct cudaArray;
struct cudaMemcpy3DParms {
    cudaArray* srcArray;
    cudaPos srcPos;
    cudaPitchedPtr srcPtr;
    cudaArray* dstArray;
    cudaPos dstPos;
    cudaPitchedPtr dstPtr;
    cudaExtent extent;
    cudaMemcpyKind kind;
};
inline cudaExtent make_cudaExtent(size_t w, size_t h, size_t d) { return {w, h, d}; }
inline cudaPos make_cudaPos(size_t x, size_t y, size_t z) { return {x, y, z}; }
inline cudaPitchedPtr make_cudaPitchedPtr(void* p, size_t pitch, size_t x, size_t y) { return {p, pitch, x, y}; }

// ---------------------------------------------------------------- functions (host.cpp)

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
cudaError_t cudaEventCreate(cudaEvent_t* event, CUDASIM_HERE);
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

struct Call {           // a launch, as host.cpp takes it
    const char* name;   // as it stands in the source
    dim3 grid, block;
    size_t shared;
    Site site;
    bool cooperative;
    void (*run)(void** arguments);
    void** arguments;               // arguments[0] leads to the function itself
    const Parameter* parameters;    // null where the types are not known
    int count;
    uintptr_t begin, end;           // where the arguments lie: memory of the host that a kernel may read
};
cudaError_t launch(const Call& call);
cudaError_t fail(cudaError_t error, Site site, const char* format, ...) __attribute__((format(printf, 3, 4)));
cudaError_t copy_symbol(const void* symbol, size_t symbol_size, void* other, size_t size, size_t offset,
                        cudaMemcpyKind kind, bool to_symbol, Site site);
cudaError_t set_function(const void* function, cudaFuncAttribute attribute, int value, Site site);
cudaError_t function_attributes(cudaFuncAttributes* attributes, const void* function);
int blocks_of_a_multiprocessor(int block, size_t shared);
cudaError_t check_stream(cudaStream_t stream, Site site);
[[noreturn]] void fail_grid_barrier(Site site);

// ---------------------------------------------------------------- launches

template <typename... P> struct Pointed {  // calls a kernel through its address, which is the first argument
    template <size_t... I> CUDASIM_UNHOOKED static void unpack(void** arguments, std::index_sequence<I...>) {
        (*static_cast<void (**)(P...)>(arguments[0]))(*static_cast<std::remove_reference_t<P>*>(arguments[I + 1])...);
    }
    CUDASIM_UNHOOKED static void call(void** arguments) { unpack(arguments, std::index_sequence_for<P...>()); }
    static constexpr Parameter parameters[sizeof...(P) + 1] = {Describe<std::remove_cv_t<P>>::value..., {}};
};

struct Null {  // NULL or 0, which came as an integer, for a parameter that is a pointer
    long value;
    template <typename T> CUDASIM_UNHOOKED operator T*() const { return nullptr; }
    template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>> CUDASIM_UNHOOKED operator T() const {
        return (T)value;
    }
};
template <typename A> using MaybeNull = std::conditional_t<std::is_same_v<A, int> || std::is_same_v<A, long>, Null, A>;

template <typename F, typename... A> struct Deduced {  // calls what the compiler chooses for these arguments
    template <size_t... I> CUDASIM_UNHOOKED static void unpack(void** arguments, std::index_sequence<I...>) {
        F& kernel = *static_cast<F*>(arguments[0]);
        if constexpr (std::is_invocable_v<F&, A&...>) kernel(*static_cast<A*>(arguments[I + 1])...);
        else with_null(kernel, MaybeNull<A>{*static_cast<A*>(arguments[I + 1])}...);
    }
    template <typename... B> CUDASIM_UNHOOKED static void with_null(F& kernel, B... given) { kernel(given...); }
    CUDASIM_UNHOOKED static void call(void** arguments) { unpack(arguments, std::index_sequence_for<A...>()); }
    static constexpr Parameter parameters[sizeof...(A) + 1] = {Describe<A>::value..., {}};
};

// An argument as the parameter's type. NULL and 0 are null pointers, although they come here as integers.
template <typename P, typename A> CUDASIM_UNHOOKED P as_parameter(A&& a) {
    if constexpr (std::is_pointer_v<P> && std::is_integral_v<std::remove_reference_t<A>>) return (P)(uintptr_t)a;
    else return static_cast<P>(std::forward<A>(a));
}

// The arguments of a launch in a row, and where each stands; the first address is the function's own.
template <typename Indices, typename... T> struct PassedBy;
template <size_t... I, typename... T> struct PassedBy<std::index_sequence<I...>, T...> {
    template <size_t, typename U> struct At { U value; };
    struct All : At<I, T>... {
        template <typename... A> All(A&&... a) : At<I, T>{as_parameter<T>(std::forward<A>(a))}... {}
    };
    All all;
    void* addresses[sizeof...(T) + 1];
    template <typename... A> PassedBy(void* function, A&&... a) : all(std::forward<A>(a)...), addresses{function} {
        ((addresses[I + 1] = &static_cast<At<I, T>&>(all).value), ...);
    }
};
template <typename... T> using Passed = PassedBy<std::index_sequence_for<T...>, T...>;

struct Launcher {
    Call call;
    Launcher(const char* name, dim3 grid, dim3 block, size_t shared = 0, cudaStream_t stream = nullptr, CUDASIM_HERE)
        : call{name, grid, block, shared, site, false, nullptr, nullptr, nullptr, 0, 0, 0} {
        (void)stream;
    }
    template <typename All> void run(All& all, void (*thunk)(void**), const Parameter* parameters, int count) {
        all.row.addresses[0] = &all.kernel;
        call.run = thunk;
        call.arguments = all.row.addresses;
        call.parameters = parameters;
        call.count = count;
        call.begin = (uintptr_t)&all;
        call.end = call.begin + sizeof all;
        launch(call);
    }
    template <typename... P, typename... A> void operator()(void (*kernel)(P...), A&&... a) {
        static_assert(sizeof...(P) >= sizeof...(A), "too many arguments in a launch");
        static_assert(sizeof...(P) <= sizeof...(A), "too few arguments in a launch");
        struct {
            Passed<std::remove_cv_t<std::remove_reference_t<P>>...> row;
            void (*kernel)(P...);
        } all{{nullptr, std::forward<A>(a)...}, kernel};
        run(all, Pointed<P...>::call, Pointed<P...>::parameters, sizeof...(P));
    }
    template <typename F, typename... A> void deduced(F kernel, A&&... a) {
        struct {
            Passed<std::decay_t<A>...> row;
            F kernel;
        } all{{nullptr, std::forward<A>(a)...}, kernel};
        run(all, Deduced<F, std::decay_t<A>...>::call, Deduced<F, std::decay_t<A>...>::parameters, sizeof...(A));
    }
};

// Kernels whose address was taken as void*: how to call them.
struct Known {
    const void* function;
    void (*run)(void** arguments);
    const Parameter* parameters;
    int count;
};
void remember(const Known& kernel);
const Known* known_kernel(const void* function);
template <typename... P> void* address_of(void (*kernel)(P...)) {
    remember({(const void*)kernel, Pointed<P...>::call, Pointed<P...>::parameters, (int)sizeof...(P)});
    return (void*)kernel;
}
cudaError_t launch_known(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared,
                         bool cooperative, Site site);

}  // namespace cudasim
#define CUDASIM_UNHOOKED_CALL CUDASIM_UNHOOKED

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
template <typename T> cudaError_t cudaMallocAsync(T** p, size_t size, cudaStream_t, CUDASIM_HERE) {
    return cudaMalloc((void**)p, size, site);
}
inline cudaError_t cudaFreeAsync(void* p, cudaStream_t, CUDASIM_HERE) { return cudaFree(p, site); }
template <typename T>
cudaError_t cudaMallocPitch(T** p, size_t* pitch, size_t width, size_t height, CUDASIM_HERE) {
    return cudaMallocPitch((void**)p, pitch, width, height, site);
}
template <typename T> cudaError_t cudaHostGetDevicePointer(T** device, void* host, unsigned flags = 0, CUDASIM_HERE) {
    return cudaHostGetDevicePointer((void**)device, host, flags, site);
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind, cudaStream_t = 0,
                                   CUDASIM_HERE) {
    return cudaMemcpy(to, from, size, kind, site);
}
inline cudaError_t cudaMemcpyPeer(void* to, int, const void* from, int, size_t size, CUDASIM_HERE) {
    return cudaMemcpy(to, from, size, cudaMemcpyDeviceToDevice, site);
}
inline cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t size, cudaStream_t = 0,
                                       CUDASIM_HERE) {
    return cudaMemcpy(to, from, size, cudaMemcpyDeviceToDevice, site);
}
inline cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                                     size_t height, cudaMemcpyKind kind, cudaStream_t = 0, CUDASIM_HERE) {
    return cudaMemcpy2D(to, to_pitch, from, from_pitch, width, height, kind, site);
}
inline cudaError_t cudaMemcpy3DAsync(const cudaMemcpy3DParms* how, cudaStream_t = 0, CUDASIM_HERE) {
    return cudaMemcpy3D(how, site);
}
inline cudaError_t cudaMemsetAsync(void* p, int value, size_t size, cudaStream_t = 0, CUDASIM_HERE) {
    return cudaMemset(p, value, size, site);
}
inline cudaError_t cudaMemset2DAsync(void* p, size_t pitch, int value, size_t width, size_t height, cudaStream_t = 0,
                                     CUDASIM_HERE) {
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
                                    cudaStream_t = 0, CUDASIM_HERE) {
    return cudasim::copy_symbol(&symbol, sizeof symbol, (void*)from, size, offset, kind, true, site);
}
template <typename T>
cudaError_t cudaMemcpyFromSymbolAsync(void* to, const T& symbol, size_t size, size_t offset, cudaMemcpyKind kind,
                                      cudaStream_t = 0, CUDASIM_HERE) {
    return cudasim::copy_symbol(&symbol, sizeof symbol, to, size, offset, kind, false, site);
}
template <typename P, typename T> cudaError_t cudaGetSymbolAddress(P** p, const T& symbol) {
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
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t, unsigned = 0, CUDASIM_HERE) {
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
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned, CUDASIM_HERE) {
    return cudaEventCreate(event, site);
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
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, F*, int block, size_t shared) {
    *blocks = cudasim::blocks_of_a_multiprocessor(block, shared);
    return cudaSuccess;
}
template <typename F>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, F*, int block, size_t shared, unsigned) {
    *blocks = cudasim::blocks_of_a_multiprocessor(block, shared);
    return cudaSuccess;
}
template <typename F, typename S>
cudaError_t cudaOccupancyMaxPotentialBlockSizeVariableSMem(int* grid, int* block, F*, S shared_of, int most = 0) {
    int best = 0;
    cudaDeviceProp gpu;
    cudaGetDeviceProperties(&gpu, 0);
    if (!most || most > gpu.maxThreadsPerBlock) most = gpu.maxThreadsPerBlock;
    for (int size = most; size >= gpu.warpSize; size -= gpu.warpSize) {  // the largest of those that fill it best
        int blocks = cudasim::blocks_of_a_multiprocessor(size, shared_of(size));
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
                             cudaStream_t = 0, CUDASIM_HERE) {
    return cudasim::launch_known(cudasim::address_of(function), grid, block, arguments, shared, false, site);
}
inline cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared = 0,
                                    cudaStream_t = 0, CUDASIM_HERE) {
    return cudasim::launch_known(function, grid, block, arguments, shared, false, site);
}
template <typename... P>
cudaError_t cudaLaunchCooperativeKernel(void (*function)(P...), dim3 grid, dim3 block, void** arguments,
                                        size_t shared = 0, cudaStream_t = 0, CUDASIM_HERE) {
    return cudasim::launch_known(cudasim::address_of(function), grid, block, arguments, shared, true, site);
}
inline cudaError_t cudaLaunchCooperativeKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                                               size_t shared = 0, cudaStream_t = 0, CUDASIM_HERE) {
    return cudasim::launch_known(function, grid, block, arguments, shared, true, site);
}

// A word of CUDA's that the C++ library has in its own attributes: a program that does not say it is better without.
#ifdef CUDASIM_NO_NOINLINE
#undef __noinline__
#endif
