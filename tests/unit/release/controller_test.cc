// What evidence does to a release, and what it must not do.
#include "tests/unit/release/release_fixture.h"

namespace penstock::release {
namespace {

TEST_F(ReleaseTest, TheFirstVersionIsCarriedByItsApproval) {
  const std::string id = must(create(1, plan())).id;
  EXPECT_EQ(stored(), "");
  must(service_.approve(bo_, {.id = id}));
  EXPECT_EQ(state(id), State::watch);
  EXPECT_EQ(served(), "v1 10000 live; ");
  play(id, 49);
  EXPECT_EQ(state(id), State::watch);
  play(id, 1);
  EXPECT_EQ(state(id), State::closed);
  EXPECT_EQ(status(1), registry::Status::live);
}

TEST_F(ReleaseTest, AnEqualVersionGoesThroughEveryStageOnProofAlone) {
  first();
  const std::string id = start(2);
  std::vector<std::string> seen;
  for (int i = 0; i < 400 && has_traffic(state(id)); ++i) {
    const std::string now = std::string(name_of(state(id))) + " " + served();
    EXPECT_EQ(served(), stored());
    if (seen.empty() || seen.back() != now) seen.push_back(now);
    restart();  // every turn by a controller that remembers nothing
    play(id, 100);
  }
  EXPECT_EQ(seen,
            (std::vector<std::string>{
                "shadow v1 10000 live; v2 0 shadow; ", "canary v1 8000 live; v2 2000 canary; ",
                "canary v1 5000 live; v2 5000 canary; ", "bake v1 5000 live; v2 5000 canary; ",
                "watch v2 10000 live; "}));
  EXPECT_EQ(state(id), State::closed);
  EXPECT_EQ(status(1), registry::Status::retired);
  EXPECT_EQ(status(2), registry::Status::live);
  const Replayed again = must(service_.replay(ana_, {id}));
  EXPECT_TRUE(again.same) << again.fault;
  EXPECT_GT(again.looks, 3);
  EXPECT_TRUE(incidents().empty());
}

TEST_F(ReleaseTest, AWorseVersionIsRolledBackWithAnIncident) {
  first();
  const std::string id = start(2);
  EXPECT_EQ(play_out(id, {.live = 0.02, .canary = 0.2}), State::rolled_back);
  EXPECT_EQ(stored(), "v1 10000 live; ");
  EXPECT_EQ(served(), stored());
  EXPECT_EQ(status(2), registry::Status::rolled_back);
  const auto found = incidents();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].subject, "model:flight-delay@v2");
  EXPECT_NE(found[0].title.find("guard \"errors\" is harmful"), std::string::npos);
  EXPECT_TRUE(must(service_.replay(ana_, {id})).same);
}

TEST_F(ReleaseTest, LabelsThatComeLateRollBackToo) {
  first();
  const std::string id =
      start(2, plan({{.name = "mistakes", .quantity = Quantity::wrong, .safe_ratio = 2}}));
  EXPECT_EQ(play_out(id, {.live = 0.05, .canary = 0.4, .of_labels = true}), State::rolled_back);
}

TEST_F(ReleaseTest, HarmIsSeenAfterThePromotionAsWell) {
  first();
  Plan with = plan();
  with.bake.calls = 100'000;
  const std::string id = start(2, with);
  for (int i = 0; i < 400 && state(id) != State::bake; ++i) play(id, 100);
  ASSERT_EQ(state(id), State::bake);
  EXPECT_EQ(play_out(id, {.live = 0.02, .canary = 0.3}), State::rolled_back);
}

// Servers of one database have each a log of their own: a release counts the calls of all.
TEST_F(ReleaseTest, CallsOfEveryServerCount) {
  first();
  const std::string id = start(2);
  play(id, 15);
  ASSERT_EQ(state(id), State::shadow);
  test::TempDir folder;
  const auto theirs = must(rocksdb::open(folder / "theirs"));
  serving::EventReader events(theirs->log());
  Controller other(service_, *db_, events, serving_, clock_, "two");
  must(other.begin());
  std::vector<serving::InferenceEvent> calls;
  for (int i = 0; i < 10; ++i) {
    serving::InferenceEvent& event = calls.emplace_back();
    event.id = "theirs-" + std::to_string(i);
    event.at = event.event_time = clock_.now();
    event.project = "p1";
    event.route = event.model = "flight-delay";
    event.release = id;
    event.version = 2;
    event.arm = serving::Arm::shadow;
    event.mode = serving::Mode::shadow;
  }
  must(serving::record(theirs->log(), calls));
  while (must(other.advance())) {
  }
  EXPECT_EQ(state(id), State::canary);
  EXPECT_EQ(must(other.position(serving::inference_topic)), 10);
}

TEST_F(ReleaseTest, NothingIsPromotedWithoutCalls) {
  first();
  const std::string id = start(2);
  play(id, 100);
  ASSERT_EQ(state(id), State::canary);
  for (int i = 0; i < 50; ++i) turn();
  EXPECT_EQ(state(id), State::canary);
  EXPECT_EQ(must(service_.get(ana_, {id})).guards.at(0).verdict, "no_data");
}

TEST_F(ReleaseTest, NothingIsPromotedOnCallsThatAreNotBad) {
  first();
  const std::string id = start(2);
  EXPECT_EQ(play_out(id, {.live = 0, .canary = 0}, 40), State::canary) << "nothing bad, no proof";
}

// The split that was measured is not the split that was set: the counts prove nothing then.
TEST_F(ReleaseTest, AnUnfairSplitStopsForAPerson) {
  first();
  const std::string id = start(2);
  EXPECT_EQ(play_out(id, {.honest = 0.3}, 100), State::canary);
  EXPECT_TRUE(get(id).paused);
  ASSERT_EQ(incidents().size(), 1u);
  EXPECT_NE(incidents()[0].title.find("cannot be trusted"), std::string::npos);
  must(service_.roll_back(cy_, {.id = id, .reason = "unfair"}));
  EXPECT_EQ(served(), "v1 10000 live; ");
}

TEST_F(ReleaseTest, AGuardThatIsNotRequiredCanOnlyRollBack) {
  first();
  const std::vector<Guard> guards = {
      {.name = "errors", .safe_ratio = 2},
      {.name = "mistakes", .quantity = Quantity::wrong, .required = false}};
  EXPECT_EQ(play_out(start(2, plan(guards)), {}), State::closed) << "no label ever came";
}

TEST_F(ReleaseTest, OneUnitCountsOnce) {
  first();
  const std::string id = start(2);
  play(id, 100);
  ASSERT_EQ(state(id), State::canary);
  std::vector<serving::InferenceEvent> events(500, {.at = clock_.now(),
                                                    .project = "p1",
                                                    .route = "flight-delay",
                                                    .release = id,
                                                    .model = "flight-delay",
                                                    .version = 2,
                                                    .arm = serving::Arm::canary,
                                                    .assignment_probability = 0.2,
                                                    .unit = "one caller",
                                                    .error = "internal"});
  for (std::size_t i = 0; i < events.size(); ++i) events[i].id = "one-" + std::to_string(i);
  must(serving::record(world_.log(), events));
  turn();
  EXPECT_EQ(state(id), State::canary);
  EXPECT_EQ(must(service_.get(ana_, {id})).last_looks.at(0).canary_calls, 1);
}

// Whom a rule sends to the canary is no sample of all callers: a stage of a thousand such calls has
// had none, whatever was proven before.
TEST_F(ReleaseTest, CallsThatWereNotDrawnCountForNoStage) {
  first();
  const std::string id = start(2);
  play(id, 100);
  ASSERT_EQ(state(id), State::canary);
  const Release before = get(id);
  std::vector<serving::InferenceEvent> events(1'000, {.at = clock_.now(),
                                                      .project = "p1",
                                                      .route = "flight-delay",
                                                      .release = id,
                                                      .model = "flight-delay",
                                                      .version = 2,
                                                      .arm = serving::Arm::canary,
                                                      .assignment_probability = 1});
  for (std::size_t i = 0; i < events.size(); ++i) {
    events[i].id = "ruled-" + std::to_string(i);
    events[i].unit = events[i].id;
  }
  must(serving::record(world_.log(), events));
  turn();
  EXPECT_EQ(get(id).stage_calls, before.stage_calls);
  events.resize(2);
  for (std::size_t i = 0; i < events.size(); ++i) {
    events[i].id = "drawn-" + std::to_string(i);
    events[i].unit = events[i].id;
    events[i].assignment_probability = 0.2;
  }
  must(serving::record(world_.log(), events));
  turn();
  EXPECT_EQ(get(id).stage_calls, before.stage_calls + 2);
}

// Between the commit of a move and its publication the process may die.
TEST_F(ReleaseTest, AMoveThatWasNotPublishedIsPublishedByTheNextStart) {
  first();
  Release release = get(start(2));
  must(db_->write(ana_, [&](sql::Tx& tx) -> Result<void> {
    return service_.move(tx, ana_, release, State::canary, "test");
  }));
  EXPECT_EQ(served(), "v1 10000 live; v2 0 shadow; ");
  restart();
  turn();
  EXPECT_EQ(served(), "v1 8000 live; v2 2000 canary; ");
  EXPECT_EQ(served(), stored());
}

// Two hundred releases over the real controller. Equal versions: at most alpha of them may be
// rolled back; 11 of 100 or more would happen with a chance under 0.01 at the 5 % that are allowed.
TEST_F(ReleaseTest, KeepsItsErrorOverManyReleases) {
  first();
  Plan with = plan({{.name = "errors", .safe_ratio = 3}});
  with.shadow.calls = 0;
  with.canary = {5'000};
  with.watch.calls = 1'000'000;
  const auto outcomes = [&](const Rates& rates) {
    int rolled_back = 0;
    for (int i = 0; i < 100; ++i) {
      const std::string id = start(2, with);
      for (int turn = 0; turn < 12 && has_traffic(state(id)); ++turn) play(id, 100, rates);
      if (state(id) == State::rolled_back)
        ++rolled_back;
      else
        must(service_.roll_back(cy_, {.id = id, .reason = "next"}));
    }
    return rolled_back;
  };
  EXPECT_LE(outcomes({.live = 0.1, .canary = 0.1}), 10);
  EXPECT_GE(outcomes({.live = 0.05, .canary = 0.4}), 98);
}

}  // namespace
}  // namespace penstock::release
