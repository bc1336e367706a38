#include "app/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

#include "base/memory.h"

namespace penstock::app {
namespace {

// One mapping of /proc/self/smaps.
struct Mapping {
  std::uintptr_t begin = 0, end = 0;
  bool is_file = false;  // of a file, and nobody may write to it
  bool is_clean = true;  // each page is as the file has it

  void let_go() const {
    if (is_file && is_clean) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
};

// "7f00-7f01 r-xp 00000000 08:01 42 /usr/lib/libc.so.6"; false where the line is none.
bool read_head(const std::string& line, Mapping& out) {
  std::istringstream words(line);
  std::string rights, offset, device, path;
  std::uint64_t inode = 0;
  char dash = 0;
  Mapping read;
  if (!(words >> std::hex >> read.begin >> dash >> read.end >> rights) || dash != '-') return false;
  words >> offset >> device >> std::dec >> inode >> path;
  read.is_file = inode != 0 && path.starts_with('/') && rights.size() == 4 && rights[0] == 'r' &&
                 rights[1] == '-' && rights[3] == 'p';
  out = read;
  return true;
}

// Pages that are no longer the file's: relocated, or written to before they were protected.
bool says_changed(const std::string& line) {
  return (line.starts_with("Anonymous:") || line.starts_with("Swap:")) &&
         line.find(" 0 kB") == std::string::npos;
}

}  // namespace

void let_go_of_start_pages() {
  give_back_free_memory();
  std::ifstream maps("/proc/self/smaps");
  Mapping current;
  for (std::string line; std::getline(maps, line);) {
    Mapping next;
    if (!line.empty() && line[0] >= 'A' && line[0] <= 'Z') {
      current.is_clean = current.is_clean && !says_changed(line);
    } else if (read_head(line, next)) {
      current.let_go();
      current = next;
    }
  }
  current.let_go();
}

}  // namespace penstock::app
