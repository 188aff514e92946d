// Entry points: devices, contexts, versions, answers.
#include <cstdio>
#include <cstring>

#include <dlfcn.h>

#include "faults.hpp"
#include "machine.hpp"

using namespace driver;

namespace {

// Of CUDA 13.0.
constexpr int VERSION = 13000;

// Runs a call about a device, which needs no context.
template <class Call>
Result on_device(int device, Call call) {
    Machine &machine = Machine::instance();
    const std::lock_guard lock(machine.mutex);
    if (!machine.initialised) return NOT_INITIALIZED;
    if (device < 0 || static_cast<std::size_t>(device) >= machine.contexts.size()) return INVALID_DEVICE;
    return call(machine.contexts[device]);
}

const Answer *answer(int number) {
    for (const Answer &answer : ANSWERS) {
        if (answer.number == number) return &answer;
    }
    return nullptr;
}

// What is left on a device when its context ends goes with it.
void end_context(Context &context) {
    Machine &machine = Machine::instance();
    machine.finish(context);
    // After a failure nobody can give anything back properly.
    const std::string when = "on device " + std::to_string(context.device) + ", now released";
    if (machine.report(when.c_str(), &context) && context.failure == SUCCESS) machine.left_something = true;
    while (!context.memory.pieces().empty()) context.memory.close(context.memory.pieces().begin()->first);
    context.memory.trim(0);
    std::erase_if(machine.events, [&](const auto &event) { return event.second->context == &context; });
    std::erase_if(machine.modules, [&](Module *module) { return module->context == &context; });
    std::erase_if(machine.streams, [&](Stream *stream) {
        if (stream->context == &context) machine.schedule.remove(stream);
        return stream->context == &context;
    });
    context.failure = SUCCESS;
}

}  // namespace

ENTRY Result cuInit(unsigned flags) {
    if (flags != 0) return INVALID_VALUE;
    Machine &machine = Machine::instance();
    const std::lock_guard lock(machine.mutex);
    if (machine.contexts.empty()) return NO_DEVICE;
    machine.initialised = true;
    examine_faults();
    return SUCCESS;
}

ENTRY Result cuDriverGetVersion(int *version) {
    if (version == nullptr) return INVALID_VALUE;
    *version = VERSION;
    return SUCCESS;
}

ENTRY Result cuGetErrorName(int number, const char **name) {
    const Answer *found = answer(number);
    *name = found == nullptr ? nullptr : found->name;
    return found == nullptr ? INVALID_VALUE : SUCCESS;
}

ENTRY Result cuGetErrorString(int number, const char **meaning) {
    const Answer *found = answer(number);
    *meaning = found == nullptr ? nullptr : found->meaning;
    return found == nullptr ? INVALID_VALUE : SUCCESS;
}

// What programs ask that load the driver themselves.
ENTRY Result cuGetProcAddress_v2(const char *name, void **function, int, std::uint64_t, int *status) {
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    *function = nullptr;
    for (const char *suffix : {"_v2", ""}) {
        if (*function == nullptr && driver != nullptr) *function = dlsym(driver, (std::string(name) + suffix).c_str());
    }
    if (driver != nullptr) dlclose(driver);
    if (status != nullptr) *status = *function == nullptr ? 1 : 0;
    return *function == nullptr ? NOT_FOUND : SUCCESS;
}

// NVIDIA's run-time compiler asks for private tables and reads their first word, the size, without a look at the answer.
ENTRY Result cuGetExportTable(const void **table, const void *) {
    static const std::size_t empty[] = {sizeof(std::size_t)};
    *table = empty;
    return SUCCESS;
}

ENTRY Result cuDeviceGetCount(int *count) {
    Machine &machine = Machine::instance();
    const std::lock_guard lock(machine.mutex);
    if (!machine.initialised) return NOT_INITIALIZED;
    *count = static_cast<int>(machine.contexts.size());
    return SUCCESS;
}

ENTRY Result cuDeviceGet(int *device, int ordinal) {
    return on_device(ordinal, [&](Context &) {
        *device = ordinal;
        return SUCCESS;
    });
}

ENTRY Result cuDeviceGetName(char *name, int size, int device) {
    return on_device(device, [&](Context &) {
        std::snprintf(name, size, "CUDA emulator, device %d", device);
        return SUCCESS;
    });
}

ENTRY Result cuDeviceGetUuid_v2(unsigned char *bytes, int device) {
    return on_device(device, [&](Context &) {
        std::memset(bytes, 0, 16);
        bytes[15] = static_cast<unsigned char>(device);
        return SUCCESS;
    });
}

ENTRY Result cuDeviceTotalMem_v2(std::size_t *bytes, int device) {
    return on_device(device, [&](Context &context) {
        *bytes = context.memory.total();
        return SUCCESS;
    });
}

ENTRY Result cuDeviceGetAttribute(int *value, int attribute, int device) {
    return on_device(device, [&](Context &) {
        switch (attribute) {
            case 1:  // threads of a block
            case 2:  // along x
            case 3: *value = 1024; break;
            case 4: *value = 64; break;
            case 5: *value = 0x7fffffff; break;  // blocks along x
            case 6:
            case 7: *value = 65535; break;
            case 8: *value = emulator::SHARED_BYTES; break;
            case 10: *value = 32; break;  // threads of a warp
            case 16: *value = 4; break;   // multiprocessors
            case 41: *value = 1; break;   // addresses of all devices are different
            case 75:
            case 76: *value = 0; break;  // EMULATOR_ARCHITECTURE
            case 115: *value = Machine::instance().settings.pools; break;
            default: *value = 0;
        }
        return SUCCESS;
    });
}

ENTRY Result cuDeviceCanAccessPeer(int *can, int device, int other) {
    return on_device(device, [=](Context &) {
        if (other < 0 || static_cast<std::size_t>(other) >= Machine::instance().contexts.size()) return INVALID_DEVICE;
        *can = device != other;
        return SUCCESS;
    });
}

ENTRY Result cuDevicePrimaryCtxRetain(void **handle, int device) {
    return on_device(device, [&](Context &context) {
        context.holders++;
        *handle = &context;
        return SUCCESS;
    });
}

ENTRY Result cuDevicePrimaryCtxRelease_v2(int device) {
    return on_device(device, [&](Context &context) {
        if (context.holders == 0) return INVALID_CONTEXT;
        if (--context.holders == 0) end_context(context);
        return SUCCESS;
    });
}

ENTRY Result cuCtxSetCurrent(void *context) {
    current() = static_cast<Context *>(context);
    return SUCCESS;
}

ENTRY Result cuCtxGetCurrent(void **context) {
    *context = current();
    return SUCCESS;
}

ENTRY Result cuCtxSynchronize() {
    return in_context([](Context &context) {
        Machine::instance().finish(context);
        context.memory.trim(context.memory.release_threshold);
        return context.failure;
    });
}
