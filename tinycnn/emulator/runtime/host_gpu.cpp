// The one GPU that a program finds: a described one.
#include "host_parts.h"

namespace cudasim {

Gpu gpu;

constexpr size_t MOST_MEMORY = (size_t)4 << 30;  // of the described GPU's, that this machine gives

CUDASIM_EXPORT void cudasim_describe_gpu(const char* name, const int64_t* n) {
    cudaDeviceProp& p = gpu.properties;
    snprintf(p.name, sizeof p.name, "%s", name);
    p.major = (int)n[0], p.minor = (int)n[1], p.multiProcessorCount = (int)n[2];
    p.clockRate = (int)n[3];
    p.totalGlobalMem = (size_t)n[4];
    gpu.most_memory = p.totalGlobalMem < MOST_MEMORY ? p.totalGlobalMem : MOST_MEMORY;
    p.l2CacheSize = (int)n[5];
    p.maxThreadsPerMultiProcessor = (int)n[6], p.maxBlocksPerMultiProcessor = (int)n[7];
    p.regsPerMultiprocessor = p.regsPerBlock = (int)n[8];
    p.sharedMemPerMultiprocessor = (size_t)n[9], p.sharedMemPerBlockOptin = (size_t)n[10];
    p.reservedSharedMemPerBlock = (size_t)n[11];
    p.sharedMemPerBlock = 48 * 1024;
    // The bandwidth is known, the bus not: these two are so that 2 * clock * width / 8 is the bandwidth.
    p.memoryBusWidth = 1024;
    p.memoryClockRate = (int)(n[12] / (2 * 1024 / 8) / 1000);
    p.warpSize = 32, p.maxThreadsPerBlock = 1024;
    p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024, p.maxThreadsDim[2] = 64;
    p.maxGridSize[0] = INT_MAX, p.maxGridSize[1] = p.maxGridSize[2] = 65535;
    p.totalConstMem = 64 * 1024, p.memPitch = INT_MAX, p.textureAlignment = 512, p.texturePitchAlignment = 32;
    p.deviceOverlap = p.asyncEngineCount = p.concurrentKernels = p.canMapHostMemory = p.unifiedAddressing = 1;
    p.streamPrioritiesSupported = p.globalL1CacheSupported = p.localL1CacheSupported = p.ECCEnabled = 1;
    p.managedMemory = p.concurrentManagedAccess = p.cooperativeLaunch = p.computePreemptionSupported = 1;
    p.canUseHostPointerForRegisteredMem = p.hostRegisterSupported = p.memoryPoolsSupported = 1;
    p.singleToDoublePrecisionPerfRatio = 2;
}

// Without a program there is no described GPU, and the limit is that of compute capability 9.0.
size_t most_shared() { return in_main ? gpu.properties.sharedMemPerBlockOptin : 227 * 1024; }

int blocks_of_a_multiprocessor(int block, size_t shared) {
    const cudaDeviceProp& p = gpu.properties;
    if (block < 1 || block > p.maxThreadsPerBlock || shared > p.sharedMemPerBlockOptin) return 0;
    int warps = (block + 31) / 32, by_threads = p.maxThreadsPerMultiProcessor / 32 / warps;
    size_t each = shared + p.reservedSharedMemPerBlock;
    int by_shared = each ? (int)(p.sharedMemPerMultiprocessor / each) : p.maxBlocksPerMultiProcessor;
    int blocks = by_threads < by_shared ? by_threads : by_shared;
    return blocks < p.maxBlocksPerMultiProcessor ? blocks : p.maxBlocksPerMultiProcessor;
}

}  // namespace cudasim

using namespace cudasim;

cudaError_t cudaDeviceSynchronize(Site) { return broken ? last_error = broken : cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
static cudaError_t check_device(int device, Site site) {
    return device == 0 ? cudaSuccess : fail(cudaErrorInvalidDevice, site, "there is one GPU, number 0, not %d", device);
}
cudaError_t cudaSetDevice(int device, Site site) { return check_device(device, site); }
cudaError_t cudaChooseDevice(int* device, const cudaDeviceProp*) { return *device = 0, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device, Site site) {
    if (cudaError_t error = check_device(device, site)) return error;
    *properties = gpu.properties;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device, Site site) {
    if (cudaError_t error = check_device(device, site)) return error;
    switch (attribute) {
#define CUDASIM_CASE(number, name, member) \
    case cudaDevAttr##name: return *value = (int)gpu.properties.member, cudaSuccess;
        CUDASIM_ATTRIBUTES(CUDASIM_CASE)
#undef CUDASIM_CASE
    }
    return fail(cudaErrorInvalidValue, site, "the attribute %d is not known to the emulator", (int)attribute);
}
cudaError_t cudaDeviceGetPCIBusId(char* text, int size, int) {
    snprintf(text, (size_t)size, "0000:00:00.0");
    return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) { return *can = 0, cudaSuccess; }
cudaError_t cudaDeviceEnablePeerAccess(int, unsigned, Site site) {
    return fail(cudaErrorInvalidDevice, site, "there is one GPU, and no peer");
}
cudaError_t cudaDeviceDisablePeerAccess(int, Site site) {
    return fail(cudaErrorPeerAccessNotEnabled, site, "there is one GPU, and no peer");
}
static size_t limits[cudaLimitPersistingL2CacheSize + 1] = {1024, 1 << 20, 8 << 20, 2, 2048, 64, 0};
cudaError_t cudaDeviceGetLimit(size_t* value, cudaLimit limit) { return *value = limits[limit], cudaSuccess; }
cudaError_t cudaDeviceSetLimit(cudaLimit limit, size_t value) { return limits[limit] = value, cudaSuccess; }
