#include "app/memory.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "base/memory.h"

namespace penstock::app {
namespace {

constexpr std::uintptr_t page = 4'096;
// A page that is a mapping of its own takes 220 bytes of the kernel's: a mapping of which less than
// an eighth is resident would take more than splitting it gains. Linux lets a process have 65,530
// mappings where it is not told otherwise; they are left for others.
constexpr std::uintptr_t split_min = 16 * page, used_part = 8;
constexpr std::size_t splits_max = 12'000, mappings_usual = 65'530;

// One mapping of /proc/self/smaps.
struct Mapping {
  std::uintptr_t begin = 0, end = 0;
  std::uintptr_t resident = 0;
  std::string path;      // of a file that nobody may write to; empty: it is none
  bool is_clean = true;  // each page is as the file has it

  std::size_t pages() const { return (end - begin) / page; }
  bool is_used() const { return end - begin >= split_min && resident >= (end - begin) / used_part; }
  // Pages on either side of a border of mappings do not come together. A mark on every other page
  // makes the borders; this one changes nothing else, as no core dump has the pages of a file but
  // the first, which is not marked.
  void split() const {
    for (std::uintptr_t at = begin + page; at < end; at += 2 * page)
      ::madvise(reinterpret_cast<void*>(at), page, MADV_DONTDUMP);
  }
  void let_go() const { ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED); }
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
  const bool only_read = rights.size() == 4 && rights[0] == 'r' && rights[1] == '-';
  if (inode != 0 && path.starts_with('/') && only_read && rights[3] == 'p') read.path = path;
  out = std::move(read);
  return true;
}

// "Rss:  40 kB" and the like.
void read_measure(const std::string& line, Mapping& out) {
  std::istringstream words(line);
  std::string name;
  std::uintptr_t kilobytes = 0;
  if (!(words >> name >> kilobytes)) return;
  if (name == "Rss:") out.resident = kilobytes << 10;
  // Pages that are no longer the file's: relocated, or written to before they were protected.
  if ((name == "Anonymous:" || name == "Swap:") && kilobytes > 0) out.is_clean = false;
}

// Whether the file's mappings never go: what would be let go of there could be another's by then.
bool stays(const std::string& path) {
  static std::mutex turn;
  static std::map<std::string, bool> known;
  const std::lock_guard lock(turn);
  const auto [found, added] = known.try_emplace(path, false);
  if (!added) return found->second;
  std::error_code fault;
  const bool is_program = std::filesystem::read_symlink("/proc/self/exe", fault) == path;
  // A library is told to stay, and this reference to it is never given back.
  return found->second =
             is_program || ::dlopen(path.c_str(), RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

std::vector<Mapping> clean_mappings_of_files() {
  std::vector<Mapping> all;
  std::ifstream maps("/proc/self/smaps");
  for (std::string line; std::getline(maps, line);) {
    Mapping next;
    if (!line.empty() && line[0] >= 'A' && line[0] <= 'Z') {
      if (!all.empty()) read_measure(line, all.back());
    } else if (read_head(line, next)) {
      all.push_back(std::move(next));
    }
  }
  std::erase_if(all, [](const Mapping& one) {
    return one.path.empty() || !one.is_clean || one.resident == 0 || !stays(one.path);
  });
  return all;
}

std::size_t mappings_max() {
  std::ifstream said("/proc/sys/vm/max_map_count");
  std::size_t most = 0;
  said >> most;
  return most;
}

}  // namespace

void let_go_of_start_pages() {
  give_back_free_memory();
  for (const Mapping& one : clean_mappings_of_files()) one.let_go();
}

void split_used_mappings() {
  static std::atomic<std::size_t> split = 0;
  if (mappings_max() < mappings_usual || ::sysconf(_SC_PAGESIZE) != page) return;
  for (const Mapping& one : clean_mappings_of_files()) {
    if (!one.is_used() || split + one.pages() > splits_max) continue;
    split += one.pages();
    one.split();
    one.let_go();
  }
}

}  // namespace penstock::app
