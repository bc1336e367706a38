#include "incidents/service.h"

#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace penstock::incidents {
namespace {

using test::must;

class IncidentsTest : public ::testing::Test {
 protected:
  Incident open(const std::string& key = "k") {
    clock_.advance(std::chrono::seconds(1));
    return must(service_.open(call_, {.dedup_key = key,
                                      .title = "t",
                                      .subject = "model:m@v1",
                                      .owner = "ml",
                                      .detail = {{"n", 1}}}));
  }
  Result<Incident> move(const std::string& id, Status to) {
    clock_.advance(std::chrono::seconds(1));
    return service_.move(call_, {.id = id, .status = to, .comment = "seen"});
  }
  std::string timeline(const std::string& id) {
    std::string text;
    for (const TimelineEntry& entry : must(service_.get(call_, {id})).timeline)
      text += entry.event + " ";
    return text;
  }

  const Call call_ = test::call();
  ManualClock clock_;
  std::unique_ptr<sql::Database> db_ = test::database();
  Service service_{*db_, clock_};
};

TEST_F(IncidentsTest, ARepeatCountsUpUntilItIsResolved) {
  const Incident first = open();
  EXPECT_EQ(open().id, first.id);
  EXPECT_EQ(open().occurrences, 3);
  EXPECT_NE(open("other").id, first.id);
  must(move(first.id, Status::acknowledged));
  EXPECT_EQ(open().id, first.id) << "someone looks at it already";
  const Incident resolved = must(move(first.id, Status::resolved));
  EXPECT_EQ(*resolved.resolved_at, clock_.now());
  EXPECT_EQ(timeline(first.id), "opened repeated repeated acknowledged repeated resolved ");
  const Incident again = open();
  EXPECT_NE(again.id, first.id) << "it came back";
  EXPECT_EQ(again.occurrences, 1);
  EXPECT_EQ(must(service_.list(call_, {.status = "open"})).incidents.size(), 2u);
}

TEST_F(IncidentsTest, GoesForwardOnly) {
  const std::string id = open().id;
  must(move(id, Status::resolved));
  for (const Status to : {Status::open, Status::acknowledged, Status::resolved})
    EXPECT_EQ(move(id, to).error().code, Code::failed_precondition);
  EXPECT_EQ(move("nobody", Status::resolved).error().code, Code::not_found);
}

TEST_F(IncidentsTest, AStormFillsNeitherTheTimelineNorHidesItsEnd) {
  const std::string id = open().id;
  for (int i = 0; i < 1'100; ++i) open();
  must(move(id, Status::resolved));
  const IncidentDetail detail = must(service_.get(call_, {id}));
  EXPECT_EQ(detail.incident.occurrences, 1'101);
  EXPECT_EQ(detail.timeline.size(), 1'001u);
  EXPECT_EQ(detail.timeline.back().event, "resolved");
  EXPECT_EQ(test::count(*db_, "audit_events"), 2) << "opened and resolved; repeats are counted";
}

TEST_F(IncidentsTest, StaysInItsProject) {
  const std::string id = open().id;
  Call other = call_;
  other.project = "p2";
  EXPECT_EQ(service_.get(other, {id}).error().code, Code::not_found);
  EXPECT_TRUE(must(service_.list(other, {})).incidents.empty());
  EXPECT_FALSE(service_.move(other, {.id = id, .status = Status::resolved}));
}

}  // namespace
}  // namespace penstock::incidents
