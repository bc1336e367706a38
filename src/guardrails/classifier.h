// A registered model as a guardrail: what judges texts, and how they are cut for it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "guardrails/guardrail.h"

namespace penstock::guardrails {

struct Judgement {
  double score = 0;   // where the guardrail has a threshold
  std::string label;  // where it has labels
  Micros took{};
  std::optional<Error> fault;  // then it says nothing
  bool unpaid = false;         // and was not asked: no budget covers it
};

class Classifier {
 public:
  virtual ~Classifier() = default;
  // Blocks, until `deadline` at most. Safe from several threads.
  virtual Judgement judge(std::string_view text, Timestamp deadline) const = 0;
};

// By the guardrail's name.
using Classifiers = std::map<std::string, std::shared_ptr<const Classifier>>;

// What one guardrail's classifier did for one call.
struct Judged {
  std::string guardrail;
  std::int64_t calls = 0, micros = 0, faults = 0;
};
void add(std::vector<Judged>& known, const std::vector<Judged>& more);

inline constexpr std::string_view failed_what = "classifier.failed";
inline constexpr std::string_view unpaid_what = "classifier.unpaid";

// Asked before each judgement, with the guardrail's name: whether the call may pay for one more.
using MayJudge = std::function<bool(const std::string& guardrail)>;

// MODEL@NUMBER or MODEL@ALIAS.
struct ModelName {
  std::string model, alias;  // empty: it is a number
  std::int64_t version = 0;
};
// invalid_argument where it is neither.
Result<ModelName> model_name(const std::string& text);

// How long the front of `text` is that is judged at once: at most `characters`, with the blank
// behind its last whole word. 0: not before more has come. What is cut does not depend on how the
// text came. The rest, where no more will come, is `last`.
std::size_t window_of(std::string_view text, std::int64_t characters, bool last);
std::int64_t window_of(const GuardrailDeclaration& declared);
// The most windows that a text of so many characters is cut into.
std::int64_t windows_max(std::int64_t characters, std::int64_t window);

// What a judgement makes of a text; appended to `out` as it may go on, false where that is not at
// all. The hit, if it is one.
struct Ruling {
  bool passes = true;
  bool changed = false;
  std::optional<Hit> hit;
};
Ruling ruling_of(const GuardrailDeclaration& declared, const Judgement& judgement,
                 std::string_view text, std::string& out);

// invalid_argument says what in the declaration of a classifier is wrong.
Result<void> check_classifier(const GuardrailDeclaration& declared);

}  // namespace penstock::guardrails
