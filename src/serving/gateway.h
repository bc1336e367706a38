// Answers calls on routes: route, arm, features, model, event. No SQL, no lock held over work.
#pragma once

#include <mutex>

#include "base/call.h"
#include "base/metrics.h"
#include "ports/log.h"
#include "serving/table.h"

namespace penstock::serving {

using Entities = std::map<std::string, std::string>;

// Either `rows` (join keys; features are read here) or `tensors` (the model's own inputs).
struct InferRequest {
  std::string route;
  std::int64_t version = 0;  // 0: the route chooses; else one of its targets
  std::string id;            // repeats are answered again and not logged again; empty: new ULIDs
  std::string unit;          // sticky key where it is not an entity key
  std::optional<Timestamp> event_time;  // none: now
  std::vector<Entities> rows;
  std::vector<infer::Tensor> tensors;
  std::int64_t request_bytes = 0;
};

struct Prediction {
  std::string id;
  std::string model;
  std::int64_t version = 0;
  Arm arm = Arm::live;
  double score = 0;
  bool decision = false;
  bool repeated = false;  // stored before; nothing was run or logged now
};

struct InferAnswer {
  std::vector<Prediction> predictions;  // one for each row, in order
  std::vector<infer::Tensor> outputs;   // the model's own, where the caller sent its inputs
  std::function<void()> after;          // mirrors to shadows; run it once the answer was sent
};

inline constexpr std::size_t rows_max = 10'000;
inline constexpr std::size_t id_max = 200;

class Gateway {
 public:
  Gateway(const TableHolder& table, events::Log& log, const Clock& clock, Metrics& metrics);

  // not_found for an unknown route, unavailable for one without targets, invalid_argument for wrong entities
  // or tensors, already_exists for an id that was used for other entities or another route.
  Result<InferAnswer> infer(const Call& call, const InferRequest& request);

  // The parts, for batch and stream: events without their writing.
  // Chooses, reads and runs; gives the event of each row, in order; errors are in the events.
  Result<std::vector<InferenceEvent>> decide(const Call& call, const LiveRoute& route,
                                             const InferRequest& request, Mode mode) const;
  Result<std::shared_ptr<const LiveRoute>> route(const Call& call, std::string_view name) const;

 private:
  const TableHolder& table_;
  events::Log& log_;
  const Clock& clock_;
  Metrics& metrics_;
  mutable std::array<std::mutex, 64> turns_;  // by id: two retries at once log one event
};

}  // namespace penstock::serving
