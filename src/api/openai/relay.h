// The way back: an upstream's answer as the caller gets it. The model is called by the route's
// name, usage that the caller did not ask for stays here, and all else passes as it came.
#pragma once

#include <memory>
#include <variant>

#include "api/openai/errors.h"
#include "api/openai/guarded.h"
#include "api/openai/sse.h"
#include "api/openai/usage.h"

namespace penstock::api::openai {

class Relay {
 public:
  // `model` is what the caller calls it; `guards` may be null.
  Relay(const Asked& asked, std::string_view model, std::shared_ptr<const http::Endpoint> from,
        std::shared_ptr<const guardrails::Chain> guards = nullptr,
        Timestamp deadline = Timestamp::max(), guardrails::MayJudge may_judge = {});
  // A stream that goes on behind so many tokens, which it was told to keep to, ends there.
  void bound(std::int64_t tokens) { bound_ = tokens; }

  Tally& tally() { return tally_; }
  const Tally& tally() const { return tally_; }

  // The body for the caller, or why it cannot be one.
  std::variant<std::string, Failure> whole(std::string_view body);

  void piece(std::string_view bytes, std::string& out);
  // The end of the stream, broken or not.
  void last(bool broke, std::string& out);

  // Something of the answer has come.
  bool began() const { return began_; }
  // The stream went wrong, and the caller was told so in it.
  const std::optional<Failure>& failure() const { return failure_; }
  std::vector<std::string> hits() const {
    return guard_ ? guard_->hits() : std::vector<std::string>();
  }
  std::vector<guardrails::Judged> judged() const {
    return guard_ ? guard_->judged() : std::vector<guardrails::Judged>();
  }
  // All that belongs to the answer has come, whether the connection ended well or not.
  bool complete() const { return done_ || tally_.finished() >= choices_; }

 private:
  void event(const StreamEvent& event, std::string& out);
  void fail(Failure failure, std::string& out);
  bool end_guard(std::string& out);
  // What of it goes on: the object with its splices made.
  std::string relabelled(const Parts& parts, bool in_stream);

  const Task task_;
  const bool usage_wanted_;
  const std::int64_t choices_;
  const std::string model_literal_;
  const std::shared_ptr<const http::Endpoint> from_;
  std::optional<OutputGuard> guard_;
  Tally tally_;
  EventReader events_;
  std::optional<std::int64_t> bound_;
  bool began_ = false, done_ = false;
  std::optional<Failure> failure_;
};

}  // namespace penstock::api::openai
