// Personal data, account numbers and secrets within free text.
#pragma once

#include <string_view>
#include <vector>

#include "guardrails/guardrail.h"

namespace penstock::guardrails {

// What can be found: tags of classification that a value alone can prove, by a check digit, a
// prefix or a form of its own. Names and addresses of persons are not among them.
const std::vector<std::string_view>& pii_tags();

// Stretches that hold one of `tags` (all where empty), in order, none over another; where several
// fit, the longest. Linear in the text: a candidate is at most `candidate_max` bytes.
std::vector<Span> find_pii(std::string_view text, const std::vector<std::string>& tags);
inline constexpr std::size_t candidate_max = 512;

// Where the part of `text` begins of which more text could still make a finding: all before it may
// be judged and let go. `text` is what is not let go yet.
std::size_t open_from(std::string_view text);

}  // namespace penstock::guardrails
