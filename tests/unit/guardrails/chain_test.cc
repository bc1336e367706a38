// Size, language, denied words; what a declaration may not say; the kind.
#include <gtest/gtest.h>

#include "guardrails/chain.h"
#include "guardrails/service.h"
#include "guardrails/text_rules.h"
#include "tests/support/fixture.h"

namespace penstock::guardrails {
namespace {

using test::must;

Verdict check(const GuardrailDeclaration& declared, const std::string& text) {
  return must(Chain::make({declared}))->check(Side::input, text);
}

TEST(SizeTest, CountsCharactersAndNotBytes) {
  const GuardrailDeclaration size{
      .name = "s", .rule = What::size, .action = Action::block, .max_characters = 4};
  EXPECT_FALSE(check(size, "äöüß").blocked);
  const Verdict over = check(size, "äöüß!");
  EXPECT_TRUE(over.blocked);
  EXPECT_EQ(text_of(over.hits.at(0)), "s:size:block");
  const auto chain = must(Chain::make({size}));
  const auto stream = chain->stream(Side::output);
  EXPECT_EQ(stream->take("äö"), "äö");
  EXPECT_EQ(stream->take("üß"), "üß");
  EXPECT_EQ(stream->take("!"), "");
  EXPECT_TRUE(stream->blocked());
  EXPECT_EQ(stream->take("more"), "");
}

TEST(LanguageTest, TellsTheLanguageOfASentenceAndNotOfAWord) {
  EXPECT_EQ(language_of("The quick brown fox jumps over the lazy dog and runs away."), "en");
  EXPECT_EQ(language_of("Der schnelle braune Fuchs springt über den faulen Hund hinweg."), "de");
  EXPECT_EQ(language_of("Le vif renard brun saute par-dessus le chien paresseux ce matin."), "fr");
  EXPECT_EQ(language_of("素早い茶色の狐がのろまな犬を飛び越える。"), "ja");
  EXPECT_EQ(language_of("12"), "");
  EXPECT_EQ(language_of(""), "");
  EXPECT_EQ(language_of("\xff\xfe\x80"), "");
}

TEST(LanguageTest, BlocksWhatIsNotAllowed) {
  const GuardrailDeclaration english{
      .name = "l", .rule = What::language, .action = Action::block, .languages = {"en"}};
  EXPECT_FALSE(check(english, "Please tell me when my flight leaves tomorrow.").blocked);
  EXPECT_FALSE(check(english, "ok").blocked);
  const Verdict german = check(english, "Bitte sagen Sie mir, wann mein Flug morgen abfliegt.");
  EXPECT_TRUE(german.blocked);
  EXPECT_EQ(german.hits.at(0).what, "language.de");
}

TEST(DenyListTest, FindsWholeWordsInAnyCase) {
  struct Case {
    const char *text, *masked;
  };
  const Case cases[] = {
      {"a Secret here", "a [deny_list] here"},
      {"secretary", "secretary"},
      {"secret plan", "[deny_list]"},
      {"secret planner", "[deny_list] planner"},
      {"(SECRET)", "([deny_list])"},
      {"ünsecret", "ünsecret"},
      {"pay@evil now", "pay[deny_list] now"},
      {"ticket AB-1234 and AB-12", "ticket [deny_list] and AB-12"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(check({.name = "d",
                     .rule = What::deny_list,
                     .action = Action::mask,
                     .phrases = {"secret", "Secret Plan", "@evil"},
                     .patterns = {"AB-[0-9]{4}"}},
                    c.text)
                  .text,
              c.masked);
  }
}

TEST(ChainTest, HandsWhatOneMaskedToTheNext) {
  const auto chain = must(
      Chain::make({{.name = "pii", .side = Side::input, .rule = What::pii, .action = Action::mask},
                   {.name = "words",
                    .side = Side::both,
                    .rule = What::deny_list,
                    .action = Action::block,
                    .phrases = {"ana@example.org"}}}));
  const Verdict input = chain->check(Side::input, "to ana@example.org");
  EXPECT_FALSE(input.blocked);
  EXPECT_TRUE(input.changed);
  EXPECT_TRUE(chain->check(Side::output, "to ana@example.org").blocked);
  EXPECT_TRUE(chain->looks_at(Side::input));
}

TEST(ChainTest, RefusesDeclarationsThatCannotWork) {
  struct Case {
    const char* what;
    GuardrailDeclaration declared;
    const char* says;
  };
  const Case cases[] = {
      {"no size", {.name = "g", .rule = What::size}, "max_characters"},
      {"nothing to mask",
       {.name = "g", .rule = What::size, .action = Action::mask, .max_characters = 1},
       "nothing to mask"},
      {"no language", {.name = "g", .rule = What::language}, "languages"},
      {"unknown language",
       {.name = "g", .rule = What::language, .languages = {"klingonese"}},
       "klingonese"},
      {"nothing denied", {.name = "g", .rule = What::deny_list}, "what is denied"},
      {"bad pattern",
       {.name = "g", .rule = What::deny_list, .patterns = {"a", "("}},
       "patterns[1]"},
      {"fits everywhere",
       {.name = "g", .rule = What::deny_list, .patterns = {"x*"}},
       "patterns[0]"},
      {"empty phrase", {.name = "g", .rule = What::deny_list, .phrases = {""}}, "phrases"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const auto made = Chain::make({c.declared});
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Code::invalid_argument);
    EXPECT_NE(made.error().message.find(c.says), std::string::npos) << made.error().message;
  }
}

TEST(KindTest, IsAppliedAndFoundByName) {
  const auto db = test::database();
  const ManualClock clock;
  resources::Service resources(*db, clock);
  resources.add(kind());
  const Call call = test::call("user:ana");
  const json::object declaration{{"kind", "guardrail"},
                                 {"name", "privacy"},
                                 {"owner", "team:risk"},
                                 {"rule", "pii"},
                                 {"action", "mask"}};
  must(resources.apply(call, {.documents = {{.declaration = declaration}}}));
  must(db->read(call, [&](sql::Tx& tx) -> Result<bool> {
    const auto found = must(chain(tx, call.project, {"privacy"}));
    EXPECT_EQ(found->check(Side::input, "a@b.org").text, "[pii.email]");
    EXPECT_EQ(must(chain(tx, call.project, {})), nullptr);
    const auto missing = chain(tx, call.project, {"privacy", "none"});
    EXPECT_FALSE(missing);
    return true;
  }));
}

}  // namespace
}  // namespace penstock::guardrails
