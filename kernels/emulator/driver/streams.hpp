// Work that has been asked for and not been done.
//
// A call returns at once, and what it asked for is done when somebody waits for it: one piece of work after the other, of a
// stream that the seed draws, in the order of each stream and after the events that it waits for. So a program that leaves
// out a wait gets wrong words for some seeds, as it does on some days from a GPU.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "results.hpp"

namespace driver {

struct Context;

struct Event {
    Context *context;
    bool timed;
    // How often its recording was asked for, and up to which of these streams have got.
    std::uint64_t asked = 0;
    std::uint64_t reached = 0;
    // On the host's clock, when the last one was reached.
    double seconds = 0;
};

// A piece of work. What gives memory back is done even if the device has failed.
struct Work {
    std::function<Result()> run;
    bool always = false;
    // What has to be reached first, if anything.
    std::shared_ptr<Event> awaited = nullptr;
    std::uint64_t moment = 0;
};

struct Stream {
    Context *context;
    // Whether it and the default stream wait for each other.
    bool blocking;
    std::deque<Work> queue;
};

class Schedule {
   public:
    explicit Schedule(std::uint64_t seed) : shuffled_(seed != 0), generator_(seed) {}

    void add(Stream *stream) { streams_.push_back(stream); }
    // Of a stream whose work is done.
    void remove(Stream *stream);

    void ask(Stream &stream, Work work);
    // Does work, of any stream, until this holds.
    void advance_until(const std::function<bool()> &done);
    // Does a few pieces of work, as a device does while nobody waits.
    void advance();
    // A number for the order of threads in a launch.
    std::uint64_t draw() { return shuffled_ ? generator_() | 1 : 0; }

   private:
    bool step(bool by_rank);
    static bool can_run(const Stream &stream);

    bool shuffled_;
    std::mt19937_64 generator_;
    std::vector<Stream *> streams_;
};

}  // namespace driver
