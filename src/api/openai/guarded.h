// Guardrails on the texts that stand in a call and in its answer.
#pragma once

#include <map>

#include "api/openai/errors.h"
#include "api/openai/request.h"
#include "guardrails/chain.h"

namespace penstock::api::openai {

struct CheckedInput {
  std::optional<Failure> blocked;
  std::vector<std::optional<std::string>> texts;  // as Asked::texts; none: as it was
  std::vector<std::string> hits;                  // "<guardrail>:<what>:<action>"
  std::vector<guardrails::Judged> runs;           // of models
};
CheckedInput check_input(const guardrails::Chain& chain, const Asked& asked, Timestamp deadline,
                         const guardrails::MayJudge& may_judge = {});

// Of one answer, whole or in pieces. What is held back of a text comes with the piece that ends its
// choice; arguments of a tool are judged as a whole, since half of a JSON text is of no use. What
// says the text once more (log probabilities of its tokens, their numbers) does not pass where a
// rule may withhold some of it.
class OutputGuard {
 public:
  OutputGuard(std::shared_ptr<const guardrails::Chain> chain, Timestamp deadline,
              guardrails::MayJudge may_judge = {})
      : chain_(std::move(chain)), deadline_(deadline), may_judge_(std::move(may_judge)) {}

  // Adds what must change in `object`.
  void whole(std::string_view object, std::vector<Splice>& out);
  void piece(std::string_view object, std::vector<Splice>& out);
  // At the end of a stream: choices with what is held back of those that no piece ended.
  std::vector<std::string> finish();
  // Nothing more may go out.
  const std::optional<Failure>& blocked() const { return blocked_; }
  std::vector<std::string> hits() const;
  // What models judged.
  std::vector<guardrails::Judged> judged() const;

 private:
  struct Choice {
    std::map<std::string, std::unique_ptr<guardrails::Stream>, std::less<>> texts;  // by field
    std::map<std::int64_t, std::string> arguments;                                  // by call
    std::string called;     // arguments of a function_call, as chats had it before tools
    std::size_t held = 0;   // bytes of arguments
    bool has_delta = true;  // and not its text in the choice itself
  };
  struct Site;  // where a piece stands

  void check(const Site& site, std::string_view literal);
  void walk(const Site& site, std::string_view holder, int depth);
  bool withheld(const Site& site, std::string_view key, std::string_view value) const;
  void choice_piece(const Site& site, std::string_view choice);
  void text_piece(const Site& site, Choice& known, std::string_view field, std::string_view literal,
                  bool last);
  void delta_piece(const Site& site, Choice& known, std::string_view holder, bool last);
  bool hold(Choice& known, std::string& of, std::string_view literal);
  void arguments_piece(const Site& site, Choice& known, std::string_view calls);
  bool holds_back(const Choice& known) const;
  std::string held_calls(Choice& known);
  std::string held_call(Choice& known);
  void rest(const Site& site, Choice& known, std::string_view choice, std::string_view delta);
  void block(const std::vector<guardrails::Hit>& hits);
  void note(const std::vector<guardrails::Hit>& hits);
  guardrails::Verdict judge(const std::string& text);
  void close(const guardrails::Stream& stream);

  const std::shared_ptr<const guardrails::Chain> chain_;
  const Timestamp deadline_;
  const guardrails::MayJudge may_judge_;
  std::map<std::int64_t, Choice> choices_;
  std::optional<Failure> blocked_;
  std::vector<std::string> hits_;
  std::vector<guardrails::Judged> judged_;
};

}  // namespace penstock::api::openai
