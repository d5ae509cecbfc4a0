// Finds races and reads of uninitialised shared memory, whatever order the threads happened to run in.
//
// Beside every 4 bytes of an array (or every element, if smaller) lies a shadow cell that remembers who accessed them
// last. Two accesses of different threads, at least one of them a write, are a race unless something orders them:
//
//     threads of different blocks    nothing does, within a launch
//     threads of the same block      a __syncthreads in between
//     lanes of the same warp         also a __syncwarp in between whose mask has both. (Not a shuffle or a vote:
//                                    CUDA says that these order no memory.) Vector clocks say so exactly: each lane
//                                    counts its __syncwarps, and knows up to which count it has heard from the others.
//
// Two atomics never race. That what is numerically right by luck is reported too is the point.
#include "tools.h"

namespace cudasim {

struct Record {
    uint32_t block;   // 0: empty; else the block's number + 1
    uint32_t epoch;   // barriers completed in that block
    uint32_t clock;   // the lane's own count of __syncwarps
    uint32_t pc;
    uint16_t thread;
    uint8_t bytes;    // which of the cell's bytes
};

struct Cell {
    Record writer, atomic;
    // Of the readers only some can be kept: the first and the last differ if several blocks read, and the last two
    // threads differ if several threads did, so that a writer finds one of them that is not itself.
    Record first_reader, last_reader, other_reader;
    uint32_t initialised_by;  // the block whose writes `initialised` tells of
    uint8_t initialised;
};

static uint32_t known[MAX_WARPS][32][32];  // [warp][lane][of lane]: its count of __syncwarps, as far as heard of
static uint32_t block_number;

void shadow_begin(Region& region) {
    size_t cells = (region.end - region.begin) / region.granule + 2;
    region.cells = (Cell*)calloc(cells, sizeof(Cell));
}

void shadow_begin_block() {
    uint3 b = block.index;
    block_number = (b.z * gridDim.y + b.y) * gridDim.x + b.x + 1;
    for (int warp = 0; warp * 32 < block.size; ++warp) {
        memset(known[warp], 0, sizeof known[warp]);
        for (int lane = 0; lane < 32; ++lane) known[warp][lane][lane] = 1;  // which nobody else has heard of yet
    }
}

void tools_after_warp(int warp, unsigned lanes) {
    uint32_t heard[32] = {};
    for (unsigned rest = lanes; rest; rest &= rest - 1)
        for (int of = 0; of < 32; ++of) {
            uint32_t count = known[warp][__builtin_ctz(rest)][of];
            if (count > heard[of]) heard[of] = count;
        }
    for (unsigned rest = lanes; rest; rest &= rest - 1) {
        int lane = __builtin_ctz(rest);
        memcpy(known[warp][lane], heard, sizeof heard);
        ++known[warp][lane][lane];
    }
}

static bool ordered(const Record& before, int space) {
    if (!before.block) return true;
    if (before.block != block_number) return space == Shared;  // another block's shared memory is other memory
    if (before.thread == current || before.epoch < block.barriers) return true;
    if (warp_of(before.thread) != warp_of(current)) return false;
    return known[warp_of(current)][lane_of(current)][lane_of(before.thread)] >= before.clock;
}

static void race(const Record& before, const Access& now, bool before_wrote, int id, uintptr_t at) {
    Problem* p = find_problem(Kind::Race, now.pc, before.pc, {nullptr, 0});
    if (!p || p->count++) return;
    uint32_t b = before.block - 1;
    uint3 t = threads[before.thread].index;
    tell_who(*p, current);
    p->other_block[0] = b % gridDim.x, p->other_block[1] = b / gridDim.x % gridDim.y;
    p->other_block[2] = b / gridDim.x / gridDim.y;
    p->other_thread[0] = t.x, p->other_thread[1] = t.y, p->other_thread[2] = t.z;
    p->region = id;
    p->space = region_at(id).space;
    p->offset = (int64_t)(at - region_at(id).begin);
    p->size = now.size;
    p->write = now.write;
    p->other_write = before_wrote;
}

static void uninitialised(const Access& now, int id, uintptr_t at) {
    Problem* p = find_problem(Kind::Uninitialised, now.pc, 0, {nullptr, 0});
    if (!p || p->count++) return;
    tell_who(*p, current);
    p->region = id;
    p->space = Shared;
    p->offset = (int64_t)(at - region_at(id).begin);
    p->size = now.size;
}

static void access_cell(Cell& cell, uint8_t bytes, int space, const Access& now, int id, uintptr_t at) {
    Record me = {block_number, block.barriers,     known[warp_of(current)][lane_of(current)][lane_of(current)],
                 (uint32_t)now.pc, (uint16_t)current, bytes};
    auto conflicts = [&](const Record& before, bool before_wrote) {
        if (!(before.bytes & bytes) || ordered(before, space)) return false;
        race(before, now, before_wrote, id, at);
        return true;
    };
    if (space == Shared) {
        if (cell.initialised_by != block_number) cell.initialised_by = block_number, cell.initialised = 0;
        if ((!now.write || now.atomic) && (bytes & ~cell.initialised)) uninitialised(now, id, at);
        if (now.write) cell.initialised |= bytes;
    }
    bool raced = conflicts(cell.writer, true);
    if (!raced && !now.atomic) raced = conflicts(cell.atomic, true);
    if (!raced && now.write)
        (void)(conflicts(cell.first_reader, false) || conflicts(cell.last_reader, false) ||
               conflicts(cell.other_reader, false));

    if (now.atomic) {
        cell.atomic = me;
    } else if (now.write) {
        cell.writer = me;
    } else {
        bool other_memory = space == Shared && cell.first_reader.block != block_number;
        if (!cell.first_reader.block || other_memory) cell.first_reader = me;
        bool other_thread = cell.last_reader.thread != me.thread || cell.last_reader.block != me.block;
        if (other_thread) cell.other_reader = cell.last_reader;
        cell.last_reader = me;
    }
}

void shadow_access(Region& region, int id, const Access& now) {
    uintptr_t begin = now.address - region.begin, end = begin + now.size;
    for (uintptr_t at = begin; at < end;) {
        uintptr_t index = at / region.granule, next = (index + 1) * region.granule;
        if (next > end) next = end;
        uint8_t bytes = 0;
        for (uintptr_t byte = at; byte < next; ++byte) bytes |= 1 << (byte % region.granule);
        access_cell(region.cells[index], bytes, region.space, now, id, region.begin + at);
        at = next;
    }
}

}  // namespace cudasim
