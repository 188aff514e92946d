// Entry points: allocations, copies, pools.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "machine.hpp"

using namespace driver;

namespace {

Machine &machine() { return Machine::instance(); }

// Whether a call may name these bytes: of an allocation of any device, which no call has freed.
bool may_name(Address address, std::uint64_t bytes) {
    if (bytes == 0) return true;
    Context *owner = machine().owner(address);
    return owner != nullptr && owner->memory.holds(address, bytes);
}

// Whether the work of a stream can touch these bytes when it gets there.
bool reaches(Address address, std::uint64_t bytes) {
    if (bytes == 0) return true;
    Context *owner = machine().owner(address);
    if (owner != nullptr && owner->memory.reaches(address, bytes)) return true;
    std::fprintf(stderr, "CUDA emulator: a copy touches memory that is not there yet or no more\n");
    return false;
}

void *host(Address address) { return reinterpret_cast<void *>(address); }

Result close(Context &context, Address address) {
    if (context.memory.close(address)) return SUCCESS;
    std::fprintf(stderr, "CUDA emulator: a kernel wrote beyond an allocation, which is freed now\n");
    return ILLEGAL_ADDRESS;
}

Result allocate(Context &context, Address *address, std::size_t bytes, bool pooled) {
    Result result = context.memory.take(bytes, pooled, *address);
    if (result != OUT_OF_MEMORY) return result;
    // What the streams have still to free.
    machine().finish(context);
    result = context.memory.take(bytes, pooled, *address);
    return result;
}

Result copy(Context &context, void *stream, Address target, Address source, std::size_t bytes) {
    if (!may_name(target, bytes) || !may_name(source, bytes)) return INVALID_VALUE;
    return ask(context, stream, {[=] {
                   if (!reaches(target, bytes) || !reaches(source, bytes)) return ILLEGAL_ADDRESS;
                   std::memmove(host(target), host(source), bytes);
                   return SUCCESS;
               }});
}

Result upload(Context &context, void *stream, Address target, const void *source, std::size_t bytes) {
    if (!may_name(target, bytes)) return INVALID_VALUE;
    // Pageable memory may change when the call has returned; pinned memory is read when the stream gets there.
    std::shared_ptr<void> staged;
    if (!machine().is_pinned(source, bytes)) {
        staged.reset(std::malloc(bytes + 1), std::free);
        std::memcpy(staged.get(), source, bytes);
        source = staged.get();
    }
    return ask(context, stream, {[=] {
                   if (!reaches(target, bytes)) return ILLEGAL_ADDRESS;
                   std::memcpy(host(target), staged != nullptr ? staged.get() : source, bytes);
                   return SUCCESS;
               }});
}

Result download(Context &context, void *stream, void *target, Address source, std::size_t bytes) {
    if (!may_name(source, bytes)) return INVALID_VALUE;
    const Result asked = ask(context, stream, {[=] {
                                 if (!reaches(source, bytes)) return ILLEGAL_ADDRESS;
                                 std::memcpy(target, host(source), bytes);
                                 return SUCCESS;
                             }});
    if (asked != SUCCESS || machine().is_pinned(target, bytes)) return asked;
    // A call that copies to pageable memory returns when it is done.
    if (Stream *waited = named_stream(stream).stream) {
        machine().schedule.advance_until([&] { return waited->queue.empty(); });
    }
    return context.failure;
}

Result fill(Context &context, void *stream, Address target, unsigned char byte, std::size_t bytes) {
    if (!may_name(target, bytes)) return INVALID_VALUE;
    return ask(context, stream, {[=] {
                   if (!reaches(target, bytes)) return ILLEGAL_ADDRESS;
                   std::memset(host(target), byte, bytes);
                   return SUCCESS;
               }});
}

// Pools are known by their device's context: every device has one.
Context *pool(void *handle) {
    for (Context &context : machine().contexts) {
        if (&context == handle && machine().settings.pools) return &context;
    }
    return nullptr;
}

constexpr int REUSE_ALLOW_INTERNAL_DEPENDENCIES = 3, RELEASE_THRESHOLD = 4;

// What a device may do with a pool of another one.
struct Access {
    int location_type;
    int device;
    int flags;
};

constexpr int ON_DEVICE = 1, READ_AND_WRITE = 3;

}  // namespace

ENTRY Result cuMemAlloc_v2(Address *address, std::size_t bytes) {
    return in_context([=](Context &context) {
        const Result result = allocate(context, address, bytes, false);
        if (result == SUCCESS) context.memory.open(*address);
        return result;
    });
}

ENTRY Result cuMemFree_v2(Address address) {
    const std::lock_guard lock(machine().mutex);
    if (address == 0) return SUCCESS;
    Context *owner = machine().owner(address);
    if (owner == nullptr || owner->memory.beginning_at(address) == nullptr) return INVALID_VALUE;
    machine().finish(*owner);
    const Result result = close(*owner, address);
    return owner->failure != SUCCESS ? owner->failure : result;
}

ENTRY Result cuMemAllocAsync(Address *address, std::size_t bytes, void *stream) {
    return in_context([=](Context &context) {
        const auto [named, is_valid] = named_stream(stream);
        if (!is_valid) return INVALID_HANDLE;
        if (!machine().settings.pools) return NOT_SUPPORTED;
        Context &owner = named == nullptr ? context : *named->context;
        const Result result = allocate(owner, address, bytes, true);
        if (result != SUCCESS) return result;
        const Address taken = *address;
        return ask(owner, stream, {[&owner, taken] {
                       owner.memory.open(taken);
                       return SUCCESS;
                   }});
    });
}

ENTRY Result cuMemFreeAsync(Address address, void *stream) {
    const std::lock_guard lock(machine().mutex);
    Context *owner = machine().owner(address);
    Piece *piece = owner == nullptr ? nullptr : owner->memory.beginning_at(address);
    if (piece == nullptr || !named_stream(stream).is_valid) return INVALID_VALUE;
    piece->freed = true;
    const Result asked = ask(*owner, stream, {[owner, address] { return close(*owner, address); }, true});
    return owner->failure != SUCCESS ? owner->failure : asked;
}

ENTRY Result cuMemGetInfo_v2(std::size_t *available, std::size_t *total) {
    return in_context([=](Context &context) {
        *available = context.memory.available();
        *total = context.memory.total();
        return SUCCESS;
    });
}

ENTRY Result cuDeviceGetDefaultMemPool(void **handle, int device) {
    const std::lock_guard lock(machine().mutex);
    if (device < 0 || static_cast<std::size_t>(device) >= machine().contexts.size()) return INVALID_DEVICE;
    if (!machine().settings.pools) return NOT_SUPPORTED;
    *handle = &machine().contexts[device];
    return SUCCESS;
}

ENTRY Result cuMemPoolSetAttribute(void *handle, int attribute, void *value) {
    const std::lock_guard lock(machine().mutex);
    Context *context = pool(handle);
    // The emulated pool makes no stream wait for another one, whatever it may.
    if (context != nullptr && attribute == REUSE_ALLOW_INTERNAL_DEPENDENCIES) return SUCCESS;
    if (context == nullptr || attribute != RELEASE_THRESHOLD) return INVALID_VALUE;
    context->memory.release_threshold = *static_cast<std::uint64_t *>(value);
    return SUCCESS;
}

// All memory is the host's, so that this changes nothing but the answer to mistakes.
ENTRY Result cuMemPoolSetAccess(void *handle, const Access *accesses, std::size_t count) {
    const std::lock_guard lock(machine().mutex);
    Context *context = pool(handle);
    if (context == nullptr || accesses == nullptr) return INVALID_VALUE;
    for (const Access *access = accesses; access < accesses + count; access++) {
        const bool exists = access->device >= 0 && static_cast<std::size_t>(access->device) < machine().contexts.size();
        if (!exists || access->location_type != ON_DEVICE || access->flags != READ_AND_WRITE) return INVALID_VALUE;
        if (&machine().contexts[access->device] == context) return INVALID_DEVICE;
    }
    return SUCCESS;
}

ENTRY Result cuMemPoolTrimTo(void *handle, std::size_t bytes) {
    const std::lock_guard lock(machine().mutex);
    Context *context = pool(handle);
    if (context == nullptr) return INVALID_VALUE;
    context->memory.trim(bytes);
    return SUCCESS;
}

ENTRY Result cuMemHostAlloc(void **first, std::size_t bytes, unsigned) {
    return in_context([=](Context &) {
        if (bytes == 0) return INVALID_VALUE;
        *first = std::malloc(bytes);
        if (*first == nullptr) return OUT_OF_MEMORY;
        machine().pinned[reinterpret_cast<std::uintptr_t>(*first)] = bytes;
        return SUCCESS;
    });
}

ENTRY Result cuMemFreeHost(void *first) {
    const std::lock_guard lock(machine().mutex);
    if (machine().pinned.erase(reinterpret_cast<std::uintptr_t>(first)) == 0) return INVALID_VALUE;
    for (Context &context : machine().contexts) machine().finish(context);
    std::free(first);
    return SUCCESS;
}

ENTRY Result cuMemcpyHtoDAsync_v2(Address target, const void *source, std::size_t bytes, void *stream) {
    return in_context([=](Context &context) { return upload(context, stream, target, source, bytes); });
}

ENTRY Result cuMemcpyDtoHAsync_v2(void *target, Address source, std::size_t bytes, void *stream) {
    return in_context([=](Context &context) { return download(context, stream, target, source, bytes); });
}

ENTRY Result cuMemcpyDtoDAsync_v2(Address target, Address source, std::size_t bytes, void *stream) {
    return in_context([=](Context &context) { return copy(context, stream, target, source, bytes); });
}

ENTRY Result cuMemcpyPeerAsync(Address target, void *target_context, Address source, void *source_context, std::size_t bytes,
                               void *stream) {
    return in_context([=](Context &context) {
        if (machine().owner(target) != target_context || machine().owner(source) != source_context) return INVALID_CONTEXT;
        return copy(context, stream, target, source, bytes);
    });
}

ENTRY Result cuMemcpyHtoD_v2(Address target, const void *source, std::size_t bytes) {
    return in_context([=](Context &context) { return upload(context, nullptr, target, source, bytes); });
}

ENTRY Result cuMemcpyDtoH_v2(void *target, Address source, std::size_t bytes) {
    return in_context([=](Context &context) { return download(context, nullptr, target, source, bytes); });
}

ENTRY Result cuMemcpyDtoD_v2(Address target, Address source, std::size_t bytes) {
    return in_context([=](Context &context) { return copy(context, nullptr, target, source, bytes); });
}

ENTRY Result cuMemsetD8Async(Address target, unsigned char byte, std::size_t bytes, void *stream) {
    return in_context([=](Context &context) { return fill(context, stream, target, byte, bytes); });
}

ENTRY Result cuMemsetD8_v2(Address target, unsigned char byte, std::size_t bytes) {
    return in_context([=](Context &context) { return fill(context, nullptr, target, byte, bytes); });
}
