// Blocks: threads as fibers of one operating-system thread, from barrier to barrier.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <random>
#include <vector>

#include "fiber.hpp"
#include "races.hpp"

namespace emulator {

struct Dimensions {
    unsigned x;
    unsigned y;
    unsigned z;

    std::uint64_t count() const { return std::uint64_t{x} * y * z; }

    Dimensions at(unsigned index) const { return {index % x, index / x % y, index / (x * y)}; }
};

// In which order blocks, and between two barriers the threads of a block, take their turns.
class Order {
   public:
    // Ascending for seed 0, else shuffled anew for every turn.
    explicit Order(std::uint64_t seed) : shuffled_(seed != 0), generator_(seed) {}

    std::vector<unsigned> turns(unsigned count) {
        std::vector<unsigned> turns(count);
        for (unsigned i = 0; i < count; i++) turns[i] = i;
        if (shuffled_) std::shuffle(turns.begin(), turns.end(), generator_);
        return turns;
    }

   private:
    bool shuffled_;
    std::mt19937_64 generator_;
};

struct Thread {
    Dimensions index{};
    // Where the thread goes on; its own once it has waited.
    Fiber *fiber = nullptr;
    // The barrier that the thread waits at; 0 while it can run.
    unsigned barrier = 0;
    bool returned = false;
    // How many barriers it has waited at.
    unsigned waits = 0;
    races::Watched watched{};
};

// The threads of a block, of the same number as long as a launch lasts, and what they run on.
struct Block {
    std::deque<Thread> threads;
    std::deque<Fiber> fibers;
    // As many as the largest block had: the sanitizer takes its time to make them.
    std::deque<races::Thread> watched;
    // Those that have not started yet: from `next` on in this order.
    std::vector<unsigned> turns;
    std::size_t next = 0;
    // What orders them, beside whoever runs the block: its beginning, every other barrier, its end.
    char beginning, barriers[2], end;

    void resize(const Dimensions &size) {
        threads.resize(size.count());
        while (watched.size() < threads.size()) watched.emplace_back();
        for (unsigned i = 0; i < threads.size(); i++) {
            threads[i].index = size.at(i);
            threads[i].watched = watched[i].name();
        }
    }
};

// What the code of the running kernel sees. Blocks do not move between operating-system threads.
struct Position {
    Dimensions grid;
    Dimensions block_size;
    Dimensions block;
    Thread *thread;
    Block *threads;
    Fiber *fiber;
    // The kernel and its arguments.
    void (*call)(const std::uint64_t *arguments);
    const std::uint64_t *arguments;
    // Whoever runs the block.
    races::Watched outside;
    // The barrier of the source that threads run through as if it were missing; 0 for none.
    unsigned omitted_barrier;
};

inline constinit thread_local Position position{};

// What a fiber runs: one thread of the kernel after the other. Only one that waits needs a fiber for itself, on which it
// goes on later; another fiber takes its place here.
[[noreturn]] BETWEEN_THREADS inline void run_threads() {
    Block &block = *position.threads;
    while (block.next < block.turns.size()) {
        Thread &thread = block.threads[block.turns[block.next++]];
        thread.fiber = position.fiber;
        position.thread = &thread;
        races::become(thread.watched);
        races::see(&block.beginning);
        position.call(position.arguments);
        races::show(&block.end);
        races::become(position.outside);
        position.thread->returned = true;
    }
    position.fiber->leave();
    std::abort();
}

// Waits until every thread of the block has reached this barrier.
BETWEEN_THREADS inline void wait_at_barrier(unsigned barrier) {
    if (barrier == position.omitted_barrier) return;
    position.thread->barrier = barrier;
    // Who goes on first may be at the next barrier before the last one has left this one.
    char *order = &position.threads->barriers[position.thread->waits++ % 2];
    races::show(order);
    races::become(position.outside);
    position.fiber->leave();
    races::see(order);
}

BETWEEN_THREADS inline void resume(Fiber &fiber) {
    position.fiber = &fiber;
    fiber.resume();
}

// Runs the block that `position` names. Answers what the kernel did wrong, or null.
BETWEEN_THREADS inline const char *run_block(Block &block, Order &order) {
    const unsigned count = block.threads.size();
    for (Thread &thread : block.threads) {
        thread.barrier = 0;
        thread.returned = false;
        thread.waits = 0;
    }
    position.outside = races::running();
    races::show(&block.beginning);
    block.turns = order.turns(count);
    block.next = 0;
    for (std::size_t used = 0; block.next < count; used++) {
        if (block.fibers.size() == used) block.fibers.emplace_back();
        block.fibers[used].start(run_threads);
        resume(block.fibers[used]);
    }
    for (;;) {
        const Thread &first = block.threads.front();
        for (const Thread &thread : block.threads) {
            if (thread.returned != first.returned) return "some threads of a block returned before a barrier";
            if (thread.barrier != first.barrier) return "the threads of a block wait at different barriers";
        }
        if (first.returned) {
            races::see(&block.end);
            return nullptr;
        }
        for (const unsigned i : order.turns(count)) {
            Thread &thread = block.threads[i];
            thread.barrier = 0;
            position.thread = &thread;
            races::become(thread.watched);
            resume(*thread.fiber);
        }
    }
}

}  // namespace emulator
