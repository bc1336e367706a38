// Feeds every parser inputs that were once good.
//
//   fuzz [--seconds S] [--seed N] [TARGET...]     seconds of each target; no target: all
//
// The input under way is always in the file that it names at the start: after a crash, what did it.
// Built with the preset asan, a read outside of an input ends it.
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

namespace penstock::fuzz {
namespace {

constexpr std::size_t input_max = 64 << 10;

// A file that the kernel keeps when the program ends on the spot.
class LastInput {
 public:
  LastInput() : path_("/tmp/penstock-fuzz-XXXXXX") {
    const int file = mkstemp(path_.data());
    if (file < 0 || ftruncate(file, sizeof(std::size_t) + input_max) != 0) std::abort();
    memory_ = static_cast<char*>(mmap(nullptr, sizeof(std::size_t) + input_max,
                                      PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
    close(file);
    std::printf("the input under way: %s (its size in 8 bytes, then itself)\n", path_.c_str());
    std::fflush(stdout);
  }
  ~LastInput() { unlink(path_.c_str()); }
  LastInput(const LastInput&) = delete;
  LastInput& operator=(const LastInput&) = delete;
  void keep(std::string_view input) {
    const std::size_t size = std::min(input.size(), input_max);
    std::memcpy(memory_, &size, sizeof size);
    std::memcpy(memory_ + sizeof size, input.data(), size);
  }

 private:
  std::string path_;
  char* memory_ = nullptr;
};

class Mutator {
 public:
  Mutator(const std::vector<std::string>& seeds, std::uint64_t seed)
      : seeds_(seeds), random_(seed) {}

  std::string next() {
    std::string text = seeds_[random_() % seeds_.size()];
    for (std::size_t times = random_() % 6; times > 0; --times) change(text);
    if (text.size() > input_max) text.resize(input_max);
    return text;
  }

 private:
  void change(std::string& text) {
    static const std::array<std::string, 32> words{"{",
                                                   "}",
                                                   "[",
                                                   "]",
                                                   "\"",
                                                   "\\",
                                                   ",",
                                                   ":",
                                                   "null",
                                                   "true",
                                                   "-1",
                                                   "0",
                                                   "1e999",
                                                   "9223372036854775808",
                                                   "-9223372036854775808",
                                                   "0.1",
                                                   "\r\n",
                                                   "\r\n\r\n",
                                                   "\n\n",
                                                   std::string(1, '\0'),
                                                   "\xff",
                                                   "\xed\xa0\x80",
                                                   "\\ud800",
                                                   "\xef\xbb\xbf",
                                                   "%00",
                                                   "../",
                                                   "(",
                                                   ")",
                                                   " and ",
                                                   "'",
                                                   "ffffffff",
                                                   "data:"};
    const std::size_t at = text.empty() ? 0 : random_() % text.size();
    const std::size_t length = 1 + random_() % 24;
    switch (random_() % 8) {
      case 0:
        if (!text.empty()) text[at] = static_cast<char>(random_());
        break;
      case 1: text.erase(std::min(at, text.size()), length); break;
      case 2: text.insert(at, words[random_() % words.size()]); break;
      case 3: text.insert(at, text.substr(at, length)); break;
      case 4: text.resize(at); break;
      case 5: {
        const std::string& other = seeds_[random_() % seeds_.size()];
        text = text.substr(0, at) + other.substr(random_() % (other.size() + 1));
        break;
      }
      case 6: text.insert(at, 1 + random_() % 300, "[{(\"\\ 9a"[random_() % 8]); break;
      default:
        if (!text.empty()) text[at] = static_cast<char>(text[at] ^ (1 << random_() % 8));
    }
  }

  const std::vector<std::string>& seeds_;
  std::mt19937_64 random_;
};

bool run(const Target& target, double seconds, std::uint64_t seed, LastInput& last) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  Mutator mutator(target.seeds, seed);
  std::uint64_t inputs = 0, read = 0;
  double slowest = 0;
  for (const std::string& good : target.seeds)
    if (!target.eat(good)) {
      std::printf("%s: refuses one of its own good inputs: %s\n", target.name.c_str(),
                  good.substr(0, 200).c_str());
      return false;
    }
  do {
    for (int turn = 0; turn < 100; ++turn, ++inputs) {
      const std::string input = mutator.next();
      last.keep(input);
      const auto start = Clock::now();
      // Of just its size, so that a read behind it is seen; an empty one is somewhere, too, as what
      // callers send is.
      const auto exact = std::make_unique<char[]>(input.size());
      std::copy(input.begin(), input.end(), exact.get());
      try {
        read += target.eat(std::string_view(exact.get(), input.size()));
      } catch (const std::exception& fault) {
        std::printf("%s: %s, seed %llu\ninput: %s\n", target.name.c_str(), fault.what(),
                    static_cast<unsigned long long>(seed), input.c_str());
        return false;
      }
      slowest = std::max(slowest, std::chrono::duration<double>(Clock::now() - start).count());
    }
  } while (Clock::now() < end);
  std::printf("%-18s %9llu inputs, %9llu read, slowest %.1f ms\n", target.name.c_str(),
              static_cast<unsigned long long>(inputs), static_cast<unsigned long long>(read),
              slowest * 1e3);
  std::fflush(stdout);
  return read > 0 && read < inputs;
}

int main_of(int count, char** words) {
  double seconds = 1;
  std::uint64_t seed = 1;
  std::vector<std::string> wanted;
  for (int at = 1; at < count; ++at) {
    const std::string word = words[at];
    if (word == "--seconds" && at + 1 < count)
      seconds = std::atof(words[++at]);
    else if (word == "--seed" && at + 1 < count)
      seed = std::strtoull(words[++at], nullptr, 10);
    else
      wanted.push_back(word);
  }
  std::vector<Target> targets;
  for (auto* list : {wire_targets, body_targets, text_targets, document_targets})
    for (Target& target : list()) targets.push_back(std::move(target));
  for (const std::string& name : wanted)
    if (std::none_of(targets.begin(), targets.end(),
                     [&](const Target& target) { return target.name == name; })) {
      std::printf("there is no target %s\n", name.c_str());
      return 2;
    }
  LastInput last;
  bool good = true;
  for (const Target& target : targets)
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), target.name) != wanted.end())
      good = run(target, seconds, seed, last) && good;
  return good ? 0 : 1;
}

}  // namespace
}  // namespace penstock::fuzz

int main(int count, char** words) { return penstock::fuzz::main_of(count, words); }
