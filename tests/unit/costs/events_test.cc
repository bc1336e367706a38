// Usage that other programs tell as CloudEvents.
#include "tests/unit/costs/costs_fixture.h"

namespace penstock::costs {
namespace {

class EventsTest : public CostsTest {
 protected:
  EventsTest() {
    prices(
        R"({"meter": "gpu_microseconds", "price": "2.5", "from": "2026-01-01", "per": 3600000000},
              {"meter": "human_review_seconds", "price": "36", "from": "2026-01-01", "per": 3600},
              {"meter": "retrieval_calls", "price": "0.001", "from": "2026-01-01", "per": 1})");
  }
  static json::value event(const std::string& type, const std::string& id,
                           const std::string& data) {
    return json::object{{"specversion", "1.0"},           {"type", type},
                        {"source", "scheduler"},          {"id", id},
                        {"time", "2026-11-03T04:05:06Z"}, {"subject", "t9"},
                        {"traceparent", "an extension"},  {"data", json::parse(data)}};
  }
  EventsOutput take(const std::vector<json::value>& events) {
    return test::must(costs_.post_events(call_, events));
  }
  std::string fault(const std::string& field, json::value value) {
    json::value wrong = event("gpu_hours", "x", R"({"value": 1})");
    if (value.is_null())
      wrong.as_object().erase(field);
    else
      wrong.as_object()[field] = std::move(value);
    const auto got = costs_.post_events(call_, {wrong});
    return got ? "taken" : test::faults_of(got.error());
  }
};

TEST_F(EventsTest, ReadsHoursMinutesAndCalls) {
  take({event("com.example.gpu_hours", "a", R"({"value": "0.5", "model": "m", "version": 3})"),
        event("gpu_seconds", "b", R"({"value": 1.5, "tenant": "t2"})"),
        event("penstock.human_review_minutes", "c", R"({"value": 10, "route": "chat"})"),
        event("penstock.retrieval_calls", "d", "{}")});
  const auto line = [&](const std::string& id) { return lines(id, "scheduler").at(0); };
  EXPECT_EQ(line("a").quantity, 1'800'000'000);
  EXPECT_EQ(to_text(line("a").amount), "1.25");
  EXPECT_EQ(line("a").tenant, "t9");
  EXPECT_EQ(line("a").version, 3);
  EXPECT_EQ(line("b").quantity, 1'500'000);
  EXPECT_EQ(line("b").tenant, "t2");
  EXPECT_EQ(line("c").quantity, 600);
  EXPECT_EQ(to_text(line("c").amount), "6");
  EXPECT_EQ(line("d").quantity, 1);
  EXPECT_EQ(to_rfc3339(line("d").at), "2026-11-03T04:05:06Z");
  EXPECT_EQ(line("d").mode, UsageMode::offline);
  expect_sums_are_lines();
}

TEST_F(EventsTest, TakesWhatADivisionGives) {
  take({event("gpu_hours", "a", R"({"value": 0.2777777777777778})"),
        event("gpu_hours", "b", R"({"value": 0.30000000000000004})"),
        event("gpu_seconds", "c", R"({"value": 1e-7})")});
  EXPECT_EQ(lines("a", "scheduler").at(0).quantity, 1'000'000'000) << "1,000 seconds";
  EXPECT_EQ(lines("b", "scheduler").at(0).quantity, 1'080'000'000);
  EXPECT_EQ(lines("c", "scheduler").at(0).quantity, 0);
}

TEST_F(EventsTest, NoHourHasMoreThanItsSumHolds) {
  const auto full = [&](const std::string& prefix, int count) {
    std::vector<json::value> batch;
    for (int i = 0; i < count; ++i)
      batch.push_back(event("gpu_seconds", prefix + std::to_string(i), R"({"value": 1000000000})"));
    return costs_.post_events(call_, batch);
  };
  EXPECT_EQ(full("a", 101).error().code, Code::invalid_argument) << "more than one post may have";
  EXPECT_EQ(test::must(full("b", 60)).posted, 60);
  const std::string before = total();
  const auto over = full("c", 41);
  ASSERT_FALSE(over);
  EXPECT_NE(over.error().message.find("the hour from 2026-11-03T04:00:00Z"), std::string::npos);
  EXPECT_EQ(total(), before) << "nothing of it was kept";
  EXPECT_EQ(take({event("gpu_seconds", "d", R"({"value": 1})")}).posted, 1) << "the hour goes on";
  expect_sums_are_lines();
}

TEST_F(EventsTest, NobodyOutsideSpeaksForOurMeters) {
  Usage forged{.source = "inference",
               .id = "my-own-call",
               .meter = Meter::requests,
               .at = *from_rfc3339("2026-11-03"),
               .tenant = "t1"};
  for (const char* source : {"inference", "inference.node", "training", "share:gpu"}) {
    forged.source = source;
    const auto got = costs_.post_outside(call_, {forged});
    ASSERT_FALSE(got) << source;
    EXPECT_NE(test::faults_of(got.error()).find("usages[0].source"), std::string::npos);
  }
  forged.source = "notebook";
  EXPECT_TRUE(costs_.post_outside(call_, {forged}));
  forged.meter = Meter::shared_cost;
  EXPECT_FALSE(costs_.post_outside(call_, {forged}));
}

TEST_F(EventsTest, CountsASourcesIdOnceWhateverItSays) {
  const auto first = event("gpu_hours", "a", R"({"value": 1})");
  EXPECT_EQ(take({first, first}).posted, 1);
  const auto other =
      take({event("retrieval_calls", "a", "{}"), first, event("retrieval_calls", "b", "{}")});
  EXPECT_EQ(other.posted, 1);
  EXPECT_EQ(other.repeated, 2);
  EXPECT_EQ(total(), "2.501");
}

TEST_F(EventsTest, KeepsTheGoodOnesOfAHalfBadBatch) {
  const auto out = take({event("gpu_hours", "a", R"({"value": 1})"), json::value("nothing"),
                         event("gpu_hours", "b", R"({"value": "much"})"),
                         event("gpu_hours", "c", R"({"value": 1, "colour": "red"})"),
                         event("gpu_hours", "d", R"({"value": 2})")});
  EXPECT_EQ(out.posted, 2);
  ASSERT_EQ(out.rejected.size(), 3u);
  EXPECT_EQ(out.rejected[0].index, 1);
  EXPECT_EQ(out.rejected[1].id, "b");
  EXPECT_NE(out.rejected[1].problem.find("data.value must be a number"), std::string::npos);
  EXPECT_NE(out.rejected[2].problem.find("data.colour"), std::string::npos);
  EXPECT_EQ(total(), "7.5");
  const auto none = costs_.post_events(call_, {json::value(1), json::value(2)});
  EXPECT_EQ(none.error().violations.size(), 2u);
  EXPECT_EQ(none.error().violations[1].field, "[1].event");
}

TEST_F(EventsTest, SaysWhatIsWrongWithAnEvent) {
  struct Case {
    std::string field;
    json::value value;
    std::string says;
  };
  const Case cases[] = {
      {"specversion", "0.3", "specversion must be \"1.0\""},
      {"specversion", nullptr, "specversion is missing"},
      {"type", "com.example.colours", "type must end in a meter"},
      {"type", "shared_cost", "type must end in a meter"},
      {"id", "", "id must be a text"},
      {"id", json::string(201, 'x'), "id must be a text"},
      {"id", json::string("a\0b", 3), "id must have no zero byte"},
      {"data", json::object{{"value", 1}, {"model", json::string("a\0b", 3)}},
       "data.model must have no zero byte"},
      {"source", 3, "source must be a text"},
      {"source", "inference", "source must not be"},
      {"source", "share:1", "source must not be"},
      {"time", "yesterday", "time must be RFC 3339"},
      {"time", "2026-11-22T12:00:00Z", "time must be from 1970"},
      {"time", "1969-11-22T12:00:00Z", "time must be from 1970"},
      {"datacontenttype", "text/xml", "datacontenttype must be application/json"},
      {"data_base64", "e30=", "data_base64 is not read"},
      {"data", json::object{}, "data.value must be a number"},
      {"data", json::object{{"value", -1}}, "data.value must be a number"},
      {"data", json::object{{"value", "0.0000000000001"}}, "data.value must be a number"},
      {"data", json::object{{"value", 277'778}}, "data.value must be a number"},
      {"data", json::object{{"value", 1e300}}, "data.value must be a number"},
      {"data", "text", "data.body must be an object"},
      {"data", json::object{{"value", 1}, {"version", -1}}, "data.version must be at least 0"},
  };
  for (const Case& c : cases)
    EXPECT_NE(fault(c.field, c.value).find(c.says), std::string::npos)
        << c.field << ": " << fault(c.field, c.value);
  EXPECT_EQ(fault("time", nullptr), "taken");
}

TEST_F(EventsTest, HasALimitForABatch) {
  std::vector<json::value> many(events_max + 1, event("retrieval_calls", "a", "{}"));
  EXPECT_EQ(costs_.post_events(call_, many).error().code, Code::invalid_argument);
  EXPECT_EQ(costs_.post_events(call_, {}).error().code, Code::invalid_argument);
  many.pop_back();
  EXPECT_EQ(take(many).repeated, static_cast<std::int64_t>(events_max) - 1);
}

}  // namespace
}  // namespace penstock::costs
