#include "faults.hpp"

#include <csetjmp>
#include <csignal>
#include <cstdlib>
#include <mutex>

namespace driver {

namespace {

struct sigaction before;

// Where this thread's running launch is left; null while there is none.
constinit thread_local sigjmp_buf *escape = nullptr;
constinit thread_local const void *fault_address = nullptr;

void on_fault(int, siginfo_t *information, void *) {
    if (escape == nullptr) {
        // Not a kernel's: the access is repeated under the handler of before.
        sigaction(SIGSEGV, &before, nullptr);
        return;
    }
    fault_address = information->si_addr;
    siglongjmp(*escape, 1);
}

// The handler may not run on the stack of a fiber, which can be what overflowed.
void provide_stack() {
    stack_t present{};
    if (sigaltstack(nullptr, &present) == 0 && !(present.ss_flags & SS_DISABLE)) return;
    constexpr std::size_t SIZE = 64 << 10;
    const stack_t stack{.ss_sp = std::malloc(SIZE), .ss_flags = 0, .ss_size = SIZE};
    sigaltstack(&stack, nullptr);
}

}  // namespace

void examine_faults() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action{};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigaction(SIGSEGV, &action, &before);
    });
}

Ending run_guarded(const char *(*run)(const emulator::Launch &), const emulator::Launch &launch) {
    provide_stack();
    sigjmp_buf point;
    if (sigsetjmp(point, 1) != 0) {
        escape = nullptr;
        return {"it touched memory that is not there", true, fault_address};
    }
    escape = &point;
    const char *fault = run(launch);
    escape = nullptr;
    return {fault, false, nullptr};
}

}  // namespace driver
