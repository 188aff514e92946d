// Blocks: threads as fibers of one operating-system thread, from barrier to barrier.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <random>
#include <vector>

#include "fiber.hpp"

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
    Fiber fiber;
    Dimensions index{};
    // The barrier that the thread waits at; 0 while it can run.
    unsigned barrier = 0;
    bool returned = false;
};

// What the code of the running kernel sees. Blocks do not move between operating-system threads.
struct Position {
    Dimensions grid;
    Dimensions block_size;
    Dimensions block;
    Thread *thread;
    // The kernel and its arguments.
    void (*call)(const std::uint64_t *arguments);
    const std::uint64_t *arguments;
    // The barrier of the source that threads run through as if it were missing; 0 for none.
    unsigned omitted_barrier;
};

inline constinit thread_local Position position{};

// What a fiber runs: one thread of the kernel, to its end.
[[noreturn]] inline void run_thread() {
    position.call(position.arguments);
    position.thread->returned = true;
    position.thread->fiber.leave();
    std::abort();
}

// Waits until every thread of the block has reached this barrier.
inline void wait_at_barrier(unsigned barrier) {
    if (barrier == position.omitted_barrier) return;
    position.thread->barrier = barrier;
    position.thread->fiber.leave();
}

// Runs the block that `position` names. Answers what the kernel did wrong, or null.
inline const char *run_block(std::deque<Thread> &threads, Order &order) {
    const unsigned count = position.block_size.count();
    while (threads.size() < count) threads.emplace_back();
    for (unsigned i = 0; i < count; i++) {
        threads[i].index = position.block_size.at(i);
        threads[i].barrier = 0;
        threads[i].returned = false;
        threads[i].fiber.start(run_thread);
    }
    for (;;) {
        for (const unsigned i : order.turns(count)) {
            position.thread = &threads[i];
            threads[i].barrier = 0;
            threads[i].fiber.resume();
        }
        for (unsigned i = 1; i < count; i++) {
            if (threads[i].returned != threads[0].returned) return "some threads of a block returned before a barrier";
            if (threads[i].barrier != threads[0].barrier) return "the threads of a block wait at different barriers";
        }
        if (threads[0].returned) return nullptr;
    }
}

}  // namespace emulator
