// What ThreadSanitizer has to be told where kernels are compiled for it: that the threads of a block are threads, though they are fibers of one thread of
// the system, and what orders them. Otherwise nothing.
#pragma once

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

// Of functions that go from one thread of a block to another: the sanitizer counts calls and returns of each.
#define BETWEEN_THREADS __attribute__((noinline, no_sanitize("thread")))

namespace emulator::races {

#if defined(__SANITIZE_THREAD__)

using Watched = void *;

// Who is running now.
inline Watched running() { return __tsan_get_current_fiber(); }
// Goes on as somebody else, which orders nothing.
inline void become(Watched thread) { __tsan_switch_to_fiber(thread, __tsan_switch_to_fiber_no_sync); }
// All that was done before is done before whatever follows a `see` of the same object.
inline void show(void *object) { __tsan_release(object); }
inline void see(void *object) { __tsan_acquire(object); }

// One of the threads of a block.
class Thread {
   public:
    Thread() = default;
    Thread(const Thread &) = delete;
    Thread &operator=(const Thread &) = delete;
    ~Thread() { __tsan_destroy_fiber(name_); }

    Watched name() const { return name_; }

   private:
    Watched name_ = __tsan_create_fiber(0);
};

#else

struct Watched {};

struct Thread {
    Watched name() const { return {}; }
};

inline Watched running() { return {}; }
inline void become(Watched) {}
inline void show(void *) {}
inline void see(void *) {}

#endif

}  // namespace emulator::races
