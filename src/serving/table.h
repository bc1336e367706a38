// The immutable picture of all routes that the data plane reads. A change makes another one.
#pragma once

#include <atomic>
#include <memory>
#include <unordered_map>

#include "base/metrics.h"
#include "ports/infer.h"
#include "serving/route.h"
#include "serving/seams.h"
#include "serving/upstream.h"

namespace penstock::guardrails {
class Chain;
}
namespace penstock::graphs {
class Plan;
}

namespace penstock::serving {

class AnswerCache;

// Counted since the process started, over all tables: a swap does not reset them.
struct Counters {
  std::atomic<std::int64_t> answered{0}, errors{0}, mirrored{0}, not_mirrored{0}, repeated{0};
  // Of a shadow, why else it did not get a call: the day's cost, the class of what it would see.
  std::atomic<std::int64_t> capped{0}, withheld{0};
  // Of whole calls, however many rows each had; the rest of them failed.
  std::atomic<std::int64_t> calls{0}, micros{0}, failed_calls{0}, failed_micros{0};
  std::atomic<std::int64_t> feature_micros{0}, model_micros{0};
  std::atomic<std::int64_t> last{0};  // microseconds since 1970 of the last answer
};

// A version x runtime, loaded and warm.
struct Deployment {
  std::string model;
  std::int64_t version = 0;
  std::string digest;
  std::string runtime_name = "onnx";           // onnx, python, kserve, openai, graph
  std::shared_ptr<infer::Model> runtime = {};  // takes tensors; none of openai
  std::shared_ptr<const Remote> remote = {};   // of openai and kserve
  double gpus = 0;  // share that a call occupies, where the runtime tells no GPU time
  std::shared_ptr<const graphs::Plan> graph = {};  // run before each call to a language model
  std::vector<std::shared_ptr<const Deployment>> parts = {};  // that a graph of tensors asks
};

class Rules;     // rule.h
struct Classes;  // classes.h

struct LiveTarget {
  Arm arm = Arm::live;
  std::int64_t weight = 0;
  std::string release;
  std::uint64_t seed = 0;  // of the sticky hash: seed_of()
  std::shared_ptr<const Deployment> deployment;
  std::shared_ptr<Counters> counters;
};

struct LiveRoute {
  std::string project;
  RouteDeclaration declaration;
  OpenSchema features;                              // no `read` where the route has no schema
  std::vector<LiveTarget> targets;                  // live and canary first, then shadows
  std::shared_ptr<const guardrails::Chain> guards;  // none: the route names no guardrails
  // Of guards, those that ask a model: by the guardrail's name.
  std::map<std::string, std::shared_ptr<const Deployment>> classifiers = {};
  std::shared_ptr<AnswerCache> cache;  // none: the route keeps no answers
  std::shared_ptr<std::atomic<std::int64_t>> mirrors_running;
  Histogram* seconds = nullptr;                 // of whole calls
  std::shared_ptr<const Rules> rules = {};      // compiled of the declaration's; none: no rule
  std::shared_ptr<const Classes> classes = {};  // none: nothing of the route asks for them
};

struct RoutingTable {
  std::int64_t number = 0;  // counts from 1 within the process
  std::unordered_map<std::string, std::shared_ptr<const LiveRoute>> routes;  // by route_key
};

// Whether its versions take tensors; those of runtime openai take words. A route has one sort.
bool takes_tensors(const LiveRoute& route);

std::string route_key(std::string_view project, std::string_view route);

// Of one target's sticky hash. `salt` is the release in force, so each release draws its canary
// anew.
std::uint64_t seed_of(std::string_view route, std::string_view salt, std::string_view model,
                      std::int64_t version);

// The target of `unit` by weighted rendezvous hashing: the same unit gets the same target while
// weights stand, and a change of weights moves only as many units as it must, only towards targets
// that gained. Null where no target has weight.
const LiveTarget* choose(const LiveRoute& route, std::string_view unit);

// Above 0 and below 1, the same for the same text and seed.
double hash_share(std::string_view text, std::uint64_t seed);

// Where the gateway finds the table. Readers never wait for a writer.
class TableHolder {
 public:
  std::shared_ptr<const RoutingTable> get() const { return table_.load(std::memory_order_acquire); }
  void set(std::shared_ptr<const RoutingTable> table) {
    table_.store(std::move(table), std::memory_order_release);
  }

 private:
  std::atomic<std::shared_ptr<const RoutingTable>> table_{std::make_shared<const RoutingTable>()};
};

}  // namespace penstock::serving
