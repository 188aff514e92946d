// A stand-in for libnccl.so: messages between devices, as far as `NcclComm` of engine/cuda uses them, made by the emulated driver.
//
// NCCL waits for ever if a message lacks a side, and corrupts memory if the sides differ in size; here either is an error.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <vector>

#include <dlfcn.h>

#define ENTRY extern "C" __attribute__((visibility("default")))

namespace {

enum Result : int { SUCCESS = 0, CUDA_ERROR = 1, INVALID_ARGUMENT = 4, INVALID_USAGE = 5 };

constexpr int UINT64 = 5;

struct Clique;

// What NCCL calls a communicator: one device among several.
struct Rank {
    std::shared_ptr<Clique> clique;
    int number;
    void *context;
};

struct Clique {
    std::vector<Rank *> ranks;
};

// One side of a message.
struct Side {
    Rank *rank;
    Rank *other;
    std::uint64_t address;
    std::size_t words;
    void *stream;
    bool sends;
};

std::mutex mutex;
// Those alive.
std::vector<Rank *> ranks;

thread_local int depth = 0;
thread_local std::vector<Side> sides;

// A function of the driver that the process uses.
template <class Function>
Function *driver(const char *name) {
    static void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    auto *found = library == nullptr ? nullptr : reinterpret_cast<Function *>(dlsym(library, name));
    if (found == nullptr) std::fprintf(stderr, "NCCL emulator: the driver is not there, or has no %s\n", name);
    return found;
}

template <class... Types, class... Arguments>
bool call(const char *name, int (*)(Types...), Arguments... arguments) {
    auto *function = driver<int(Types...)>(name);
    return function != nullptr && function(arguments...) == 0;
}

bool enter(const Rank &rank) { return call("cuCtxSetCurrent", static_cast<int (*)(void *)>(nullptr), rank.context); }

// An event that a stream of this rank's device reaches, which the other stream then waits for.
bool order(const Rank &rank, void *stream, const Rank &other, void *waiting) {
    void *event = nullptr;
    using OnStream = int (*)(void *, void *);
    return enter(rank) && call("cuEventCreate", static_cast<int (*)(void **, unsigned)>(nullptr), &event, 2u) &&
           call("cuEventRecord", static_cast<OnStream>(nullptr), event, stream) && enter(other) &&
           call("cuStreamWaitEvent", static_cast<int (*)(void *, void *, unsigned)>(nullptr), waiting, event, 0u) &&
           call("cuEventDestroy_v2", static_cast<int (*)(void *)>(nullptr), event);
}

bool carry(const Side &from, const Side &to) {
    using Copy = int (*)(std::uint64_t, void *, std::uint64_t, void *, std::size_t, void *);
    // Neither side goes on before both have come to the message, and it is over for both at once.
    return order(*to.rank, to.stream, *from.rank, from.stream) && enter(*from.rank) &&
           call("cuMemcpyPeerAsync", static_cast<Copy>(nullptr), to.address, to.rank->context, from.address,
                from.rank->context, 8 * from.words, from.stream) &&
           order(*from.rank, from.stream, *to.rank, to.stream);
}

int add(std::uint64_t address, std::size_t words, int type, int peer, Rank *rank, void *stream, bool sends) {
    const std::lock_guard lock(mutex);
    bool known = false;
    for (const Rank *other : ranks) known |= other == rank;
    if (!known || address == 0 || address % 8 != 0 || words == 0 || type != UINT64 || stream == nullptr) return INVALID_ARGUMENT;
    const auto &members = rank->clique->ranks;
    if (peer < 0 || static_cast<std::size_t>(peer) >= members.size() || peer == rank->number) return INVALID_ARGUMENT;
    // Alone, one side would wait for the other, which this thread never comes to.
    if (depth == 0) return INVALID_USAGE;
    sides.push_back({rank, members[peer], address, words, stream, sends});
    return SUCCESS;
}

}  // namespace

ENTRY int ncclCommInitAll(Rank **made, int count, const int *devices) {
    const std::lock_guard lock(mutex);
    if (made == nullptr || devices == nullptr || count < 1) return INVALID_ARGUMENT;
    auto clique = std::make_shared<Clique>();
    for (int number = 0; number < count; number++) {
        for (int before = 0; before < number; before++) {
            if (devices[before] == devices[number]) return INVALID_USAGE;
        }
        void *context = nullptr;
        if (!call("cuDevicePrimaryCtxRetain", static_cast<int (*)(void **, int)>(nullptr), &context, devices[number])) return CUDA_ERROR;
        clique->ranks.push_back(new Rank{clique, number, context});
        // Only held while somebody else holds it anyway.
        call("cuDevicePrimaryCtxRelease_v2", static_cast<int (*)(int)>(nullptr), devices[number]);
    }
    for (int number = 0; number < count; number++) {
        made[number] = clique->ranks[number];
        ranks.push_back(made[number]);
    }
    return SUCCESS;
}

ENTRY int ncclCommDestroy(Rank *rank) {
    const std::lock_guard lock(mutex);
    if (std::erase(ranks, rank) == 0) return INVALID_ARGUMENT;
    // The last of a clique leaves nobody who knows it.
    std::shared_ptr<Clique> clique = rank->clique;
    std::erase(clique->ranks, rank);
    delete rank;
    return SUCCESS;
}

ENTRY int ncclGroupStart() {
    depth++;
    return SUCCESS;
}

ENTRY int ncclSend(const void *source, std::size_t words, int type, int peer, Rank *rank, void *stream) {
    return add(reinterpret_cast<std::uint64_t>(source), words, type, peer, rank, stream, true);
}

ENTRY int ncclRecv(void *target, std::size_t words, int type, int peer, Rank *rank, void *stream) {
    return add(reinterpret_cast<std::uint64_t>(target), words, type, peer, rank, stream, false);
}

ENTRY int ncclGroupEnd() {
    if (depth == 0) return INVALID_USAGE;
    if (--depth > 0) return SUCCESS;
    const std::lock_guard lock(mutex);
    std::vector<Side> waiting;
    waiting.swap(sides);
    while (!waiting.empty()) {
        const Side first = waiting.front();
        waiting.erase(waiting.begin());
        auto second = waiting.begin();
        while (second != waiting.end() &&
               (second->rank != first.other || second->other != first.rank || second->sends == first.sends)) {
            second++;
        }
        if (second == waiting.end()) return INVALID_USAGE;
        if (second->words != first.words) return INVALID_ARGUMENT;
        if (!(first.sends ? carry(first, *second) : carry(*second, first))) return CUDA_ERROR;
        waiting.erase(second);
    }
    return SUCCESS;
}
