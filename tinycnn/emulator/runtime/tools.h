// What the tools share: the memory that a launch may touch, and what is remembered of each of its arrays.
#pragma once
#include "runtime.h"

#pragma GCC visibility push(hidden)
namespace cudasim {

enum Space : int { Global, Shared };

struct Cell;

struct Region {          // an array
    uintptr_t begin, end;
    int space, granule;  // granule: bytes of its elements, at most 4, that one shadow cell watches
    Cell* cells;         // shadow.cpp
    uint8_t* touched;    // trace.cpp: for each sector, 1 if read, 2 if written
};

extern bool checking, tracing;
extern uintptr_t image_begin;  // where this file is loaded: instructions are told apart by their distance from it

// deadline.cpp
void begin_time_limit(double seconds);
[[noreturn]] void stop_overdue(uintptr_t pc);

void shadow_begin(Region& region);
void shadow_access(Region& region, int id, const Access& access);
void shadow_begin_block();
void trace_begin(Region& region);
void trace_request(int warp, unsigned lanes);
int region_of(uintptr_t address);
bool in_this_file(uintptr_t address);
Region& region_at(int id);

}  // namespace cudasim
#pragma GCC visibility pop
