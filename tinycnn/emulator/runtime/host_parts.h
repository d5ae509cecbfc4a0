// What the parts of CUDA's runtime for whole programs (host_*.cpp) share.
//
// Everything happens at once and in the order of the calls, so the streams need no queues. What is kept is who owns
// which memory: a list of allocations, by which a copy past an end, a pointer of the wrong side and a second free are
// known. Each error is remembered with its line; Python asks for them at the end (program.py).
#pragma once
#include <pthread.h>
#include <stdarg.h>

#include "host.h"
#include "runtime.h"

#pragma GCC visibility push(hidden)
namespace cudasim {

struct Alone {  // host code may have several threads; the GPU and what is kept of it are one
    Alone();
    ~Alone();
};

// ---------------------------------------------------------------- errors (host_errors.cpp)

struct Mistake {  // a call that CUDA answers with an error, as Python reads it
    int error, line, count;       // error: 0 for an access by the host to what is the device's
    char file[256], text[400];
    uint64_t pc;                  // of such an access, in hooked builds
};

extern List<Mistake> mistakes;
extern cudaError_t last_error;    // until somebody asks
extern cudaError_t broken;        // a kernel went wrong: nothing works any more, as on a GPU
extern bool unasked;              // whether last_error is of a launch, which returns nothing, and nobody has asked

// ---------------------------------------------------------------- memory (host_memory.cpp)

enum class Owner : int { Device, Managed, Pinned, Registered, Host };

struct Allocation {  // as Python reads it
    uint64_t begin, size;
    int owner, line, freed_line;  // freed_line: 0 while it lives
    int fresh;                    // nobody has written there yet: no copy to it, no launch since
    char file[256];
    void* memory;                 // what is to be given back
};

struct Variable {  // as Python gives it: of those of the program that may change
    uint64_t begin, size;
    int owner;
    int has_address;  // the program has asked for its address on the device
};

extern List<Allocation> allocations;
Variable* variable_at(uintptr_t address);  // null for what is in none

Allocation* allocation_of(const void* p);  // null for what is in none
Allocation* beside(const void* p);         // the one just before or after which this lies

// ---------------------------------------------------------------- the GPU, and the program (host_gpu.cpp, host_program.cpp)

struct Gpu {  // what a program can ask of it
    cudaDeviceProp properties;
    size_t most_memory;
};

extern Gpu gpu;
size_t most_shared();             // of a block, static and dynamic
int blocks_of_a_multiprocessor(int block, size_t shared);
extern bool in_main;              // the program runs

// ---------------------------------------------------------------- functions (host_launches.cpp)

const char* name_of(const void* function);  // as it stands in the source, of a template with its arguments
size_t static_shared(const void* function);
size_t most_dynamic_shared(const void* function);

}  // namespace cudasim
#pragma GCC visibility pop
