// Streams and events: all is done by the time that a call returns, so they only have to be there, and to tell times.
#include <time.h>

#include "host_parts.h"

struct CUstream_st { uint64_t alive; };
struct CUevent_st {
    uint64_t alive;
    double time;  // 0: not recorded
    bool timed;   // may be asked for it
};

namespace cudasim {

static bool asked_for_times;
CUDASIM_EXPORT int cudasim_asked_for_times() { return asked_for_times; }

static double now() {  // in milliseconds
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
}

constexpr uint64_t ALIVE = 0x6d61657274736863;

cudaError_t check_stream(cudaStream_t stream, Site site) {
    if (broken) return last_error = broken;
    if (!stream || stream == cudaStreamLegacy || stream == cudaStreamPerThread || stream->alive == ALIVE) return cudaSuccess;
    return fail(cudaErrorInvalidResourceHandle, site, "this is not a stream, or one that was destroyed");
}

cudaError_t check_event(cudaEvent_t event, Site site) {
    if (event && event->alive == ALIVE) return broken ? last_error = broken : cudaSuccess;
    return fail(cudaErrorInvalidResourceHandle, site, "this is not an event, or one that was destroyed");
}

}  // namespace cudasim

using namespace cudasim;

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
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags, Site) {
    *event = (cudaEvent_t)malloc(sizeof(CUevent_st));
    **event = {ALIVE, 0, !(flags & cudaEventDisableTiming)};
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
    if (!begin->timed || !end->timed)
        return fail(cudaErrorInvalidResourceHandle, site, "one of the events was made with cudaEventDisableTiming");
    asked_for_times = true;
    *milliseconds = (float)(end->time - begin->time);
    return cudaSuccess;
}
