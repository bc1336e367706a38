// The allocator, as far as a program has a say.
#pragma once

namespace penstock {

// Gives what was freed back to the machine: after something large has gone.
void give_back_free_memory();

}  // namespace penstock
