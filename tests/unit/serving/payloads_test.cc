#include "serving/payloads.h"

#include <gtest/gtest.h>

#include "serving/classes.h"
#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using namespace std::chrono_literals;
using catalog::Classification;
using test::must;

class PayloadsTest : public ::testing::Test {
 protected:
  LiveRoute route(PayloadOptions options = {.sample = 1}) {
    LiveRoute route = world_.route({{"flight-delay", 1, weight_total, Arm::live}});
    route.declaration.payloads = options;
    route.classes = std::make_shared<const Classes>(
        Classes{.features = {Classification::internal, Classification::internal},
                .entities = {{"flight_id", Classification::internal}}});
    return route;
  }
  std::string infer(const std::string& flight) {
    auto answer = must(world_.gateway.infer(
        test::call(), {.route = "flight-delay", .rows = {{{"flight_id", flight}}}}));
    if (answer.after) answer.after();
    return answer.predictions.at(0).id;
  }
  Payload kept(const std::string& id, Timestamp until) {
    return {.id = id, .project = "p1", .route = "r", .until = until, .request = "q"};
  }

  test::TempDir directory_;
  test::World world_{directory_.path()};
  std::unique_ptr<sql::Database> db_ = test::database();
  Payloads payloads_{*db_, world_.gateway.payloads(), world_.clock};
};

TEST_F(PayloadsTest, KeepsWhatWasAskedAndAnsweredAndAuditsEveryLook) {
  world_.serve(route());
  const std::string id = infer("UA1");
  EXPECT_EQ(world_.events().at(0).payload, "payload:" + id);
  const Payload payload = must(payloads_.read(test::call(), {id}));
  EXPECT_EQ(payload.route, "flight-delay");
  EXPECT_EQ(payload.version, 1);
  EXPECT_NE(payload.request.find(R"("flight_id":"UA1")"), std::string::npos) << payload.request;
  EXPECT_NE(payload.request.find(R"("unknown":null)"), std::string::npos) << payload.request;
  EXPECT_NE(payload.answer.find("\"score\":0."), std::string::npos) << payload.answer;
  EXPECT_TRUE(payload.withheld.empty());
  EXPECT_EQ(payload.until - payload.at, Micros(24h * 30));
  EXPECT_EQ(test::count(*db_,
                        "audit_events WHERE action = 'serving.payload.read' AND subject = "
                        "'prediction:" +
                            id + "'"),
            1);
  EXPECT_EQ(payloads_.read(test::call(), {"nope"}).error().code, Code::not_found);
  Call other = test::call();
  other.project = "p2";
  EXPECT_EQ(payloads_.read(other, {id}).error().code, Code::not_found);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'serving.payload.read'"), 1);
}

TEST_F(PayloadsTest, LeavesOutWhatIsAboveItsClass) {
  auto live = route();
  live.classes = std::make_shared<const Classes>(
      Classes{.features = {Classification::confidential, Classification::open},
              .entities = {{"flight_id", Classification::restricted}}});
  world_.serve(live);
  const std::string id = infer("UA1-secret");
  const Payload payload = must(payloads_.read(test::call(), {id}));
  EXPECT_EQ(payload.withheld, (std::vector<std::string>{"entities.flight_id", "features.delay"}));
  EXPECT_EQ(json_text(payload).find("UA1-secret"), std::string::npos);
  EXPECT_NE(payload.request.find(R"("delay":null)"), std::string::npos);

  // It is erased by the key all the same.
  EXPECT_EQ(must(payloads_.erase(test::call(), {{{"flight_id", "UA1"}}, "asked"})).erased, 0);
  EXPECT_EQ(must(payloads_.erase(test::call(), {{{"flight_id", "UA1-secret"}}, "asked"})).erased,
            1);
  EXPECT_FALSE(payloads_.read(test::call(), {id}));
  EXPECT_FALSE(payloads_.erase(test::call(), {{}, "all of them?"}));
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'serving.payloads.erased'"), 2);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE detail LIKE '%UA1-secret%'"), 0);
}

TEST_F(PayloadsTest, KeepsTextsBelowItsClassAndWholeLetters) {
  LiveRoute live = route({.sample = 1, .max_bytes = 256});
  const InferenceEvent event{.id = "a", .project = "p1", .route = "flight-delay"};
  const std::string question(300, 'q'), answer = std::string(255, 'a') + "é";
  const Payload withheld = payload_of(live, event, question, answer);
  EXPECT_EQ(withheld.withheld, (std::vector<std::string>{"request", "answer"}));
  EXPECT_EQ(withheld.request + withheld.answer, "")
      << "callers' words are restricted until declared";
  live.declaration.input_class = Classification::internal;
  const Payload shown = payload_of(live, event, question, answer);
  EXPECT_EQ(shown.request, std::string(256, 'q'));
  EXPECT_EQ(shown.answer, std::string(255, 'a')) << "no half letter";
  EXPECT_TRUE(shown.cut);
}

TEST_F(PayloadsTest, SamplesCallsByTheirId) {
  world_.serve(route({.sample = 0.25}));
  int kept = 0;
  for (int i = 0; i < 1'000; ++i) infer("UA1");
  for (const InferenceEvent& event : world_.events()) kept += event.payload.empty() ? 0 : 1;
  EXPECT_NEAR(kept, 250, 70);  // 5 standard deviations
  world_.serve(route({.sample = 0}));
  infer("UA1");
  EXPECT_EQ(world_.events().back().payload, "");
}

TEST_F(PayloadsTest, ForgetsWhatIsOver) {
  ManualClock clock;
  PayloadLog log(world_.log(), clock);
  log.put(kept("short", clock.now() + 1h));
  log.put(kept("long", clock.now() + 24h * 30));
  must(log.flush());
  EXPECT_TRUE(must(log.find("p1", "short")));
  clock.advance(65min);
  EXPECT_FALSE(must(log.find("p1", "short"))) << "over, if not swept yet";
  const auto stored = [&](const std::string& id) {
    return must(world_.log().state("penstock.payloads", "p1/" + id)).has_value();
  };
  while (must(log.sweep())) {
  }
  EXPECT_TRUE(stored("short")) << "its day is not over";
  clock.advance(24h * 2);
  while (must(log.sweep())) {
  }
  EXPECT_FALSE(stored("short"));
  EXPECT_TRUE(must(log.find("p1", "long")));
  clock.advance(24h * 31);
  while (must(log.sweep())) {
  }
  EXPECT_FALSE(stored("long"));
}

TEST_F(PayloadsTest, WaitsForNothingAndDropsWhatIsTooMuch) {
  ManualClock clock;
  PayloadLog log(world_.log(), clock);
  for (std::size_t i = 0; i < PayloadLog::waiting_max + 10; ++i)
    log.put(kept(std::to_string(i), clock.now() + 1h));
  EXPECT_EQ(log.dropped(), 10);
  must(log.flush());
  Payload large = kept("large", clock.now() + 1h);
  large.request = std::string(20 << 20, 'x');
  log.put(large);
  log.put(large);
  EXPECT_EQ(log.dropped(), 11);
}

}  // namespace
}  // namespace penstock::serving
