// Launches by host code: checked as CUDA checks them, and then the scheduler's.
#include "host_parts.h"

namespace cudasim {

extern "C" int cudasim_launch(void (*)(void**), void**, const unsigned*, const unsigned*, unsigned, const int64_t*,
                              int64_t, char*, int);
extern "C" char* cudasim_make_stacks();
extern "C" void cudasim_forget_problems();
extern "C" const Problem* cudasim_problems(int* count);

// Python's part of a launch: before it (0) and after it (1).
typedef void (*Listener)(int phase, const Call* call, int failures);
static Listener listener;
CUDASIM_EXPORT void cudasim_listen(Listener given) { listener = given; }

static List<Known> kernels;
static Call running_call;  // begin and end 0 where none runs

#ifdef CUDASIM_HOOKED
bool may_read(uintptr_t address) { return address - running_call.begin < running_call.end - running_call.begin; }
#endif

// ---------------------------------------------------------------- functions

struct Allowed { const void* function; int bytes; };  // of dynamic shared memory, more than 48 KB
static List<Allowed> allowed;

size_t most_dynamic_shared(const void* function) {
    for (const Allowed& one : allowed)
        if (one.function == function) return (size_t)one.bytes;
    return (in_main ? gpu.properties.sharedMemPerBlock : most_shared()) - static_shared(function);
}

// How many blocks of a function, which may be null, a multiprocessor holds: 0 where a launch of them would be refused.
int blocks_of_a_function(const void* function, int block, size_t shared) {
    if (!function) return blocks_of_a_multiprocessor(block, shared);
    return shared > most_dynamic_shared(function) ? 0 : blocks_of_a_multiprocessor(block, shared + static_shared(function));
}

cudaError_t set_function(const void* function, cudaFuncAttribute attribute, int value, Site site) {
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize)
        return fail(cudaErrorInvalidValue, site, "there is no attribute %d of a function", (int)attribute);
    size_t own = static_shared(function);
    if (value < 0 || value + own > most_shared())
        return fail(cudaErrorInvalidValue, site,
                    "%d bytes of dynamic shared memory are wanted beside %zu of static; a block of this GPU has at most %zu",
                    value, own, most_shared());
    for (Allowed& one : allowed)
        if (one.function == function) return one.bytes = value, cudaSuccess;
    allowed.add({function, value});
    return cudaSuccess;
}

cudaError_t function_attributes(cudaFuncAttributes* attributes, const void* function) {
    *attributes = {};
    attributes->maxThreadsPerBlock = gpu.properties.maxThreadsPerBlock;
    attributes->sharedSizeBytes = static_shared(function);
    attributes->maxDynamicSharedSizeBytes = (int)most_dynamic_shared(function);
    attributes->ptxVersion = attributes->binaryVersion = gpu.properties.major * 10 + gpu.properties.minor;
    attributes->preferredShmemCarveout = cudaSharedmemCarveoutDefault;
    return cudaSuccess;
}

void remember(const Known& kernel) {
    if (!known_kernel(kernel.function)) kernels.add(kernel);
}

const Known* known_kernel(const void* function) {
    for (const Known& kernel : kernels)
        if (kernel.function == function) return &kernel;
    return nullptr;
}

// ---------------------------------------------------------------- launches

static cudaError_t check_configuration(const Call& call) {
    const cudaDeviceProp& p = gpu.properties;
    const dim3 &g = call.grid, &b = call.block;
    if (!g.x || !g.y || !g.z || !b.x || !b.y || !b.z)
        return fail(cudaErrorInvalidConfiguration, call.site, "%s: an extent of the grid or of the block is 0", call.name);
    if (b.x > 1024 || b.y > 1024 || b.z > 64 || (uint64_t)b.x * b.y * b.z > 1024)
        return fail(cudaErrorInvalidConfiguration, call.site,
                    "%s: a block has at most 1024 threads (1024, 1024, 64), not (%u, %u, %u)", call.name, b.x, b.y, b.z);
    if (g.x > (unsigned)p.maxGridSize[0] || g.y > 65535 || g.z > 65535)
        return fail(cudaErrorInvalidConfiguration, call.site,
                    "%s: a grid has at most (2147483647, 65535, 65535) blocks, not (%u, %u, %u)", call.name, g.x, g.y, g.z);
    if (size_t most = call.function ? most_dynamic_shared(call.function) : most_shared(); call.shared > most)
        return fail(cudaErrorInvalidValue, call.site,
                    "%s: %zu bytes of dynamic shared memory; more than %zu need cudaFuncSetAttribute, up to %zu", call.name,
                    call.shared, most, most_shared() - static_shared(call.function));
    if (call.cooperative) {
        int blocks = blocks_of_a_function(call.function, (int)(b.x * b.y * b.z), call.shared) * p.multiProcessorCount;
        if ((uint64_t)g.x * g.y * g.z > (uint64_t)blocks)
            return fail(cudaErrorCooperativeLaunchTooLarge, call.site,
                        "%s: a cooperative launch is of blocks that the GPU holds at once: at most %d", call.name, blocks);
    }
    return cudaSuccess;
}

// What CUDA would say of what has just gone wrong.
static cudaError_t error_of_launch() {
    int count;
    const Problem* first = cudasim_problems(&count);
    if (!count) return cudaErrorLaunchFailure;
    switch ((Kind)first->kind) {
        case Kind::Trap: return strstr(first->message, "assertion") ? cudaErrorAssert : cudaErrorIllegalInstruction;
        case Kind::Crash: return cudaErrorIllegalAddress;
        case Kind::Endless: return cudaErrorLaunchTimeout;
        default: return cudaErrorLaunchFailure;
    }
}

cudaError_t launch(const Call& call) {
    static pthread_t launching;
    static bool in_launch;
    if (in_launch && pthread_equal(pthread_self(), launching)) {  // so it is a kernel that calls
        char text[200];
        snprintf(text, sizeof text, "%s is launched by a kernel: dynamic parallelism is not supported by the emulator",
                 call.name);
        report(Kind::Trap, call.site, current, text);
        stop_block();
    }
    Alone alone;
    if (broken) return last_error = broken;
    cudaError_t error = check_configuration(call);
    if (!error) error = check_stream(call.stream, call.site);
    if (error) return unasked = true, error;
    static char* stacks;
    if (!stacks && !(stacks = cudasim_make_stacks()))
        return fail(cudaErrorMemoryAllocation, call.site, "no address space for the stacks of the emulator's threads");
    const unsigned grid[3] = {call.grid.x, call.grid.y, call.grid.z};
    const unsigned block[3] = {call.block.x, call.block.y, call.block.z};
    launching = pthread_self();
    in_launch = true;
    running_call = call;
    cudasim_forget_problems();
    if (listener) listener(0, &call, 0);
    int failures = cudasim_launch(call.run, call.arguments, grid, block, (unsigned)call.shared, nullptr, 0, stacks,
                                  call.cooperative);
    if (listener) listener(1, &call, failures);
    running_call = {};
    in_launch = false;
    if (failures == REFUSED) {
        int count;
        unasked = true;
        return fail(cudaErrorInvalidValue, call.site, "%s: %s", call.name, cudasim_problems(&count)->message);
    }
    for (Allocation& a : allocations) a.fresh = 0;
    if (failures == NO_MEMORY)
        return fail(cudaErrorMemoryAllocation, call.site, "%s: no address space for the stacks of all threads at once",
                    call.name);
    return failures ? last_error = broken = error_of_launch() : cudaSuccess;
}

cudaError_t launch_known(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared, bool cooperative,
                         cudaStream_t stream, Site site) {
    const Known* kernel = known_kernel(function);
    if (!kernel)
        return fail(cudaErrorInvalidDeviceFunction, site,
                    "it is not known which kernel this pointer leads to: pass the kernel itself, or (void*)kernel");
    void* all[64] = {(void*)&function};
    for (int i = 0; i < kernel->count && i < 63; ++i) all[i + 1] = arguments[i];
    return launch({name_of(function), grid, block, shared, site, cooperative, kernel->run, all, kernel->parameters,
                   kernel->count, 0, 0, stream, function});
}

void fail_grid_barrier(Site site) {
    report(Kind::Trap, site, current, "a grid waits for itself only in a launch by cudaLaunchCooperativeKernel");
    stop_block();
}

}  // namespace cudasim
