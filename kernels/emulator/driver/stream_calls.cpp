// Entry points: streams and events.
#include <chrono>

#include "machine.hpp"

using namespace driver;

namespace {

Machine &machine() { return Machine::instance(); }

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::shared_ptr<Event> event_of(void *handle) {
    const auto event = machine().events.find(static_cast<Event *>(handle));
    return event == machine().events.end() ? nullptr : event->second;
}

constexpr unsigned NON_BLOCKING = 1;
constexpr unsigned DISABLE_TIMING = 2;

}  // namespace

ENTRY Result cuStreamCreate(void **handle, unsigned flags) {
    return in_context([=](Context &context) {
        if (flags > NON_BLOCKING) return INVALID_VALUE;
        auto *stream = new Stream{&context, flags != NON_BLOCKING, {}};
        machine().streams.insert(stream);
        machine().schedule.add(stream);
        *handle = stream;
        return SUCCESS;
    });
}

ENTRY Result cuStreamCreateWithPriority(void **handle, unsigned flags, int) { return cuStreamCreate(handle, flags); }

ENTRY Result cuStreamDestroy_v2(void *handle) {
    const std::lock_guard lock(machine().mutex);
    const auto [stream, is_valid] = named_stream(handle);
    if (!is_valid || stream == nullptr) return INVALID_HANDLE;
    // The driver lets the work end later; nobody can tell.
    machine().schedule.advance_until([&] { return stream->queue.empty(); });
    const Result failure = stream->context->failure;
    machine().schedule.remove(stream);
    machine().streams.erase(stream);
    delete stream;
    return failure;
}

ENTRY Result cuStreamSynchronize(void *handle) {
    return in_context([=](Context &context) {
        const auto [stream, is_valid] = named_stream(handle);
        if (!is_valid) return INVALID_HANDLE;
        Context &waited = stream == nullptr ? context : *stream->context;
        machine().schedule.advance_until(
            [&] { return stream == nullptr ? machine().is_idle(context, true) : stream->queue.empty(); });
        waited.memory.trim(waited.memory.release_threshold);
        return waited.failure;
    });
}

ENTRY Result cuStreamQuery(void *handle) {
    return in_context([=](Context &context) {
        const auto [stream, is_valid] = named_stream(handle);
        if (!is_valid) return INVALID_HANDLE;
        machine().schedule.advance();
        const bool done = stream == nullptr ? machine().is_idle(context, true) : stream->queue.empty();
        return context.failure != SUCCESS ? context.failure : done ? SUCCESS : NOT_READY;
    });
}

ENTRY Result cuStreamIsCapturing(void *, int *capturing) {
    *capturing = 0;
    return SUCCESS;
}

ENTRY Result cuStreamWaitEvent(void *handle, void *event_handle, unsigned) {
    return in_context([=](Context &context) {
        const std::shared_ptr<Event> event = event_of(event_handle);
        if (event == nullptr) return INVALID_HANDLE;
        return ask(context, handle, {[] { return SUCCESS; }, true, event, event->asked});
    });
}

ENTRY Result cuLaunchHostFunc(void *handle, void (*function)(void *), void *argument) {
    return in_context([=](Context &context) {
        return ask(context, handle, {[=] {
                       function(argument);
                       return SUCCESS;
                   }});
    });
}

ENTRY Result cuEventCreate(void **handle, unsigned flags) {
    return in_context([=](Context &context) {
        auto event = std::make_shared<Event>(Event{&context, (flags & DISABLE_TIMING) == 0});
        *handle = event.get();
        machine().events.emplace(event.get(), event);
        return SUCCESS;
    });
}

ENTRY Result cuEventDestroy_v2(void *handle) {
    const std::lock_guard lock(machine().mutex);
    const std::shared_ptr<Event> event = event_of(handle);
    if (event == nullptr) return INVALID_HANDLE;
    machine().events.erase(event.get());
    return event->context->failure;
}

ENTRY Result cuEventRecord(void *handle, void *stream) {
    return in_context([=](Context &context) {
        const std::shared_ptr<Event> event = event_of(handle);
        const auto [named, is_valid] = named_stream(stream);
        if (event == nullptr || !is_valid) return INVALID_HANDLE;
        if (event->context != (named == nullptr ? &context : named->context)) return INVALID_HANDLE;
        const std::uint64_t moment = ++event->asked;
        return ask(context, stream, {[=] {
                                         event->reached = std::max(event->reached, moment);
                                         event->seconds = now();
                                         return SUCCESS;
                                     },
                                     true});
    });
}

ENTRY Result cuEventSynchronize(void *handle) {
    return in_context([=](Context &) {
        const std::shared_ptr<Event> event = event_of(handle);
        if (event == nullptr) return INVALID_HANDLE;
        machine().schedule.advance_until([&] { return event->reached >= event->asked; });
        return event->context->failure;
    });
}

ENTRY Result cuEventQuery(void *handle) {
    return in_context([=](Context &) {
        const std::shared_ptr<Event> event = event_of(handle);
        if (event == nullptr) return INVALID_HANDLE;
        machine().schedule.advance();
        if (event->context->failure != SUCCESS) return event->context->failure;
        return event->reached >= event->asked ? SUCCESS : NOT_READY;
    });
}

ENTRY Result cuEventElapsedTime_v2(float *milliseconds, void *start, void *end) {
    return in_context([=](Context &) {
        const std::shared_ptr<Event> from = event_of(start), to = event_of(end);
        if (from == nullptr || to == nullptr) return INVALID_HANDLE;
        if (!from->timed || !to->timed || from->asked == 0 || to->asked == 0) return INVALID_HANDLE;
        if (from->reached < from->asked || to->reached < to->asked) return NOT_READY;
        *milliseconds = static_cast<float>((to->seconds - from->seconds) * 1e3);
        return SUCCESS;
    });
}

ENTRY Result cuEventElapsedTime(float *milliseconds, void *start, void *end) {
    return cuEventElapsedTime_v2(milliseconds, start, end);
}
