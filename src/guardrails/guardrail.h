// Rules on what goes into a model and what comes out of it.
#pragma once

#include "base/described.h"

namespace penstock::guardrails {

enum class Side { input, output, both };
BOOST_DESCRIBE_ENUM(Side, input, output, both)
enum class What { pii, size, language, deny_list, classifier };
BOOST_DESCRIBE_ENUM(What, pii, size, language, deny_list, classifier)
// flag: the hit is told and nothing else. mask: what was found is replaced by its name in brackets.
// block: the call is refused, or the answer withheld.
enum class Action { flag, mask, block };
BOOST_DESCRIBE_ENUM(Action, flag, mask, block)

// Of classifier: what is judged at once. window: stretches of the text, so that a stream goes on
// while it is judged; whole: all of it, at its end.
enum class Judging { window, whole };
BOOST_DESCRIBE_ENUM(Judging, window, whole)
// Of classifier: what becomes of a text that it could not judge.
enum class OnError { block, pass };
BOOST_DESCRIBE_ENUM(OnError, block, pass)

// kind: guardrail.
struct GuardrailDeclaration {
  std::string name, owner, description;
  Side side = Side::both;
  What rule = What::pii;
  Action action = Action::flag;
  std::vector<std::string> tags;               // of pii: those looked for ("pii.email"); empty: all
  std::optional<std::int64_t> max_characters;  // of size: Unicode code points of all texts
  std::vector<std::string> languages;          // of language: ISO 639 codes that are allowed
  std::vector<std::string> phrases;            // of deny_list: whole words, in any case
  std::vector<std::string> patterns;           // of deny_list: RE2
  // Of classifier: a registered version, MODEL@NUMBER or MODEL@ALIAS, that takes one text. A text
  // is found where the model's score is at least `threshold`, or its label is one of `labels`.
  std::string model;
  std::optional<std::string> output;  // of the model; none: the first that can be one
  std::optional<double> threshold;
  std::vector<std::string> labels;
  Judging judge = Judging::window;
  std::optional<std::int64_t> window;  // in characters; none: window_default
  OnError on_error = OnError::block;
  std::optional<Micros> timeout;  // of one judgement; none: timeout_default
};
BOOST_DESCRIBE_STRUCT(GuardrailDeclaration, (),
                      (name, owner, description, side, rule, action, tags, max_characters,
                       languages, phrases, patterns, model, output, threshold, labels, judge,
                       window, on_error, timeout))
inline constexpr std::int64_t window_default = 400;
inline constexpr Micros timeout_default = std::chrono::seconds(5);
inline constexpr Micros timeout_max = std::chrono::minutes(1);
constexpr auto rules_of(const GuardrailDeclaration&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 100},
                    Rule{.field = "owner", .min = 1, .max = 200},
                    Rule{.field = "description", .max = 2'000, .may_miss = true},
                    Rule{.field = "side", .may_miss = true},
                    Rule{.field = "action", .may_miss = true},
                    Rule{.field = "tags", .max = 100},
                    Rule{.field = "max_characters", .min = 1, .max = 100'000'000},
                    Rule{.field = "languages", .max = 100},
                    Rule{.field = "phrases", .max = 10'000},
                    Rule{.field = "patterns", .max = 100},
                    Rule{.field = "model", .max = 400, .may_miss = true},
                    Rule{.field = "output", .min = 1, .max = 100},
                    Rule{.field = "labels", .max = 100},
                    Rule{.field = "judge", .may_miss = true},
                    Rule{.field = "window", .min = 20, .max = 100'000},
                    Rule{.field = "on_error", .may_miss = true}};
}

// A stretch of a text, in bytes.
struct Span {
  std::size_t begin = 0, end = 0;
  std::string_view what;  // "pii.email"; lives as long as the program, or as the guardrail
};

// What one guardrail found in one text.
struct Hit {
  std::string guardrail, what;
  Action action = Action::flag;
  std::int64_t count = 0;
};
// "<guardrail>:<what>:<action>", as events carry it.
std::string text_of(const Hit& hit);

}  // namespace penstock::guardrails
