#include "memory.hpp"

#include <iterator>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sys/mman.h>

namespace driver {

namespace {

constexpr std::uint64_t PAGE = 4 << 10;
// Addresses of a device, all of its life long: as many as there are, from the most on.
constexpr std::uint64_t MOST_SPACE = std::uint64_t{1} << 42, LEAST_SPACE = std::uint64_t{1} << 37;
// The alignment that the driver promises, and what sizes are rounded up to.
constexpr std::uint64_t ALIGNMENT = 256;
constexpr std::uint64_t GRANULE = 512;

// How many allocations have guard pages of their own: the system counts stretches of pages with one protection, and has an
// end of them (65530 on Linux). Of more, only those before and behind them all are guarded.
constexpr std::size_t MOST_GUARDED = 16 << 10;

constexpr int CONTENT = 0xFF;
constexpr unsigned char MARGIN = 0xC5;

std::uint64_t round_up(std::uint64_t bytes, std::uint64_t multiple) { return (bytes + multiple - 1) / multiple * multiple; }

// The pages of an allocation: it ends at the last of them, but for its alignment.
struct Pages {
    Address start;
    std::uint64_t bytes;

    Pages(Address address, std::uint64_t content) {
        start = address / PAGE * PAGE;
        bytes = round_up(address + content, PAGE) - start;
    }
    unsigned char *first() const { return reinterpret_cast<unsigned char *>(start); }
    unsigned char *end() const { return first() + bytes; }
};

bool is_margin(const unsigned char *first, const unsigned char *end) {
    // The first is what it should be, and each is as the one before.
    return first == end || (*first == MARGIN && std::memcmp(first, first + 1, end - first - 1) == 0);
}

}  // namespace

Memory::Memory(unsigned device, std::uint64_t total) : space_(MOST_SPACE), total_(total) {
    const auto reserve = [&] { return mmap(nullptr, space_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); };
    void *space = reserve();
    // A sanitizer leaves less of it.
    for (; space == MAP_FAILED && space_ > LEAST_SPACE; space = reserve()) space_ /= 2;
    if (space == MAP_FAILED) {
        std::fprintf(stderr, "CUDA emulator: no address space for device %u\n", device);
        std::abort();
    }
    base_ = reinterpret_cast<Address>(space);
    next_ = base_ + PAGE;
}

Result Memory::take(std::uint64_t bytes, bool pooled, Address &address) {
    if (bytes == 0) return INVALID_VALUE;
    if (bytes > total_) return OUT_OF_MEMORY;
    const std::uint64_t size = round_up(bytes, GRANULE);
    const auto spare = pooled ? spare_.lower_bound(size) : spare_.end();
    if (spare != spare_.end()) {
        const std::uint64_t rest = *spare - size;
        spare_.erase(spare);
        spare_bytes_ -= size;
        if (rest > 0) spare_.insert(rest);
    } else if (granted_ + size <= total_) {
        granted_ += size;
    } else {
        return OUT_OF_MEMORY;
    }
    const std::uint64_t pages = round_up(bytes, PAGE);
    const std::uint64_t guard = pieces_.size() < MOST_GUARDED ? PAGE : 0;
    if (next_ + pages + guard > base_ + space_) {
        std::fprintf(stderr, "CUDA emulator: a device has no addresses left that were not used before\n");
        std::abort();
    }
    address = next_ + pages - round_up(bytes, ALIGNMENT);
    next_ += pages + guard;
    pieces_.emplace(address, Piece{bytes, pooled, false, false});
    return SUCCESS;
}

void Memory::open(Address address) {
    Piece &piece = pieces_.at(address);
    const Pages pages(address, piece.bytes);
    if (mprotect(pages.first(), pages.bytes, PROT_READ | PROT_WRITE) != 0) {
        std::perror("CUDA emulator: the system does not grant the memory of a device");
        std::abort();
    }
    auto *content = reinterpret_cast<unsigned char *>(address);
    std::memset(pages.first(), MARGIN, content - pages.first());
    std::memset(content, CONTENT, piece.bytes);
    std::memset(content + piece.bytes, MARGIN, pages.end() - (content + piece.bytes));
    piece.accessible = true;
}

bool Memory::close(Address address) {
    const Piece piece = pieces_.at(address);
    const Pages pages(address, piece.bytes);
    bool intact = true;
    if (piece.accessible) {
        const auto *content = reinterpret_cast<const unsigned char *>(address);
        intact = is_margin(pages.first(), content) && is_margin(content + piece.bytes, pages.end());
        madvise(pages.first(), pages.bytes, MADV_DONTNEED);
        mprotect(pages.first(), pages.bytes, PROT_NONE);
    }
    const std::uint64_t size = round_up(piece.bytes, GRANULE);
    if (piece.pooled) {
        spare_.insert(size);
        spare_bytes_ += size;
    } else {
        granted_ -= size;
    }
    pieces_.erase(address);
    return intact;
}

std::map<Address, Piece>::iterator Memory::around(Address address) {
    auto piece = pieces_.upper_bound(address);
    if (piece == pieces_.begin()) return pieces_.end();
    --piece;
    return address - piece->first < piece->second.bytes ? piece : pieces_.end();
}

Piece *Memory::beginning_at(Address address) {
    const auto piece = pieces_.find(address);
    return piece == pieces_.end() || piece->second.freed ? nullptr : &piece->second;
}

bool Memory::holds(Address address, std::uint64_t bytes) {
    const auto piece = around(address);
    return piece != pieces_.end() && !piece->second.freed && bytes <= piece->first + piece->second.bytes - address;
}

bool Memory::reaches(Address address, std::uint64_t bytes) {
    const auto piece = around(address);
    return piece != pieces_.end() && piece->second.accessible && bytes <= piece->first + piece->second.bytes - address;
}

bool Memory::owns(Address address) const { return address >= base_ && address < base_ + space_; }

void Memory::trim(std::uint64_t keep) {
    while (spare_bytes_ > keep) {
        const auto largest = std::prev(spare_.end());
        spare_bytes_ -= *largest;
        granted_ -= *largest;
        spare_.erase(largest);
    }
}

}  // namespace driver
