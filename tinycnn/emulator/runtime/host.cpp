// CUDA's runtime for whole programs (host.h): memory, copies, launches, errors, one described GPU.
//
// Everything happens at once and in the order of the calls, so the streams need no queues. What is kept is who owns
// which memory: a table of allocations, by which a copy past an end, a pointer of the wrong side and a second free are
// known. Each error is remembered with its line; Python asks for them at the end (program.py).
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#include "host.h"
#include "runtime.h"
#ifdef CUDASIM_HOOKED
#include "tools.h"
#endif

namespace cudasim {

bool on_a_fiber();  // fibers.cpp
extern "C" int cudasim_launch(void (*)(void**), void**, const unsigned*, const unsigned*, unsigned, const int64_t*,
                              int64_t, char*, int);
extern "C" char* cudasim_make_stacks();
extern "C" void cudasim_forget_problems();
extern "C" const Problem* cudasim_problems(int* count);

// Host code may have several threads; the GPU and what is kept of it are one.
static pthread_mutex_t whole_gpu = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
struct Alone {
    Alone() { pthread_mutex_lock(&whole_gpu); }
    ~Alone() { pthread_mutex_unlock(&whole_gpu); }
};

// ---------------------------------------------------------------- what Python is told

enum class Owner : int { Device, Managed, Pinned, Registered };

struct Allocation {  // as Python reads it
    uint64_t begin, size;
    int owner, line, freed_line;  // freed_line: 0 while it lives
    int fresh;                    // nobody has written there yet: no copy to it, no launch since
    char file[256];
    void* memory;                 // what is to be given back
};

struct Mistake {  // a call that CUDA answers with an error, as Python reads it
    int error, line, count;       // error: 0 for an access by the host to what is the device's
    char file[256], text[400];
    uint64_t pc;                  // of such an access, in hooked builds
};

template <typename T> struct Table {
    T* items;
    int size, room;
    T& add() {
        if (size == room) items = (T*)realloc((void*)items, (room = room ? 2 * room : 64) * sizeof(T));
        memset((void*)&items[size], 0, sizeof(T));
        return items[size++];
    }
};
static Table<Allocation> allocations;
static Table<Mistake> mistakes;
static Table<Known> kernels;
static uintptr_t lowest = ~(uintptr_t)0, highest;  // of all allocations

constexpr size_t MOST_MEMORY = (size_t)4 << 30;  // of the described GPU's, that this machine gives

struct Gpu {  // what a program can ask of it
    cudaDeviceProp properties;
    size_t most_memory;
};
static Gpu gpu;
static cudaError_t last_error;     // until somebody asks
static cudaError_t broken;         // a kernel went wrong: nothing works any more, as on a GPU
static bool asked_for_times;
static bool unasked;               // whether last_error is of a launch, which returns nothing, and nobody has asked
static bool in_main;               // the program runs
static Call running_call;           // begin and end 0 where none runs

// Python's part of a launch: before it (0) and after it (1). Its answer before the launch: 0 goes on.
typedef int (*Listener)(int phase, const Call* call, int failures);
static Listener listener;

CUDASIM_EXPORT void cudasim_listen(Listener given) { listener = given; }
CUDASIM_EXPORT const Allocation* cudasim_allocations(int* count) { return *count = allocations.size, allocations.items; }
CUDASIM_EXPORT const Mistake* cudasim_mistakes(int* count) { return *count = mistakes.size, mistakes.items; }
CUDASIM_EXPORT int cudasim_asked_for_times() { return asked_for_times; }
CUDASIM_EXPORT int cudasim_unasked_error() { return unasked ? last_error : 0; }

cudaError_t fail(cudaError_t error, Site site, const char* format, ...) {
    Alone alone;
    last_error = error;
    char text[sizeof Mistake::text];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    for (int i = 0; i < mistakes.size; ++i) {
        Mistake& m = mistakes.items[i];
        if (m.error == error && m.line == site.line && !strcmp(m.file, site.file)) return ++m.count, error;
    }
    Mistake& m = mistakes.add();
    m.error = error;
    m.line = site.line;
    m.count = 1;
    snprintf(m.file, sizeof m.file, "%s", site.file);
    snprintf(m.text, sizeof m.text, "%s", text);
    return error;
}

// ---------------------------------------------------------------- memory

#ifdef CUDASIM_HOOKED
constexpr size_t MARGIN = 64 * 1024;  // so that an access past an end meets no other array
constexpr size_t KEPT = 256 << 20;    // bytes of freed memory that are not used again, so that late accesses are seen
static size_t kept;
constexpr unsigned char UNWRITTEN = 0xff;  // NaN, so that memory that nobody wrote shows
#else
constexpr size_t MARGIN = 4 * 1024;
constexpr unsigned char UNWRITTEN = 0;     // as a GPU's fresh memory nearly always is
#endif
constexpr size_t ALIGNMENT = 512;     // as cudaMalloc has it

static Allocation* allocation_of(const void* p) {
    uintptr_t at = (uintptr_t)p;
    if (at < lowest || at > highest) return nullptr;
    for (int i = allocations.size - 1; i >= 0; --i) {
        Allocation& a = allocations.items[i];
        if (at - a.begin < a.size || (at == a.begin && !a.size)) return &a;
    }
    return nullptr;
}

// The allocation just before or after which this lies.
static Allocation* beside(const void* p) {
    for (int i = allocations.size - 1; i >= 0; --i) {
        Allocation& a = allocations.items[i];
        if ((uintptr_t)p - (a.begin - MARGIN) < a.size + 2 * MARGIN) return &a;
    }
    return nullptr;
}

static size_t used() {
    size_t sum = 0;
    for (int i = 0; i < allocations.size; ++i)
        if (!allocations.items[i].freed_line && allocations.items[i].owner <= (int)Owner::Managed)
            sum += allocations.items[i].size;
    return sum;
}

static cudaError_t allocate(void** p, size_t size, Owner owner, Site site) {
    Alone alone;
    if (!p) return fail(cudaErrorInvalidValue, site, "the place for the pointer is null");
    if (broken) return last_error = broken;
    *p = nullptr;
    if (!size) return cudaSuccess;
    size_t whole = size + 2 * MARGIN + ALIGNMENT;
    char* memory = whole < size || used() + size > gpu.most_memory ? nullptr : (char*)malloc(whole);
    if (!memory) {
        last_error = cudaErrorMemoryAllocation;
        return fail(cudaErrorMemoryAllocation, site, "%zu bytes are wanted; the emulated GPU has %zu left", size,
                    gpu.most_memory - used());
    }
    uintptr_t begin = (uintptr_t)memory + MARGIN;
    begin += -begin % ALIGNMENT;
    memset((void*)begin, UNWRITTEN, size);
    Allocation& a = allocations.add();
    a = {begin, size, (int)owner, site.line, 0, owner == Owner::Device, "", memory};
    snprintf(a.file, sizeof a.file, "%s", site.file);
    if (begin < lowest) lowest = begin;
    if (begin + size > highest) highest = begin + size;
    *p = (void*)begin;
    return cudaSuccess;
}

static void give_back(int i) {
    free(allocations.items[i].memory);
    for (int j = i + 1; j < allocations.size; ++j) allocations.items[j - 1] = allocations.items[j];
    --allocations.size;
}

static cudaError_t release(void* p, bool host, Site site) {
    Alone alone;
    if (!p) return cudaSuccess;
    Allocation* a = allocation_of(p);
    const char* name = host ? "cudaFreeHost" : "cudaFree";
    if (!a || a->owner == (int)Owner::Registered)
        return fail(cudaErrorInvalidValue, site, "%s of a pointer that no allocation of CUDA's gave", name);
    if (a->freed_line)
        return fail(cudaErrorInvalidValue, site, "%s of memory that was freed already, at line %d", name, a->freed_line);
    if ((uintptr_t)p != a->begin)
        return fail(cudaErrorInvalidValue, site, "%s of a pointer into an allocation, %zu bytes from its beginning", name,
                    (size_t)((uintptr_t)p - a->begin));
    if (host != (a->owner == (int)Owner::Pinned))
        return fail(cudaErrorInvalidValue, site, host ? "cudaFreeHost of memory of the device; cudaFree frees it"
                                                      : "cudaFree of host memory; cudaFreeHost frees it");
    a->freed_line = site.line ? site.line : 1;
#ifdef CUDASIM_HOOKED
    memset((void*)a->begin, UNWRITTEN, a->size);
    kept += a->size;
    for (int i = 0; kept > KEPT && i < allocations.size;) {
        if (!allocations.items[i].freed_line) ++i;
        else kept -= allocations.items[i].size, give_back(i);
    }
#else
    give_back((int)(a - allocations.items));
#endif
    return broken ? last_error = broken : cudaSuccess;
}

#ifdef CUDASIM_HOOKED
// ---------------------------------------------------------------- what the tools ask

bool may_read(uintptr_t address) { return address - running_call.begin < running_call.end - running_call.begin; }

static bool is_mapped(uintptr_t address) {
    unsigned char resident;
    return mincore((void*)(address & -(uintptr_t)4096), 1, &resident) == 0;
}

bool whose(uintptr_t address, char* text, size_t size) {
    Allocation* a = allocation_of((const void*)address);
    if (a && a->freed_line) {
        snprintf(text, size, "in memory that was freed at line %d", a->freed_line);
        return true;
    }
    // Beside an array it is out of that one's bounds, which Python says.
    if (!in_main || beside((const void*)address) || !is_mapped(address)) return false;
    snprintf(text, size, "in memory of the host, which a kernel cannot reach: it takes cudaMemcpy, or cudaMallocManaged");
    return true;
}

// The program's own code, not a kernel's, touches memory.
void host_access(uintptr_t address, size_t size, bool write, uintptr_t pc) {
    if (address >= highest || address + size <= lowest) return;
    Allocation* a = allocation_of((const void*)address);
    if (!a || (a->owner != (int)Owner::Device && !a->freed_line)) return;
    const char* did = write ? "writes" : "reads";
    Mistake* m = nullptr;
    for (int i = 0; i < mistakes.size && !m; ++i)
        if (mistakes.items[i].pc == pc) m = &mistakes.items[i];
    if (m) return (void)++m->count;
    m = &mistakes.add();
    m->pc = pc;
    m->count = 1;
    if (a->freed_line) snprintf(m->text, sizeof m->text, "the host %s memory that was freed at line %d", did, a->freed_line);
    else
        snprintf(m->text, sizeof m->text, "the host %s memory of the device, allocated at line %d: it takes cudaMemcpy", did,
                 a->line);
}
#endif

// ---------------------------------------------------------------- copies

// Whether size bytes may be copied from or to p, which the kind says to be on the device or not.
static cudaError_t check_side(const void* p, size_t size, bool device, bool host, const char* what, Site site) {
    if (!p) return fail(cudaErrorInvalidValue, site, "the %s is a null pointer", what);
    Allocation* a = allocation_of(p);
    if (a && a->freed_line)
        return fail(cudaErrorInvalidValue, site, "the %s is memory that was freed at line %d", what, a->freed_line);
    if (a && (uintptr_t)p + size > a->begin + a->size)
        return fail(cudaErrorInvalidValue, site,
                    "copies %zu bytes, but the %s, allocated at line %d, has %zu bytes from there on", size, what, a->line,
                    (size_t)(a->begin + a->size - (uintptr_t)p));
    if (!a && (a = beside(p)))
        return fail(cudaErrorInvalidValue, site, "the %s lies beside the %zu bytes that were allocated at line %d", what,
                    (size_t)a->size, a->line);
    if (a && a->owner == (int)Owner::Device && !device)
        return fail(cudaErrorInvalidValue, site, "the %s is memory of the device, but the kind of the copy says host", what);
    if (!a && !host && !in_this_file((uintptr_t)p))
        return fail(cudaErrorInvalidValue, site, "the %s is memory of the host, but the kind of the copy says device", what);
    return cudaSuccess;
}

static cudaError_t check_copy(const void* to, const void* from, size_t to_size, size_t from_size, cudaMemcpyKind kind,
                              Site site) {
    Alone alone;
    if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault)
        return fail(cudaErrorInvalidMemcpyDirection, site, "there is no kind of copy %d", (int)kind);
    if (broken) return last_error = broken;
    if (Allocation* a = allocation_of(to)) a->fresh = 0;
    bool any = kind == cudaMemcpyDefault;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    if (cudaError_t error = check_side(to, to_size, any || to_device, any || !to_device, "destination", site)) return error;
    return check_side(from, from_size, any || from_device, any || !from_device, "source", site);
}

cudaError_t copy_symbol(const void* symbol, size_t symbol_size, void* other, size_t size, size_t offset,
                        cudaMemcpyKind kind, bool to_symbol, Site site) {
    if (offset > symbol_size || size > symbol_size - offset)
        return fail(cudaErrorInvalidValue, site, "copies %zu bytes from byte %zu on, but the symbol has %zu", size, offset,
                    symbol_size);
    if (!in_this_file((uintptr_t)symbol))
        return fail(cudaErrorInvalidSymbol, site, "the symbol is not a __device__ or __constant__ variable itself");
    if (!size) return cudaSuccess;
    char* at = (char*)symbol + offset;
    const void *to = to_symbol ? at : other, *from = to_symbol ? other : at;
    if (cudaError_t error = check_copy(to, from, size, size, kind, site)) return error;
    memmove((void*)to, from, size);
    return cudaSuccess;
}

static size_t bytes_of_rows(size_t pitch, size_t width, size_t height) { return height ? pitch * (height - 1) + width : 0; }

// ---------------------------------------------------------------- the GPU

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

int blocks_of_a_multiprocessor(int block, size_t shared) {
    const cudaDeviceProp& p = gpu.properties;
    if (block < 1 || block > p.maxThreadsPerBlock || shared > p.sharedMemPerBlockOptin) return 0;
    int warps = (block + 31) / 32, by_threads = p.maxThreadsPerMultiProcessor / 32 / warps;
    size_t each = shared + p.reservedSharedMemPerBlock;
    int by_shared = each ? (int)(p.sharedMemPerMultiprocessor / each) : p.maxBlocksPerMultiProcessor;
    int blocks = by_threads < by_shared ? by_threads : by_shared;
    return blocks < p.maxBlocksPerMultiProcessor ? blocks : p.maxBlocksPerMultiProcessor;
}

// ---------------------------------------------------------------- functions

struct Allowed { const void* function; int bytes; };  // of dynamic shared memory, more than 48 KB
static Table<Allowed> allowed;

static int allowed_shared(const void* function) {
    for (int i = 0; i < allowed.size; ++i)
        if (allowed.items[i].function == function) return allowed.items[i].bytes;
    return (int)gpu.properties.sharedMemPerBlock;
}

cudaError_t set_function(const void* function, cudaFuncAttribute attribute, int value, Site site) {
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize)
        return fail(cudaErrorInvalidValue, site, "there is no attribute %d of a function", (int)attribute);
    if (value < 0 || value > (int)gpu.properties.sharedMemPerBlockOptin)
        return fail(cudaErrorInvalidValue, site, "%d bytes of shared memory are wanted; a block of this GPU has at most %zu",
                    value, gpu.properties.sharedMemPerBlockOptin);
    for (int i = 0; i < allowed.size; ++i)
        if (allowed.items[i].function == function) return allowed.items[i].bytes = value, cudaSuccess;
    allowed.add() = {function, value};
    return cudaSuccess;
}

cudaError_t function_attributes(cudaFuncAttributes* attributes, const void* function) {
    *attributes = {};
    attributes->maxThreadsPerBlock = gpu.properties.maxThreadsPerBlock;
    attributes->maxDynamicSharedSizeBytes = allowed_shared(function);
    attributes->ptxVersion = attributes->binaryVersion = gpu.properties.major * 10 + gpu.properties.minor;
    attributes->preferredShmemCarveout = cudaSharedmemCarveoutDefault;
    return cudaSuccess;
}

void remember(const Known& kernel) {
    if (!known_kernel(kernel.function)) kernels.add() = kernel;
}

const Known* known_kernel(const void* function) {
    for (int i = 0; i < kernels.size; ++i)
        if (kernels.items[i].function == function) return &kernels.items[i];
    return nullptr;
}

// ---------------------------------------------------------------- launches

static cudaError_t check_configuration(const Call& call, const void* function) {
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
    if (call.shared > (size_t)allowed_shared(function))
        return fail(cudaErrorInvalidValue, call.site,
                    "%s: %zu bytes of dynamic shared memory; more than %d need cudaFuncSetAttribute, up to %zu", call.name,
                    call.shared, allowed_shared(function), p.sharedMemPerBlockOptin);
    if (call.cooperative) {
        int blocks = blocks_of_a_multiprocessor((int)(b.x * b.y * b.z), call.shared) * p.multiProcessorCount;
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
    if (cudaError_t error = check_configuration(call, *(const void**)call.arguments[0])) return unasked = true, error;
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
    for (int i = 0; i < allocations.size; ++i) allocations.items[i].fresh = 0;
    running_call = {};
    in_launch = false;
    if (failures == NO_MEMORY)
        return fail(cudaErrorMemoryAllocation, call.site, "%s: no address space for the stacks of all threads at once",
                    call.name);
    if (failures) last_error = broken = error_of_launch();
    return last_error;
}

cudaError_t launch_known(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared, bool cooperative,
                         Site site) {
    const Known* kernel = known_kernel(function);
    if (!kernel)
        return fail(cudaErrorInvalidDeviceFunction, site,
                    "it is not known which kernel this pointer leads to: pass the kernel itself, or (void*)kernel");
    void* all[64] = {(void*)&function};
    for (int i = 0; i < kernel->count && i < 63; ++i) all[i + 1] = arguments[i];
    return launch({"a kernel", grid, block, shared, site, cooperative, kernel->run, all, kernel->parameters, kernel->count,
                   0, 0});
}

void fail_grid_barrier(Site site) {
    report(Kind::Trap, site, current, "a grid waits for itself only in a launch by cudaLaunchCooperativeKernel");
    stop_block();
}

// ---------------------------------------------------------------- streams and events

static double now() {  // in milliseconds
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
}

constexpr uint64_t ALIVE = 0x6d61657274736863;

}  // namespace cudasim
struct CUstream_st { uint64_t alive; };
struct CUevent_st {
    uint64_t alive;
    double time;  // 0: not recorded
};
namespace cudasim {

cudaError_t check_stream(cudaStream_t stream, Site site) {
    if (broken) return last_error = broken;
    if (!stream || stream == cudaStreamLegacy || stream == cudaStreamPerThread || stream->alive == ALIVE) return cudaSuccess;
    return fail(cudaErrorInvalidResourceHandle, site, "this is not a stream, or one that was destroyed");
}

static cudaError_t check_event(cudaEvent_t event, Site site) {
    if (event && event->alive == ALIVE) return broken ? last_error = broken : cudaSuccess;
    return fail(cudaErrorInvalidResourceHandle, site, "this is not an event, or one that was destroyed");
}

// ---------------------------------------------------------------- a program, from its begin to its end

static int end_status;
static jmp_buf end_place;
static pthread_t main_thread;

}  // namespace cudasim

using namespace cudasim;

extern "C" int cudasim_main(int argc, char** argv) __attribute__((weak));  // main of the program, where there is one

CUDASIM_EXPORT int cudasim_run(int argc, char** argv) {
    main_thread = pthread_self();
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // it prints to where its command does, and is not to outlive that
    setvbuf(stdout, nullptr, _IOLBF, 0);  // what it has printed is to be read when it is ended
    in_main = true;
    if (!setjmp(end_place)) end_status = cudasim_main(argc, argv);
    in_main = false;
    fflush(nullptr);
    return end_status;
}

// What the linker makes of the program's calls of exit(): the Python around it is to live on.
extern "C" [[noreturn]] __attribute__((visibility("hidden"))) void __wrap_exit(int status) {
    if (!in_main || on_a_fiber() || !pthread_equal(pthread_self(), main_thread)) {
        fflush(nullptr);
        _Exit(status);
    }
    end_status = status;
    longjmp(end_place, 1);
}

const char* cudaGetErrorName(cudaError_t error) {
    switch (error) {
#define CUDASIM_CASE(number, name, text) \
    case name: return #name;
        CUDASIM_ERRORS(CUDASIM_CASE)
#undef CUDASIM_CASE
    }
    return "unrecognized error code";
}
const char* cudaGetErrorString(cudaError_t error) {
    switch (error) {
#define CUDASIM_CASE(number, name, text) \
    case name: return text;
        CUDASIM_ERRORS(CUDASIM_CASE)
#undef CUDASIM_CASE
    }
    return "unrecognized error code";
}
CUDASIM_EXPORT const char* cudasim_error_name(int error) { return cudaGetErrorName((cudaError_t)error); }
cudaError_t cudaGetLastError() {
    cudaError_t error = broken ? broken : last_error;
    last_error = cudaSuccess;
    unasked = false;
    return error;
}
cudaError_t cudaPeekAtLastError() {
    unasked = false;
    return broken ? broken : last_error;
}

cudaError_t cudaMalloc(void** p, size_t size, Site site) { return allocate(p, size, Owner::Device, site); }
cudaError_t cudaMallocManaged(void** p, size_t size, unsigned, Site site) {
    return allocate(p, size, Owner::Managed, site);
}
cudaError_t cudaMallocHost(void** p, size_t size, unsigned, Site site) { return allocate(p, size, Owner::Pinned, site); }
cudaError_t cudaMallocPitch(void** p, size_t* pitch, size_t width, size_t height, Site site) {
    *pitch = (width + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return allocate(p, *pitch * height, Owner::Device, site);
}
cudaError_t cudaMalloc3D(cudaPitchedPtr* p, cudaExtent extent, Site site) {
    size_t pitch = (extent.width + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    *p = {nullptr, pitch, extent.width, extent.height};
    return allocate(&p->ptr, pitch * extent.height * extent.depth, Owner::Device, site);
}
cudaError_t cudaFree(void* p, Site site) { return release(p, false, site); }
cudaError_t cudaFreeHost(void* p, Site site) { return release(p, true, site); }
cudaError_t cudaHostRegister(void* p, size_t size, unsigned, Site site) {
    if (!p || !size) return fail(cudaErrorInvalidValue, site, "there is no memory to register");
    if (allocation_of(p)) return fail(cudaErrorHostMemoryAlreadyRegistered, site, "this memory is registered already");
    Allocation& a = allocations.add();
    a = {(uint64_t)p, size, (int)Owner::Registered, site.line, 0, 0, "", nullptr};
    snprintf(a.file, sizeof a.file, "%s", site.file);
    if ((uintptr_t)p < lowest) lowest = (uintptr_t)p;
    if ((uintptr_t)p + size > highest) highest = (uintptr_t)p + size;
    return cudaSuccess;
}
cudaError_t cudaHostUnregister(void* p, Site site) {
    Allocation* a = allocation_of(p);
    if (!a || a->owner != (int)Owner::Registered)
        return fail(cudaErrorHostMemoryNotRegistered, site, "this memory is not registered");
    give_back((int)(a - allocations.items));
    return cudaSuccess;
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned, Site site) {
    Allocation* a = allocation_of(host);
    if (!a || a->owner == (int)Owner::Device)
        return fail(cudaErrorInvalidValue, site, "this is no memory of cudaHostAlloc or cudaHostRegister");
    *device = host;
    return cudaSuccess;
}
cudaError_t cudaHostGetFlags(unsigned* flags, void* p, Site site) {
    if (!allocation_of(p)) return fail(cudaErrorInvalidValue, site, "this is no memory of cudaHostAlloc");
    *flags = cudaHostAllocMapped;
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
    *total = gpu.properties.totalGlobalMem;
    *free = gpu.most_memory - used();
    return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
    Allocation* a = allocation_of(p);
    *attributes = {cudaMemoryTypeUnregistered, -2, nullptr, (void*)p};
    if (!a || a->freed_line) return cudaSuccess;
    Owner owner = (Owner)a->owner;
    attributes->type = owner == Owner::Device    ? cudaMemoryTypeDevice
                       : owner == Owner::Managed ? cudaMemoryTypeManaged
                                                 : cudaMemoryTypeHost;
    attributes->device = 0;
    attributes->devicePointer = (void*)p;
    if (owner == Owner::Device) attributes->hostPointer = nullptr;
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind kind, Site site) {
    if (!size) return cudaSuccess;
    if (cudaError_t error = check_copy(to, from, size, size, kind, site)) return error;
    memmove(to, from, size);
    return cudaSuccess;
}
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height,
                         cudaMemcpyKind kind, Site site) {
    if (!width || !height) return cudaSuccess;
    if (width > to_pitch || width > from_pitch)
        return fail(cudaErrorInvalidPitchValue, site, "rows of %zu bytes are wider than a pitch (%zu and %zu)", width,
                    to_pitch, from_pitch);
    cudaError_t error = check_copy(to, from, bytes_of_rows(to_pitch, width, height),
                                   bytes_of_rows(from_pitch, width, height), kind, site);
    if (error) return error;
    for (size_t y = 0; y < height; ++y) memmove((char*)to + y * to_pitch, (const char*)from + y * from_pitch, width);
    return cudaSuccess;
}
cudaError_t cudaMemcpy3D(const cudaMemcpy3DParms* how, Site site) {
    if (how->srcArray || how->dstArray)
        return fail(cudaErrorNotSupported, site, "arrays of textures are not supported by the emulator");
    const cudaPitchedPtr &from = how->srcPtr, &to = how->dstPtr;
    const cudaExtent& e = how->extent;
    if (!e.width || !e.height || !e.depth) return cudaSuccess;
    auto place = [](const cudaPitchedPtr& p, const cudaPos& at) {
        return (char*)p.ptr + (at.z * p.ysize + at.y) * p.pitch + at.x;
    };
    char *target = place(to, how->dstPos), *source = place(from, how->srcPos);
    auto bytes = [&](const cudaPitchedPtr& p) {
        return bytes_of_rows(p.pitch, e.width, (e.depth - 1) * p.ysize + e.height);
    };
    if (cudaError_t error = check_copy(target, source, bytes(to), bytes(from), how->kind, site)) return error;
    for (size_t z = 0; z < e.depth; ++z)
        for (size_t y = 0; y < e.height; ++y)
            memmove(target + (z * to.ysize + y) * to.pitch, source + (z * from.ysize + y) * from.pitch, e.width);
    return cudaSuccess;
}
cudaError_t cudaMemset(void* p, int value, size_t size, Site site) {
    return cudaMemset2D(p, size, value, size, 1, site);
}
cudaError_t cudaMemset2D(void* p, size_t pitch, int value, size_t width, size_t height, Site site) {
    if (!width || !height) return cudaSuccess;
    if (broken) return last_error = broken;
    if (cudaError_t error = check_side(p, bytes_of_rows(pitch, width, height), true, false, "destination", site))
        return error;
    if (Allocation* a = allocation_of(p)) a->fresh = 0;
    for (size_t y = 0; y < height; ++y) memset((char*)p + y * pitch, value, width);
    return cudaSuccess;
}
cudaError_t cudaMemset3D(cudaPitchedPtr p, int value, cudaExtent extent, Site site) {
    for (size_t z = 0; z < extent.depth; ++z)
        if (cudaError_t error = cudaMemset2D((char*)p.ptr + z * p.ysize * p.pitch, p.pitch, value, extent.width,
                                             extent.height, site))
            return error;
    return cudaSuccess;
}
static cudaError_t check_managed(const void* p, size_t size, Site site) {
    Allocation* a = allocation_of(p);
    if (!a || a->freed_line || a->owner != (int)Owner::Managed)
        return fail(cudaErrorInvalidValue, site, "this is no memory of cudaMallocManaged");
    if ((uintptr_t)p + size > a->begin + a->size)
        return fail(cudaErrorInvalidValue, site, "%zu bytes are more than were allocated at line %d", size, a->line);
    return cudaSuccess;
}
cudaError_t cudaMemPrefetchAsync(const void* p, size_t size, int, cudaStream_t, Site site) {
    return check_managed(p, size, site);
}
cudaError_t cudaMemAdvise(const void* p, size_t size, cudaMemoryAdvise, int, Site site) {
    return check_managed(p, size, site);
}

cudaError_t cudaStreamCreate(cudaStream_t* stream, Site) {
    *stream = (cudaStream_t)malloc(sizeof(CUstream_st));
    **stream = {ALIVE};
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream, Site site) {
    if (cudaError_t error = check_stream(stream, site)) return error;
    if ((uintptr_t)stream > 2) stream->alive = 0;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream, Site site) { return check_stream(stream, site); }
cudaError_t cudaEventCreate(cudaEvent_t* event, Site) {
    *event = (cudaEvent_t)malloc(sizeof(CUevent_st));
    **event = {ALIVE, 0};
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event, Site site) {
    if (cudaError_t error = check_event(event, site)) return error;
    event->alive = 0;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream, Site site) {
    if (cudaError_t error = check_event(event, site)) return error;
    if (cudaError_t error = check_stream(stream, site)) return error;
    event->time = now();
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event, Site site) { return check_event(event, site); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end, Site site) {
    if (cudaError_t error = check_event(begin, site)) return error;
    if (cudaError_t error = check_event(end, site)) return error;
    if (!begin->time || !end->time)
        return fail(cudaErrorInvalidResourceHandle, site, "one of the events was never recorded");
    asked_for_times = true;
    *milliseconds = (float)(end->time - begin->time);
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(Site) { return broken ? last_error = broken : cudaSuccess; }
cudaError_t cudaDeviceReset(Site site) {
    for (int i = allocations.size - 1; i >= 0; --i)
        if (!allocations.items[i].freed_line && allocations.items[i].owner != (int)Owner::Registered)
            allocations.items[i].freed_line = site.line ? site.line : 1;
    broken = last_error = cudaSuccess;
    return cudaSuccess;
}
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
