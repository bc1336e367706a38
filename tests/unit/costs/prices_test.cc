// Which price a line gets, and that it keeps it.
#include "tests/unit/costs/costs_fixture.h"

namespace penstock::costs {
namespace {

using PricesTest = CostsTest;

std::string file() {
  std::ifstream stream("tests/data/costs/model_prices_and_context_window.json");
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

TEST_F(PricesTest, TheNearestPriceWins) {
  prices(R"(
    {"meter": "output_tokens", "price": "1", "from": "2026-01-01", "per": 1},
    {"meter": "output_tokens", "price": "2", "from": "2026-01-01", "per": 1, "model": "gpt-4o"},
    {"meter": "output_tokens", "price": "3", "from": "2026-01-01", "per": 1, "model": "assistant"},
    {"meter": "output_tokens", "price": "4", "from": "2026-01-01", "per": 1, "tenant": "big"},
    {"meter": "output_tokens", "price": "5", "from": "2026-03-01", "until": "2026-04-01", "per": 1,
     "model": "assistant"})");
  struct Case {
    std::string what, tenant, model, upstream_model, at, amount;
  };
  const Case cases[] = {
      {"for all", "t1", "other", "other", "2026-11-02", "1"},
      {"by the upstream's name", "t1", "other", "gpt-4o", "2026-11-02", "2"},
      {"by our name first", "t1", "assistant", "gpt-4o", "2026-11-02", "3"},
      {"by the tenant before all", "big", "assistant", "gpt-4o", "2026-11-02", "4"},
      {"while it is in force", "t1", "assistant", "", "2026-03-31T23:59:59Z", "5"},
      {"until is not in it", "t1", "assistant", "", "2026-04-01", "3"},
  };
  for (const Case& c : cases) {
    Usage one = usage(c.what, Meter::output_tokens, 1, c.at);
    one.tenant = c.tenant;
    one.model = c.model;
    one.upstream_model = c.upstream_model;
    post({one});
    EXPECT_EQ(to_text(lines(c.what).at(0).amount), c.amount) << c.what;
  }
  post({usage("early", Meter::output_tokens, 1, "2025-12-31T23:59:59Z")});
  EXPECT_EQ(lines("early").at(0).pricing, Pricing::unpriced);
}

TEST_F(PricesTest, APostReadsTheListsThatAreInForceWhenItRuns) {
  const auto price_now = [&](const std::string& id) {
    post({usage(id, Meter::output_tokens, 1), usage(id, Meter::requests, 1)});
    const LedgerLine line = lines(id).at(0);
    return to_text(line.amount) + " " + line.price_list;
  };
  EXPECT_EQ(price_now("none"), "0 ");
  prices(R"({"meter": "output_tokens", "price": "1", "from": "2026-01-01", "per": 1})");
  EXPECT_EQ(price_now("a"), "1 price_list:standard@1");
  EXPECT_EQ(price_now("b"), "1 price_list:standard@1");
  prices(R"({"meter": "output_tokens", "price": "2", "from": "2026-01-01", "per": 1})");
  EXPECT_EQ(price_now("c"), "2 price_list:standard@2");
  apply(R"({"kind": "price_list", "name": "other", "owner": "finance", "currency": "USD",
            "prices": [{"meter": "output_tokens", "price": "3", "from": "2026-01-02", "per": 1}]})");
  EXPECT_EQ(price_now("d"), "3 price_list:other@1");
  // Another project has lists of its own.
  const Call elsewhere{.actor = "user:ana", .tenant = "t1", .project = "p2"};
  EXPECT_EQ(test::must(costs_.post(elsewhere, {usage("a", Meter::output_tokens, 1)})).unpriced, 1);
  EXPECT_EQ(price_now("e"), "3 price_list:other@1");
}

TEST_F(PricesTest, APriceThatWasRolledBackIsNobodysPrice) {
  prices(R"({"meter": "output_tokens", "price": "1", "from": "2026-01-01", "per": 1})");
  PriceBooks books;
  const auto price_in = [&](sql::Tx& tx) {
    const auto book = test::must(books.of(tx, call_));
    const Usage used = usage("a", Meter::output_tokens, 1);
    return to_text(*book->cost({used.meter, used.quantity, used.model}, {used.tenant, used.at}));
  };
  const auto declare = [&](sql::Tx& tx, const std::string& price) {
    resources::Resource list =
        test::must(resources::get(tx, call_.project, "price_list", "standard"));
    ++list.version;
    list.digest = "of " + price;
    list.declaration["prices"].as_array()[0].as_object()["price"] = price;
    return sql::insert(tx, "resources", list);
  };
  const auto undone = db_->write(call_, [&](sql::Tx& tx) -> Result<void> {
    TRY(declare(tx, "7"));
    EXPECT_EQ(price_in(tx), "7");
    return Error{Code::unavailable, "the disk is full"};
  });
  EXPECT_FALSE(undone);
  test::must(db_->write(call_, [&](sql::Tx& tx) -> Result<void> {
    EXPECT_EQ(price_in(tx), "1");
    TRY(declare(tx, "9"));  // version 2 again
    EXPECT_EQ(price_in(tx), "9");
    return {};
  }));
}

TEST_F(PricesTest, ALongPromptMakesTheWholeCallDearer) {
  prices(R"(
    {"meter": "prompt_tokens", "price": "1.25", "from": "2026-01-01", "per": 1000000},
    {"meter": "prompt_tokens", "price": "2.5", "from": "2026-01-01", "per": 1000000,
     "above_call_tokens": 200000},
    {"meter": "cached_prompt_tokens", "price": "0.1", "from": "2026-01-01", "per": 1000000},
    {"meter": "output_tokens", "price": "10", "from": "2026-01-01", "per": 1000000},
    {"meter": "output_tokens", "price": "15", "from": "2026-01-01", "per": 1000000,
     "above_call_tokens": 200000})");
  // Cached tokens are part of the prompt: 150,000 + 50,000 is at the edge, one more is above it.
  for (const auto& [id, cached] : {std::pair("edge", 50'000), std::pair("above", 50'001)})
    post({usage(id, Meter::prompt_tokens, 150'000), usage(id, Meter::cached_prompt_tokens, cached),
          usage(id, Meter::output_tokens, 1'000)});
  const auto amounts = [&](const std::string& id) {
    std::string text;
    for (const LedgerLine& line : lines(id)) text += to_text(line.amount) + " ";
    return text;
  };
  EXPECT_EQ(amounts("edge"), "0.005 0.01 0.1875 ");
  EXPECT_EQ(amounts("above"), "0.0050001 0.015 0.375 ");
  EXPECT_EQ(lines("above").at(2).price_entry, 1);
}

TEST_F(PricesTest, AMonthsVolumeMakesCheaperAndANewMonthBeginsAgain) {
  prices(R"(
    {"meter": "retrieval_calls", "price": "3", "from": "2026-01-01", "per": 1},
    {"meter": "retrieval_calls", "price": "2", "from": "2026-01-01", "per": 1,
     "above_month_quantity": 100})");
  post({usage("a", Meter::retrieval_calls, 60), usage("b", Meter::retrieval_calls, 60),
        usage("c", Meter::retrieval_calls, 1)});
  post(
      {usage("d", Meter::retrieval_calls, 1), usage("e", Meter::retrieval_calls, 1, "2026-12-01")});
  std::string amounts;
  for (const char* id : {"a", "b", "c", "d", "e"}) amounts += to_text(lines(id).at(0).amount) + " ";
  EXPECT_EQ(amounts, "180 180 2 2 3 ");
  Usage other = usage("f", Meter::retrieval_calls, 1);
  other.model = "another";  // has a month of its own
  post({other});
  EXPECT_EQ(to_text(lines("f").at(0).amount), "3");
}

TEST_F(PricesTest, ALineKeepsThePriceThatWasKnownWhenItWasPosted) {
  prices(R"({"meter": "requests", "price": "1", "from": "2026-01-01", "per": 1})");
  post({usage("a", Meter::requests, 1)});
  clock_.advance(std::chrono::hours(1));
  prices(R"({"meter": "requests", "price": "5", "from": "2026-01-01", "per": 1})");
  post({usage("b", Meter::requests, 1)});
  const LedgerLine a = lines("a").at(0), b = lines("b").at(0);
  EXPECT_EQ(to_text(a.amount) + " " + a.price_list, "1 price_list:standard@1");
  EXPECT_EQ(to_text(b.amount) + " " + b.price_list, "5 price_list:standard@2");
  EXPECT_EQ(b.posted_at - a.posted_at, std::chrono::hours(1));
  // The list as it was known before.
  const auto then = test::must(db_->read(call_, [&](sql::Tx& tx) {
    return PriceBook::read(tx, call_, clock_.now() - std::chrono::minutes(30));
  }));
  const std::vector<Usage> one{usage("c", Meter::requests, 3)};
  EXPECT_EQ(to_text(test::must(then.quote(one))), "3");
  const auto before = test::must(db_->read(call_, [&](sql::Tx& tx) {
    return PriceBook::read(tx, call_, clock_.now() - std::chrono::hours(9));
  }));
  EXPECT_EQ(before.quote(one).error().code, Code::failed_precondition);
}

TEST_F(PricesTest, RefusesListsThatCannotBeMeant) {
  const auto refused = [&](const std::string& price) {
    const auto got = try_apply(
        R"({"kind": "price_list", "name": "odd", "owner": "finance", "currency": "USD", "prices": [)" +
        price + "]}");
    return got ? std::string("taken") : test::faults_of(got.error());
  };
  const std::string begin = R"({"meter": "requests", "from": "2026-01-01", "per": 1, )";
  EXPECT_NE(refused(begin + R"("price": "1", "until": "2026-01-01"})").find("until must be after"),
            std::string::npos);
  EXPECT_NE(refused(begin + R"("price": "1001"})").find("prices[0].price"), std::string::npos);
  EXPECT_NE(refused(begin + R"("price": "1", "model": ""})").find("prices[0].model"),
            std::string::npos);
  EXPECT_NE(refused(begin + R"("price": "1", "above_call_tokens": -1})").find("above_call_tokens"),
            std::string::npos);
  prices(R"({"meter": "requests", "price": "1", "from": "2026-01-01", "per": 1})");
  const auto euro = try_apply(
      R"({"kind": "price_list", "name": "euro", "owner": "finance", "currency": "EUR", "prices": [)" +
      begin + R"("price": "1"}]})");
  ASSERT_FALSE(euro);
  EXPECT_NE(test::faults_of(euro.error()).find("must be USD"), std::string::npos);
}

TEST_F(PricesTest, ReadsLitellmsFileExactly) {
  const Timestamp from = *from_rfc3339("2026-11-01");
  const auto of = [&](const std::string& key, const std::string& model = "") {
    std::string text;
    for (const Price& price : test::must(litellm_prices(file(), {{key, model}}, from)))
      text += std::string(name_of(price.meter)) + " " + to_text(price.price) + "/" +
              std::to_string(price.per) +
              (price.above_call_tokens > 0 ? ">" + std::to_string(price.above_call_tokens) : "") +
              "\n";
    return text;
  };
  EXPECT_EQ(of("gpt-4o-mini"),
            "cached_prompt_tokens 0.075/1000000\nprompt_tokens 0.15/1000000\n"
            "output_tokens 0.6/1000000\nreasoning_tokens 0.6/1000000\nrequests 0/1\n");
  EXPECT_EQ(of("gemini/gemini-2.5-pro"),
            "cached_prompt_tokens 0.125/1000000\ncached_prompt_tokens 0.25/1000000>200000\n"
            "prompt_tokens 1.25/1000000\nprompt_tokens 2.5/1000000>200000\n"
            "output_tokens 10/1000000\noutput_tokens 15/1000000>200000\n"
            "reasoning_tokens 10/1000000\nreasoning_tokens 15/1000000>200000\nrequests 0/1\n");
  EXPECT_NE(of("claude-sonnet-4-5").find("cache_write_tokens 3.75/1000000\n"), std::string::npos);
  EXPECT_EQ(of("rerank-v3.5").find("reranker_calls 0.002/1\n"), of("rerank-v3.5").find("reranker"));
  EXPECT_NE(of("dashscope/qwen-flash").find("output_tokens 2/1000000>256000\n"), std::string::npos);
  EXPECT_EQ(test::must(litellm_prices(file(), {{"gemini/gemini-2.5-pro", ""}}, from))[0].model,
            "gemini-2.5-pro");
  EXPECT_EQ(test::must(litellm_prices(file(), {{"gpt-4o", "assistant"}}, from))[0].model,
            "assistant");
  EXPECT_NE(litellm_prices(file(), {{"gpt-4", ""}}, from).error().message.find("gpt-4o-mini"),
            std::string::npos);
  for (const char* bad : {"", "[]", "{", R"({"m": 3})", R"({"m": {"input_cost_per_token": "x"}})",
                          R"({"m": {"input_cost_per_token": -1e-6}})", R"({"m": {}})",
                          R"({"m": {"input_cost_per_token": 1e300}})",
                          R"({"m": {"tiered_pricing": [{"range": []}]}})"})
    EXPECT_FALSE(litellm_prices(bad, {{"m", ""}}, from)) << bad;
}

TEST_F(PricesTest, ANewFileKeepsTheOldPricesAndTheSameOneChangesNothing) {
  const auto first =
      test::must(litellm_prices(file(), {{"gpt-4o", ""}}, *from_rfc3339("2026-01-01")));
  EXPECT_EQ(merged(first, first).size(), first.size());
  const auto later =
      test::must(litellm_prices(file(), {{"gpt-4o", ""}}, *from_rfc3339("2026-06-01")));
  EXPECT_EQ(merged(first, later).size(), first.size());
  std::vector<Price> dearer = later;
  dearer[0].price = Money::whole(9);
  const auto both = merged(first, dearer);
  EXPECT_EQ(both.size(), first.size() + 1);
  EXPECT_EQ(merged(both, dearer).size(), both.size());
}

TEST_F(PricesTest, KnowsTheMostThatACallMayCost) {
  prices(R"(
    {"meter": "prompt_tokens", "price": "1", "from": "2026-01-01", "per": 1},
    {"meter": "prompt_tokens", "price": "2", "from": "2026-01-01", "per": 1, "above_call_tokens": 100},
    {"meter": "cached_prompt_tokens", "price": "0.5", "from": "2026-01-01", "per": 1},
    {"meter": "output_tokens", "price": "3", "from": "2026-01-01", "per": 1},
    {"meter": "output_tokens", "price": "9", "from": "2026-01-01", "per": 1, "above_call_tokens": 50},
    {"meter": "output_tokens", "price": "7", "from": "2026-01-01", "per": 1, "above_call_tokens": 100},
    {"meter": "reasoning_tokens", "price": "4", "from": "2026-01-01", "per": 1})");
  const auto book =
      test::must(db_->read(call_, [&](sql::Tx& tx) { return PriceBook::read(tx, call_); }));
  // Both parts of a prompt make it long; what no price covers adds nothing, as in the ledger.
  std::vector<Usage> call{usage("b", Meter::prompt_tokens, 60),
                          usage("b", Meter::cached_prompt_tokens, 60),
                          usage("b", Meter::output_tokens, 10), usage("b", Meter::requests, 1)};
  post(call);
  EXPECT_EQ(to_text(book.cost_of(call).value_or(Money{})), total());
  EXPECT_EQ(total(), "220");
  EXPECT_EQ(to_text(book.most_of(call).value_or(Money{})), "240") << "60 * 2 + 60 * 0.5 + 10 * 9";
  call[2].meter = Meter::cache_write_tokens;
  EXPECT_FALSE(book.most_of(std::vector{call[2]})) << "nobody knows";
  EXPECT_FALSE(book.cost_of(std::vector{call[2], call[3]}));
}

TEST_F(PricesTest, QuotesACallAsItWouldBePosted) {
  prices(R"(
    {"meter": "prompt_tokens", "price": "1", "from": "2026-01-01", "per": 1000},
    {"meter": "prompt_tokens", "price": "3", "from": "2026-01-01", "per": 1000,
     "above_call_tokens": 1000},
    {"meter": "output_tokens", "price": "7", "from": "2026-01-01", "per": 3})");
  const std::vector<Usage> call{usage("a", Meter::prompt_tokens, 1001),
                                usage("a", Meter::output_tokens, 10)};
  const auto book =
      test::must(db_->read(call_, [&](sql::Tx& tx) { return PriceBook::read(tx, call_); }));
  const Money quoted = test::must(book.quote(call));
  post(call);
  EXPECT_EQ(to_text(quoted), total());
  const std::vector<Usage> unknown{usage("b", Meter::gpu_microseconds, 1)};
  EXPECT_EQ(book.quote(unknown).error().code, Code::failed_precondition);
}

}  // namespace
}  // namespace penstock::costs
