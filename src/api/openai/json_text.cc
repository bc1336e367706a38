#include "api/openai/json_text.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <simdjson.h>

#include "serving/text.h"

namespace penstock::api::openai {
namespace {

bool is_space(char letter) {
  return letter == ' ' || letter == '\n' || letter == '\r' || letter == '\t';
}
bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }
int hex_of(char letter) {
  if (is_digit(letter)) return letter - '0';
  const char small = static_cast<char>(letter | 0x20);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

std::size_t after_space(std::string_view text, std::size_t at) {
  while (at < text.size() && is_space(text[at])) ++at;
  return at;
}

// Behind the closing quote of the string that begins at `at`. Of a text that was checked.
std::size_t after_string(std::string_view text, std::size_t at) {
  const std::size_t begin = at + 1;
  for (at = text.find('"', begin); at != text.npos; at = text.find('"', at + 1)) {
    std::size_t slashes = 0;
    while (at - slashes > begin && text[at - slashes - 1] == '\\') ++slashes;
    if (slashes % 2 == 0) return at + 1;
  }
  return text.size();
}

// Letters at which skipping a value must look.
constexpr std::array<bool, 256> is_structure = [] {
  std::array<bool, 256> out{};
  for (const char letter : {'"', '{', '}', '[', ']'})
    out[static_cast<unsigned char>(letter)] = true;
  return out;
}();

std::size_t after_value(std::string_view text, std::size_t at) {
  if (text[at] == '"') return after_string(text, at);
  if (text[at] != '{' && text[at] != '[') {
    while (at < text.size() && !is_space(text[at]) && text[at] != ',' && text[at] != '}' &&
           text[at] != ']')
      ++at;
    return at;
  }
  for (int depth = 0; at < text.size();) {
    const char letter = text[at];
    if (!is_structure[static_cast<unsigned char>(letter)]) {
      ++at;
    } else if (letter == '"') {
      at = after_string(text, at);
    } else {
      ++at;
      if (letter == '{' || letter == '[')
        ++depth;
      else if (--depth == 0)
        break;
    }
  }
  return at;
}

// Checks the grammar, one letter after the other; what nests is kept in `open_`, so that no input
// makes it recurse.
class Checker {
 public:
  explicit Checker(std::string_view text) : text_(text) {}

  std::optional<std::string> fault() {
    skip_space();
    if (at_ == text_.size()) return "it is empty; send a JSON object";
    if (text_[at_] != '{') return "it must be a JSON object";
    if (!object()) return what_ + " at byte " + std::to_string(at_);
    skip_space();
    if (at_ != text_.size()) return "something follows the object at byte " + std::to_string(at_);
    if (!simdjson::validate_utf8(text_.data(), text_.size())) return "it is no valid UTF-8";
    return {};
  }

 private:
  bool object() {
    int depth = 0;
    bool wants_value = true;  // else a comma or an end
    while (true) {
      skip_space();
      if (at_ == text_.size()) return no("it ends");
      const char letter = text_[at_];
      if (wants_value) {
        if (letter == '{' || letter == '[') {
          if (depth == depth_max) return no("it is nested deeper than 64 levels");
          open_[depth++] = letter;
          ++at_;
          skip_space();
          if (at_ < text_.size() && text_[at_] == close_of(letter)) {
            wants_value = false;
            continue;
          }
          if (letter == '{' && !key()) return false;
          continue;
        }
        if (!scalar()) return false;
        wants_value = false;
        continue;
      }
      const char open = open_[depth - 1];
      if (letter == close_of(open)) {
        ++at_;
        if (--depth == 0) return true;
      } else if (letter == ',') {
        ++at_;
        skip_space();
        if (open == '{' && !key()) return false;
        wants_value = true;
      } else {
        return no(open == '{' ? "a comma or } is missing" : "a comma or ] is missing");
      }
    }
  }

  static char close_of(char open) { return open == '{' ? '}' : ']'; }
  void skip_space() { at_ = after_space(text_, at_); }
  bool no(std::string what) {
    what_ = std::move(what);
    return false;
  }

  bool key() {
    if (at_ == text_.size()) return no("it ends");
    if (text_[at_] != '"') return no("a key is missing");
    if (!string()) return false;
    skip_space();
    if (at_ == text_.size() || text_[at_] != ':') return no("a colon is missing");
    ++at_;
    return true;
  }

  bool string() {
    for (++at_; at_ < text_.size(); ++at_) {
      const auto letter = static_cast<unsigned char>(text_[at_]);
      if (letter == '"') {
        ++at_;
        return true;
      }
      if (letter < 0x20) return no("a control character stands in a string");
      if (letter == '\\' && !escape()) return no("an escape is broken");
    }
    return no("it ends within a string");
  }

  bool escape() {
    if (++at_ == text_.size()) return false;
    if (text_[at_] != 'u')
      return std::string_view("\"\\/bfnrt").find(text_[at_]) != std::string_view::npos;
    for (int digit = 0; digit < 4; ++digit)
      if (++at_ == text_.size() || hex_of(text_[at_]) < 0) return false;
    return true;
  }

  bool scalar() {
    if (text_[at_] == '"') return string();
    for (const std::string_view word : {"true", "false", "null"})
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return true;
      }
    return number();
  }

  bool digits() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    return at_ != begin;
  }

  bool number() {
    if (text_[at_] == '-') ++at_;
    if (at_ < text_.size() && text_[at_] == '0')
      ++at_;
    else if (!digits())
      return no("a value is missing");
    if (at_ < text_.size() && text_[at_] == '.') {
      ++at_;
      if (!digits()) return no("a number is broken");
    }
    if (at_ < text_.size() && (text_[at_] | 0x20) == 'e') {
      ++at_;
      if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
      if (!digits()) return no("a number is broken");
    }
    return true;
  }

  const std::string_view text_;
  std::size_t at_ = 0;
  std::string what_;
  char open_[depth_max] = {};
};

void put_letter(std::string& out, std::uint32_t letter) {
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (letter < 0x80) {
    put(letter);
  } else if (letter < 0x800) {
    put(0xC0 | letter >> 6);
    put(0x80 | (letter & 0x3F));
  } else if (letter < 0x10000) {
    put(0xE0 | letter >> 12);
    put(0x80 | (letter >> 6 & 0x3F));
    put(0x80 | (letter & 0x3F));
  } else {
    put(0xF0 | letter >> 18);
    put(0x80 | (letter >> 12 & 0x3F));
    put(0x80 | (letter >> 6 & 0x3F));
    put(0x80 | (letter & 0x3F));
  }
}

std::uint32_t four_digits(std::string_view text, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = at; i < at + 4; ++i)
    value = value << 4 | static_cast<std::uint32_t>(hex_of(text[i]));
  return value;
}

// `at` is behind the u; moved behind the last digit.
std::uint32_t unicode_escape(std::string_view inner, std::size_t& at) {
  const std::uint32_t first = four_digits(inner, at);
  at += 4;
  if (first < 0xD800 || first > 0xDFFF) return first;
  if (first < 0xDC00 && inner.substr(at, 2) == "\\u") {
    const std::uint32_t second = four_digits(inner, at + 2);
    if (second >= 0xDC00 && second <= 0xDFFF) {
      at += 6;
      return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    }
  }
  return 0xFFFD;
}

}  // namespace

std::optional<std::string> object_fault(std::string_view text) { return Checker(text).fault(); }

bool Members::next() {
  std::size_t at = after_space(rest_, 0);
  if (at < rest_.size() && rest_[at] == ',') at = after_space(rest_, at + 1);
  if (at >= rest_.size() || rest_[at] != '"') return false;
  const std::size_t key_end = after_string(rest_, at);
  const std::size_t value_at = after_space(rest_, after_space(rest_, key_end) + 1);
  const std::size_t end = after_value(rest_, value_at);
  key_ = rest_.substr(at + 1, key_end - at - 2);
  if (key_.find('\\') != std::string_view::npos) {
    decoded_ = text_of(rest_.substr(at, key_end - at));
    key_ = decoded_;
  }
  value_ = rest_.substr(value_at, end - value_at);
  whole_ = rest_.substr(at, end - at);
  rest_.remove_prefix(end);
  return true;
}

bool Items::next() {
  std::size_t at = after_space(rest_, 0);
  if (at < rest_.size() && rest_[at] == ',') at = after_space(rest_, at + 1);
  if (at >= rest_.size() || rest_[at] == ']') return false;
  const std::size_t end = after_value(rest_, at);
  value_ = rest_.substr(at, end - at);
  rest_.remove_prefix(end);
  return true;
}

std::string_view member(std::string_view object, std::string_view key) {
  std::string_view found;
  if (!is_object(object)) return found;
  for (Members members(object); members.next();)
    if (members.key() == key) found = members.value();
  return found;
}

std::optional<std::int64_t> whole_number(std::string_view value) {
  std::int64_t number = 0;
  const auto [end, fault] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (fault != std::errc{} || end != value.data() + value.size()) return {};
  return number;
}

std::string text_of(std::string_view literal) {
  const std::string_view inner = literal.substr(1, literal.size() - 2);
  std::string out;
  out.reserve(inner.size());
  for (std::size_t at = 0; at < inner.size();) {
    const std::size_t plain = std::min(inner.find('\\', at), inner.size());
    out.append(inner.substr(at, plain - at));
    if (plain == inner.size()) break;
    at = plain + 2;
    switch (inner[plain + 1]) {
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case 'u': put_letter(out, unicode_escape(inner, at)); break;
      default: out += inner[plain + 1];
    }
  }
  return out;
}

std::string text_or_empty(std::string_view value) {
  return is_text(value) ? text_of(value) : std::string();
}

std::string literal_of(std::string_view text) {
  std::string out;
  serving::write_text(out, text);
  return out;
}

Letters letters_of(std::string_view literal) {
  Letters out;
  if (!is_text(literal)) return out;
  for (std::size_t at = 1; at + 1 < literal.size(); ++at) {
    const auto byte = static_cast<unsigned char>(literal[at]);
    if (byte == '\\') {
      const bool unicode = literal[at + 1] == 'u';
      // "\u0041" is a plain letter, and "\u00e9" is none.
      if (unicode && four_digits(literal, at + 2) >= 0x80)
        ++out.other;
      else
        ++out.plain;
      at += unicode ? 5 : 1;
    } else if (byte < 0x80) {
      ++out.plain;
    } else if (byte >= 0xC0) {
      ++out.other;
    }
  }
  return out;
}

}  // namespace penstock::api::openai
