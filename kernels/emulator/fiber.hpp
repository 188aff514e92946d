// Fibers: functions with a stack of their own that can be left and resumed, for the threads of a block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <sys/mman.h>

#include "races.hpp"

#if !defined(__x86_64__) || !defined(__linux__)
#error "the kernel emulator exchanges stacks by hand, on x86-64 Linux alone; other machines need their own fiber.hpp"
#endif

// Leaves the running stack at a point that `*left` remembers, and goes on at another point.
//
// A point is a stack pointer to the six registers that a callee preserves (System V calling convention), followed by
// the address to go on at. The switch ends in a jump: a processor predicts returns from the calls that it has seen, and
// these were made on the other stack.
extern "C" void emulator_exchange_stacks(void **left, void *point);
asm(R"(
    .text
    .type emulator_exchange_stacks, @function
emulator_exchange_stacks:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    pop %rcx
    jmp *%rcx
    .size emulator_exchange_stacks, . - emulator_exchange_stacks
)");

namespace emulator {

class Fiber {
   public:
    Fiber() {
        stack_ = static_cast<char *>(
            mmap(nullptr, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        // The lowest page is a guard: a kernel that overruns its stack stops instead of damaging a neighbour.
        if (stack_ == MAP_FAILED || mprotect(stack_, PAGE, PROT_NONE) != 0) {
            std::perror("kernel emulator: no memory for the stack of a thread");
            std::abort();
        }
    }
    Fiber(const Fiber &) = delete;
    Fiber &operator=(const Fiber &) = delete;
    ~Fiber() { munmap(stack_, SIZE); }

    // Makes the next `resume` call `entry`, which never returns: it leaves for the last time.
    void start(void (*entry)()) {
        void **point = reinterpret_cast<void **>(stack_ + SIZE);
        // A function starts with the return address on top of a stack that was aligned to 16 bytes before.
        *--point = nullptr;
        *--point = reinterpret_cast<void *>(entry);
        inside_ = point - PRESERVED_REGISTERS;
    }

    // From outside: runs the fiber until it leaves.
    BETWEEN_THREADS void resume() { emulator_exchange_stacks(&outside_, inside_); }

    // From inside: back to where the fiber was resumed.
    BETWEEN_THREADS void leave() { emulator_exchange_stacks(&inside_, outside_); }

   private:
    static constexpr std::size_t SIZE = 64 << 10;
    static constexpr std::size_t PAGE = 4 << 10;
    static constexpr std::size_t PRESERVED_REGISTERS = 6;

    char *stack_;
    void *inside_ = nullptr;
    void *outside_ = nullptr;
};

}  // namespace emulator
