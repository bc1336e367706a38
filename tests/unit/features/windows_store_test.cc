// Windowed views in the online store: pushes, crashes, changed sources, and what verify finds.
#include <thread>

#include "features/codec.h"
#include "features/windows/entity.h"
#include "tests/unit/features/windows_fixture.h"

namespace penstock::features {
namespace {

// A store that dies: after so many writes, none comes through.
class Dying final : public kv::Store {
 public:
  Dying(kv::Store& inner, int writes) : inner_(inner), left_(writes) {}
  Result<std::optional<std::string>> get(std::string_view key) override { return inner_.get(key); }
  Result<std::vector<std::optional<std::string>>> multi_get(
      const std::vector<std::string>& keys) override {
    return inner_.multi_get(keys);
  }
  Result<void> write(const kv::Batch& batch, kv::Durability durability) override {
    if (left_-- <= 0) return Error{Code::unavailable, "killed"};
    return inner_.write(batch, durability);
  }
  Result<std::vector<std::size_t>> swap(const std::vector<kv::Swap>& swaps,
                                        kv::Durability durability) override {
    if (left_-- <= 0) return Error{Code::unavailable, "killed"};
    return inner_.swap(swaps, durability);
  }
  Result<void> scan(std::string_view begin, std::string_view end,
                    const std::function<bool(std::string_view, std::string_view)>& visit) override {
    return inner_.scan(begin, end, visit);
  }

 private:
  kv::Store& inner_;
  int left_;
};

class WindowsStoreTest : public WindowsTest {
 protected:
  Result<PushOutput> push(std::vector<json::object> rows) {
    return features_.push(ana_, {.view = "place_windows", .rows = std::move(rows)});
  }
  static json::object event(std::int64_t time, double heat) {
    return {{"place", "a"}, {"seen", to_rfc3339(at(time))}, {"heat", heat}};
  }
  Scalar count(std::int64_t t) { return read_windows(features_, "a", t).values[0]; }

  // 3,500 places, of which each has 4 events, one at each of 0, 100, 200 and 300.
  void given_many(const std::string& where = "true") {
    run("COPY (SELECT 'p' || (i % 3500) AS place, i % 7 AS sensor, TIMESTAMP '2020-09-13 12:26:40' "
        "+ "
        "to_seconds(100 * (i // 3500)) AS seen, CAST(NULL AS TIMESTAMP) AS created, CAST(i AS "
        "DOUBLE) / 8 AS heat, 'n' || (i % 3) AS note FROM range(14000) AS t(i) WHERE " +
        where + ") TO '" + folder_ / "readings.parquet" + "' (FORMAT parquet)");
  }
  VerifyOutput verified() {
    return test::must(features_.verify(ana_, {.name = "place_windows", .sample = 10'000}));
  }
  void expect_whole(std::int64_t entities) {
    const VerifyOutput out = verified();
    EXPECT_EQ(out.entities, entities);
    EXPECT_EQ(out.values, entities * static_cast<std::int64_t>(asked().size()));
    EXPECT_EQ(out.differing, 0) << (out.differing ? out.differences[0].cause : "");
  }
};

TEST_F(WindowsStoreTest, IsTakenUpAgainWhereverItWasCutOff) {
  given_many();
  int cut = 0;
  for (int writes = 0; writes < 18; ++writes) {
    SCOPED_TRACE(std::to_string(writes) + " writes");
    Dying dying(rocks_->store(), writes);
    const auto service = another(dying);
    const auto first = service->materialize(ana_, {.until = at(100)});
    const auto second = first ? service->materialize(ana_, {.until = at(250)})
                              : Result<MaterializeOutput>(first.error());
    cut += second ? 0 : 1;
    // The next call goes less far than the one that was cut off, or as far.
    materialize(writes % 3 == 0 ? 120 : 250);
    materialize(250);
    expect_whole(3500);
    EXPECT_EQ(read_windows(features_, "p7", 250).values[0], Scalar(std::int64_t{3}));
    kv::Batch all;
    test::must(rocks_->store().scan("", "", [&](std::string_view key, std::string_view) {
      all.erase(std::string(key));
      return true;
    }));
    test::must(rocks_->store().write(all, kv::Durability::process));
  }
  EXPECT_GT(cut, 7);
  EXPECT_LT(cut, 18);
}

TEST_F(WindowsStoreTest, WritesAnewWhatDiffersWhereverItIsCutOff) {
  int cut = 0;
  for (int writes = 0; writes < 9; ++writes) {
    SCOPED_TRACE(std::to_string(writes) + " writes");
    const std::int64_t now = 1'000 * (writes + 1);
    given_many();
    materialize(now);
    given_many("i % 3500 <> 17 AND NOT (i % 10 = 3 AND i < 3500)");
    Dying dying(rocks_->store(), writes);
    cut += another(dying)->materialize(ana_, {.until = at(now + 100)}) ? 0 : 1;
    const bool back = writes % 2 == 1;
    if (back) given_many();  // and what had been is there again
    materialize(now + 200);
    expect_whole(back ? 3500 : 3499);
    EXPECT_EQ(read_windows(features_, "p17", now + 300).statuses[0],
              back ? Status::PRESENT : Status::NOT_FOUND);
    EXPECT_EQ(read_windows(features_, "p3", now + 300).values[16],
              Scalar(std::int64_t{back ? 4 : 3}));
  }
  EXPECT_GT(cut, 3);
  EXPECT_LT(cut, 9);
}

TEST_F(WindowsStoreTest, WritesOnlyWhatDiffers) {
  given_many();
  EXPECT_EQ(materialize(250), 10'500);
  given_many("i <> 1200");
  EXPECT_EQ(materialize(251), 1);
  EXPECT_EQ(materialize(300), 3'500);
}

TEST_F(WindowsStoreTest, CountsAPushedEventOnce) {
  given({{"a", 1, 0, {}, 2.0, "x"}});
  EXPECT_EQ(test::must(push({event(10, 1)})).written, 1);  // nothing was materialized yet
  EXPECT_EQ(count(10), Scalar(std::int64_t{1}));
  EXPECT_EQ(read_windows(features_, "a", 9).from_future, 1);
  given({{"a", 1, 0, {}, 2.0, "x"}, {"a", {}, 10, {}, 1.0, {}}});
  EXPECT_EQ(materialize(20), 2);
  EXPECT_EQ(count(20), Scalar(std::int64_t{2}));  // the sources hold it now
  EXPECT_EQ(test::must(push({event(10, 1), event(20, 3)})).ignored, 2);
  EXPECT_EQ(count(20), Scalar(std::int64_t{2}));

  auto same = event(30, 5);
  EXPECT_EQ(test::must(push({same, same})).written, 1);
  EXPECT_EQ(test::must(push({same})).ignored, 1);
  same["event_id"] = "one";
  EXPECT_EQ(test::must(push({same})).written, 1);  // another event: it says so
  same["heat"] = 6;
  EXPECT_EQ(test::must(push({same})).ignored, 1);  // the same one, whatever it says
  EXPECT_EQ(count(30), Scalar(std::int64_t{4}));
  EXPECT_EQ(verified().differing, 0);
  materialize(29);
  EXPECT_EQ(count(30), Scalar(std::int64_t{4}));
  materialize(30);  // what the sources do not hold by then is gone
  EXPECT_EQ(count(30), Scalar(std::int64_t{2}));
  EXPECT_EQ(test::must(push({event(30, 5)})).ignored, 1);
}

// As servers do that share a store.
TEST_F(WindowsStoreTest, LosesNoEventThatSeveralPushAtOnce) {
  {
    std::vector<std::jthread> threads;
    for (int server = 0; server < 4; ++server)
      threads.emplace_back([&, server] {
        const auto one = another(rocks_->store());
        for (int i = 0; i < 25; ++i) {
          const auto out = one->push(
              ana_, {.view = "place_windows", .rows = {event(10 + i, 100.0 * server + i)}});
          ASSERT_TRUE(out) << out.error().message;
          EXPECT_EQ(out->written, 1);
        }
      });
  }
  EXPECT_EQ(count(40), Scalar(std::int64_t{100}));
}

TEST_F(WindowsStoreTest, TakesNumbersAndTruthAsTheColumnsWantThem) {
  json::object row = event(10, 0);
  row["heat"] = 3;  // a whole number for a double
  row["hot"] = true;
  row["number"] = 4;
  EXPECT_EQ(test::must(push({row})).written, 1);
  const auto values = read_windows(features_, "a", 10).values;
  EXPECT_EQ(values[3], Scalar(3.0));
  EXPECT_EQ(values[4], Scalar(std::int64_t{4}));
  EXPECT_EQ(values[11], Scalar(1.0));
  EXPECT_EQ(values[15], Scalar(1.0));
  struct Case {
    const char* field;
    json::value value;
    const char* fault;
  };
  const Case cases[] = {
      {"heat", "warm", "rows[0].heat must be of type double"},
      {"number", 1.5, "rows[0].number must be of type bigint"},
      {"hot", 1, "rows[0].hot must be of type"},
      {"note", json::array{1}, "rows[0].note must be"},
      {"event_id", 7, "rows[0].event_id must be a text"},
      {"total", 7, "rows[0].total is no column of the view"},
  };
  for (const Case& c : cases) {
    json::object bad = event(20, 1);
    bad[c.field] = c.value;
    const auto out = push({bad});
    ASSERT_FALSE(out) << c.field;
    EXPECT_NE(test::faults_of(out.error()).find(c.fault), std::string::npos)
        << test::faults_of(out.error());
  }
  EXPECT_EQ(count(20), Scalar(std::int64_t{1}));
}

TEST_F(WindowsStoreTest, HoldsSoManyPushedEventsOfAnEntity) {
  std::vector<json::object> rows;
  for (std::size_t i = 0; i < windows::pushed_max; ++i)
    rows.push_back(event(1 + static_cast<std::int64_t>(i % 50), static_cast<double>(i)));
  EXPECT_EQ(test::must(push(rows)).written, static_cast<std::int64_t>(windows::pushed_max));
  EXPECT_EQ(test::must(push(rows)).ignored, static_cast<std::int64_t>(windows::pushed_max));
  const auto more = push({event(60, 1), {{"place", "b"}, {"seen", to_rfc3339(at(60))}}});
  EXPECT_EQ(more.error().code, Code::resource_exhausted);
  EXPECT_NE(more.error().message.find("features materialize"), std::string::npos);
  EXPECT_EQ(read_windows(features_, "b", 70).statuses[0], Status::NOT_FOUND);
  materialize(20);
  EXPECT_EQ(test::must(push({event(60, 1)})).written, 1);
}

TEST_F(WindowsStoreTest, KeepsToTheTtl) {
  test::must(apply(windowed_view("ttl: 200s\n")));
  given({{"a", 1, 0, {}, 2.0, "x"}});
  materialize(50);
  EXPECT_EQ(read_windows(features_, "a", 200).statuses[0], Status::PRESENT);
  EXPECT_EQ(read_windows(features_, "a", 200).oldest, at(0));
  EXPECT_EQ(read_windows(features_, "a", 201).statuses[0], Status::OUTSIDE_MAX_AGE);
  run("COPY (SELECT 'a' AS place, unnest([TIMESTAMP '2020-09-13 12:30:00', TIMESTAMP '2020-09-13 "
      "12:30:01']) AS event_time) TO '" +
      folder_ / "rows.parquet" + "' (FORMAT parquet)");
  const auto out = test::must(features_.historical(
      ana_, {.entity_path = folder_ / "rows.parquet", .features = {"place_windows:n"}}));
  const auto found = rows("SELECT n FROM read_parquet(" + olap::quoted_text(out.uri) + ")");
  EXPECT_EQ(found, (std::vector<std::vector<Scalar>>{{Scalar(std::int64_t{1})}, {Scalar{}}}));
}

TEST_F(WindowsStoreTest, FindsWhatIsBroken) {
  given({{"a", 1, 0, {}, 2.0, "x"}, {"b", 1, 5, {}, 2.0, "x"}, {"c", 1, 6, {}, 2.0, "x"}});
  EXPECT_EQ(features_.verify(ana_, {.name = "place_windows"}).error().code,
            Code::failed_precondition);
  materialize(10);
  EXPECT_EQ(verified().differing, 0);
  const auto view = test::must(features_.open_schema(ana_, "windows_v1"))->views[0];
  const auto key = [&](const char* place) { return row_key(*view, {place}); };
  auto& store = rocks_->store();
  kv::Batch batch;
  batch.erase(key("a"));
  batch.put(key("b"), *test::must(store.get(key("c"))));
  batch.put(key("d"), *test::must(store.get(key("c"))));
  test::must(store.write(batch, kv::Durability::process));
  std::set<std::string> found;
  for (const auto& d : verified().differences) found.insert(d.entity + "|" + d.cause.substr(0, 26));
  EXPECT_EQ(found,
            (std::set<std::string>{"a|lost: there are no online ", "b|lost: the newest event is ",
                                   "d|lost: offline has no such "}));
  batch = {};
  batch.put(key("a"), test::must(store.get(key("c")))->substr(0, 40));
  test::must(store.write(batch, kv::Durability::process));
  const auto handle = test::must(features_.open_schema(ana_, "windows_v1"));
  EXPECT_EQ(features_.read(*handle, {{"place", "a"}}, at(20)).error().code, Code::data_loss);
}

}  // namespace
}  // namespace penstock::features
