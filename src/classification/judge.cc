#include "classification/judge.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include "classification/words.h"

namespace penstock::classification {
namespace {

constexpr double confidence_least = 0.5;
constexpr std::size_t distinct_most = 64, examples_most = 3;
constexpr std::int64_t early = 256;

enum class Named { no, hint, yes };

// A rule with its words cut as names of columns are.
struct Prepared {
  const Rule* rule = nullptr;
  using Phrases = std::vector<std::vector<std::string>>;
  Phrases names, hints, vetoes, table_names, table_vetoes, beside;
};

Prepared::Phrases phrases_of(const std::vector<std::string_view>& texts) {
  Prepared::Phrases phrases;
  for (const std::string_view text : texts) phrases.push_back(words_of(text));
  return phrases;
}

const std::vector<Prepared>& prepared() {
  static const std::vector<Prepared> all = [] {
    std::vector<Prepared> out;
    for (const Rule& rule : rules())
      out.push_back({&rule, phrases_of(rule.names), phrases_of(rule.hints), phrases_of(rule.vetoes),
                     phrases_of(rule.table_names), phrases_of(rule.table_vetoes),
                     phrases_of(rule.beside)});
    return out;
  }();
  return all;
}

// "emails" is "email"; "address" is no plural.
bool same_word(const std::string& said, const std::string& known) {
  if (said == known) return true;
  return known.size() > 2 && said.size() == known.size() + 1 && said.back() == 's' &&
         said.starts_with(known);
}

// The phrase stands in `words`: as words in a row, or written as one ("emailaddress").
bool stands_in(const std::vector<std::string>& words, const std::vector<std::string>& phrase) {
  for (std::size_t begin = 0; begin + phrase.size() <= words.size(); ++begin) {
    std::size_t at = 0;
    while (at < phrase.size() && same_word(words[begin + at], phrase[at])) ++at;
    if (at == phrase.size()) return true;
  }
  if (phrase.size() < 2) return false;
  std::string joined;
  for (const std::string& word : phrase) joined += word;
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& word) { return same_word(word, joined); });
}

const std::vector<std::string>* any_in(const std::vector<std::string>& words,
                                       const Prepared::Phrases& phrases) {
  for (const auto& phrase : phrases)
    if (stands_in(words, phrase)) return &phrase;
  return nullptr;
}

// One rule at work on one column.
struct Work {
  const Prepared* prepared = nullptr;
  Named named = Named::no;
  bool vetoed = false;
  Evidence evidence;
  std::unordered_set<std::size_t> seen;  // hashes of values that passed

  const Rule& rule() const { return *prepared->rule; }

  void look_at(const Value& value) {
    const Verdict verdict = rule().check(value);
    if (verdict == Verdict::no) return;
    ++evidence.matches;
    if (verdict == Verdict::strong) ++evidence.strong_matches;
    if (seen.size() >= distinct_most) return;
    if (seen.insert(std::hash<std::string_view>()(value.text)).second &&
        evidence.examples.size() < examples_most)
      evidence.examples.push_back(masked(value.text));
  }

  // The share of strong values that is enough: a hint halves it, a veto asks for nearly all.
  double least_strong() const {
    if (vetoed) return std::max(rule().alone, 0.9);
    return named == Named::hint ? rule().alone / 2 : rule().alone;
  }
  double least_any() const {
    return named == Named::yes ? rule().named : named == Named::hint ? rule().hinted : 2;
  }
  bool enough(double values) const {
    return static_cast<double>(evidence.matches) >= least_any() * values ||
           static_cast<double>(evidence.strong_matches) >= least_strong() * values;
  }
  // None of the first `early` values passed, and a fifth or more of all should: the odds that the
  // rest make up for it are below 1e-24, as samples come in no order.
  bool hopeless() const {
    return evidence.matches == 0 && std::min(least_any(), least_strong()) >= 0.2;
  }

  double confidence() const {
    const double name = named == Named::yes ? 0.6 : named == Named::hint ? 0.3 : 0;
    if (evidence.matches == 0) return name;
    const auto all = static_cast<double>(evidence.matches);
    const auto strong = static_cast<double>(evidence.strong_matches);
    const auto distinct = static_cast<double>(evidence.distinct_matches);
    const double quality = (rule().specificity * strong + 0.4 * (all - strong)) / all;
    const double values = quality * distinct / (distinct + 1) * (1 + evidence.share) / 2;
    return 1 - (1 - values) * (1 - name);
  }
};

// What the names alone say of each rule; rules that no values could satisfy are left out.
std::vector<Work> works_of(const std::string& table, const std::vector<std::string>& columns,
                           const ColumnSample& sample) {
  const auto words = words_of(sample.name), table_words = words_of(table);
  std::vector<std::vector<std::string>> others;
  for (const std::string& column : columns)
    if (column != sample.name) others.push_back(words_of(column));
  std::vector<Work> works;
  for (const Prepared& one : prepared()) {
    const Rule& rule = *one.rule;
    if ((rule.shapes & sample.shape) == 0) continue;
    if (!one.beside.empty() && std::none_of(others.begin(), others.end(), [&](const auto& other) {
          return any_in(other, one.beside);
        }))
      continue;
    Work work{.prepared = &one};
    const bool foreign = any_in(table_words, one.table_vetoes) != nullptr;
    work.vetoed = any_in(words, one.vetoes) != nullptr;
    const auto* name = any_in(words, one.names);
    const auto* hint = name ? nullptr : any_in(words, one.hints);
    if (!work.vetoed && (name || hint)) {
      const bool about = any_in(table_words, one.table_names) != nullptr;
      work.named = name || about ? Named::yes : Named::hint;
      if (foreign) work.named = Named::no;
      if (work.named != Named::no) work.evidence.name_words = name ? *name : *hint;
    }
    work.vetoed = work.vetoed || foreign;
    if (work.named != Named::no || rule.alone <= 1) works.push_back(std::move(work));
  }
  return works;
}

// One finding a tag, without those that another tag says better. `found` is sorted.
std::vector<Finding> without_doubles(std::vector<Finding> found) {
  std::set<std::string, std::less<>> tags;
  for (const Finding& finding : found) tags.insert(finding.tag);
  std::set<std::string> kept_tags;
  std::vector<Finding> kept;
  for (Finding& finding : found) {
    const auto rule = std::find_if(rules().begin(), rules().end(),
                                   [&](const Rule& one) { return one.id == finding.rule; });
    const bool better =
        std::any_of(rule->yields_to.begin(), rule->yields_to.end(),
                    [&](std::string_view tag) { return tags.find(tag) != tags.end(); });
    if (!better && kept_tags.insert(finding.tag).second) kept.push_back(std::move(finding));
  }
  return kept;
}

}  // namespace

std::string masked(std::string_view value) {
  std::string out;
  bool wide_before = false;
  for (const char letter : value.substr(0, 40)) {
    const bool wide = static_cast<unsigned char>(letter) >= 0x80;
    const bool goes_on =
        wide && wide_before && (static_cast<unsigned char>(letter) & 0xC0U) == 0x80;
    wide_before = wide;
    if (goes_on) continue;
    out += is_digit(letter)                ? '9'
           : is_upper(letter)              ? 'X'
           : is_lower(letter) || wide      ? 'x'
           : letter >= ' ' && letter < 127 ? letter
                                           : ' ';
  }
  return out;
}

std::vector<Finding> judge(const std::string& table, const std::vector<std::string>& columns,
                           const ColumnSample& sample) {
  std::vector<Work> works = works_of(table, columns, sample);
  std::int64_t values = 0;
  for (const std::string& raw : sample.values) {
    const Value value(raw);
    if (value.text.empty()) continue;
    for (Work& work : works) work.look_at(value);
    if (++values == early)
      works.erase(std::remove_if(works.begin(), works.end(),
                                 [](const Work& work) { return work.hopeless(); }),
                  works.end());
  }
  std::vector<Finding> found;
  for (Work& work : works) {
    Evidence& evidence = work.evidence;
    evidence.rows = sample.rows;
    evidence.values = values;
    evidence.distinct_matches = static_cast<std::int64_t>(work.seen.size());
    if (values > 0) {
      evidence.share = static_cast<double>(evidence.matches) / static_cast<double>(values);
      if (!work.enough(static_cast<double>(values))) continue;
    } else if (work.named != Named::yes) {
      continue;
    }
    const double confidence = work.confidence();
    if (confidence < confidence_least) continue;
    const Rule& rule = work.rule();
    found.push_back({std::string(rule.tag), rule.suggested, confidence, std::string(rule.id),
                     rule.version, std::move(evidence)});
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Finding& a, const Finding& b) { return a.confidence > b.confidence; });
  return without_doubles(std::move(found));
}

}  // namespace penstock::classification
