// The allocator, as far as a program has a say.
#pragma once

#include <cstddef>

namespace penstock {

// Gives what was freed back to the machine: after something large has gone.
void give_back_free_memory();
// At most so many bytes are kept free for threads to take without a lock.
void bound_thread_caches(std::size_t most);

}  // namespace penstock
