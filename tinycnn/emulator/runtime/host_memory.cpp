// Memory that the program allocates: whose each is, and what is done with it that must not be.
#include <sys/mman.h>

#include "host_parts.h"
#ifdef CUDASIM_HOOKED
#include "tools.h"
#endif

namespace cudasim {

List<Allocation> allocations;
static uintptr_t lowest = ~(uintptr_t)0, highest;  // of all of them

CUDASIM_EXPORT const Allocation* cudasim_allocations(int* count) { return *count = allocations.size, allocations.items; }

static Variable* variables;
static int variable_count;
CUDASIM_EXPORT void cudasim_variables(Variable* given, int count) { variables = given, variable_count = count; }

Variable* variable_at(uintptr_t address) {
    for (int i = 0; i < variable_count; ++i)
        if (address - variables[i].begin < variables[i].size) return &variables[i];
    return nullptr;
}

void give_address(const void* symbol) {
    if (Variable* v = variable_at((uintptr_t)symbol)) v->has_address = true;
}

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

Allocation* allocation_of(const void* p) {
    uintptr_t at = (uintptr_t)p;
    if (at < lowest || at > highest) return nullptr;
    for (int i = allocations.size - 1; i >= 0; --i) {
        Allocation& a = allocations[i];
        if (at - a.begin < a.size || (at == a.begin && !a.size)) return &a;
    }
    return nullptr;
}

Allocation* beside(const void* p) {
    for (int i = allocations.size - 1; i >= 0; --i) {
        Allocation& a = allocations[i];
        if ((uintptr_t)p - (a.begin - MARGIN) < a.size + 2 * MARGIN) return &a;
    }
    return nullptr;
}

static size_t used() {
    size_t sum = 0;
    for (const Allocation& a : allocations)
        if (!a.freed_line && a.owner <= (int)Owner::Managed) sum += a.size;
    return sum;
}

static void widen(uintptr_t begin, size_t size) {
    if (begin < lowest) lowest = begin;
    if (begin + size > highest) highest = begin + size;
}

static cudaError_t allocate(void** p, size_t size, Owner owner, Site site) {
    Alone alone;
    if (!p) return fail(cudaErrorInvalidValue, site, "the place for the pointer is null");
    if (broken) return last_error = broken;
    *p = nullptr;
    if (!size) return cudaSuccess;
    size_t whole = size + 2 * MARGIN + ALIGNMENT;
    char* memory = whole < size || used() + size > gpu.most_memory ? nullptr : (char*)malloc(whole);
    if (!memory)
        return fail(cudaErrorMemoryAllocation, site, "%zu bytes are wanted; the emulated GPU has %zu left", size,
                    gpu.most_memory - used());
    uintptr_t begin = (uintptr_t)memory + MARGIN;
    begin += -begin % ALIGNMENT;
    memset((void*)begin, UNWRITTEN, size);
    Allocation& a = allocations.add({begin, size, (int)owner, site.line, 0, owner == Owner::Device, "", memory});
    snprintf(a.file, sizeof a.file, "%s", site.file);
    widen(begin, size);
    *p = (void*)begin;
    return cudaSuccess;
}

static void give_back(int i) {
    free(allocations[i].memory);
    for (int j = i + 1; j < allocations.size; ++j) allocations[j - 1] = allocations[j];
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
        if (!allocations[i].freed_line) ++i;
        else kept -= allocations[i].size, give_back(i);
    }
#else
    give_back((int)(a - allocations.items));
#endif
    return broken ? last_error = broken : cudaSuccess;
}

#ifdef CUDASIM_HOOKED
// ---------------------------------------------------------------- what the tools ask

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

bool is_the_hosts(uintptr_t address) {
    if (!in_main || !in_this_file(address)) return false;
    const Variable* v = variable_at(address);
    return v && v->owner == (int)Owner::Host;
}

// The program's own code, not a kernel's, touches memory.
void host_access(uintptr_t address, size_t size, bool write, uintptr_t pc) {
    const Variable* v = in_main && in_this_file(address) ? variable_at(address) : nullptr;
    bool of_the_device = v && v->owner == (int)Owner::Device;
    if (!of_the_device && (address >= highest || address + size <= lowest)) return;
    Allocation* a = of_the_device ? nullptr : allocation_of((const void*)address);
    if (!of_the_device && (!a || (a->owner != (int)Owner::Device && !a->freed_line))) return;
    const char* did = write ? "writes" : "reads";
    Mistake* m = nullptr;
    for (Mistake& known : mistakes)
        if (known.pc == pc) m = &known;
    if (m) return (void)++m->count;
    m = &mistakes.add({});
    m->pc = pc;
    m->count = 1;
    if (!a)
        snprintf(m->text, sizeof m->text, "the host %s a variable of the device: it takes cudaMemcpyToSymbol or FromSymbol",
                 did);
    else if (a->freed_line) snprintf(m->text, sizeof m->text, "the host %s memory that was freed at line %d", did, a->freed_line);
    else
        snprintf(m->text, sizeof m->text, "the host %s memory of the device, allocated at line %d: it takes cudaMemcpy", did,
                 a->line);
}
#endif

}  // namespace cudasim

using namespace cudasim;

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
    Alone alone;
    if (!p || !size) return fail(cudaErrorInvalidValue, site, "there is no memory to register");
    if (allocation_of(p)) return fail(cudaErrorHostMemoryAlreadyRegistered, site, "this memory is registered already");
    Allocation& a = allocations.add({(uint64_t)p, size, (int)Owner::Registered, site.line, 0, 0, "", nullptr});
    snprintf(a.file, sizeof a.file, "%s", site.file);
    widen((uintptr_t)p, size);
    return cudaSuccess;
}
cudaError_t cudaHostUnregister(void* p, Site site) {
    Alone alone;
    Allocation* a = allocation_of(p);
    if (!a || a->owner != (int)Owner::Registered)
        return fail(cudaErrorHostMemoryNotRegistered, site, "this memory is not registered");
    give_back((int)(a - allocations.items));
    return cudaSuccess;
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned, Site site) {
    Alone alone;
    Allocation* a = allocation_of(host);
    if (!a || a->owner == (int)Owner::Device)
        return fail(cudaErrorInvalidValue, site, "this is no memory of cudaHostAlloc or cudaHostRegister");
    *device = host;
    return cudaSuccess;
}
cudaError_t cudaHostGetFlags(unsigned* flags, void* p, Site site) {
    Alone alone;
    if (!allocation_of(p)) return fail(cudaErrorInvalidValue, site, "this is no memory of cudaHostAlloc");
    *flags = cudaHostAllocMapped;
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
    Alone alone;
    *total = gpu.properties.totalGlobalMem;
    *free = gpu.most_memory - used();
    return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
    Alone alone;
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
cudaError_t cudaDeviceReset(Site site) {
    Alone alone;
    for (Allocation& a : allocations)
        if (!a.freed_line && a.owner != (int)Owner::Registered) a.freed_line = site.line ? site.line : 1;
    broken = last_error = cudaSuccess;
    return cudaSuccess;
}
