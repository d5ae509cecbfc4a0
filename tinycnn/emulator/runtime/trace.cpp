// Counts what the accesses of a warp cost the memory of a GPU.
//
// The lanes of a warp that make the same access together are one request. Global memory moves in sectors of 32 bytes: a
// request costs as many as its lanes touch. Shared memory has 32 banks, each 4 bytes wide: lanes that want different
// words of the same bank are served one after the other. Accesses of 8 and 16 bytes are served for half and quarter
// warps at a time.
//
// Which lanes are together is the question. Counting "the k-th time that a lane comes here" is wrong as soon as lanes
// take a loop's branch at different times. Instead every thread stops at each of its accesses and branches, and when
// all stand still, the warp goes on with what comes first in the code (issue_one_request in hooks.cpp). Lanes that
// are behind so catch up, as on a GPU, provided that code that comes later in the source also does in the file: hence
// -fno-reorder-blocks, and __device__ functions inlined.
//
// A recording keeps every request beside the sums: who asked, where in the program, and for which bytes.
#include "tools.h"

namespace cudasim {

struct Row {  // the requests of one instruction to one array, as Python reads it
    uint64_t pc;
    int region, space, size, write, atomic;
    uint64_t requests, lanes, possible_lanes;
    uint64_t sectors, fewest_sectors;          // global memory
    uint64_t passes, fewest_passes;            // shared memory
};

constexpr int MOST_ROWS = 4096;
static Row rows[MOST_ROWS];
static int row_count;

CUDASIM_EXPORT const Row* cudasim_rows(int* count) {
    *count = row_count;
    return rows;
}
CUDASIM_EXPORT void cudasim_forget_rows() { row_count = 0; }

constexpr int SECTOR = 32;

void trace_begin(Region& region) { region.touched = (uint8_t*)calloc((region.end - region.begin) / SECTOR + 2, 1); }

// The sectors of an array that the launch read and wrote: no launch that does the same can move fewer.
CUDASIM_EXPORT void cudasim_touched(int id, uint64_t* read, uint64_t* written) {
    Region& region = region_at(id);
    *read = *written = 0;
    for (uintptr_t i = 0; i <= (region.end - region.begin) / SECTOR; ++i) {
        *read += region.touched[i] & 1;
        *written += region.touched[i] >> 1 & 1;
    }
}

static Row* find_row(const Access& access, int region) {
    for (int i = 0; i < row_count; ++i)
        if (rows[i].pc == access.pc && rows[i].region == region) return &rows[i];
    if (row_count == MOST_ROWS) return nullptr;
    Row& row = rows[row_count++];
    memset(&row, 0, sizeof row);
    row.pc = access.pc;
    row.region = region;
    row.space = region_at(region).space;
    row.size = access.size;
    row.write = access.write;
    row.atomic = access.atomic;
    return &row;
}

struct Request {        // as Python reads it
    uint64_t pc;
    int32_t region, block[3], warp;
    uint32_t lanes;     // a bit for each that takes part
    uint32_t barriers;  // that the block has completed
    uint8_t size, write, atomic, unused;
    int32_t offsets[32];  // bytes from the array's begin, of the lanes that take part
};

static List<Request> requests;
static int most_requests;       // 0: nothing is recorded
static uint64_t request_count;  // also of those that found no room

// Python calls this around a launch; 0 gives the memory back.
CUDASIM_EXPORT void cudasim_record(int most) {
    requests.clear();
    most_requests = most;
    request_count = 0;
}
CUDASIM_EXPORT const Request* cudasim_requests(uint64_t* count) {
    *count = request_count;
    return requests.items;
}

static void record(int warp, int region, const Access* const* by_lane) {
    if (!most_requests || request_count++ >= (uint64_t)most_requests) return;
    Request request = {};
    request.region = region;
    request.block[0] = block.index.x, request.block[1] = block.index.y, request.block[2] = block.index.z;
    request.warp = warp;
    request.barriers = block.barriers;
    for (int lane = 0; lane < 32; ++lane) {
        const Access* access = by_lane[lane];
        if (!access) continue;
        request.pc = access->pc;
        request.size = (uint8_t)access->size, request.write = access->write, request.atomic = access->atomic;
        request.lanes |= 1u << lane;
        request.offsets[lane] = (int32_t)(access->address - region_at(region).begin);
    }
    requests.add(request);
}

static int distinct(uintptr_t* values, int count) {
    int kept = 0;
    for (int i = 0; i < count; ++i) {
        int j = 0;
        while (j < kept && values[j] != values[i]) ++j;
        if (j == kept) values[kept++] = values[i];
    }
    return kept;
}

static void count_sectors(Row& row, Region& region, const Access* accesses, int count) {
    uintptr_t sectors[32], starts[32];
    for (int i = 0; i < count; ++i) {
        sectors[i] = accesses[i].address / SECTOR;  // an access is aligned, so it lies in one
        starts[i] = accesses[i].address;
        region.touched[sectors[i] - region.begin / SECTOR] |= accesses[i].atomic ? 3 : accesses[i].write ? 2 : 1;
    }
    row.sectors += distinct(sectors, count);
    row.fewest_sectors += (distinct(starts, count) * (uint64_t)row.size + SECTOR - 1) / SECTOR;
}

static void count_passes(Row& row, const Access* const* lanes) {
    int group = row.size <= 4 ? 32 : row.size == 8 ? 16 : 8;  // lanes that are served at a time
    for (int first = 0; first < 32; first += group) {
        uintptr_t words[32 * 4];
        int count = 0;
        for (int lane = first; lane < first + group; ++lane)
            for (int byte = 0; lanes[lane] && byte < row.size; byte += 4)
                words[count++] = (lanes[lane]->address + byte) / 4;
        if (!count) continue;
        count = distinct(words, count);
        int in_bank[32] = {}, most = 0;
        for (int i = 0; i < count; ++i)
            if (++in_bank[words[i] % 32] > most) most = in_bank[words[i] % 32];
        row.passes += most;
        row.fewest_passes += 1;
    }
}

void trace_request(int warp, unsigned lanes) {
    while (lanes) {  // once, unless the lanes' pointers lead to different arrays
        Access together[32];
        const Access* by_lane[32] = {};
        int count = 0, region = region_of(threads[warp * 32 + __builtin_ctz(lanes)].access.address);
        for (unsigned rest = lanes; rest; rest &= rest - 1) {
            int lane = __builtin_ctz(rest);
            const Access& access = threads[warp * 32 + lane].access;
            if (region_of(access.address) != region) continue;
            together[count++] = access;
            by_lane[lane] = &access;
            lanes &= ~(1u << lane);
        }
        record(warp, region, by_lane);
        Row* row = find_row(together[0], region);
        if (!row) return;
        row->requests += 1;
        row->lanes += count;
        row->possible_lanes += lanes_in(warp);
        if (row->space == Global) count_sectors(*row, region_at(region), together, count);
        else count_passes(*row, by_lane);
    }
}

}  // namespace cudasim
