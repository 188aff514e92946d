// Entry points: modules, functions, launches.
#include <cstdio>
#include <cstring>
#include <vector>

#include <dlfcn.h>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include "faults.hpp"
#include "machine.hpp"

using namespace driver;

namespace {

Machine &machine() { return Machine::instance(); }

// The machine of NVIDIA's code.
constexpr Elf64_Half CUDA_MACHINE = 190;

// Bytes of a library as linkers write it: section headers come last.
std::size_t size_of_library(const Elf64_Ehdr &header) {
    return header.e_shoff + std::size_t{header.e_shentsize} * header.e_shnum;
}

// Loads a library from memory, or answers null.
void *load(const void *image, std::size_t size) {
    const int file = memfd_create("cuda-emulator-image", MFD_CLOEXEC);
    if (file < 0) return nullptr;
    void *library = nullptr;
    if (write(file, image, size) == static_cast<ssize_t>(size)) {
        library = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) std::fprintf(stderr, "CUDA emulator: %s\n", dlerror());
    }
    close(file);
    return library;
}

Result load_module(Context &context, void **handle, const void *image) {
    if (image == nullptr) return INVALID_VALUE;
    const auto *header = static_cast<const Elf64_Ehdr *>(image);
    if (std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
        const bool is_ptx = std::strstr(static_cast<const char *>(image), ".version") != nullptr;
        if (is_ptx) std::fprintf(stderr, "CUDA emulator: PTX cannot be run; use the emulated run-time compiler\n");
        return is_ptx ? INVALID_PTX : INVALID_IMAGE;
    }
    if (header->e_machine == CUDA_MACHINE) return NO_BINARY_FOR_GPU;
    void *library = load(image, size_of_library(*header));
    if (library == nullptr) return INVALID_IMAGE;
    const auto *found = static_cast<const emulator::Image *>(dlsym(library, EMULATOR_IMAGE));
    if (found == nullptr) {
        dlclose(library);
        return INVALID_IMAGE;
    }
    auto *module = new Module{&context, library, found, {}};
    machine().modules.insert(module);
    *handle = module;
    return SUCCESS;
}

// A launch that outlives its call.
struct Queued {
    Function *function;
    emulator::Dimensions grid, block;
    std::size_t shared_bytes;
    std::vector<std::uint64_t> arguments;
};

Result stop(const Queued &launch, const char *reason, Result result) {
    std::fprintf(stderr, "CUDA emulator: %s: %s\n", launch.function->kernel->name, reason);
    return result;
}

Result run(Context &context, const Queued &queued) {
    for (const std::uint64_t argument : queued.arguments) {
        Context *owner = machine().owner(argument);
        if (owner == nullptr) continue;
        if (owner != &context) return stop(queued, "an argument is an address of another device", ILLEGAL_ADDRESS);
        if (context.memory.reaches(argument, 1)) continue;
        return stop(queued, "an argument is an address where no memory is, or not yet, or no more", ILLEGAL_ADDRESS);
    }
    const emulator::Launch launch{.kernel = queued.function->kernel->name,
                                  .grid = queued.grid,
                                  .block = queued.block,
                                  .shared_bytes = queued.shared_bytes,
                                  .arguments = queued.arguments.data(),
                                  .argument_count = queued.arguments.size(),
                                  .order = machine().schedule.draw(),
                                  .omitted_barrier = machine().settings.omitted_barrier};
    const Ending ending = run_guarded(queued.function->module->image->run, launch);
    if (ending.fault == nullptr) return SUCCESS;
    if (ending.stopped) std::fprintf(stderr, "CUDA emulator: access to %p\n", ending.address);
    return stop(queued, ending.fault, ending.stopped ? ILLEGAL_ADDRESS : LAUNCH_FAILED);
}

// The limits of every device since sm_80, and those of the kernel.
bool is_allowed(const emulator::Dimensions &grid, const emulator::Dimensions &block, std::size_t shared_bytes,
                const emulator::Kernel &kernel) {
    if (grid.count() == 0 || block.count() == 0) return false;
    if (grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535) return false;
    if (block.x > 1024 || block.y > 1024 || block.z > 64) return false;
    return block.count() <= kernel.most_threads && shared_bytes <= emulator::SHARED_BYTES;
}

}  // namespace

ENTRY Result cuModuleLoadData(void **module, const void *image) {
    return in_context([=](Context &context) { return load_module(context, module, image); });
}

ENTRY Result cuModuleLoadDataEx(void **module, const void *image, unsigned, int *, void **) {
    return cuModuleLoadData(module, image);
}

ENTRY Result cuModuleUnload(void *handle) {
    const std::lock_guard lock(machine().mutex);
    const auto module = machine().modules.find(static_cast<Module *>(handle));
    if (module == machine().modules.end()) return INVALID_HANDLE;
    Context &context = *(*module)->context;
    machine().finish(context);
    dlclose((*module)->library);
    delete *module;
    machine().modules.erase(module);
    return context.failure;
}

ENTRY Result cuModuleGetFunction(void **handle, void *module_handle, const char *name) {
    return in_context([=](Context &) {
        auto *module = static_cast<Module *>(module_handle);
        if (!machine().modules.contains(module)) return INVALID_HANDLE;
        for (std::size_t i = 0; i < module->image->count; i++) {
            const emulator::Kernel *kernel = module->image->kernels + i;
            if (std::strcmp(kernel->name, name) != 0) continue;
            *handle = &module->functions.try_emplace(name, Function{module, kernel}).first->second;
            return SUCCESS;
        }
        return NOT_FOUND;
    });
}

ENTRY Result cuFuncGetAttribute(int *value, int attribute, void *function) {
    constexpr int MAX_THREADS_PER_BLOCK = 0, MAX_DYNAMIC_SHARED_SIZE_BYTES = 8;
    switch (attribute) {
        case MAX_THREADS_PER_BLOCK: *value = static_cast<Function *>(function)->kernel->most_threads; break;
        case MAX_DYNAMIC_SHARED_SIZE_BYTES: *value = emulator::SHARED_BYTES; break;
        default: *value = 0;
    }
    return SUCCESS;
}

ENTRY Result cuLaunchKernel(void *handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                            unsigned block_y, unsigned block_z, unsigned shared_bytes, void *stream, void **arguments,
                            void **extra) {
    return in_context([=](Context &context) {
        if (handle == nullptr) return INVALID_HANDLE;
        if (extra != nullptr) return NOT_SUPPORTED;
        auto *function = static_cast<Function *>(handle);
        const auto [named, is_valid] = named_stream(stream);
        if (!is_valid || (named != nullptr && named->context != &context)) return INVALID_HANDLE;
        if (function->module->context != &context) return INVALID_HANDLE;
        Queued queued{function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes, {}};
        if (!is_allowed(queued.grid, queued.block, shared_bytes, *function->kernel)) return INVALID_VALUE;
        for (std::size_t i = 0; i < function->kernel->parameters; i++) {
            queued.arguments.push_back(*static_cast<const std::uint64_t *>(arguments[i]));
        }
        return ask(context, stream, {[&context, queued = std::move(queued)] { return run(context, queued); }});
    });
}
