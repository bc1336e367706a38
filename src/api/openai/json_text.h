// JSON as the text that it is: where its parts stand. Bodies are passed on byte for byte but for
// what must change, so nothing here makes a tree, reads a number or loses the order of keys.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace penstock::api::openai {

inline constexpr int depth_max = 64;

// What is wrong with a text that should be one JSON object, with the byte where it is; nothing
// where it is one. All that is below trusts that this was asked.
std::optional<std::string> object_fault(std::string_view text);

// The members of an object, one after the other.
class Members {
 public:
  explicit Members(std::string_view object) : rest_(object.substr(1)) {}
  bool next();
  std::string_view key() const { return key_; }  // decoded; until the next next()
  std::string_view value() const { return value_; }
  std::string_view whole() const { return whole_; }  // the key, the colon and the value

 private:
  std::string_view rest_, key_, value_, whole_;
  std::string decoded_;
};

class Items {
 public:
  explicit Items(std::string_view list) : rest_(list.substr(1)) {}
  bool next();
  std::string_view value() const { return value_; }

 private:
  std::string_view rest_, value_;
};

// The value of a member; empty where there is none. Of two of one name the last, as most readers
// have it.
std::string_view member(std::string_view object, std::string_view key);

inline bool is_object(std::string_view value) { return !value.empty() && value[0] == '{'; }
inline bool is_list(std::string_view value) { return !value.empty() && value[0] == '['; }
inline bool is_text(std::string_view value) { return !value.empty() && value[0] == '"'; }
inline bool is_null(std::string_view value) { return value == "null"; }
// Nothing where it is no whole number that fits, or is written with a fraction or an exponent.
std::optional<std::int64_t> whole_number(std::string_view value);

// A string's value. Halves of a pair of surrogates that stand alone become U+FFFD.
std::string text_of(std::string_view literal);
// Of a value that is a string; empty of all others.
std::string text_or_empty(std::string_view value);
std::string literal_of(std::string_view text);

// How much text a literal holds, without decoding it.
struct Letters {
  std::int64_t plain = 0, other = 0;  // ASCII, and characters beyond it
  Letters& operator+=(const Letters& more) {
    plain += more.plain;
    other += more.other;
    return *this;
  }
  // About: a token is four letters of English, and less than two of most other scripts.
  std::int64_t tokens() const { return (plain + 3 * other + 3) / 4; }
};
Letters letters_of(std::string_view literal);

}  // namespace penstock::api::openai
