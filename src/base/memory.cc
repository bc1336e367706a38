#include "base/memory.h"

#include <malloc.h>

// Of tcmalloc, with which only the server is linked; null elsewhere, as under sanitizers.
extern "C" void MallocExtension_ReleaseFreeMemory() __attribute__((weak));

namespace penstock {

void give_back_free_memory() {
  if (MallocExtension_ReleaseFreeMemory)
    MallocExtension_ReleaseFreeMemory();
  else
    ::malloc_trim(0);
}

}  // namespace penstock
