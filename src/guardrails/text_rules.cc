#include "guardrails/text_rules.h"

#include <algorithm>
#include <unordered_map>

#include <cld2/public/compact_lang_det.h>
#include <cld2/public/encodings.h>
#include <re2/re2.h>

namespace penstock::guardrails {
namespace {

constexpr std::int64_t pattern_memory = 64 << 20;
// CLD2 reads no more than it needs, and what it needs is not much.
constexpr std::size_t language_sample = 16 << 10;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& letter : out)
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  return out;
}

bool is_of_word(char letter) {
  return (letter >= '0' && letter <= '9') || (letter >= 'A' && letter <= 'Z') ||
         (letter >= 'a' && letter <= 'z') || letter == '_' ||
         static_cast<unsigned char>(letter) >= 0x80;
}

RE2::Options options() {
  RE2::Options out(RE2::Quiet);
  out.set_max_mem(pattern_memory);
  return out;
}

}  // namespace

std::int64_t characters_of(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char letter) {
    return (static_cast<unsigned char>(letter) & 0xc0) != 0x80;
  });
}

std::string language_of(std::string_view text) {
  std::size_t size = std::min(text.size(), language_sample);
  while (size > 0 && size < text.size() && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80)
    --size;
  bool is_reliable = false;
  int valid = 0;
  CLD2::Language three[3];
  int shares[3] = {}, bytes = 0;
  double scores[3] = {};
  const CLD2::CLDHints no_hints{nullptr, nullptr, CLD2::UNKNOWN_ENCODING, CLD2::UNKNOWN_LANGUAGE};
  const CLD2::Language language = CLD2::ExtDetectLanguageSummaryCheckUTF8(
      text.data(), static_cast<int>(size), true, &no_hints, 0, three, shares, scores, nullptr,
      &bytes, &is_reliable, &valid);
  if (!is_reliable || language == CLD2::UNKNOWN_LANGUAGE) return "";
  return CLD2::LanguageCode(language);
}

bool is_known_language(const std::string& code) {
  return CLD2::GetLanguageFromName(code.c_str()) != CLD2::UNKNOWN_LANGUAGE;
}

struct DenyList::State {
  // By their first word, or first mark: the phrases in lower case, the longest first.
  std::unordered_map<std::string, std::vector<std::string>> phrases;
  std::vector<std::string> sorted;
  std::size_t longest = 0;
  std::vector<std::unique_ptr<RE2>> patterns;
};

namespace {

// Where a phrase may begin or end: not within a word.
bool is_edge(std::string_view text, std::size_t at) {
  return at == 0 || at == text.size() || !is_of_word(text[at - 1]) || !is_of_word(text[at]);
}

std::string first_of(std::string_view text, std::size_t at) {
  std::size_t end = at;
  while (end < text.size() && is_of_word(text[end])) ++end;
  return std::string(text.substr(at, std::max<std::size_t>(end - at, 1)));
}

}  // namespace

DenyList::DenyList(std::unique_ptr<State> state) : state_(std::move(state)) {}
DenyList::~DenyList() = default;
DenyList::DenyList(DenyList&&) noexcept = default;

Result<DenyList> DenyList::make(const GuardrailDeclaration& declared) {
  auto state = std::make_unique<State>();
  for (const std::string& phrase : declared.phrases) {
    if (phrase.empty() || phrase.size() > 200)
      return Error{Code::invalid_argument,
                   "phrases must have 1 to 200 characters each",
                   {{"phrases", "must have 1 to 200 characters each"}}};
    std::string text = lower(phrase);
    state->longest = std::max(state->longest, text.size());
    state->sorted.push_back(text);
    state->phrases[first_of(text, 0)].push_back(std::move(text));
  }
  std::sort(state->sorted.begin(), state->sorted.end());
  for (auto& [first, phrases] : state->phrases)
    std::sort(phrases.begin(), phrases.end(),
              [](const auto& a, const auto& b) { return a.size() > b.size(); });
  for (std::size_t i = 0; i < declared.patterns.size(); ++i) {
    auto pattern = std::make_unique<RE2>(declared.patterns[i], options());
    const std::string field = "patterns[" + std::to_string(i) + "]";
    if (!pattern->ok())
      return Error{Code::invalid_argument,
                   field + " is no RE2 pattern: " + pattern->error(),
                   {{field, "is no RE2 pattern: " + pattern->error()}}};
    if (RE2::FullMatch("", *pattern))
      return Error{Code::invalid_argument,
                   field + " fits everywhere: it matches nothing at all",
                   {{field, "must not match the empty text"}}};
    state->patterns.push_back(std::move(pattern));
  }
  return DenyList(std::move(state));
}

std::vector<Span> DenyList::find(std::string_view text) const {
  std::vector<Span> all;
  const std::string small = lower(text);
  for (std::size_t at = 0; !state_->phrases.empty() && at < small.size(); ++at) {
    if (!is_edge(small, at)) continue;
    const auto known = state_->phrases.find(first_of(small, at));
    if (known == state_->phrases.end()) continue;
    for (const std::string& phrase : known->second)
      if (std::string_view(small).substr(at).starts_with(phrase) &&
          is_edge(small, at + phrase.size())) {
        all.push_back({at, at + phrase.size(), "deny_list"});
        at += phrase.size() - 1;
        break;
      }
  }
  re2::StringPiece found;
  const re2::StringPiece whole(text.data(), text.size());
  for (const auto& pattern : state_->patterns)
    for (std::size_t at = 0;
         at < text.size() && pattern->Match(whole, at, text.size(), RE2::UNANCHORED, &found, 1);) {
      const auto begin = static_cast<std::size_t>(found.data() - text.data());
      if (!found.empty()) all.push_back({begin, begin + found.size(), "deny_list"});
      at = begin + std::max<std::size_t>(found.size(), 1);
    }
  std::sort(all.begin(), all.end(), [](const Span& a, const Span& b) {
    return std::pair(a.begin, b.end) < std::pair(b.begin, a.end);
  });
  std::vector<Span> out;
  for (const Span& span : all)
    if (out.empty() || span.begin >= out.back().end) out.push_back(span);
  return out;
}

std::size_t DenyList::open_from(std::string_view text) const {
  if (!state_->patterns.empty())
    return text.size() - std::min(text.size(), std::max(held_max, state_->longest));
  const std::size_t begin = text.size() - std::min(state_->longest, text.size());
  const std::string tail = lower(text.substr(begin));
  for (std::size_t at = 0; at < tail.size(); ++at) {
    if (!is_edge(text, begin + at)) continue;
    const std::string_view rest = std::string_view(tail).substr(at);
    const auto next = std::lower_bound(state_->sorted.begin(), state_->sorted.end(), rest);
    if (next != state_->sorted.end() && next->starts_with(rest)) return begin + at;
  }
  return text.size();
}

}  // namespace penstock::guardrails
