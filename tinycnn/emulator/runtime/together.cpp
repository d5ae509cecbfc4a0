// Cooperative launches: all blocks run at once, so that they may wait for one another.
//
// Still one block runs at a time, and has its turn until nobody in it can go on: all have ended, wait at a barrier, or
// yield. A thread yields where it may be waiting for another block: at a fence, a __nanosleep, a volatile read or an
// atomic that leaves the value as it was. So a loop that waits for a counter sees it again when every other block has
// had its turn. The turns go round in the order of the blocks, and a launch gives the same bits every time.
//
// What a block has of its own is kept while others run. Shared memory is thread-local storage, at one address for all
// blocks, so it is copied out and in.
#include "runtime.h"

namespace cudasim {

char* shared_address(int i);  // scheduler.cpp
int64_t shared_size(int i, unsigned dynamic_bytes);
int shared_arrays_count();
void begin_block(uint3 index);
bool take_up_again();
uint3 index_of(int64_t block_number);

struct Resident {
    Block block;
    int64_t number;
    bool begun;
};

static OfEachBlock<Resident> residents;
static OfEachBlock<char> kept_shared;
static int resident_count, running;
static unsigned dynamic_size;
bool together;

static void copy_shared(bool out) {
    char* kept = kept_shared.items;
    for (int i = 0; i < shared_arrays_count(); ++i) {
        int64_t size = shared_size(i, dynamic_size);
        if (out) memcpy(kept, shared_address(i), size);
        else memcpy(shared_address(i), kept, size);
        kept += size;
    }
}

static void enter(int slot) {
    if (slot == running) return;
    residents[0].block = block;
    copy_shared(true);
    residents.enter(slot);
    kept_shared.enter(slot);
    threads.enter(slot);
    enter_warps(slot);
    block = residents[0].block;
    blockIdx = block.index;
    copy_shared(false);
    running = slot;
#ifdef CUDASIM_HOOKED
    tools_enter_block(slot);
#endif
}

// All blocks, or these of them, in this order. The first begins.
void begin_together(int blocks, const int64_t* order, unsigned dynamic_bytes) {
    resident_count = blocks;
    dynamic_size = dynamic_bytes;
    int64_t shared = 0;
    for (int i = 0; i < shared_arrays_count(); ++i) shared += shared_size(i, dynamic_bytes);
    residents.make(blocks, 1);
    kept_shared.make(blocks, (int)shared);
    for (int i = 0; i < blocks; ++i) {
        residents.all[i].block = block;  // of which only the size counts, until it begins
        residents.all[i].number = order ? order[i] : i;
        residents.all[i].begun = false;
    }
    running = 0;
    residents[0].begun = true;
    begin_block(index_of(residents[0].number));
}

// The next block in the round that can go on, perhaps the same one again. False if there is none.
bool go_to_another_block() {
    residents[0].block = block;
    for (int i = 1; i <= resident_count; ++i) {
        int slot = (running + i) % resident_count;
        Resident& next = residents.all[slot];
        if (next.begun && !next.block.yielded) continue;
        enter(slot);
        if (!next.begun) {
            next.begun = true;
            begin_block(index_of(next.number));
        }
        take_up_again();
        return true;
    }
    return false;
}

// Where nobody can go on: a block whose threads wait for one another. False if all blocks have come to their end.
bool go_to_a_stuck_block() {
    for (int slot = 0; slot < resident_count; ++slot)
        if (residents.all[slot].block.live) return enter(slot), true;
    return false;
}

}  // namespace cudasim
