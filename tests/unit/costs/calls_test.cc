// What a post brings of a call is one row; nobody who reads the ledger can tell.
#include <random>

#include "costs/packed_lines.h"
#include "costs/pricing.h"
#include "tests/unit/costs/costs_fixture.h"

namespace penstock::costs {
namespace {

class CallsTest : public CostsTest {
 protected:
  CallsTest() {
    prices(R"({"meter": "requests", "price": "0.1", "from": "2026-01-01", "per": 3},
              {"meter": "output_tokens", "price": "2", "from": "2026-01-01", "per": 1},
              {"meter": "prompt_tokens", "price": "1", "from": "2026-01-01", "per": 7})");
  }
  // As programs before ledger_calls did: a row for each line.
  void post_as_before(const std::vector<Usage>& usages) {
    test::must(db_->write(call_, [&](sql::Tx& tx) -> Result<void> {
      std::vector<LedgerLine> made = TRY(priced(tx, call_, usages));
      for (LedgerLine& line : made) line.posted_at = clock_.now();
      return write(tx, call_, clock_.now(), made, false);
    }));
  }
  std::vector<LedgerLine> standing(Timestamp from, Timestamp until,
                                   const std::optional<store::Position>& after,
                                   std::int64_t limit) {
    return test::must(db_->read(call_, [&](sql::Tx& tx) {
      return store::standing(tx, call_.project, from, until, after, limit);
    }));
  }
  std::vector<LedgerLine> standing_of(const std::string& source, const std::string& id,
                                      std::int64_t limit) {
    return test::must(db_->read(call_, [&](sql::Tx& tx) {
      return store::standing_of(tx, call_.project, source, id, limit);
    }));
  }
  std::int64_t rows() { return test::count(*db_, "ledger_calls"); }
  void take_back(const std::string& correction, const CorrectedLine& line) {
    test::must(costs_.correct(call_, {.id = correction, .reason = "a test", .lines = {line}}));
  }

  const Timestamp month_ = *from_rfc3339("2026-11-01"), end_ = *from_rfc3339("2026-12-01");
};

std::string said(const LedgerLine& line) {
  return line.source + " " + line.id + " " + std::string(name_of(line.meter)) + " " +
         std::to_string(line.entry) + " " + std::to_string(line.quantity) + " " +
         to_rfc3339(line.at) + " " + line.model;
}

std::vector<std::string> said(const std::vector<LedgerLine>& lines) {
  std::vector<std::string> out;
  for (const LedgerLine& line : lines) out.push_back(said(line));
  return out;
}

TEST_F(CallsTest, LinesOfACallAreOneRowAndComeBackWhole) {
  post({usage("a", Meter::prompt_tokens, 14), usage("a", Meter::output_tokens, 3),
        usage("a", Meter::reranker_calls, 2), usage("a", Meter::requests, 1)});
  EXPECT_EQ(rows(), 1);
  EXPECT_EQ(test::count(*db_, "ledger_lines"), 0);
  const auto all = lines("a");
  ASSERT_EQ(all.size(), 4u);
  std::vector<LedgerLine> expected = test::must(db_->read(call_, [&](sql::Tx& tx) {
    return priced(tx, call_,
                  {usage("a", Meter::output_tokens, 3), usage("a", Meter::prompt_tokens, 14),
                   usage("a", Meter::requests, 1), usage("a", Meter::reranker_calls, 2)});
  }));
  for (LedgerLine& line : expected) {
    line.posted_at = clock_.now();
    line.call_tokens = is_tokens(line.meter) ? 14 : 0;
  }
  for (std::size_t at = 0; at < all.size(); ++at)
    EXPECT_EQ(json::serialize(encode(all[at])), json::serialize(encode(expected[at])));
  EXPECT_EQ(to_text(all[0].amount) + " " + to_text(all[1].amount), "6 2");
  EXPECT_EQ(all[3].pricing, Pricing::unpriced);
  EXPECT_EQ(all[3].price_entry, -1);
  expect_sums_are_lines();
}

TEST_F(CallsTest, MetersThatComeLaterHaveARowOfTheirOwn) {
  post({usage("a", Meter::output_tokens, 3), usage("a", Meter::requests, 1)});
  const PostOutput later =
      post({usage("a", Meter::requests, 9), usage("a", Meter::prompt_tokens, 14),
            usage("a", Meter::output_tokens, 9), usage("a", Meter::reranker_calls, 2)});
  EXPECT_EQ(later.posted, 2);
  EXPECT_EQ(later.repeated, 2);
  EXPECT_EQ(rows(), 2);
  EXPECT_EQ(said(lines("a")), (std::vector<std::string>{
                                  "inference a output_tokens 0 3 2026-11-02T10:30:00Z assistant",
                                  "inference a prompt_tokens 0 14 2026-11-02T10:30:00Z assistant",
                                  "inference a requests 0 1 2026-11-02T10:30:00Z assistant",
                                  "inference a reranker_calls 0 2 2026-11-02T10:30:00Z assistant",
                              }));
  EXPECT_EQ(said(standing(month_, end_, {}, 10)), said(lines("a")));
  expect_sums_are_lines();
}

TEST_F(CallsTest, LinesThatDifferInMoreHaveRowsOfTheirOwn) {
  Usage other_model = usage("a", Meter::reranker_calls, 2);
  other_model.model = "reranker";
  Usage later = usage("a", Meter::retrieval_calls, 5, "2026-11-02T10:31:00Z");
  post({other_model, usage("a", Meter::output_tokens, 3), later, usage("a", Meter::requests, 1)});
  EXPECT_EQ(rows(), 3);
  EXPECT_EQ(post({other_model, later, usage("a", Meter::requests, 1)}).repeated, 3);
  const auto all = lines("a");
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[2].model + " " + all[3].model, "reranker assistant");
  EXPECT_EQ(all[3].at, later.at);
  EXPECT_EQ(said(standing(month_, end_, {}, 10)), said(all));
  expect_sums_are_lines();
}

TEST_F(CallsTest, ACallThatIsToldTwiceInOnePostCountsOnce) {
  const PostOutput out =
      post({usage("b", Meter::requests, 1), usage("a", Meter::requests, 1),
            usage("b", Meter::output_tokens, 2), usage("b", Meter::requests, 7)});
  EXPECT_EQ(out.posted, 3);
  EXPECT_EQ(out.repeated, 1);
  EXPECT_EQ(rows(), 2);
  EXPECT_EQ(lines("b").at(1).quantity, 1);
  expect_sums_are_lines();
}

TEST_F(CallsTest, ReadsWhatOlderProgramsPosted) {
  post_as_before({usage("a", Meter::output_tokens, 3), usage("a", Meter::requests, 1),
                  usage("c", Meter::requests, 1)});
  const PostOutput out =
      post({usage("a", Meter::output_tokens, 3), usage("a", Meter::prompt_tokens, 14),
            usage("b", Meter::output_tokens, 5), usage("b", Meter::requests, 1),
            usage("c", Meter::requests, 1)});
  EXPECT_EQ(out.posted, 3);
  EXPECT_EQ(out.repeated, 2);
  EXPECT_EQ(rows(), 2);
  const auto all = said(standing(month_, end_, {}, 10));
  ASSERT_EQ(all.size(), 6u);
  EXPECT_EQ(all[1], "inference a prompt_tokens 0 14 2026-11-02T10:30:00Z assistant");
  EXPECT_EQ(all[2], "inference a requests 0 1 2026-11-02T10:30:00Z assistant");
  EXPECT_EQ(all[5], "inference c requests 0 1 2026-11-02T10:30:00Z assistant");
  expect_sums_are_lines();

  // Corrections of both, and once more of what was corrected.
  take_back("c1", {"inference", "a", Meter::output_tokens, Replacement{.quantity = 4}});
  take_back("c2", {"inference", "b", Meter::output_tokens, Replacement{.quantity = 6}});
  take_back("c3", {"inference", "b", Meter::output_tokens, Replacement{.quantity = 7}});
  take_back("c4", {"inference", "b", Meter::requests, {}});
  take_back("c5", {"inference", "c", {}, {}});
  EXPECT_EQ(said(standing(month_, end_, {}, 10)),
            (std::vector<std::string>{
                "inference a output_tokens 2 4 2026-11-02T10:30:00Z assistant",
                "inference a prompt_tokens 0 14 2026-11-02T10:30:00Z assistant",
                "inference a requests 0 1 2026-11-02T10:30:00Z assistant",
                "inference b output_tokens 4 7 2026-11-02T10:30:00Z assistant",
            }));
  EXPECT_EQ(said(standing_of("inference", "", 10)), said(standing(month_, end_, {}, 10)));
  EXPECT_EQ(lines("b").size(), 7u);
  // Taken back or not, it is known.
  EXPECT_EQ(post({usage("b", Meter::requests, 1), usage("c", Meter::requests, 1)}).repeated, 2);
  expect_sums_are_lines();
}

TEST_F(CallsTest, TiersOfAMonthCountLinesOfBothKinds) {
  post_as_before({usage("a", Meter::output_tokens, 60, "2026-11-02T10:01:00Z")});
  post({usage("b", Meter::output_tokens, 60, "2026-11-02T10:02:00Z"),
        usage("b", Meter::requests, 60, "2026-11-02T10:02:00Z"),
        usage("c", Meter::output_tokens, 60, "2026-11-02T10:03:00Z")});
  take_back("c1", {"inference", "b", Meter::output_tokens, Replacement{.quantity = 30}});
  prices(R"({"meter": "output_tokens", "price": "2", "from": "2026-01-01", "per": 1},
            {"meter": "output_tokens", "price": "1", "from": "2026-01-01", "per": 1,
             "above_month_quantity": 90},
            {"meter": "requests", "price": "0", "from": "2026-01-01"})");
  // As a turn that begins in the middle of the hour: what was before is read from the ledger.
  const RepriceInput rest{
      .from = *from_rfc3339("2026-11-02T10:03:00Z"), .until = end_, .reason = "a tier"};
  EXPECT_EQ(test::must(costs_.reprice(call_, rest)).repriced, 1);
  EXPECT_EQ(to_text(lines("c").back().amount), "60");
  take_back("c2", {"inference", "a", Meter::output_tokens, Replacement{.quantity = 59}});
  EXPECT_EQ(test::must(costs_.reprice(call_, rest)).repriced, 1);
  EXPECT_EQ(to_text(lines("c").back().amount), "120");
  expect_sums_are_lines();
}

// What the ledger should have of a line, kept in the plainest way.
struct Expected {
  std::int64_t quantity = 0;
  Timestamp at;
  std::int64_t entry = 0;
  bool stands = true;
};

TEST_F(CallsTest, AgreesWithAPlainListThroughRandomPostsAndCorrections) {
  const std::vector<Meter> meters = {Meter::requests, Meter::prompt_tokens, Meter::output_tokens,
                                     Meter::cache_write_tokens, Meter::cached_prompt_tokens};
  for (const unsigned seed : {1u, 2u, 3u, 4u}) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto pick = [&](std::size_t below) { return random() % below; };
    // By (source, id, meter's name).
    std::map<std::tuple<std::string, std::string, std::string>, Expected> expected;
    const auto source_of = [&](std::size_t number) {
      return (number % 3 ? "source" : "other") + std::to_string(seed);
    };
    std::int64_t corrections = 0;
    for (int round = 0; round < 40; ++round) {
      const bool as_before = pick(4) == 0;
      std::vector<Usage> usages;
      std::int64_t is_new = 0;
      for (std::size_t calls = 1 + pick(20); calls > 0; --calls) {
        const std::size_t number = 10 + pick(60);
        const std::string at =
            "2026-11-0" + std::to_string(1 + pick(4)) + "T0" + std::to_string(pick(2)) + ":00:00Z";
        for (const Meter meter : meters) {
          if (pick(3) == 0) continue;
          Usage one = usage("id" + std::to_string(number), meter,
                            static_cast<std::int64_t>(pick(1000)), at);
          one.source = source_of(number);
          one.tenant = pick(5) ? "t1" : "t2";
          const auto [place, added] = expected.try_emplace(
              {one.source, one.id, std::string(name_of(meter))}, Expected{one.quantity, one.at});
          is_new += added ? 1 : 0;
          if (added || !as_before) usages.push_back(one);
        }
      }
      if (as_before)
        post_as_before(usages);
      else
        EXPECT_EQ(post(usages).posted, is_new);

      auto which = expected.begin();
      std::advance(which, pick(expected.size()));
      const auto& [source, id, name] = which->first;
      Meter meter{};
      ASSERT_TRUE(Kind<Meter>::hear(name, meter));
      CorrectedLine line{source, id, meter, {}};
      if (pick(2)) line.replacement = Replacement{.quantity = static_cast<std::int64_t>(pick(9))};
      const auto made =
          costs_.correct(call_, {.id = std::to_string(seed) + "c" + std::to_string(round),
                                 .reason = "a test",
                                 .lines = {line}});
      EXPECT_EQ(bool(made), which->second.stands);
      if (made) {
        ++corrections;
        which->second.entry += 2;
        which->second.stands = line.replacement.has_value();
        if (line.replacement) which->second.quantity = *line.replacement->quantity;
      }
    }
    EXPECT_GT(corrections, 20);

    // In the order of (at, source, id, meter), and by source in that of (id, meter).
    std::map<std::tuple<Timestamp, std::string, std::string, std::string>, std::string> by_time;
    std::map<std::string, std::vector<std::string>> by_source;
    std::map<std::string, std::size_t> known;
    for (const auto& [key, line] : expected) {
      const auto& [source, id, name] = key;
      ++known[source];
      if (!line.stands) continue;
      const std::string text = source + " " + id + " " + name + " " + std::to_string(line.entry) +
                               " " + std::to_string(line.quantity) + " " + to_rfc3339(line.at) +
                               " assistant";
      by_time[{line.at, source, id, name}] = text;
      by_source[source].push_back(text);
    }
    std::vector<std::string> all;
    for (const auto& [ignored, text] : by_time) all.push_back(text);

    std::vector<std::string> found;
    std::optional<store::Position> after;
    for (bool more = true; more;) {
      const auto limit = static_cast<std::int64_t>(1 + pick(9));
      std::vector<LedgerLine> page = standing(month_, end_, after, limit);
      ASSERT_LE(page.size(), static_cast<std::size_t>(limit));
      more = static_cast<std::int64_t>(page.size()) == limit;
      if (more) after = {page.back().at, page.back().source, page.back().id, page.back().meter};
      std::erase_if(page, [&](const LedgerLine& line) {
        return !line.source.ends_with(std::to_string(seed));
      });
      for (const LedgerLine& line : page) found.push_back(said(line));
    }
    EXPECT_EQ(found, all);
    for (const auto& [source, texts] : by_source) {
      EXPECT_EQ(said(standing_of(source, "", 100'000)), texts);
      const auto first = said(standing_of(source, "", 7));
      EXPECT_EQ(first, std::vector<std::string>(texts.begin(), texts.begin() + 7));
      std::vector<std::string> ids;
      for (int number = 0; number < 80; ++number) ids.push_back("id" + std::to_string(number));
      const std::vector<std::string_view> asked(ids.begin(), ids.end());
      std::set<std::tuple<std::string, std::string, std::string>> got;
      for (const auto& [id, meter] : test::must(db_->read(
               call_, [&](sql::Tx& tx) { return store::known(tx, call_.project, source, asked); })))
        got.insert({source, id, std::string(name_of(meter))});
      EXPECT_EQ(got.size(), known[source]);
      for (const auto& key : got) EXPECT_TRUE(expected.contains(key));
    }
    expect_sums_are_lines();
  }
}

TEST_F(CallsTest, PagesOverMoreThanAWalkReadsAtOnce) {
  // One line that was corrected more often than a walk reads rows at first.
  post({usage("b", Meter::requests, 1)});
  for (int time = 0; time < 100; ++time)
    take_back("c" + std::to_string(time),
              {"inference", "b", Meter::requests, Replacement{.quantity = time}});
  std::vector<Usage> usages;
  for (int call = 0; call < 300; ++call)
    for (const Meter meter : {Meter::requests, Meter::output_tokens})
      usages.push_back(usage((call % 2 ? "a" : "c") + std::to_string(call), meter, 1));
  post(usages);
  EXPECT_EQ(standing(month_, end_, {}, 100'000).size(), 601u);
  EXPECT_EQ(standing(month_, end_, {}, 5).size(), 5u);
  const auto middle =
      standing(month_, end_, store::Position{usages[0].at, "inference", "a99", Meter::requests}, 2);
  EXPECT_EQ(said(middle), (std::vector<std::string>{
                              "inference b requests 200 99 2026-11-02T10:30:00Z assistant",
                              "inference c0 output_tokens 0 1 2026-11-02T10:30:00Z assistant"}));
  EXPECT_EQ(standing_of("inference", "", 450).size(), 450u);
}

TEST(PackedLinesTest, SaysEveryLineAndEveryListOnce) {
  LinePacker packer;
  Usage one{.meter = Meter::prompt_tokens, .quantity = quantity_max};
  const Charge charge{.pricing = Pricing::priced,
                      .price = *money_from("0.000000000001"),
                      .per = 1'000'000,
                      .amount = *money_from("-12.5"),
                      .price_list = "price_list:a\"b\\@1",
                      .price_entry = 3};
  packer.add(one, 42, charge);
  one.meter = Meter::reranker_calls;
  packer.add(one, 0, {});
  one.meter = Meter::output_tokens;
  packer.add(one, 42, charge);
  one.meter = Meter::requests;
  Charge other = charge;
  other.price_list = "price_list:other@2";
  packer.add(one, 0, other);
  const std::string text = packer.take();
  EXPECT_EQ(text, R"({"prompt_tokens":[1000000000000000,42,"-12.5","0.000000000001",1000000,3,)"
                  R"("price_list:a\"b\\@1"],"reranker_calls":[1000000000000000,0],)"
                  R"("output_tokens":[1000000000000000,42,"-12.5","0.000000000001",1000000,3],)"
                  R"("requests":[1000000000000000,0,"-12.5","0.000000000001",1000000,3,)"
                  R"("price_list:other@2"]})");
  std::vector<LedgerLine> lines;
  unpack({.project = "p1", .id = "a"}, text, lines);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[2].project + lines[2].id + lines[2].price_list, "p1aprice_list:a\"b\\@1");
  EXPECT_EQ(lines[3].price_list, "price_list:other@2");
  EXPECT_EQ(to_text(lines[2].amount) + " " + to_text(lines[0].price), "-12.5 0.000000000001");
  EXPECT_EQ(lines[1].pricing, Pricing::unpriced);
  EXPECT_EQ(packed_meters(text), (std::vector{Meter::prompt_tokens, Meter::reranker_calls,
                                              Meter::output_tokens, Meter::requests}));
  one.meter = Meter::requests;
  packer.add(one, 0, {});
  EXPECT_EQ(packer.take(), R"({"requests":[1000000000000000,0]})");
}

TEST(PackedLinesTest, RefusesWhatItDidNotWrite) {
  for (const char* text :
       {"", "[]", "{", R"({"requests":1})", R"({"requests":[1]})", R"({"steps":[1,0]})",
        R"({"requests":[1,0,"x","1",1,0,"l"]})", R"({"requests":["1",0]})"}) {
    std::vector<LedgerLine> lines;
    EXPECT_ANY_THROW(unpack({}, text, lines)) << text;
  }
}

}  // namespace
}  // namespace penstock::costs
