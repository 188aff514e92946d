// The devices, and everything that programs have made on them.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "../image.hpp"
#include "memory.hpp"
#include "settings.hpp"
#include "streams.hpp"

namespace driver {

struct Function {
    struct Module *module;
    const emulator::Kernel *kernel;
};

struct Module {
    Context *context;
    void *library;
    const emulator::Image *image;
    std::map<std::string, Function> functions;
};

// A device with its only context, which calls name.
struct Context {
    unsigned device;
    Memory memory;
    // How often it was retained without being released.
    unsigned holders = 0;
    // What stopped it: every call answers this from then on.
    Result failure = SUCCESS;

    Context(unsigned device, std::uint64_t bytes) : device(device), memory(device, bytes) {}
};

class Machine {
   public:
    static Machine &instance();

    // One call of a program at a time.
    std::mutex mutex;
    Settings settings;
    bool initialised = false;
    std::deque<Context> contexts;
    Schedule schedule{settings.seed};
    std::set<Stream *> streams;
    std::map<Event *, std::shared_ptr<Event>> events;
    std::set<Module *> modules;
    // Memory of the host that devices copy from and to without waiting: first byte and size.
    std::map<std::uintptr_t, std::uint64_t> pinned;

    // The device that an address could be of, or null.
    Context *owner(Address address);
    bool is_pinned(const void *first, std::uint64_t bytes) const;
    // Whether work of this device, of its streams that wait for the default stream or of all, is left.
    bool is_idle(const Context &context, bool blocking_only) const;
    void finish(const Context &context) {
        schedule.advance_until([&] { return is_idle(context, false); });
    }

    // Says what a program made on a device, or on all and on the host, and did not give back. Answers whether there is anything.
    bool report(const char *when, const Context *of) const;
    // Whether a device was released with something left on it.
    bool left_something = false;

   private:
    Machine();
};

// The context of the calling thread, or null.
Context *&current();

// Runs a call that needs a working current context.
template <class Call>
Result in_context(Call call) {
    const std::lock_guard lock(Machine::instance().mutex);
    Context *context = current();
    if (context == nullptr || context->holders == 0) return INVALID_CONTEXT;
    if (context->failure != SUCCESS) return context->failure;
    return call(*context);
}

// What a call names as a stream: null, and two other values, are the current context's default stream, which is null here.
struct NamedStream {
    Stream *stream;
    bool is_valid;
};
NamedStream named_stream(void *handle);

// Hands work to a stream, or has it done at once after all work that the default stream waits for.
Result ask(Context &context, void *handle, Work work);

}  // namespace driver

#define ENTRY extern "C" __attribute__((visibility("default")))
