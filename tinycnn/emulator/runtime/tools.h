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
    bool unset;          // begins as nobody has written it
    bool constant;       // __constant__ memory
    bool written;        // somebody has, while it was checked
    Cell* cells;         // shadow.cpp; of shared memory, those of the running block
    Cell* all_cells;     // of every block that runs at once
    uint8_t* touched;    // trace.cpp: for each sector, 1 if read, 2 if written
};

struct Record {       // an access that was made
    uint32_t block;   // 0: empty; else the block's number + 1
    uint32_t epoch;   // barriers completed in that block
    uint32_t clock;   // the lane's own, which its __syncwarps and its fences advance
    uint32_t pc;
    uint16_t thread;
    uint8_t bytes;    // which of the cell's bytes
    bool is_volatile;
};

extern bool checking, tracing;
extern uintptr_t image_begin;  // where this file is loaded: instructions are told apart by their distance from it

// host_launches.cpp, host_memory.cpp
bool is_the_hosts(uintptr_t address);                          // a variable that is not the device's
bool may_read(uintptr_t address);                              // a launch's arguments, which lie with the host
void host_access(uintptr_t address, size_t size, bool write, uintptr_t pc);
bool whose(uintptr_t address, char* text, size_t size);        // of an address in no array: false if nothing is known

void shadow_begin(Region& region, int copies);
void shadow_enter(Region& region, int copy);
void shadow_begin_launch(int blocks);
void shadow_enter_block(int slot);
void shadow_access(Region& region, int id, const Access& access);
void shadow_begin_block();
void shadow_after_barrier();
void shadow_forget();
struct WarpClocks { uint32_t of[32][32]; };   // [lane][of lane]: its clock, as far as heard of
extern OfEachBlock<WarpClocks> known;         // [warp]
extern uint32_t block_number;              // from 1

// handover.cpp
bool any_fence();
void handover_begin_launch(int blocks);
void handover_enter_block(int slot);
void handover_begin_block();
void handover_atomic(int& number);
void handover_meet(int first, int count, const bool* came);
bool handed_over(const Record& before, int address);
void handover_forget();

void trace_begin(Region& region);
void trace_request(int warp, unsigned lanes);
int region_of(uintptr_t address);
Region& region_at(int id);

}  // namespace cudasim
#pragma GCC visibility pop
