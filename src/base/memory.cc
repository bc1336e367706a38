#include "base/memory.h"

#include <malloc.h>

// Of tcmalloc, with which only the server is linked; both are null elsewhere, as under sanitizers.
extern "C" {
void MallocExtension_ReleaseFreeMemory() __attribute__((weak));
int MallocExtension_SetNumericProperty(const char* property, size_t value) __attribute__((weak));
}

namespace penstock {

void give_back_free_memory() {
  if (MallocExtension_ReleaseFreeMemory)
    MallocExtension_ReleaseFreeMemory();
  else
    ::malloc_trim(0);
}

void bound_thread_caches(std::size_t most) {
  if (MallocExtension_SetNumericProperty)
    MallocExtension_SetNumericProperty("tcmalloc.max_total_thread_cache_bytes", most);
}

}  // namespace penstock
