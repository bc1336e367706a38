// Registered models as guardrails: what they find, whole and in streams, and what their faults do.
#include <gtest/gtest.h>

#include <random>

#include "guardrails/chain.h"
#include "guardrails/text_rules.h"
#include "tests/support/fixture.h"

namespace penstock::guardrails {
namespace {

using test::must;

// Finds texts with "vile" in them, and breaks on "crash".
class WordModel final : public Classifier {
 public:
  Judgement judge(std::string_view text, Timestamp) const override {
    const std::lock_guard lock(turn_);
    seen_.emplace_back(text);
    Judgement out{.took = std::chrono::microseconds(7)};
    if (text.find("crash") != text.npos) out.fault = Error{Code::internal, "it crashed"};
    const bool vile = text.find("vile") != text.npos;
    out.score = vile ? 0.9 : 0.1;
    out.label = vile ? "toxic" : "fine";
    return out;
  }
  std::vector<std::string> seen() const { return seen_; }

 private:
  mutable std::mutex turn_;
  mutable std::vector<std::string> seen_;
};

class ClassifierTest : public ::testing::Test {
 protected:
  static GuardrailDeclaration declared(Action action) {
    return {.name = "tox",
            .rule = What::classifier,
            .action = action,
            .model = "toxicity@3",
            .threshold = 0.5};
  }
  std::shared_ptr<const Chain> chain(const GuardrailDeclaration& one) {
    return must(Chain::make({one}, {{"tox", model_}}));
  }
  // As it comes out of a stream that brings `text` in pieces of `size` bytes.
  static std::string streamed(const Chain& chain, const std::string& text, std::size_t size,
                              bool& blocked) {
    const auto stream = chain.stream(Side::output);
    std::string out;
    for (std::size_t at = 0; at < text.size(); at += size)
      out += stream->take(std::string_view(text).substr(at, size));
    out += stream->finish();
    blocked = stream->blocked();
    return out;
  }
  std::shared_ptr<WordModel> model_ = std::make_shared<WordModel>();
};

TEST_F(ClassifierTest, FlagsMasksAndBlocksByAScore) {
  const Verdict flagged = chain(declared(Action::flag))->check(Side::input, "a vile word");
  EXPECT_EQ(flagged.text, "a vile word");
  EXPECT_EQ(text_of(flagged.hits.at(0)), "tox:classifier:flag");
  const Verdict masked = chain(declared(Action::mask))->check(Side::input, "a vile word");
  EXPECT_TRUE(masked.changed);
  EXPECT_EQ(masked.text, "[classifier]");
  const Verdict blocked = chain(declared(Action::block))->check(Side::input, "a vile word");
  EXPECT_TRUE(blocked.blocked);
  EXPECT_EQ(blocked.text, "");
  const Verdict fine = chain(declared(Action::block))->check(Side::input, "a kind word");
  EXPECT_EQ(fine.text, "a kind word");
  EXPECT_TRUE(fine.hits.empty());
  EXPECT_EQ(fine.judged.at(0).calls, 1);
  EXPECT_EQ(fine.judged.at(0).micros, 7);
}

TEST_F(ClassifierTest, FindsByALabelAndNamesIt) {
  GuardrailDeclaration labelled = declared(Action::mask);
  labelled.threshold.reset();
  labelled.labels = {"toxic", "insult"};
  const Verdict verdict = chain(labelled)->check(Side::input, "vile");
  EXPECT_EQ(verdict.text, "[classifier.toxic]");
  EXPECT_EQ(text_of(verdict.hits.at(0)), "tox:classifier.toxic:mask");
}

TEST_F(ClassifierTest, AFaultBlocksOrPassesAsItIsDeclared) {
  const Verdict blocked = chain(declared(Action::flag))->check(Side::input, "crash");
  EXPECT_TRUE(blocked.blocked);
  EXPECT_EQ(text_of(blocked.hits.at(0)), "tox:classifier.failed:block");
  EXPECT_EQ(blocked.judged.at(0).faults, 1);
  GuardrailDeclaration lenient = declared(Action::block);
  lenient.on_error = OnError::pass;
  const Verdict passed = chain(lenient)->check(Side::input, "crash");
  EXPECT_EQ(passed.text, "crash");
  EXPECT_EQ(text_of(passed.hits.at(0)), "tox:classifier.failed:flag");
  // One that was not given judges nothing, so nothing passes.
  EXPECT_TRUE(must(Chain::make({declared(Action::flag)}))->check(Side::input, "kind").blocked);
}

TEST_F(ClassifierTest, AStreamGivesWhatTheWholeGives) {
  std::string text;
  for (int at = 0; at < 60; ++at) text += at == 37 ? "vile wörds, " : "kind wörds, ";
  GuardrailDeclaration windows = declared(Action::mask);
  windows.window = 50;
  for (const GuardrailDeclaration& one : {windows, declared(Action::mask)})
    for (const std::size_t size : {1U, 3U, 17U, 5'000U}) {
      const auto judging = chain(one);
      bool blocked = false;
      EXPECT_EQ(streamed(*judging, text, size, blocked), judging->check(Side::output, text).text);
      EXPECT_FALSE(blocked);
    }
  EXPECT_NE(chain(windows)->check(Side::output, text).text.find("kind wörds, [classifier] "),
            std::string::npos)
      << "only the window is masked, and words stay apart";
  GuardrailDeclaration strict = declared(Action::block);
  strict.window = 50;
  bool blocked = false;
  const std::string before = streamed(*chain(strict), text, 3, blocked);
  EXPECT_TRUE(blocked);
  EXPECT_EQ(before.find("vile"), before.npos);
  EXPECT_EQ(text.find(before), 0U);
}

TEST_F(ClassifierTest, AWindowEndsBehindAWordAndAWholeAtTheEnd) {
  GuardrailDeclaration windows = declared(Action::flag);
  windows.window = 20;
  const auto judging = chain(windows);
  const auto stream = judging->stream(Side::output);
  EXPECT_EQ(stream->take("twenty characters or"), "") << "a word may go on";
  EXPECT_EQ(stream->take(" more"), "twenty characters ");
  EXPECT_EQ(stream->finish(), "or more");
  EXPECT_EQ(model_->seen(), (std::vector<std::string>{"twenty characters ", "or more"}));
  GuardrailDeclaration whole = declared(Action::flag);
  whole.judge = Judging::whole;
  const auto at_end = chain(whole);
  const auto held = at_end->stream(Side::output);
  EXPECT_EQ(held->take(std::string(5'000, 'x')), "");
  EXPECT_EQ(held->finish(), std::string(5'000, 'x'));
  EXPECT_EQ(held->judged().at(0).calls, 1);
}

TEST_F(ClassifierTest, AsksNobodyWhomTheCallMayNotPay) {
  int left = 2;
  const MayJudge may_judge = [&](const std::string& guardrail) {
    EXPECT_EQ(guardrail, "tox");
    return left-- > 0;
  };
  GuardrailDeclaration windows = declared(Action::flag);
  windows.window = 20;
  const std::string text = "twenty characters or some more of them, and then some";
  const Verdict blocked = chain(windows)->check(Side::input, text, Timestamp::max(), may_judge);
  EXPECT_TRUE(blocked.blocked);
  EXPECT_EQ(text_of(blocked.hits.at(0)), "tox:classifier.unpaid:block");
  EXPECT_EQ(blocked.judged.at(0).calls, 2) << "what was not asked costs nothing";
  EXPECT_EQ(blocked.judged.at(0).faults, 1);
  EXPECT_EQ(model_->seen().size(), 2U);
  windows.on_error = OnError::pass;
  left = 1;
  const auto lenient = chain(windows);
  const auto stream = lenient->stream(Side::output, Timestamp::max(), may_judge);
  std::string passed = stream->take(text);
  passed += stream->finish();
  EXPECT_EQ(passed, text);
  EXPECT_EQ(text_of(stream->hits().at(0)), "tox:classifier.unpaid:flag");
  EXPECT_EQ(model_->seen().size(), 3U);
}

TEST_F(ClassifierTest, NoTextHasMoreWindowsThanWereThought) {
  std::mt19937 random(5);
  for (int turn = 0; turn < 20'000; ++turn) {
    const auto window = static_cast<std::int64_t>(20 + random() % 30);
    std::string text;
    const auto size = random() % 200, blanks = 1 + random() % 30;
    for (std::size_t at = 0; at < size; ++at)
      text += random() % blanks == 0 ? " " : random() % 5 == 0 ? "\u00f6" : "x";
    std::int64_t windows = 0;
    for (std::string_view rest = text; !rest.empty(); ++windows)
      rest.remove_prefix(window_of(rest, window, true));
    ASSERT_LE(windows, windows_max(characters_of(text), window)) << text;
  }
  EXPECT_EQ(windows_max(0, 20), 0);
  EXPECT_EQ(windows_max(20, 20), 1);
  std::vector<Judged> most;
  GuardrailDeclaration one = declared(Action::flag);
  one.side = Side::input;
  one.timeout = std::chrono::seconds(2);
  chain(one)->add_most(Side::output, 1'000, most);
  EXPECT_TRUE(most.empty());
  for (const std::int64_t characters : {0, 100, 1'000})
    chain(one)->add_most(Side::input, characters, most);
  EXPECT_EQ(most.at(0).calls, 1 + 5);
  EXPECT_EQ(most.at(0).micros, 6 * 2'000'000);
}

TEST_F(ClassifierTest, SaysWhichSideAsksModels) {
  GuardrailDeclaration input = declared(Action::flag);
  input.side = Side::input;
  EXPECT_TRUE(chain(input)->asks_models(Side::input));
  EXPECT_FALSE(chain(input)->asks_models(Side::output));
  EXPECT_FALSE(must(Chain::make({{.name = "p"}}))->asks_models(Side::input));
}

TEST_F(ClassifierTest, RefusesWhatCannotBe) {
  struct Case {
    std::string says;
    std::function<void(GuardrailDeclaration&)> change;
  };
  const Case cases[] = {
      {"model is missing", [](auto& one) { one.model.clear(); }},
      {"model must be MODEL@VERSION", [](auto& one) { one.model = "toxicity"; }},
      {"model must be MODEL@VERSION", [](auto& one) { one.model = "toxicity@"; }},
      {"threshold and labels are missing", [](auto& one) { one.threshold.reset(); }},
      {"threshold and labels are both given", [](auto& one) { one.labels = {"x"}; }},
      {"threshold must be a finite number", [](auto& one) { one.threshold = NAN; }},
      {"window is for judge: window",
       [](auto& one) {
         one.judge = Judging::whole;
         one.window = 50;
       }},
      {"timeout must be from 1ms to 1m", [](auto& one) { one.timeout = std::chrono::hours(1); }},
      {"model is for rule: classifier alone", [](auto& one) { one.rule = What::pii; }},
  };
  for (const Case& c : cases) {
    GuardrailDeclaration one = declared(Action::flag);
    c.change(one);
    const auto made = Chain::make({one});
    ASSERT_FALSE(made) << c.says;
    EXPECT_NE(made.error().message.find(c.says), std::string::npos) << made.error().message;
  }
}

TEST(ModelNameTest, IsANumberOrAnAlias) {
  EXPECT_EQ(must(model_name("a@3")).version, 3);
  EXPECT_EQ(must(model_name("a@v3")).version, 3);
  EXPECT_EQ(must(model_name("a@live")).alias, "live");
  EXPECT_EQ(must(model_name("a@b@live")).model, "a@b");
  EXPECT_EQ(must(model_name("a@0")).alias, "0");
}

}  // namespace
}  // namespace penstock::guardrails
