#include "guardrails/classifier.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace penstock::guardrails {
namespace {

// A text that is judged as a whole is held back until its end; a longer one is judged in parts.
constexpr std::int64_t whole_max = 1'000'000;

Error wrong(const GuardrailDeclaration& declared, const std::string& field,
            const std::string& problem) {
  return {Code::invalid_argument,
          "guardrail " + declared.name + ": " + field + " " + problem,
          {{field, problem}}};
}

bool begins_character(char letter) { return (static_cast<unsigned char>(letter) & 0xC0U) != 0x80; }
bool is_blank(char letter) { return letter == ' ' || letter == '\n' || letter == '\t'; }

}  // namespace

void add(std::vector<Judged>& known, const std::vector<Judged>& more) {
  for (const Judged& one : more) {
    const auto found = std::find_if(known.begin(), known.end(), [&](const Judged& other) {
      return other.guardrail == one.guardrail;
    });
    if (found == known.end()) {
      known.push_back(one);
      continue;
    }
    found->calls += one.calls;
    found->micros += one.micros;
    found->faults += one.faults;
  }
}

Result<ModelName> model_name(const std::string& text) {
  const std::size_t at = text.rfind('@');
  if (at == std::string::npos || at == 0 || at + 1 == text.size())
    return Error{Code::invalid_argument,
                 "must be MODEL@VERSION, such as toxicity@3, or MODEL@ALIAS, not " + text};
  ModelName out{.model = text.substr(0, at)};
  std::string_view said = std::string_view(text).substr(at + 1);
  if (said.size() > 1 && said[0] == 'v' && said.find_first_not_of("0123456789", 1) == said.npos)
    said.remove_prefix(1);
  const char* const end = said.data() + said.size();
  const auto read = std::from_chars(said.data(), end, out.version);
  if (read.ec == std::errc{} && read.ptr == end && out.version > 0) return out;
  out.version = 0;
  out.alias = said;
  return out;
}

std::int64_t window_of(const GuardrailDeclaration& declared) {
  return declared.judge == Judging::whole ? whole_max : declared.window.value_or(window_default);
}

// Of two windows in a row the second begins where the last blank of the first was, so together they
// are longer than one.
std::int64_t windows_max(std::int64_t characters, std::int64_t window) {
  return characters <= 0 ? 0 : 2 * (characters / (window + 1)) + 1;
}

std::size_t window_of(std::string_view text, std::int64_t characters, bool last) {
  std::size_t at = 0, blank = 0;
  for (std::int64_t seen = 0; at < text.size(); ++at) {
    if (begins_character(text[at]) && ++seen > characters) return blank > 0 ? blank : at;
    if (is_blank(text[at])) blank = at + 1;
  }
  return last ? text.size() : 0;
}

Ruling ruling_of(const GuardrailDeclaration& declared, const Judgement& judgement,
                 std::string_view text, std::string& out) {
  Ruling ruling;
  if (judgement.fault) {
    const bool blocks = declared.on_error == OnError::block;
    ruling.hit = Hit{declared.name, std::string(judgement.unpaid ? unpaid_what : failed_what),
                     blocks ? Action::block : Action::flag, 1};
    ruling.passes = !blocks;
    if (!blocks) out.append(text);
    return ruling;
  }
  const auto& labels = declared.labels;
  const bool found = declared.threshold
                         ? judgement.score >= *declared.threshold
                         : std::find(labels.begin(), labels.end(), judgement.label) != labels.end();
  if (!found) {
    out.append(text);
    return ruling;
  }
  const std::string what = declared.threshold ? "classifier" : "classifier." + judgement.label;
  ruling.hit = Hit{declared.name, what, declared.action, 1};
  ruling.passes = declared.action != Action::block;
  ruling.changed = declared.action == Action::mask;
  if (declared.action == Action::flag) out.append(text);
  if (!ruling.changed) return ruling;
  out.append("[").append(what).append("]");
  if (!text.empty() && is_blank(text.back())) out += text.back();
  return ruling;
}

Result<void> check_classifier(const GuardrailDeclaration& declared) {
  if (declared.rule != What::classifier) {
    if (!declared.model.empty()) return wrong(declared, "model", "is for rule: classifier alone");
    return {};
  }
  if (declared.model.empty())
    return wrong(declared, "model",
                 "is missing: which registered version judges? e.g. toxicity@3 or toxicity@live");
  if (const auto name = model_name(declared.model); !name)
    return wrong(declared, "model", name.error().message);
  if (declared.threshold.has_value() == !declared.labels.empty())
    return wrong(declared, "threshold",
                 declared.threshold ? "and labels are both given; a score or a label decides"
                                    : "and labels are missing: which score, or which labels, are "
                                      "found?");
  if (declared.threshold && !std::isfinite(*declared.threshold))
    return wrong(declared, "threshold", "must be a finite number");
  if (declared.window && declared.judge == Judging::whole)
    return wrong(declared, "window", "is for judge: window");
  if (declared.timeout &&
      (*declared.timeout < std::chrono::milliseconds(1) || *declared.timeout > timeout_max))
    return wrong(declared, "timeout", "must be from 1ms to 1m");
  return {};
}

}  // namespace penstock::guardrails
