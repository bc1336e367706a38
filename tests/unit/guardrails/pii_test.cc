// What is found in free text, what is not, and that a stream finds the same.
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "guardrails/chain.h"
#include "guardrails/pii.h"
#include "guardrails/text_rules.h"
#include "tests/support/fixture.h"

namespace penstock::guardrails {
namespace {

using test::must;

// One that failed is put here to be played again.
const unsigned seed = std::random_device()();

GuardrailDeclaration pii(Action action = Action::mask) {
  return {.name = "privacy", .owner = "team:risk", .rule = What::pii, .action = action};
}

std::string masked(const std::string& text) {
  return must(Chain::make({pii()}))->check(Side::input, text).text;
}

TEST(PiiTest, MasksWhatAValueAloneCanProve) {
  struct Case {
    const char *text, *masked;
  };
  const Case cases[] = {
      {"Write to ana.roe@example.org, please.", "Write to [pii.email], please."},
      {"<ana@example.org>", "<[pii.email]>"},
      {"(ana@example.org)", "([pii.email])"},
      {"mail=ana@example.org;", "mail=[pii.email];"},
      {"My card is 4111 1111 1111 1111, valid 12/27.", "My card is [financial.card], valid 12/27."},
      {"My card is 4111-1111-1111-1111.", "My card is [financial.card]."},
      {"card 4111111111111112", "card 4111111111111112"},  // the check digit is wrong
      {"IBAN DE89 3704 0044 0532 0130 00!", "IBAN [financial.iban]!"},
      {"IBAN: DE89370400440532013000", "IBAN: [financial.iban]"},
      {"IBAN DE88370400440532013000", "IBAN DE88370400440532013000"},
      {"Call +44 20 7946 0958 now", "Call [pii.phone] now"},
      {"Call (212) 555-2368 now", "Call [pii.phone] now"},
      {"SSN 536-90-4399.", "SSN [pii.national_id]."},
      {"from 93.184.216.34 today", "from [pii.ip] today"},
      {"version 1.2.3.4 is out", "version 1.2.3.4 is out"},
      {"key ghp_16C7e42F292c6912E7710c838347Ae178B4a here", "key [secret.api_key] here"},
      {"In 2024 we sold 12 000 of 15 000 at 3.50.", "In 2024 we sold 12 000 of 15 000 at 3.50."},
      {"Order 20240131-0042 came at 10:31:22.", "Order 20240131-0042 came at 10:31:22."},
      {"", ""},
      {"Grüße an ana@example.org — bald", "Grüße an [pii.email] — bald"},
      {"a@b.org b@c.org", "[pii.email] [pii.email]"},
      {"x -----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY----- y",
       "x [secret.private_key] y"},
      {"x -----BEGIN PRIVATE KEY-----\nMIIB", "x [secret.private_key]"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(masked(c.text), c.masked);
  }
}

TEST(PiiTest, LooksForTheNamedTagsAlone) {
  GuardrailDeclaration only = pii();
  only.tags = {"financial.card"};
  const auto chain = must(Chain::make({only}));
  EXPECT_EQ(chain->check(Side::input, "ana@example.org 4111 1111 1111 1111").text,
            "ana@example.org [financial.card]");
  only.tags = {"pii.name"};
  const auto refused = Chain::make({only});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("pii.name"), std::string::npos);
  EXPECT_NE(refused.error().message.find("financial.card"), std::string::npos);
}

TEST(PiiTest, CountsHitsByWhatAndBlocksWhole) {
  const auto flags = must(Chain::make({pii(Action::flag)}));
  const Verdict flagged = flags->check(Side::output, "a@b.org, c@d.org, 93.184.216.34");
  EXPECT_FALSE(flagged.changed);
  EXPECT_EQ(flagged.text, "a@b.org, c@d.org, 93.184.216.34");
  ASSERT_EQ(flagged.hits.size(), 2U);
  EXPECT_EQ(text_of(flagged.hits[0]), "privacy:pii.email:flag");
  EXPECT_EQ(flagged.hits[0].count, 2);
  const Verdict blocked = must(Chain::make({pii(Action::block)}))->check(Side::input, "a@b.org");
  EXPECT_TRUE(blocked.blocked);
  EXPECT_EQ(blocked.text, "");
}

// Pieces of every length give what the whole gives.
void same_streamed(const Chain& chain, const std::string& text, std::mt19937& random,
                   std::size_t longest) {
  const Verdict whole = chain.check(Side::output, text);
  const auto stream = chain.stream(Side::output);
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = 1 + random() % longest;
    out += stream->take(std::string_view(text).substr(at, size));
    at += size;
  }
  out += stream->finish();
  EXPECT_EQ(stream->blocked(), whole.blocked) << text << " seed " << seed;
  if (whole.blocked) return;
  EXPECT_EQ(out, whole.text) << text << " seed " << seed;
  const auto counts = [](const std::vector<Hit>& hits) {
    std::map<std::string, std::int64_t> by_what;
    for (const Hit& hit : hits) by_what[text_of(hit)] = hit.count;
    return by_what;
  };
  EXPECT_EQ(counts(stream->hits()), counts(whole.hits)) << text << " seed " << seed;
}

TEST(StreamTest, FindsWhatTheWholeTextHasHoweverItIsCut) {
  const std::vector<std::string> parts = {
      "ana.roe@example.org",
      "4111 1111 1111 1111",
      "DE89 3704 0044 0532 0130 00",
      "+44 20 7946 0958",
      "(212) 555-2368",
      "93.184.216.34",
      "secret plan",
      "secret",
      "planned",
      "the",
      "12",
      "000",
      "in 2024",
      "3.50",
      "Grüße",
      "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----",
      "-----BEGIN CERTIFICATE-----",
      "-",
      "\n",
      ".",
      "secret sauce",
      "536-90-4399",
      "GB82 WEST 1234 5698 7654 32"};
  std::mt19937 random(seed);
  GuardrailDeclaration deny{.name = "words",
                            .owner = "o",
                            .rule = What::deny_list,
                            .action = Action::mask,
                            .phrases = {"secret plan", "secret", "secret sauce is"}};
  const auto chain = must(Chain::make({pii(), deny}));
  for (int round = 0; round < 3'000; ++round) {
    std::string text;
    for (std::size_t count = random() % 12; count > 0; --count) {
      text += parts[random() % parts.size()];
      const char* between[] = {" ", ", ", "", "\n", ". "};
      text += between[random() % 5];
    }
    same_streamed(*chain, text, random, 1 + random() % 40);
    if (HasFailure()) return;
  }
}

TEST(StreamTest, LetsGoOfWordsAtOnce) {
  const auto chain = must(Chain::make({pii()}));
  const auto stream = chain->stream(Side::output);
  EXPECT_EQ(stream->take("Hello dear "), "Hello dear ");
  EXPECT_EQ(stream->take("reader, "), "reader, ");
  EXPECT_EQ(stream->take("an"), "");
  EXPECT_EQ(stream->take("a@example.org "), "[pii.email] ");
  EXPECT_EQ(stream->take("4111 1111 "), "");
  EXPECT_EQ(stream->take("1111 1111 thanks "), "[financial.card] thanks ");
  EXPECT_EQ(stream->finish(), "");
}

TEST(FindTest, NeverReadsOutsideOfAnyBytes) {
  std::mt19937 random(seed);
  const std::string letters = "0123456789 -+.@:()/abcXYZ\xc3\xbc\xff\n-----BEGIN";
  const auto chain = must(Chain::make({pii()}));
  for (int round = 0; round < 5'000; ++round) {
    std::string text;
    for (std::size_t size = random() % 200; size > 0; --size)
      text += letters[random() % letters.size()];
    const auto spans = find_pii(text, {});
    std::size_t at = 0;
    for (const Span& span : spans) {
      ASSERT_LE(at, span.begin);
      ASSERT_LT(span.begin, span.end);
      ASSERT_LE(span.end, text.size());
      at = span.end;
    }
    same_streamed(*chain, text, random, 30);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace penstock::guardrails
