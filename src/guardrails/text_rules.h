// What a text is, beside the personal data in it: how long, in which language, with which words.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "guardrails/guardrail.h"

namespace penstock::guardrails {

// Unicode code points of UTF-8; what is no UTF-8 counts a byte each.
std::int64_t characters_of(std::string_view text);

// ISO 639-1 code where it has one, else 639-3, of the language that most of the text is in; empty
// where that cannot be told ("ok", "12").
std::string language_of(std::string_view text);
// Whether language_of() can ever give it.
bool is_known_language(const std::string& code);

// Whole words in any case (of ASCII letters), and RE2 patterns; compiled once.
class DenyList {
 public:
  // invalid_argument names the pattern that RE2 does not take.
  static Result<DenyList> make(const GuardrailDeclaration& declared);
  ~DenyList();
  DenyList(DenyList&&) noexcept;

  // In order, none over another.
  std::vector<Span> find(std::string_view text) const;
  // As pii.h has it. A pattern's match is found in a stream where it is at most `held_max` bytes.
  std::size_t open_from(std::string_view text) const;
  static constexpr std::size_t held_max = 256;

 private:
  struct State;
  explicit DenyList(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace penstock::guardrails
