// The guardrails of one route, compiled: what they say of a text, whole or as it streams.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "guardrails/classifier.h"
#include "guardrails/guardrail.h"

namespace penstock::guardrails {

struct Verdict {
  bool blocked = false;  // then nothing of the text may go on
  bool changed = false;  // masked
  std::string text;      // the text as it may go on; empty where it is blocked
  std::vector<Hit> hits;
  std::vector<Judged> judged;  // by models
};

// One text that comes in pieces. What it lets go is what check() would have given of the whole.
class Stream {
 public:
  virtual ~Stream() = default;
  // What may be let go of now: all but the end that more text could still make a finding of.
  virtual std::string take(std::string_view piece) = 0;
  // The rest.
  virtual std::string finish() = 0;
  // Nothing may follow what was let go of.
  virtual bool blocked() const = 0;
  virtual const std::vector<Hit>& hits() const = 0;
  virtual const std::vector<Judged>& judged() const = 0;
};

// Immutable; safe from several threads. In the order of the declarations: each sees what the one
// before has masked.
class Chain {
 public:
  // invalid_argument says what in which declaration is wrong.
  // A classifier that is not among `classifiers` can judge nothing.
  static Result<std::shared_ptr<const Chain>> make(
      const std::vector<GuardrailDeclaration>& declared, const Classifiers& classifiers = {});
  ~Chain();
  Chain(const Chain&) = delete;

  bool looks_at(Side side) const;
  // Whether it can do more than flag what it finds.
  bool withholds(Side side) const;
  // Whether check() and a stream's functions block, since models judge.
  bool asks_models(Side side) const;
  Verdict check(Side side, std::string_view text, Timestamp deadline = Timestamp::max(),
                const MayJudge& may_judge = {}) const;
  // The chain must outlive it.
  std::unique_ptr<Stream> stream(Side side, Timestamp deadline = Timestamp::max(),
                                 MayJudge may_judge = {}) const;
  // Adds the most that models judge, and the time that they have for it, of a text of so many
  // characters, as long as no rule before them makes it longer.
  void add_most(Side side, std::int64_t characters, std::vector<Judged>& most) const;

 private:
  struct Rule;
  class Flow;
  Chain();
  std::vector<std::unique_ptr<const Rule>> rules_;
};

}  // namespace penstock::guardrails
