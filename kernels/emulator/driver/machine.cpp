#include "machine.hpp"

#include <algorithm>
#include <cstdio>

#include <unistd.h>

#include "faults.hpp"

namespace driver {

namespace {

// Devices that there are addresses for.
constexpr std::uint64_t MOST_DEVICES = 8;

// What a process that left something ends with, if leaks are to make it fail.
constexpr int LEAK_STATUS = 86;

// Programs load the driver for a moment, to see whether it is there.
bool was_used = false;

struct Left {
    std::size_t allocations = 0, streams = 0, events = 0, modules = 0, host = 0;
    std::uint64_t bytes = 0;
    unsigned holders = 0;
};

}  // namespace

Machine &Machine::instance() {
    // Never destroyed: buffers that outlive `main` are given back to it.
    static Machine *machine = new Machine;
    was_used = true;
    return *machine;
}

Machine::Machine() {
    for (unsigned device = 0; device < std::min(settings.devices, MOST_DEVICES); device++) {
        contexts.emplace_back(device, settings.memory);
    }
}

Context *&current() {
    static constinit thread_local Context *context = nullptr;
    return context;
}

Context *Machine::owner(Address address) {
    const auto context = std::find_if(contexts.begin(), contexts.end(), [&](const Context &c) { return c.memory.owns(address); });
    return context == contexts.end() ? nullptr : &*context;
}

bool Machine::is_pinned(const void *first, std::uint64_t bytes) const {
    const auto at = reinterpret_cast<std::uintptr_t>(first);
    auto region = pinned.upper_bound(at);
    if (region == pinned.begin()) return false;
    --region;
    return at + bytes <= region->first + region->second;
}

bool Machine::is_idle(const Context &context, bool blocking_only) const {
    return std::all_of(streams.begin(), streams.end(), [&](const Stream *stream) {
        return stream->context != &context || (blocking_only && !stream->blocking) || stream->queue.empty();
    });
}

bool Machine::report(const char *when, const Context *of) const {
    Left left;
    const auto counts = [&](const Context &context) { return of == nullptr || of == &context; };
    for (const Context &context : contexts) {
        if (!counts(context)) continue;
        if (of == nullptr) left.holders += context.holders;
        left.allocations += context.memory.pieces().size();
        for (const auto &[address, piece] : context.memory.pieces()) left.bytes += piece.bytes;
    }
    left.streams = std::count_if(streams.begin(), streams.end(), [&](Stream *stream) { return counts(*stream->context); });
    left.modules = std::count_if(modules.begin(), modules.end(), [&](Module *module) { return counts(*module->context); });
    left.events =
        std::count_if(events.begin(), events.end(), [&](const auto &event) { return counts(*event.second->context); });
    if (of == nullptr) left.host = pinned.size();
    if (left.allocations + left.streams + left.events + left.modules + left.host + left.holders == 0) return false;
    std::fprintf(stderr,
                 "CUDA emulator: left %s: %zu allocations of %llu bytes, %zu streams, %zu events, %zu modules, %zu regions "
                 "of the host, %u holders of a context\n",
                 when, left.allocations, static_cast<unsigned long long>(left.bytes), left.streams, left.events,
                 left.modules, left.host, left.holders);
    return true;
}

NamedStream named_stream(void *handle) {
    if (reinterpret_cast<std::uintptr_t>(handle) <= 2) return {nullptr, true};
    auto *stream = static_cast<Stream *>(handle);
    return {stream, Machine::instance().streams.contains(stream)};
}

Result ask(Context &context, void *handle, Work work) {
    Machine &machine = Machine::instance();
    const auto [stream, is_valid] = named_stream(handle);
    if (!is_valid) return INVALID_HANDLE;
    if (stream != nullptr) {
        machine.schedule.ask(*stream, std::move(work));
        return SUCCESS;
    }
    machine.schedule.advance_until([&] {
        return machine.is_idle(context, true) && (work.awaited == nullptr || work.awaited->reached >= work.moment);
    });
    if (context.failure == SUCCESS || work.always) {
        const Result result = work.run();
        if (result != SUCCESS && context.failure == SUCCESS) context.failure = result;
    }
    return context.failure;
}

__attribute__((destructor)) static void report_at_exit() {
    if (!was_used) return;
    const Machine &machine = Machine::instance();
    if ((machine.report("at exit", nullptr) || machine.left_something) && machine.settings.leaks_fail) _exit(LEAK_STATUS);
}

}  // namespace driver
