// The types and the constants of CUDA's runtime, and the described GPU's properties.
#pragma once
#include <limits.h>
#include <time.h>

#include "cudasim.h"
#include "errors.h"

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
