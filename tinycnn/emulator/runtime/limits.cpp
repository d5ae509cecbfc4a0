// What a kernel itself says of its launches: how many threads a block may have, by its __launch_bounds__, how much static
// shared memory it takes, and what it is called.
//
// The first is an expression in the kernel's own words, template parameters among them; the others are in the symbol
// table, where functions go by their addresses, and of a template the host code names none. So it is the first thread
// that looks, before it does anything else, by a call that syntax.py puts at the beginning of kernels. What it refuses
// has not begun.
#include <cxxabi.h>

#include "host_parts.h"

namespace cudasim {

struct Function {  // as Python gives it
    uint64_t begin, size, shared;  // shared: bytes of the __shared__ arrays in it
    const char* symbol;
};
static const Function* functions;
static int function_count;
CUDASIM_EXPORT void cudasim_functions(const Function* given, int count) { functions = given, function_count = count; }

static Function function_at(uintptr_t address) {
    for (int i = 0; i < function_count; ++i)
        if (address - functions[i].begin < functions[i].size) return functions[i];
    return {};
}

// Of "void (anonymous namespace)::scale<(Kind)4>(float*)" without what stands around it.
static char* short_name(char* text) {
    static const char nameless[] = "(anonymous namespace)::";
    const size_t length = sizeof nameless - 1;
    char* begin = text;
    int depth = 0;
    for (char* c = text; *c; ++c) {
        depth += (*c == '<') - (*c == '>');
        if (depth) continue;
        if (!strncmp(c, nameless, length)) begin = c + length, c = begin - 1;
        else if (*c == ' ') begin = c + 1;
        else if (*c == '(') *c = 0, --c;
    }
    return begin;
}

const char* name_of(const void* function) {
    struct Named { const void* function; const char* name; };
    static List<Named> known;  // the names last as long as the program
    for (const Named& one : known)
        if (one.function == function) return one.name;
    const char* symbol = function_at((uintptr_t)function).symbol;
    char* text = symbol ? abi::__cxa_demangle(symbol, nullptr, nullptr, nullptr) : nullptr;
    const char* name = text ? short_name(text) : symbol ? symbol : "a kernel";
    known.add({function, name});
    return name;
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
