#include "guardrails/pii.h"

#include <algorithm>
#include <array>
#include <string>

#include "classification/checks.h"
#include "classification/checksums.h"

namespace penstock::guardrails {
namespace {

namespace checks = classification::checks;
using classification::is_digit;
using classification::is_lower;
using classification::is_upper;
using classification::Value;
using classification::Verdict;

// Published test numbers are no one's card, so classification leaves them out. Whoever tries a
// guardrail tries it with these.
Verdict card(const Value& value) {
  std::string digits;
  for (const char letter : value.text) {
    if (is_digit(letter))
      digits += letter;
    else if (letter != ' ' && letter != '-')
      return Verdict::no;
  }
  const bool has_form = digits.size() >= 13 && digits.size() <= 19 && digits[0] >= '2' &&
                        digits[0] <= '6' &&
                        digits.find_first_not_of(digits[0]) != std::string::npos;
  return has_form && classification::luhn_holds(digits) ? Verdict::strong : Verdict::no;
}

// How a candidate is cut out of the text.
enum class Cut {
  word,    // between blanks, without the punctuation around it
  groups,  // up to `groups_max` words, as numbers are written: "4111 1111 1111 1111"
};
struct Check {
  std::string_view tag;
  Verdict (*of)(const Value&);
  Cut cut;
};

// A finding must be strong: free text is full of what merely has the shape.
constexpr std::array all_checks = {
    Check{"financial.card", card, Cut::groups},
    Check{"financial.iban", checks::iban, Cut::groups},
    Check{"pii.national_id", checks::us_ssn, Cut::groups},
    Check{"pii.national_id", checks::uk_nino, Cut::groups},
    Check{"pii.national_id", checks::fr_nir, Cut::groups},
    Check{"pii.national_id", checks::es_dni, Cut::word},
    Check{"pii.national_id", checks::it_fiscal_code, Cut::word},
    Check{"pii.national_id", checks::br_cpf, Cut::groups},
    Check{"pii.national_id", checks::in_aadhaar, Cut::groups},
    Check{"pii.national_id", checks::fi_personal_code, Cut::word},
    Check{"pii.email", checks::email, Cut::word},
    Check{"pii.phone", checks::phone, Cut::groups},
    Check{"pii.ip", checks::ip, Cut::word},
    Check{"pii.mac", checks::mac, Cut::word},
    Check{"secret.api_key", checks::api_key, Cut::word},
    Check{"secret.jwt", checks::jwt, Cut::word},
};
constexpr std::size_t groups_max = 8, groups_bytes_max = 48;

bool is_blank(char letter) { return letter == ' ' || (letter >= '\t' && letter <= '\r'); }

// Opens or ends a word and is no part of what it says.
bool is_around(char letter) {
  return std::string_view("\"'`,;:!?[]{}<>|*=").find(letter) != std::string_view::npos;
}

struct Word {
  std::size_t begin = 0, end = 0;
  bool may_be_number = false;  // holds a digit and few letters, so groups may go on with it
};

// What stands between blanks and marks. A mark within a word ("a:b", "k=v") divides it only where
// no address needs it: colons stay.
std::vector<Word> words_of(std::string_view text) {
  std::vector<Word> words;
  for (std::size_t at = 0; at < text.size();) {
    while (at < text.size() && (is_blank(text[at]) || is_around(text[at]) || text[at] == '.')) ++at;
    const std::size_t begin = at;
    while (at < text.size() && !is_blank(text[at]) && (!is_around(text[at]) || text[at] == ':'))
      ++at;
    std::size_t end = at;
    while (end > begin && (text[end - 1] == '.' || text[end - 1] == ':')) --end;
    if (end == begin) continue;
    Word word{begin, end};
    std::size_t letters = 0, digits = 0;
    for (std::size_t i = begin; i < end; ++i) {
      digits += is_digit(text[i]);
      letters +=
          is_upper(text[i]) || is_lower(text[i]) || static_cast<unsigned char>(text[i]) >= 0x80;
    }
    word.may_be_number = digits > 0 && letters <= 6 && end - begin <= groups_bytes_max;
    words.push_back(word);
  }
  return words;
}

bool is_wanted(const std::vector<std::string>& tags, std::string_view tag) {
  return tags.empty() || std::find(tags.begin(), tags.end(), tag) != tags.end();
}

// Trims brackets that only one side has: "(see 10.0.0.65)" but not "(030) 123".
std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.back() == ')' && text.find('(') == std::string_view::npos)
    text.remove_suffix(1);
  while (!text.empty() && text.front() == '(' && text.find(')') == std::string_view::npos)
    text.remove_prefix(1);
  while (!text.empty() && (text.back() == '.' || text.back() == '-')) text.remove_suffix(1);
  if (text.size() > 2 && text.front() == '(' && text.back() == ')' &&
      text.find(')') == text.size() - 1)
    text = text.substr(1, text.size() - 2);
  return text;
}

std::string_view tag_of(std::string_view candidate, Cut cut, const std::vector<std::string>& tags) {
  const Value value(candidate);
  if (value.size() < 6) return {};
  for (const Check& check : all_checks)
    if (check.cut == cut && is_wanted(tags, check.tag) && check.of(value) == Verdict::strong)
      return check.tag;
  return {};
}

std::string_view word_tag(std::string_view word, const std::vector<std::string>& tags) {
  if (const auto tag = tag_of(word, Cut::word, tags); !tag.empty()) return tag;
  return tag_of(word, Cut::groups, tags);
}

constexpr std::string_view key_begins = "-----BEGIN ", key_ends = "-----END ", dashes = "-----";
constexpr std::size_t title_max = 60;

enum class Title { open, private_key, other };
// What the mark at `at` begins; open where more text must come to tell.
Title title_at(std::string_view text, std::size_t at) {
  const std::string_view rest = text.substr(at + key_begins.size(), title_max);
  const std::size_t end = rest.find(dashes);
  if (end == std::string_view::npos) return rest.size() < title_max ? Title::open : Title::other;
  return rest.substr(0, end).ends_with("PRIVATE KEY") ? Title::private_key : Title::other;
}

// A private key spans lines: from its first mark to the end of its last.
void add_keys(std::string_view text, std::vector<Span>& out) {
  for (std::size_t at = 0; (at = text.find(key_begins, at)) != std::string_view::npos;) {
    const std::size_t end = text.find(key_ends, at);
    if (title_at(text, at) != Title::private_key) {
      at += key_begins.size();
      continue;
    }
    std::size_t stop = text.size();
    if (end != std::string_view::npos) {
      stop = text.find(dashes, end + key_ends.size());
      stop = stop == std::string_view::npos ? text.size() : stop + 5;
    }
    out.push_back({at, stop, "secret.private_key"});
    at = stop;
  }
}

// What words and groups of `text`, which begins at `offset` of the whole, hold.
void add_values(std::string_view text, std::size_t offset, const std::vector<std::string>& tags,
                std::vector<Span>& out) {
  const std::vector<Word> words = words_of(text);
  for (std::size_t i = 0; i < words.size(); ++i) {
    // The longest run of groups first.
    std::size_t last = i;
    while (words[i].may_be_number && last + 1 < words.size() && last - i + 1 < groups_max &&
           words[last + 1].may_be_number &&
           words[last + 1].end - words[i].begin <= groups_bytes_max)
      ++last;
    for (std::size_t stop = last + 1; stop-- > i;) {
      const std::string_view candidate =
          trimmed(text.substr(words[i].begin, words[stop].end - words[i].begin));
      if (candidate.size() > candidate_max) continue;
      const std::string_view tag =
          stop == i ? word_tag(candidate, tags) : tag_of(candidate, Cut::groups, tags);
      if (tag.empty()) continue;
      const std::size_t begin = offset + static_cast<std::size_t>(candidate.data() - text.data());
      out.push_back({begin, begin + candidate.size(), tag});
      i = stop;
      break;
    }
  }
}

}  // namespace

const std::vector<std::string_view>& pii_tags() {
  static const std::vector<std::string_view> tags = [] {
    std::vector<std::string_view> out{"secret.private_key"};
    for (const Check& check : all_checks)
      if (std::find(out.begin(), out.end(), check.tag) == out.end()) out.push_back(check.tag);
    std::sort(out.begin(), out.end());
    return out;
  }();
  return tags;
}

std::vector<Span> find_pii(std::string_view text, const std::vector<std::string>& tags) {
  std::vector<Span> keys, out;
  if (is_wanted(tags, "secret.private_key")) add_keys(text, keys);
  std::size_t at = 0;
  for (const Span& key : keys) {
    add_values(text.substr(at, key.begin - at), at, tags, out);
    out.push_back(key);
    at = key.end;
  }
  add_values(text.substr(at), at, tags, out);
  return out;
}

std::size_t open_from(std::string_view text) {
  // A key that has begun, or a mark of which we see the beginning.
  std::size_t limit = text.size();
  if (const std::size_t begun = text.rfind(key_begins); begun != std::string_view::npos) {
    const std::size_t end = text.find(key_ends, begun);
    const bool over = end != std::string_view::npos &&
                      text.find(dashes, end + key_ends.size()) != std::string_view::npos;
    if (!over && title_at(text, begun) != Title::other) limit = begun;
  }
  const std::vector<Word> words = words_of(text.substr(0, limit));
  if (words.empty()) return std::min(limit, text.size());
  // The last word may grow; the groups before it may go on with it.
  std::size_t first = words.size() - 1;
  const std::string_view after = text.substr(words[first].end, limit - words[first].end);
  const bool grows = after.find_first_not_of(".:") == std::string_view::npos;
  if (!grows && !words[first].may_be_number) return limit;
  while (first > 0 && words.size() - first < groups_max && words[first - 1].may_be_number &&
         limit - words[first - 1].begin <= groups_bytes_max)
    --first;
  std::size_t from = words[first].begin;
  // Marks that stand right before the word go with it ("(030", "-----BEG").
  return limit - from > candidate_max ? limit : from;
}

}  // namespace penstock::guardrails
