#include "streams.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "machine.hpp"

namespace driver {

// Pieces of work that a stream holds before it is worked on without anybody waiting.
constexpr std::size_t LONGEST_QUEUE = 256;

void Schedule::remove(Stream *stream) { std::erase(streams_, stream); }

void Schedule::ask(Stream &stream, Work work) {
    stream.queue.push_back(std::move(work));
    if (stream.queue.size() > LONGEST_QUEUE) advance();
}

bool Schedule::can_run(const Stream &stream) {
    if (stream.queue.empty()) return false;
    const Work &next = stream.queue.front();
    return next.awaited == nullptr || next.awaited->reached >= next.moment;
}

void Schedule::advance_until(const std::function<bool()> &done) {
    // Half of the times streams take turns, half of the times some of them get far ahead of others.
    const bool by_rank = shuffled_ && generator_() % 2 == 0;
    if (by_rank) std::shuffle(streams_.begin(), streams_.end(), generator_);
    while (!done()) {
        if (step(by_rank)) continue;
        std::fprintf(stderr, "CUDA emulator: streams wait for each other and for nothing else\n");
        std::abort();
    }
}

void Schedule::advance() {
    const std::uint64_t steps = shuffled_ ? generator_() % LONGEST_QUEUE : LONGEST_QUEUE;
    for (std::uint64_t i = 0; i < steps && step(false); i++) {
    }
}

bool Schedule::step(bool by_rank) {
    std::vector<Stream *> ready;
    std::copy_if(streams_.begin(), streams_.end(), std::back_inserter(ready), [](Stream *stream) { return can_run(*stream); });
    if (ready.empty()) return false;
    Stream &stream = *ready[by_rank || !shuffled_ ? 0 : generator_() % ready.size()];
    const Work work = std::move(stream.queue.front());
    stream.queue.pop_front();
    Context &context = *stream.context;
    if (context.failure != SUCCESS && !work.always) return true;
    const Result result = work.run();
    if (result != SUCCESS && context.failure == SUCCESS) context.failure = result;
    return true;
}

}  // namespace driver
