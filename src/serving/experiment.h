// A/B experiments on routes: what each arm was rewarded with, and weights that follow.
#pragma once

#include "policies/service.h"
#include "serving/reports.h"
#include "serving/service.h"

namespace penstock::serving {

struct ExperimentName {
  std::string id;
};
BOOST_DESCRIBE_STRUCT(ExperimentName, (), (id))

struct ArmView {
  std::string model;
  std::int64_t version = 0;
  std::int64_t weight = 0;  // now, in parts of 10,000
  std::int64_t calls = 0, errors = 0, rewards = 0;
  Estimate reward;
  std::optional<double> best_chance;  // that its mean reward is the greatest
};
BOOST_DESCRIBE_STRUCT(ArmView, (),
                      (model, version, weight, calls, errors, rewards, reward, best_chance))
struct ExperimentReport {
  std::string id, route;
  bool adaptive = false;
  std::optional<Timestamp> moved_at;
  std::string held;  // why weights do not move; empty: they do, or nobody asked them to
  std::vector<ArmView> arms;
};
BOOST_DESCRIBE_STRUCT(ExperimentReport, (), (id, route, adaptive, moved_at, held, arms))

// What a turn keeps of an adaptive experiment.
struct ExperimentState {
  Timestamp looked_at;
  std::optional<Timestamp> moved_at;
  std::string held;
};
BOOST_DESCRIBE_STRUCT(ExperimentState, (), (looked_at, moved_at, held))

// Weights move by themselves only where a policy that applies to `adapt` and to this route lets
// them: silence is no. failed_precondition says which policy refuses, or that none speaks of it.
Result<std::vector<policies::Finding>> may_adapt(sql::Tx& tx, const Call& call, Timestamp now,
                                                 const std::string& route);

class Experiments {
 public:
  Experiments(sql::Database& db, events::Log& log, Service& serving, Reports& reports,
              const Clock& clock)
      : db_(db), log_(log), serving_(serving), reports_(reports), clock_(clock) {}

  // not_found where no route in service declares it and no call was drawn for it.
  Result<ExperimentReport> show(const Call& call, const ExperimentName& name);
  // A background turn: moves the weights of adaptive experiments whose pause is over, through the
  // same transaction and audit as everything that sets targets; true where one moved.
  Result<bool> adapt();

 private:
  struct Moved {
    bool moved = false;
    std::string held;
  };
  Result<ExperimentState> state(const std::string& project, const std::string& id);
  Result<void> keep(const std::string& project, const std::string& id,
                    const ExperimentState& state);
  Result<Moved> move(const Call& call, const std::string& route);

  sql::Database& db_;
  events::Log& log_;
  Service& serving_;
  Reports& reports_;
  const Clock& clock_;
};

}  // namespace penstock::serving
