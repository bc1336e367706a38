#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <thread>

#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using test::must;

class GatewayTest : public ::testing::Test {
 protected:
  InferRequest flight(const std::string& flight, const std::string& id = "") {
    return {.route = "flight-delay", .id = id, .rows = {{{"flight_id", flight}}}};
  }
  Prediction predict(const std::string& name, const std::string& id = "") {
    return must(world_.gateway.infer(test::call(), flight(name, id))).predictions.at(0);
  }

  test::TempDir directory_;
  test::World world_{directory_.path()};
};

TEST_F(GatewayTest, AnswersWithTheModelsScoreAndOneEvent) {
  world_.serve({{"flight-delay", 1, weight_total, Arm::live}});
  const Prediction made = predict("UA1");
  const double delay = static_cast<double>(std::hash<std::string>()("UA1") % 1000) / 250.0 - 2;
  EXPECT_NEAR(made.score, 1 / (1 + std::exp(-delay)), 1e-6);
  EXPECT_EQ(made.decision, made.score >= 0.4);

  const auto events = world_.events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].id, made.id);
  EXPECT_EQ(*events[0].score, made.score) << "read back bit for bit";
  EXPECT_EQ(events[0].features, (std::vector<std::optional<double>>{delay, std::nullopt}));
  EXPECT_EQ(events[0].oldest_feature_seconds, 60.0);
  EXPECT_EQ(events[0].unit, "UA1");
  EXPECT_EQ(events[0].release, "r1");
  EXPECT_EQ(events[0].assignment_probability, 1.0);
}

TEST_F(GatewayTest, RefusesWhatItCannotAnswer) {
  world_.serve({{"flight-delay", 1, weight_total, Arm::live}, {"flight-delay", 2, 0, Arm::shadow}});
  struct Case {
    std::string what;
    InferRequest request;
    Code code;
    std::string says;
  };
  const auto with = [&](auto change) {
    InferRequest request = flight("UA1");
    change(request);
    return request;
  };
  const Case cases[] = {
      {"unknown route", with([](auto& r) { r.route = "nope"; }), Code::not_found, "nope"},
      {"no rows", with([](auto& r) { r.rows.clear(); }), Code::invalid_argument, "no row"},
      {"missing key", with([](auto& r) { r.rows[0] = {}; }), Code::invalid_argument,
       "flight_id is missing"},
      {"extra key", with([](auto& r) { r.rows[0]["tail"] = "N1"; }), Code::invalid_argument,
       "tail is unknown"},
      {"long id", with([](auto& r) { r.id = std::string(201, 'x'); }), Code::invalid_argument,
       "200"},
      {"other version", with([](auto& r) { r.version = 7; }), Code::not_found, "version 7"},
      {"a shadow by name", with([](auto& r) { r.version = 2; }), Code::not_found, "version 2"},
      {"features away", flight("broken"), Code::unavailable, "away"},
      {"too many rows", with([](auto& r) { r.rows.resize(10'001); }), Code::invalid_argument,
       "10001"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const auto got = world_.gateway.infer(test::call(), c.request);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, c.code);
    EXPECT_NE(got.error().message.find(c.says), std::string::npos) << got.error().message;
  }
  Call other = test::call();
  other.project = "p2";
  EXPECT_FALSE(world_.gateway.infer(other, flight("UA1"))) << "a route of another project";
  const auto events = world_.events();
  ASSERT_EQ(events.size(), 1u) << "only what reached the route is an event";
  EXPECT_EQ(events[0].error, "unavailable");
  EXPECT_FALSE(events[0].score);
}

// Values of a request that the schema's transforms read come beside the join keys.
TEST_F(GatewayTest, PassesTheInputsOfARequestOn) {
  auto route = world_.route(
      {{"flight-delay", 1, 5'000, Arm::live}, {"flight-delay", 2, 5'000, Arm::canary}});
  route.declaration.unit = "";
  route.declaration.entity_keys = {"flight_id", "amount", "note"};
  route.features.inputs = {"amount", "note"};
  route.features.optional_inputs = {"note"};
  route.features.read = [](const Entities& entities, Timestamp) -> Result<FeatureRow> {
    if (entities.at("amount") == "much")
      return Error{Code::invalid_argument,
                   "input amount must be of type double",
                   {{"entities.amount", "must be of type double"}}};
    return FeatureRow{{std::stod(entities.at("amount")), std::nullopt}, {}};
  };
  world_.serve(route);
  std::set<std::int64_t> versions;
  for (int i = 0; i < 40; ++i) {
    InferRequest request{.route = "flight-delay"};
    request.rows.push_back({{"flight_id", "UA1"}, {"amount", std::to_string(i)}});
    if (i % 2) request.rows[0]["note"] = "x";
    versions.insert(must(world_.gateway.infer(test::call(), request)).predictions[0].version);
  }
  EXPECT_EQ(versions.size(), 1u) << "an entity keeps its arm whatever its requests say";
  EXPECT_EQ(world_.events().at(7).features[0], 7.0);

  InferRequest request{.route = "flight-delay", .rows = {{{"flight_id", "UA1"}}}};
  const auto missing = world_.gateway.infer(test::call(), request);
  ASSERT_FALSE(missing);
  EXPECT_EQ(test::faults_of(missing.error()).find("entities.amount is missing"), 0u)
      << test::faults_of(missing.error());
  request.rows[0]["amount"] = "much";
  const auto wrong = world_.gateway.infer(test::call(), request);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Code::invalid_argument);
  EXPECT_EQ(wrong.error().violations.at(0).field, "entities.amount");
}

TEST_F(GatewayTest, CallsThatMayHaveToWaitForTheLogAreNotBrief) {
  auto route = world_.route({{"flight-delay", 1, weight_total, Arm::live}});
  Deployment here = *route.targets[0].deployment;
  here.runtime_name = "onnx";
  route.targets[0].deployment = std::make_shared<const Deployment>(here);
  world_.serve(route);
  Telemetry small(world_.log(), world_.metrics, {.waiting_max = 4 * sizeof(InferenceEvent)});
  Gateway gateway(world_.table, small, world_.log(), world_.clock);
  EXPECT_TRUE(gateway.is_brief(test::call(), "flight-delay"));
  while (!small.is_crowded()) must(gateway.infer(test::call(), flight("UA1")));
  EXPECT_FALSE(gateway.is_brief(test::call(), "flight-delay"));
  must(small.flush(std::chrono::seconds(10)));
  EXPECT_TRUE(gateway.is_brief(test::call(), "flight-delay"));
}

TEST_F(GatewayTest, AnswersARepeatedIdAgainAndLogsItOnce) {
  world_.serve({{"flight-delay", 1, weight_total, Arm::live}});
  const Prediction first = predict("UA1", "call-1");
  world_.serve({{"flight-delay", 2, weight_total, Arm::live}});
  const Prediction second = predict("UA1", "call-1");
  EXPECT_EQ(second.version, 1) << "the stored decision, not a new one";
  EXPECT_EQ(second.score, first.score);
  EXPECT_TRUE(second.repeated);
  EXPECT_EQ(world_.events().size(), 1u);

  const auto misused = world_.gateway.infer(test::call(), flight("UA2", "call-1"));
  ASSERT_FALSE(misused);
  EXPECT_EQ(misused.error().code, Code::already_exists);

  EXPECT_FALSE(world_.gateway.infer(test::call(), flight("broken", "call-2")));
  EXPECT_FALSE(world_.gateway.infer(test::call(), flight("broken", "call-2")))
      << "an error is tried again";
  must(world_.telemetry.flush(std::chrono::seconds(10)));
  const auto events = world_.events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_TRUE(events[1].id.starts_with("call-2!"))
      << events[1].id << ": what a retry costs is not paid by what failed before it";
  EXPECT_NE(events[1].id, events[2].id);
}

TEST_F(GatewayTest, LogsRetriesThatRaceOnce) {
  world_.serve({{"flight-delay", 1, 5'000, Arm::live}, {"flight-delay", 2, 5'000, Arm::canary}});
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) predict("UA" + std::to_string(i), "call-" + std::to_string(i));
    });
  threads.clear();
  EXPECT_EQ(world_.events().size(), 100u);
}

TEST_F(GatewayTest, GivesEachRowOfABatchItsIdAndArm) {
  world_.serve({{"flight-delay", 1, 5'000, Arm::live}, {"flight-delay", 2, 5'000, Arm::canary}});
  InferRequest request{.route = "flight-delay", .id = "many"};
  for (int i = 0; i < 200; ++i) request.rows.push_back({{"flight_id", "UA" + std::to_string(i)}});
  const auto answer = must(world_.gateway.infer(test::call(), request));
  ASSERT_EQ(answer.predictions.size(), 200u);
  std::set<std::int64_t> versions;
  for (int i = 0; i < 200; ++i) {
    const Prediction& made = answer.predictions[static_cast<std::size_t>(i)];
    EXPECT_EQ(made.id, "many." + std::to_string(i));
    const Prediction alone = predict("UA" + std::to_string(i));
    EXPECT_EQ(alone.version, made.version) << "sticky, in company or alone";
    EXPECT_EQ(alone.score, made.score) << "the same bits, in company or alone";
    versions.insert(made.version);
  }
  EXPECT_EQ(versions.size(), 2u);
  EXPECT_TRUE(must(world_.gateway.infer(test::call(), request)).predictions[7].repeated);
  EXPECT_EQ(world_.events().size(), 400u);
}

TEST_F(GatewayTest, MirrorsToShadowsOnlyAfterTheAnswerAndNeverShowsThem) {
  world_.serve({{"flight-delay", 1, weight_total, Arm::live}, {"flight-delay", 2, 0, Arm::shadow}});
  auto answer = must(world_.gateway.infer(test::call(), flight("UA1", "call-1")));
  EXPECT_EQ(world_.events().size(), 1u) << "nothing of the shadow before the answer went out";
  ASSERT_TRUE(answer.after);
  answer.after();
  const auto events = world_.events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].id, "call-1.shadow.v2");
  EXPECT_EQ(events[1].mode, Mode::shadow);
  EXPECT_EQ(events[1].arm, Arm::shadow);
  EXPECT_EQ(events[1].version, 2);
  EXPECT_NE(events[1].score, events[0].score);
  EXPECT_EQ(events[1].features, events[0].features);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(predict("UA" + std::to_string(i)).version, 1);
}

TEST_F(GatewayTest, MirrorsNoMoreThanTheCapAtOnce) {
  auto route = world_.route(
      {{"flight-delay", 1, weight_total, Arm::live}, {"flight-delay", 2, 0, Arm::shadow}});
  route.declaration.shadow.max_concurrency = 2;
  world_.serve(route);
  std::vector<InferAnswer> waiting;
  for (int i = 0; i < 5; ++i)
    waiting.push_back(must(world_.gateway.infer(test::call(), flight("UA1"))));
  EXPECT_TRUE(waiting[0].after && waiting[1].after);
  EXPECT_FALSE(waiting[2].after || waiting[3].after || waiting[4].after);
  EXPECT_EQ(route.targets[1].counters->not_mirrored, 3);
  waiting[0].after();
  waiting.clear();  // the second was never run: its place is free again too
  EXPECT_TRUE(must(world_.gateway.infer(test::call(), flight("UA1"))).after);
}

TEST_F(GatewayTest, SamplesWhatItMirrors) {
  auto route = world_.route(
      {{"flight-delay", 1, weight_total, Arm::live}, {"flight-delay", 2, 0, Arm::shadow}});
  route.declaration.shadow.sample = 0.25;
  world_.serve(route);
  int mirrored = 0;
  for (int i = 0; i < 1'000; ++i)
    mirrored +=
        must(world_.gateway.infer(test::call(), flight("UA1", "id" + std::to_string(i)))).after ? 1
                                                                                                : 0;
  EXPECT_NEAR(mirrored, 250, 70);  // 5 standard deviations
}

TEST_F(GatewayTest, TakesTheModelsOwnInputs) {
  world_.serve({{"flight-delay", 1, weight_total, Arm::live}});
  infer::Tensor tensor{"features", "FP32", {2, 2}, std::string(16, '\0')};
  const auto answer = must(world_.gateway.infer(
      test::call(), {.route = "flight-delay", .unit = "u", .tensors = {tensor}}));
  ASSERT_EQ(answer.predictions.size(), 2u);
  EXPECT_EQ(answer.predictions[0].score, 0.5);
  ASSERT_EQ(answer.outputs.size(), 1u);
  EXPECT_EQ(answer.outputs[0].name, "score");
  tensor.shape = {2, 3};
  tensor.bytes.resize(24);
  const auto refused =
      world_.gateway.infer(test::call(), {.route = "flight-delay", .tensors = {tensor}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::invalid_argument);
}

TEST_F(GatewayTest, RowsOfOneCallAreOneRecordAndEachIsFoundByItsId) {
  world_.serve({{"flight-delay", 1, weight_total, Arm::live}});
  std::string bytes;
  std::vector<infer::Tensor> outputs;
  for (const float value : {0.5F, 1.0F, -1.0F, std::nanf(""), 0.1F, 7.0F})
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  const infer::Tensor tensor{"features", "FP32", {3, 2}, bytes};
  for (const std::string id : {"", "call"}) {
    SCOPED_TRACE(id);
    const std::int64_t before = must(world_.log().end(inference_topic));
    const auto answer = must(world_.gateway.infer(
        test::call(), {.route = "flight-delay", .id = id, .tensors = {tensor}}));
    must(world_.telemetry.flush(std::chrono::seconds(10)));
    EXPECT_EQ(must(world_.log().end(inference_topic)), before + 1);
    outputs = answer.outputs;
    for (std::size_t row = 0; row < 3; ++row) {
      const auto found =
          must(recorded(world_.log(), gateway_group, "p1", answer.predictions[row].id));
      ASSERT_TRUE(found);
      EXPECT_EQ(*found->score, answer.predictions[row].score) << "bit for bit";
      EXPECT_EQ(found->features[0], double{reinterpret_cast<const float*>(bytes.data())[row * 2]});
      EXPECT_EQ(found->features[1].has_value(), row != 1) << "NaN is missing";
    }
  }
  const auto again = must(world_.gateway.infer(
      test::call(), {.route = "flight-delay", .id = "call", .tensors = {tensor}}));
  EXPECT_TRUE(again.predictions[2].repeated);
  ASSERT_FALSE(outputs.empty());
  ASSERT_EQ(again.outputs.size(), outputs.size()) << "a retry may name the model's own outputs";
  EXPECT_EQ(again.outputs[0].bytes, outputs[0].bytes);

  world_.serve({{"flight-delay", 2, weight_total, Arm::live}});
  const auto later = must(world_.gateway.infer(
      test::call(), {.route = "flight-delay", .id = "call", .tensors = {tensor}}));
  EXPECT_EQ(later.predictions[0].version, 1) << "a release does not make a retry fail";
  EXPECT_EQ(later.predictions[0].score, again.predictions[0].score);
  ASSERT_EQ(later.outputs.size(), 1u);
  EXPECT_EQ(later.outputs[0].bytes, outputs[0].bytes);
  EXPECT_EQ(world_.events().size(), 6u) << "a retry is not logged again";

  // What was in memory is gone after a restart.
  Gateway restarted(world_.table, world_.telemetry, world_.log(), world_.clock);
  const auto ask = [&] {
    return must(restarted.infer(test::call(),
                                {.route = "flight-delay", .id = "call", .tensors = {tensor}}));
  };
  EXPECT_TRUE(ask().outputs.empty()) << "its version is out of service";
  world_.serve({{"flight-delay", 1, weight_total, Arm::live}});
  const auto made = ask();
  EXPECT_TRUE(made.predictions[0].repeated);
  ASSERT_EQ(made.outputs.size(), 1u);
  EXPECT_EQ(made.outputs[0].bytes, outputs[0].bytes);
  EXPECT_EQ(made.outputs[0].shape, outputs[0].shape);
  EXPECT_EQ(made.outputs[0].name, outputs[0].name);
  EXPECT_EQ(world_.events().size(), 6u) << "the score was the output: nothing ran";
}

// Outputs beyond the score are nowhere but in memory: a model that runs for them is paid.
TEST_F(GatewayTest, ARetryRunsAModelOnceMoreAtMostAndThatIsLogged) {
  const std::string path = directory_ / "two.onnx";
  std::ofstream(path, std::ios::binary) << test::two_outputs_model({1, 1});
  auto route = world_.route({{"flight-delay", 1, weight_total, Arm::live}});
  Deployment two = *route.targets[0].deployment;
  two.runtime = must(world_.runtime().load(path));
  route.targets[0].deployment = std::make_shared<const Deployment>(two);
  world_.serve(route);
  const infer::Tensor tensor{"features", "FP32", {1, 2}, std::string(8, '\0')};
  const InferRequest request{.route = "flight-delay", .id = "call", .tensors = {tensor}};
  const auto first = must(world_.gateway.infer(test::call(), request));
  ASSERT_EQ(first.outputs.size(), 2u);
  const auto same = [&](const InferAnswer& again) {
    EXPECT_TRUE(again.predictions.at(0).repeated);
    EXPECT_EQ(again.predictions.at(0).id, "call");
    ASSERT_EQ(again.outputs.size(), 2u);
    for (std::size_t at = 0; at < 2; ++at)
      EXPECT_EQ(again.outputs[at].bytes, first.outputs[at].bytes);
  };
  same(must(world_.gateway.infer(test::call(), request)));
  EXPECT_EQ(world_.events().size(), 1u);
  Gateway restarted(world_.table, world_.telemetry, world_.log(), world_.clock);
  for (int i = 0; i < 3; ++i) same(must(restarted.infer(test::call(), request)));
  const auto events = world_.events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_NE(events[1].id, "call");
  EXPECT_EQ(events[1].score, events[0].score);
}

// By the V2 protocol an id may be a mere tag, so one id with other data must not give an old score,
// and not run for nothing.
TEST_F(GatewayTest, OtherTensorsUnderAnIdAreACallOfTheirOwn) {
  world_.serve({{"flight-delay", 1, weight_total, Arm::live}});
  const auto ask = [&](float value, const std::string& tenant) {
    Call call = test::call();
    call.tenant = tenant;
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    const infer::Tensor tensor{"features", "FP32", {1, 2}, bytes};
    return must(world_.gateway.infer(call,
                                     {.route = "flight-delay", .id = "tag", .tensors = {tensor}}))
        .predictions.at(0);
  };
  const Prediction first = ask(0.5F, "t1"), other = ask(1.5F, "t1"), again = ask(0.5F, "t1");
  EXPECT_EQ(first.id, "tag");
  EXPECT_NE(other.id, "tag");
  EXPECT_FALSE(other.repeated);
  EXPECT_NE(other.score, first.score);
  EXPECT_TRUE(again.repeated);
  EXPECT_EQ(again.score, first.score);
  const Prediction theirs = ask(0.5F, "t2");
  EXPECT_FALSE(theirs.repeated) << "what one tenant asked is not told to another";
  EXPECT_NE(theirs.id, "tag");
  must(world_.telemetry.flush(std::chrono::seconds(10)));
  EXPECT_EQ(world_.events().size(), 3u);
}

TEST_F(GatewayTest, OtherRowsUnderAnIdAtTheSameTimeAreNotAnsweredByEachOther) {
  world_.serve({{"flight-delay", 1, weight_total, Arm::live}});
  std::atomic<int> answered = 0;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread)
      threads.emplace_back([&, thread] {
        for (int turn = 0; turn < 50; ++turn) {
          const float value = static_cast<float>(thread);
          std::string bytes(8, '\0');
          std::memcpy(bytes.data(), &value, sizeof value);
          const infer::Tensor tensor{"features", "FP32", {1, 2}, bytes};
          const auto answer = world_.gateway.infer(
              test::call(),
              {.route = "flight-delay", .id = "tag" + std::to_string(turn), .tensors = {tensor}});
          ASSERT_TRUE(answer) << answer.error().message;
          ++answered;
          const auto alone = must(
              world_.gateway.infer(test::call(), {.route = "flight-delay", .tensors = {tensor}}));
          EXPECT_EQ(answer->predictions.at(0).score, alone.predictions.at(0).score);
        }
      });
  }
  EXPECT_EQ(answered, 200);
  must(world_.telemetry.flush(std::chrono::seconds(10)));
  EXPECT_EQ(world_.events().size(), 2u * 200) << "each call is metered, under whatever id";
}

TEST_F(GatewayTest, TensorsUnderTheIdOfACallWithEntitiesAreACallOfTheirOwn) {
  world_.serve({{"flight-delay", 1, weight_total, Arm::live}});
  EXPECT_EQ(predict("UA1", "both").id, "both");
  const infer::Tensor tensor{"features", "FP32", {1, 2}, std::string(8, '\0')};
  const auto answer = must(world_.gateway.infer(
      test::call(), {.route = "flight-delay", .id = "both", .tensors = {tensor}}));
  EXPECT_NE(answer.predictions.at(0).id, "both");
  EXPECT_FALSE(answer.predictions.at(0).repeated);
  EXPECT_TRUE(predict("UA1", "both").repeated);
}

// G8: an open loop of callers over 1,000 swaps of the table. Each call is answered once, by a
// version that was in service, and logged once.
TEST_F(GatewayTest, LosesNothingAndAnswersNothingTwiceOverAThousandSwaps) {
  world_.serve({{"flight-delay", 1, weight_total, Arm::live}});
  world_.deployment(2);
  constexpr int callers = 4;
  std::atomic<bool> swapping = true;
  std::vector<std::vector<Prediction>> answers(callers);
  std::vector<std::jthread> threads;
  for (std::size_t caller = 0; caller < callers; ++caller)
    threads.emplace_back([&, caller] {
      for (int i = 0; swapping || i < 200; ++i) {
        const std::string id = std::to_string(caller) + "-" + std::to_string(i);
        answers[caller].push_back(predict("UA" + std::to_string(i % 50), id));
      }
    });
  for (int swap = 0; swap < 1'000; ++swap) {
    world_.serve({{"flight-delay", 1 + swap % 2, weight_total, Arm::live}});
    std::this_thread::yield();
  }
  swapping = false;
  threads.clear();

  std::map<std::string, InferenceEvent> logged;
  for (const InferenceEvent& event : world_.events())
    EXPECT_TRUE(logged.emplace(event.id, event).second) << event.id << " was logged twice";
  std::size_t answered = 0;
  for (const auto& of_caller : answers)
    for (const Prediction& made : of_caller) {
      ++answered;
      const auto event = logged.find(made.id);
      ASSERT_NE(event, logged.end()) << made.id << " was answered and not logged";
      EXPECT_EQ(event->second.version, made.version);
      EXPECT_EQ(event->second.score, made.score);
    }
  EXPECT_EQ(logged.size(), answered);
}

// A model whose measuring takes so long that another table comes meanwhile.
class SlowlyMeasured final : public infer::Model {
 public:
  explicit SlowlyMeasured(std::function<void()> meanwhile) : meanwhile_(std::move(meanwhile)) {}
  const std::vector<infer::TensorInfo>& inputs() const override { return none_; }
  const std::vector<infer::TensorInfo>& outputs() const override { return none_; }
  Result<std::vector<infer::Tensor>> run(const std::vector<infer::Tensor>&,
                                         const infer::RunLimits&) override {
    return std::vector<infer::Tensor>();
  }
  std::int64_t memory_bytes() const override {
    meanwhile_();
    return 1;
  }

 private:
  std::function<void()> meanwhile_;
  std::vector<infer::TensorInfo> none_;
};

TEST_F(GatewayTest, ATableStaysUntilItIsMeasured) {
  std::weak_ptr<const RoutingTable> measured;
  std::vector<bool> stands;
  const auto model = std::make_shared<SlowlyMeasured>([&] {
    world_.serve({{"flight-delay", 1, weight_total, Arm::live}});
    stands.push_back(!measured.expired());
  });
  LiveRoute route = world_.route({{"flight-delay", 1, weight_total, Arm::live}});
  route.targets[0].deployment = std::make_shared<const Deployment>(
      Deployment{.model = "flight-delay", .version = 1, .runtime = model});
  world_.serve(std::move(route));
  measured = world_.table.get();
  world_.gateway.measure(world_.metrics);
  EXPECT_EQ(stands, std::vector<bool>{true});
  EXPECT_TRUE(measured.expired());
}

}  // namespace
}  // namespace penstock::serving
