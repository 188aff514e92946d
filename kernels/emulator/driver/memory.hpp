// The memory of a device: where allocations lie, who may touch them, and how many bytes are left.
#pragma once

#include <cstdint>
#include <map>
#include <set>

#include "results.hpp"

namespace driver {

using Address = std::uint64_t;

// An allocation. It has its place from the call that asks for it, and can be touched from when its stream gets there
// until its stream has freed it.
struct Piece {
    std::uint64_t bytes;
    // From the pool, in the order of a stream.
    bool pooled;
    bool accessible;
    // Asked to be freed: no later call may name it.
    bool freed;
};

// Addresses are never used twice, and every allocation ends at pages that cannot be touched, so a kernel that reaches
// beyond its operands, or uses memory too early or too late, is stopped. What is left of an allocation's pages before and
// behind it holds a pattern, which is checked when it is freed.
class Memory {
   public:
    Memory(unsigned device, std::uint64_t total);
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;

    // A place for so many bytes, not accessible yet. INVALID_VALUE for none, OUT_OF_MEMORY for too many.
    Result take(std::uint64_t bytes, bool pooled, Address &address);
    // Makes an allocation accessible, filled with words that are no residues.
    void open(Address address);
    // Gives an allocation back. Answers whether nobody wrote around it.
    bool close(Address address);

    // The allocation that begins here and is not asked to be freed, or null.
    Piece *beginning_at(Address address);
    // Whether no call has freed the allocation that these bytes are in.
    bool holds(Address address, std::uint64_t bytes);
    // Whether these bytes can be touched now.
    bool reaches(Address address, std::uint64_t bytes);
    // Whether an address could be one of this device.
    bool owns(Address address) const;

    // Gives the system back what the pool holds and nobody uses, but for so many bytes.
    void trim(std::uint64_t keep);
    std::uint64_t total() const { return total_; }
    std::uint64_t available() const { return total_ - granted_; }

    const std::map<Address, Piece> &pieces() const { return pieces_; }

    // What the pool keeps when a stream or the device has been waited for.
    std::uint64_t release_threshold = 0;

   private:
    std::map<Address, Piece>::iterator around(Address address);

    std::uint64_t space_;
    Address base_;
    Address next_;
    std::uint64_t total_;
    // Bytes that the system has granted: to allocations, and to the pool for later.
    std::uint64_t granted_ = 0;
    // Sizes of what the pool holds and nobody uses. They are split, but never joined: a pool can have enough memory in
    // pieces that are too small.
    std::multiset<std::uint64_t> spare_;
    std::uint64_t spare_bytes_ = 0;
    std::map<Address, Piece> pieces_;
};

}  // namespace driver
