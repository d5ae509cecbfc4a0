// Finds races and reads of uninitialised shared memory, whatever order the threads happened to run in.
//
// Beside every 4 bytes of an array (or every element, if smaller) lies a shadow cell that remembers who accessed them
// last. Two accesses of different threads, at least one of them a write, are a race unless something orders them:
//
//     threads of different blocks    a __threadfence and an atomic hand over from one to the other: handover.cpp
//     threads of the same block      a __syncthreads in between
//     lanes of the same warp         also a __syncwarp in between whose mask has both. (Not a shuffle or a vote:
//                                    CUDA says that these order no memory.) Vector clocks say so exactly: each lane
//                                    has a clock, and knows up to which time of theirs it has heard from the others.
//
// Two atomics never race. That what is numerically right by luck is reported too is the point.
#include "tools.h"

namespace cudasim {

struct Recent {  // the last accesses of a kind, so that of two threads whoever comes next finds one that is not itself
    Record last, other;
};

struct Cell {
    Record writer;
    Recent readers;
    Record first_reader;      // another one than the last, if several blocks read
    int extra;                // the number of what only few cells have; 0: none
    uint32_t initialised_by;  // the block whose writes `initialised` tells of
    uint8_t initialised;
};

struct Extra {
    Recent atomics;
    int address;              // of these atomics: its number in handover.cpp
    int older;                // what earlier blocks' atomics and readers were: the number of the first
};

struct Older {
    Record record;
    bool read;
    int next;
};

static List<Extra> extras;
static List<Older> olders;
OfEachBlock<WarpClocks> known;
uint32_t block_number;

static size_t cells_of(const Region& region) { return (region.end - region.begin) / region.granule + 2; }

void shadow_begin(Region& region, int copies) {
    free(region.all_cells);
    region.cells = region.all_cells = (Cell*)calloc(cells_of(region) * copies, sizeof(Cell));
}

void shadow_enter(Region& region, int copy) { region.cells = region.all_cells + copy * cells_of(region); }

void shadow_begin_launch(int blocks) {
    known.make(blocks, (block.size + 31) / 32);
    handover_begin_launch(blocks);
}

static uint32_t number_of_block() {
    uint3 b = block.index;
    return (b.z * gridDim.y + b.y) * gridDim.x + b.x + 1;
}

void shadow_enter_block(int slot) {
    block_number = number_of_block();
    known.enter(slot);
    handover_enter_block(slot);
}

void shadow_forget() {
    extras.clear();
    olders.clear();
    handover_forget();
}

void shadow_begin_block() {
    block_number = number_of_block();
    for (int warp = 0; warp * 32 < block.size; ++warp) {
        memset(&known[warp], 0, sizeof known[warp]);
        for (int lane = 0; lane < 32; ++lane) known[warp].of[lane][lane] = 1;  // which nobody else has heard of yet
    }
    handover_begin_block();
}

void shadow_after_barrier() {
    bool came[MAX_THREADS];
    for (int i = 0; i < block.size; ++i) came[i] = threads[i].state == State::AtBarrier;
    handover_meet(0, block.size, came);
}

void tools_after_warp(int warp, unsigned lanes) {
    uint32_t heard[32] = {};
    for (unsigned rest = lanes; rest; rest &= rest - 1)
        for (int of = 0; of < 32; ++of) {
            uint32_t count = known[warp].of[__builtin_ctz(rest)][of];
            if (count > heard[of]) heard[of] = count;
        }
    bool came[32] = {};
    for (unsigned rest = lanes; rest; rest &= rest - 1) {
        int lane = __builtin_ctz(rest);
        memcpy(known[warp].of[lane], heard, sizeof heard);
        ++known[warp].of[lane][lane];
        came[lane] = true;
    }
    handover_meet(warp * 32, 32, came);
}

// address: if it was an atomic, the number that this has in handover.cpp
static bool ordered(const Record& before, int space, int address) {
    if (!before.block) return true;
    // Another block's shared memory is other memory.
    if (before.block != block_number) return space == Shared || handed_over(before, address);
    if (before.thread == current || before.epoch < block.barriers) return true;
    if (warp_of(before.thread) != warp_of(current)) return false;
    return known[warp_of(current)].of[lane_of(current)][lane_of(before.thread)] >= before.clock;
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
    p->space = region_at(id).space;
    p->offset = (int64_t)(at - region_at(id).begin);
    p->size = now.size;
}

static Extra& extra_of(Cell& cell) {
    if (!extras.size) extras.add({});  // number 0
    if (!cell.extra) {
        extras.add({});
        cell.extra = extras.size - 1;
    }
    return extras[cell.extra];
}

static void keep_older(Cell& cell, const Record& record, bool read) {
    if (!olders.size) olders.add({});  // number 0
    Extra& extra = extra_of(cell);
    // Where blocks take turns, a thread comes again and again; what is behind its last access is behind all of them.
    for (int i = together ? extra.older : 0; i; i = olders[i].next) {
        Older& older = olders[i];
        if (older.read != read || older.record.block != record.block || older.record.thread != record.thread) continue;
        if (older.record.bytes & ~record.bytes) continue;
        older.record = record;
        return;
    }
    olders.add({record, read, extra.older});
    extra.older = olders.size - 1;
}

// Blocks run one after another. Those before the first fence of a launch hand nothing over, so of their readers the
// first will do. Of later ones some may be ordered before a writer and some not, so none is dropped.
static void keep(Cell& cell, Recent& recent, const Record& me, int space, bool read) {
    bool other_block = recent.last.block != me.block;
    if (other_block && recent.last.block && space == Global && (any_fence() || !read)) {
        keep_older(cell, recent.last, read);
        if (recent.other.block == recent.last.block) keep_older(cell, recent.other, read);
    }
    if (other_block || recent.last.thread != me.thread) recent.other = recent.last;
    recent.last = me;
}

static void forget_before(Cell& cell) {
    cell.first_reader = {};
    cell.readers = {};
    if (!cell.extra) return;
    extras[cell.extra].atomics = {};
    extras[cell.extra].older = 0;
}

// Volatile accesses of two warps to global memory are no race: a thread may look until another has written. Within a warp
// they are: it is code that takes the lanes for one. And in shared memory they are: whoever looks there looks once as a
// rule, at what a barrier should have put before it.
static bool may_look(const Record& before, int space) {
    return space == Global && (before.block != block_number || warp_of(before.thread) != warp_of(current));
}

static void access_cell(Cell& cell, uint8_t bytes, uint8_t every_byte, int space, bool unset, const Access& now, int id, uintptr_t at) {
    Record me = {block_number, block.barriers,     known[warp_of(current)].of[lane_of(current)][lane_of(current)],
                 (uint32_t)now.pc, (uint16_t)current, bytes, (bool)now.is_volatile};
    auto conflicts = [&](const Record& before, bool before_wrote, int address = 0) {
        if (!(before.bytes & bytes) || ordered(before, space, address)) return false;
        if (before.is_volatile && now.is_volatile && may_look(before, space)) return false;
        race(before, now, before_wrote, id, at);
        return true;
    };
    if (unset) {
        if (space == Shared && cell.initialised_by != block_number) cell.initialised_by = block_number, cell.initialised = 0;
        if (now.reads && (bytes & ~cell.initialised)) uninitialised(now, id, at);
        if (now.write) cell.initialised |= bytes;
    }
    auto conflicts_as_read = [&](const Record& before) { return conflicts(before, false); };
    bool raced = conflicts(cell.writer, true);
    if (!raced && now.write)
        raced = conflicts_as_read(cell.first_reader) || conflicts_as_read(cell.readers.last) ||
                conflicts_as_read(cell.readers.other);
    if (!raced && cell.extra) {
        const Extra& extra = extras[cell.extra];
        auto conflicts_as_atomic = [&](const Record& before) { return conflicts(before, true, extra.address); };
        if (!now.atomic) raced = conflicts_as_atomic(extra.atomics.last) || conflicts_as_atomic(extra.atomics.other);
        for (int i = extra.older; i && !raced; i = olders[i].next) {
            const Older& older = olders[i];
            raced = older.read ? now.write && conflicts_as_read(older.record)
                               : !now.atomic && conflicts_as_atomic(older.record);
        }
    }

    if (now.atomic) {
        keep(cell, extra_of(cell).atomics, me, space, false);
    } else if (now.write) {
        cell.writer = me;
        // What is behind this write is behind all that was before it, so that need not be kept.
        if (!raced && bytes == every_byte) forget_before(cell);
    } else {
        bool other_memory = space == Shared && cell.first_reader.block != block_number;
        if (!cell.first_reader.block || other_memory) cell.first_reader = me;
        keep(cell, cell.readers, me, space, true);
    }
}

void shadow_access(Region& region, int id, const Access& now) {
    uintptr_t begin = now.address - region.begin, end = begin + now.size;
    region.written |= now.write;
    for (uintptr_t at = begin; at < end;) {
        uintptr_t index = at / region.granule, next = (index + 1) * region.granule;
        if (next > end) next = end;
        uint8_t bytes = 0;
        for (uintptr_t byte = at; byte < next; ++byte) bytes |= 1 << (byte % region.granule);
        access_cell(region.cells[index], bytes, (1 << region.granule) - 1, region.space, region.unset, now, id, region.begin + at);
        at = next;
    }
    if (now.atomic && region.space == Global) {
        Cell* first = region.cells + begin / region.granule;
        handover_atomic(extra_of(*first).address);
        for (int i = 1; i * region.granule < now.size; ++i) extra_of(first[i]).address = extra_of(*first).address;
    }
}

}  // namespace cudasim
