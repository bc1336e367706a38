// What was asked and answered, of the calls that a route keeps: by sample, below a class, for a
// while. Kept beside the log, found by the prediction's id.
#pragma once

#include <mutex>

#include "base/call.h"
#include "ports/log.h"
#include "ports/sql.h"
#include "serving/table.h"

namespace penstock::serving {

struct Payload {
  std::string id;  // the prediction's
  std::string project, route, model;
  std::int64_t version = 0;
  Timestamp at, until;  // gone after that
  std::map<std::string, std::string> entities;
  std::string request, answer;        // as JSON or text
  std::vector<std::string> withheld;  // what was above the route's class: "entities.tail_number"
  bool cut = false;                   // request or answer was longer than max_bytes
  // Digests of all entities, also those withheld: what erasure finds it by. Not shown.
  std::string marks = {};
};
BOOST_DESCRIBE_STRUCT(Payload, (),
                      (id, project, route, model, version, at, until, entities, request, answer,
                       withheld, cut))

struct PayloadName {
  std::string id;
};
BOOST_DESCRIBE_STRUCT(PayloadName, (), (id))
struct PayloadEraseInput {
  std::map<std::string, std::string> entities;  // all of them, as the caller gave them
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(PayloadEraseInput, (), (entities, reason))
constexpr auto rules_of(const PayloadEraseInput&) {
  return std::array{Rule{.field = "reason", .min = 1, .max = 2'000}};
}
struct PayloadErased {
  std::int64_t erased = 0;
};
BOOST_DESCRIBE_STRUCT(PayloadErased, (), (erased))

// Whether this call is among those that are kept; what an event's `payload` says then.
bool keeps_payload(const LiveRoute& route, std::string_view id);
std::string payload_urn(std::string_view id);
// Of a call on features or tensors, what its class lets through.
Payload payload_of(const LiveRoute& route, const InferenceEvent& event,
                   const std::vector<infer::Tensor>& tensors);
// Of a call in words. Both texts are of the class of the route's input.
Payload payload_of(const LiveRoute& route, const InferenceEvent& event, std::string_view request,
                   std::string_view answer);

// Writes behind calls: put() waits for nothing, and drops and counts where too much waits.
class PayloadLog {
 public:
  static constexpr std::size_t waiting_max = 1'000, waiting_bytes_max = 32 << 20;

  PayloadLog(events::Log& log, const Clock& clock) : log_(log), clock_(clock) {}

  void put(Payload payload);
  // A background turn: writes what waits. What could not be written is dropped and counted.
  Result<bool> flush();
  // Nothing where none was kept, or not any more.
  Result<std::optional<Payload>> find(const std::string& project, const std::string& id);
  // A background turn: forgets what is over, a day of UTC at once; true where more is.
  Result<bool> sweep();
  // All of the project that were kept with these values of entity keys.
  Result<std::int64_t> erase(const std::string& project,
                             const std::map<std::string, std::string>& entities);
  std::int64_t dropped() const { return dropped_; }

 private:
  Result<std::int64_t> forget(const std::vector<std::string>& keys);

  events::Log& log_;
  const Clock& clock_;
  std::mutex turn_;
  std::vector<Payload> waiting_;
  std::size_t bytes_ = 0;
  std::mutex writing_;
  std::atomic<std::int64_t> dropped_{0};
};

// For people: every look is audited.
class Payloads {
 public:
  Payloads(sql::Database& db, PayloadLog& log, const Clock& clock)
      : db_(db), log_(log), clock_(clock) {}

  Result<Payload> read(const Call& call, const PayloadName& name);
  Result<PayloadErased> erase(const Call& call, const PayloadEraseInput& input);

 private:
  sql::Database& db_;
  PayloadLog& log_;
  const Clock& clock_;
};

}  // namespace penstock::serving
