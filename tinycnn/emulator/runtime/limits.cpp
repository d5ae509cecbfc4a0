// What a kernel itself says of its launches: how many threads a block may have, by its __launch_bounds__, and how much
// static shared memory it takes.
//
// The first is an expression in the kernel's own words, template parameters among them; the second is in the symbol
// table, where functions go by their addresses, and of a template the host code names none. So it is the first thread
// that looks, before it does anything else, by a call that syntax.py puts at the beginning of kernels. What it refuses
// has not begun.
#include "host_parts.h"

namespace cudasim {

struct Function {  // as Python gives it
    uint64_t begin, size, shared;  // shared: bytes of the __shared__ arrays in it
};
static const Function* functions;
static int function_count;
CUDASIM_EXPORT void cudasim_functions(const Function* given, int count) { functions = given, function_count = count; }

static Function function_at(uintptr_t address) {
    for (int i = 0; i < function_count; ++i)
        if (address - functions[i].begin < functions[i].size) return functions[i];
    return {};
}

size_t static_shared(const void* function) { return (size_t)function_at((uintptr_t)function).shared; }

bool refused;
bool begun;
static size_t dynamic_shared_bytes;
void limit_launch(size_t dynamic_bytes) {
    begun = refused = false;
    dynamic_shared_bytes = dynamic_bytes;
}

static void refuse(const char* format, ...) {
    char text[sizeof Mistake::text];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    report(Kind::Refused, {}, current, text);
    refused = true;
    stop_launch();
}

void begins(int most_threads, int, int) {
    if (begun) return;
    begun = true;
    if (block.size > most_threads)
        refuse("a block has %d threads, and the kernel's __launch_bounds__ allow %d: launch fewer, or raise them",
               block.size, most_threads);
    Function kernel = function_at((uintptr_t)__builtin_return_address(0));
    size_t most = most_dynamic_shared((const void*)kernel.begin);
    if (dynamic_shared_bytes > most)
        refuse("%zu bytes of dynamic shared memory and %zu of static: %sa block has at most %zu in all",
               dynamic_shared_bytes, (size_t)kernel.shared,
               in_main ? "more than 48 KB need cudaFuncSetAttribute, and " : "", most_shared());
}

}  // namespace cudasim
