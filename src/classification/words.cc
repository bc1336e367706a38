#include "classification/words.h"

#include <array>
#include <utility>

#include "classification/value.h"

namespace penstock::classification {
namespace {

// The letters of Latin-1 and Latin Extended-A from U+00C0 on, plain; "?" is not a letter.
constexpr std::string_view plain =
    "aaaaaaaceeeeiiiidnooooo?ouuuuytsaaaaaaaceeeeiiiidnooooo?ouuuuyty"    // U+00C0 .. U+00FF
    "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkklllllllll"  // U+0100 .. U+0141
    "lnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";     // U+0142 .. U+017F

}  // namespace

std::string fold(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0x80) {
      out += lower_of(text[at]);
    } else if (byte >= 0xC3 && byte <= 0xC5 && at + 1 < text.size()) {
      const auto next = static_cast<unsigned char>(text[++at]);
      const std::size_t place = (byte - 0xC3U) * 64U + (next & 0x3FU);
      const char letter = place < plain.size() ? plain[place] : '?';
      if (byte == 0xC3 && next == 0x9F)
        out += "ss";
      else if (letter != '?')
        out += letter;
    } else {
      out += text[at];
    }
  }
  return out;
}

std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words;
  std::string word;
  const auto end = [&] {
    if (!word.empty()) words.push_back(fold(word));
    word.clear();
  };
  for (std::size_t at = 0; at < name.size(); ++at) {
    const char letter = name[at];
    const bool wide = static_cast<unsigned char>(letter) >= 0x80;
    if (!wide && !is_digit(letter) && !is_lower(letter) && !is_upper(letter)) {
      end();
      continue;
    }
    if (!word.empty()) {
      const char before = word.back();
      const bool next_lower = at + 1 < name.size() && is_lower(name[at + 1]);
      const bool hump = is_upper(letter) && (is_lower(before) || (is_upper(before) && next_lower));
      if (hump || is_digit(letter) != is_digit(before)) end();
    }
    word += letter;
  }
  end();
  return words;
}

}  // namespace penstock::classification
