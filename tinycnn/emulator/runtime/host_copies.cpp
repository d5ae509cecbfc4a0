// Copies and fills, which are checked against the allocations before they are made.
#include "host_parts.h"

namespace cudasim {

static const void* symbol_itself;  // by a copy from or to a symbol, which has checked it

// Whether size bytes may be copied from or to p, which the kind says to be on the device or not.
static cudaError_t check_side(const void* p, size_t size, bool device, bool host, const char* what, Site site) {
    if (p == symbol_itself) return cudaSuccess;
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
    const Variable* v = a ? nullptr : variable_at((uintptr_t)p);
    if (!a && !host && (v ? v->owner == (int)Owner::Host : !in_this_file((uintptr_t)p)))
        return fail(cudaErrorInvalidValue, site, "the %s is memory of the host, but the kind of the copy says device", what);
    if (!host && v && v->owner == (int)Owner::Device && !v->has_address)
        return fail(cudaErrorInvalidValue, site, "the %s is a variable of the device, whose address the host does not have: "
                    "it takes cudaMemcpyToSymbol or FromSymbol, or cudaGetSymbolAddress", what);
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
    Alone alone;
    symbol_itself = at;
    cudaError_t error = check_copy(to, from, size, size, kind, site);
    symbol_itself = nullptr;
    if (error) return error;
    memmove((void*)to, from, size);
    return cudaSuccess;
}

static size_t bytes_of_rows(size_t pitch, size_t width, size_t height) { return height ? pitch * (height - 1) + width : 0; }

}  // namespace cudasim

using namespace cudasim;

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
    Alone alone;
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
    Alone alone;
    Allocation* a = allocation_of(p);
    if (!a || a->freed_line || a->owner != (int)Owner::Managed)
        return fail(cudaErrorInvalidValue, site, "this is no memory of cudaMallocManaged");
    if ((uintptr_t)p + size > a->begin + a->size)
        return fail(cudaErrorInvalidValue, site, "%zu bytes are more than were allocated at line %d", size, a->line);
    return cudaSuccess;
}
cudaError_t cudaMemPrefetchAsync(const void* p, size_t size, int, cudaStream_t stream, Site site) {
    if (cudaError_t error = check_stream(stream, site)) return error;
    return check_managed(p, size, site);
}
cudaError_t cudaMemAdvise(const void* p, size_t size, cudaMemoryAdvise, int, Site site) {
    return check_managed(p, size, site);
}
