// What goes wrong in calls of CUDA's runtime: the last error, and all of them with their lines.
#include "host_parts.h"

namespace cudasim {

static pthread_mutex_t whole_gpu = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
Alone::Alone() { pthread_mutex_lock(&whole_gpu); }
Alone::~Alone() { pthread_mutex_unlock(&whole_gpu); }

List<Mistake> mistakes;
cudaError_t last_error, broken;
bool unasked;

CUDASIM_EXPORT const Mistake* cudasim_mistakes(int* count) { return *count = mistakes.size, mistakes.items; }
CUDASIM_EXPORT int cudasim_unasked_error() { return unasked ? last_error : 0; }

cudaError_t fail(cudaError_t error, Site site, const char* format, ...) {
    Alone alone;
    last_error = error;
    char text[sizeof Mistake::text];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    for (Mistake& m : mistakes)
        if (m.error == error && m.line == site.line && !strcmp(m.file, site.file)) return ++m.count, error;
    Mistake& m = mistakes.add({});
    m.error = error;
    m.line = site.line;
    m.count = 1;
    snprintf(m.file, sizeof m.file, "%s", site.file);
    snprintf(m.text, sizeof m.text, "%s", text);
    return error;
}

}  // namespace cudasim

using namespace cudasim;

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
