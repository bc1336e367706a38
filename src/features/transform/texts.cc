// Functions of texts. Positions and lengths count code points of UTF-8; upper and lower know the
// letters A to Z and leave all others as they are.
#include <algorithm>
#include <limits>

#include "features/transform/kernels.h"

namespace penstock::features::transform {
namespace {

using Whole = std::int64_t;
using Text = std::string_view;
using MaybeText = std::optional<Text>;

bool begins(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

Whole length(Text text) { return std::count_if(text.begin(), text.end(), begins); }

// The first `count` code points, as bytes.
std::size_t bytes_of(Text text, Whole count) {
  std::size_t at = 0;
  while (at < text.size() && count > 0) {
    ++at;
    while (at < text.size() && !begins(text[at])) ++at;
    --count;
  }
  return at;
}

Text cut(Text text, Whole first, Whole end) {
  const std::size_t from = bytes_of(text, first);
  return text.substr(from, bytes_of(text.substr(from), end - first));
}

// `from` counts from 1, or back from the end where it is negative; a negative `count` goes back.
// What lies outside of the text is cut off.
Text part(Text text, Whole from, Whole count) {
  constexpr Whole far = Whole{1} << 40;
  const Whole size = length(text);
  from = std::clamp(from, -far, far);
  const Whole first = from > 0 ? from - 1 : from < 0 ? size + from : -1;
  const Whole end = first + std::clamp(count, -far, far);
  return cut(text, std::clamp<Whole>(std::min(first, end), 0, size),
             std::clamp<Whole>(std::max(first, end), 0, size));
}
Text rest(Text text, Whole from) { return part(text, from, std::numeric_limits<Whole>::max()); }

template <class Change>
MaybeText changed(Arena& arena, Text text, Change change) {
  if (text.size() > text_max) return {};
  char* made = static_cast<char*>(arena.allocate(text.size() + 1, 1));
  std::transform(text.begin(), text.end(), made, change);
  return Text(made, text.size());
}
MaybeText lower(Arena& arena, Text text) {
  return changed(arena, text, [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
}
MaybeText upper(Arena& arena, Text text) {
  return changed(arena, text, [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
}

Text trim_left(Text text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  return text;
}
Text trim_right(Text text) { return text.substr(0, text.find_last_not_of(' ') + 1); }

MaybeText replace(Arena& arena, Text text, Text what, Text with) {
  if (what.empty()) return text;
  std::size_t count = 0;
  for (std::size_t at = text.find(what); at != Text::npos; at = text.find(what, at + what.size()))
    ++count;
  if (with.size() > text_max) return {};
  const std::size_t size = text.size() - count * what.size() + count * with.size();
  if (size > text_max) return {};
  char* made = static_cast<char*>(arena.allocate(size + 1, 1));
  char* end = made;
  std::size_t from = 0;
  for (std::size_t at = text.find(what); at != Text::npos; at = text.find(what, from)) {
    end = std::copy(text.begin() + static_cast<std::ptrdiff_t>(from),
                    text.begin() + static_cast<std::ptrdiff_t>(at), end);
    end = std::copy(with.begin(), with.end(), end);
    from = at + what.size();
  }
  std::copy(text.begin() + static_cast<std::ptrdiff_t>(from), text.end(), end);
  return Text(made, size);
}

bool contains(Text text, Text what) { return text.find(what) != Text::npos; }
bool starts_with(Text text, Text what) { return text.starts_with(what); }
bool ends_with(Text text, Text what) { return text.ends_with(what); }

MaybeText concatenate(Arena& arena, Text a, Text b) {
  if (a.size() + b.size() > text_max) return {};
  char* made = static_cast<char*>(arena.allocate(a.size() + b.size() + 1, 1));
  std::copy(b.begin(), b.end(), std::copy(a.begin(), a.end(), made));
  return Text(made, a.size() + b.size());
}

}  // namespace

std::vector<Function> text_functions() {
  return {
      entry<concatenate>("||"),
      entry<length>("length"),
      entry<lower>("lower"),
      entry<upper>("upper"),
      entry<part>("substring"),
      entry<rest>("substring"),
      entry<part>("substr"),
      entry<rest>("substr"),
      entry<[](Text text) { return trim_left(trim_right(text)); }>("trim"),
      entry<trim_left>("ltrim"),
      entry<trim_right>("rtrim"),
      entry<replace>("replace"),
      entry<contains>("contains"),
      entry<starts_with>("starts_with"),
      entry<ends_with>("ends_with"),
  };
}

}  // namespace penstock::features::transform
