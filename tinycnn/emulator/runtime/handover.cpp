// What orders accesses of different blocks: one hands over to another by a __threadfence and an atomic.
//
//     a fence      covers what comes before it: its thread's own accesses, and those of other threads of the block that
//                  a __syncthreads or a __syncwarp has put before it
//     an atomic    goes on a list that belongs to its address, with its thread's last fence; without a fence it does not
//     an atomic    also hears of all that is on that list by then: that, and what the fences there cover, comes before
//                  what its thread does next
//
// Barriers pass both on: behind a __syncthreads or a __syncwarp a thread has heard of what the others had heard of, and
// its last fence covers what theirs did. So the fence may stand before the barrier, in every thread, or behind it, in
// the one that makes the atomic. A fence covers what its thread has heard of, too: a third block may hear of the first
// by way of the second.
//
// Who hears needs no fence behind the atomic. (The memory model of PTX asks for one; the example in CUDA's programming
// guide has none.) Nothing else hands over, no plain or volatile access and no __threadfence_block. And within a block
// it is barriers alone that order: its threads run in one order only, so what an atomic hears of there is no evidence.
#include "tools.h"

namespace cudasim {

struct Heard {  // of an address, by its number: the first so many on its list
    int address, count;
};

struct Fence {
    uint32_t epoch;          // it covers the accesses of its block in earlier epochs,
    int first_thread;
    List<uint32_t> clocks;   // and those of the threads from this one on up to these of their clocks
    List<Heard> heard;
};

struct Arrival {             // an atomic, and by number the fence that stood before it
    uint32_t block, clock;
    int thread, fence;
};

struct Address {
    List<Arrival> arrivals;
    List<Heard> heard;       // what the fences of these cover of other addresses' lists
};

static List<Fence> fences;           // of the launch; number 0 is none
static List<Address> addresses;      // likewise
static OfEachBlock<int> last_fence;  // the numbers of the running block's threads' last fences
static OfEachBlock<List<Heard>> heard;

bool any_fence() { return fences.size; }

// Whether the order of this launch's blocks may matter to what was found.
CUDASIM_EXPORT int cudasim_handed_over() { return addresses.size > 0; }

static void hear(List<Heard>& of, Heard news) {
    for (Heard& old : of)
        if (old.address == news.address) {
            if (old.count < news.count) old.count = news.count;
            return;
        }
    of.add(news);
}

static void hear(List<Heard>& of, const List<Heard>& news) {
    for (Heard one : news) hear(of, one);
}

static int new_fence(uint32_t epoch, int first_thread, int threads) {
    if (!fences.size) fences.add({});  // number 0
    Fence& fence = fences.add({epoch, first_thread});
    for (int i = 0; i < threads; ++i) fence.clocks.add(0);
    return fences.size - 1;
}

static void cover(Fence& joint, const Fence& fence) {
    if (joint.epoch < fence.epoch) joint.epoch = fence.epoch;
    for (int i = 0; i < fence.clocks.size; ++i) {
        uint32_t& clock = joint.clocks[fence.first_thread + i];
        if (clock < fence.clocks[i]) clock = fence.clocks[i];
    }
    hear(joint.heard, fence.heard);
}

// ---------------------------------------------------------------- a fence, an atomic, a barrier

void on_fence() {
    if (!checking) return;
    int warp = warp_of(current), lane = lane_of(current), threads = lanes_in(warp);
    int number = new_fence(block.barriers, warp * 32, threads);
    memcpy(fences[number].clocks.items, known[warp].of[lane], threads * sizeof(uint32_t));
    hear(fences[number].heard, heard[current]);
    last_fence[current] = number;
    ++known[warp].of[lane][lane];  // what the thread does from here on is not covered
}

// The number is the address's: 0 as long as it has none.
void handover_atomic(int& number) {
    int fence = last_fence[current];
    if (!number) {
        if (!fence) return;
        if (!addresses.size) addresses.add({});  // number 0
        addresses.add({});
        number = addresses.size - 1;
    }
    Address& address = addresses[number];
    hear(heard[current], address.heard);
    hear(heard[current], {number, address.arrivals.size});
    if (!fence) return;
    if (address.arrivals.size) {
        const Arrival& last = address.arrivals[address.arrivals.size - 1];
        if (last.fence == fence && last.thread == current && last.block == block_number) return;  // one tells as much as many, as in a loop
    }
    address.arrivals.add({block_number, known[warp_of(current)].of[lane_of(current)][lane_of(current)], current, fence});
    hear(address.heard, fences[fence].heard);
}

// Of so many threads from `first` on, those that `came` have met at a barrier.
void handover_meet(int first, int count, const bool* came) {
    if (!any_fence()) return;
    List<Heard> all = {};
    int fence = -1;  // that all have, or will have
    bool differ = false;
    for (int i = 0; i < count; ++i) {
        if (!came[i]) continue;
        hear(all, heard[first + i]);
        differ |= fence >= 0 && fence != last_fence[first + i];
        fence = last_fence[first + i];
    }
    if (differ) {
        fence = new_fence(0, 0, block.size);
        for (int i = 0; i < count; ++i)
            if (came[i] && last_fence[first + i]) cover(fences[fence], fences[last_fence[first + i]]);
    }
    for (int i = 0; i < count; ++i) {
        if (!came[i]) continue;
        last_fence[first + i] = fence;
        hear(heard[first + i], all);
    }
    all.clear();
}

static bool covers(const Fence& fence, const Record& before) {
    if (before.epoch < fence.epoch) return true;
    int i = before.thread - fence.first_thread;
    return i >= 0 && i < fence.clocks.size && before.clock <= fence.clocks[i];
}

static bool is_up_to(const Arrival& arrival, const Record& before) {
    return before.thread == arrival.thread && before.clock <= arrival.clock;
}

// Whether what another block did has been handed over to the current thread. If it was an atomic, on an address that
// has a number, then it may itself be what handed over.
bool handed_over(const Record& before, int address) {
    for (Heard of : heard[current])
        for (int i = of.count - 1; i >= 0; --i) {  // what came last covers most
            const Arrival& arrival = addresses[of.address].arrivals[i];
            if (arrival.block != before.block) continue;
            if (covers(fences[arrival.fence], before)) return true;
            if (of.address == address && is_up_to(arrival, before)) return true;
        }
    return false;
}

void handover_begin_launch(int blocks) {
    last_fence.make(blocks, block.size);
    heard.make(blocks, block.size);
}

void handover_enter_block(int slot) {
    last_fence.enter(slot);
    heard.enter(slot);
}

void handover_begin_block() {
    for (int i = 0; i < block.size; ++i) {
        last_fence[i] = 0;
        heard[i].size = 0;
    }
}

void handover_forget() {
    for (Fence& fence : fences) {
        fence.clocks.clear();
        fence.heard.clear();
    }
    for (Address& address : addresses) {
        address.arrivals.clear();
        address.heard.clear();
    }
    fences.clear();
    addresses.clear();
    for (int i = 0; i < heard.room; ++i) heard.all[i].clear();
}

}  // namespace cudasim
