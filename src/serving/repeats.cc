// What a caller gets who sends a call again: the outputs that it had.
#include <algorithm>
#include <cstring>

#include "serving/decide.h"
#include "serving/gateway.h"

namespace penstock::serving {
namespace {

constexpr Micros outputs_kept = std::chrono::hours(1);

std::string key_of(const Call& call, const InferRequest& request, const std::string& digest) {
  return AnswerCache::key_of(call.tenant, call.project, request.id, digest);
}

template <class T>
void put(double value, std::string& out) {
  const T narrow = static_cast<T>(value);
  out.append(reinterpret_cast<const char*>(&narrow), sizeof narrow);
}

// The one output of a model that gives a number for each row: the score, bit for bit.
std::optional<infer::Tensor> from_scores(const LiveRoute& route, const infer::Model& model,
                                         const std::vector<Prediction>& rows) {
  // What guardrails made of an output nobody logged.
  if (route.guards || model.outputs().size() != 1) return std::nullopt;
  const infer::TensorInfo& info = model.outputs().front();
  const bool is_column = info.shape.size() == 1 || (info.shape.size() == 2 && info.shape[1] == 1);
  const bool is_wide = info.datatype == "FP64";
  if (info.name != route.declaration.output || !is_column || info.shape[0] != -1 ||
      (!is_wide && info.datatype != "FP32"))
    return std::nullopt;
  infer::Tensor out{info.name, info.datatype, info.shape, {}};
  out.shape[0] = static_cast<std::int64_t>(rows.size());
  for (const Prediction& row : rows)
    is_wide ? put<double>(row.score, out.bytes) : put<float>(row.score, out.bytes);
  return out;
}

}  // namespace

void Gateway::keep_outputs(const Call& call, const InferRequest& request, const std::string& digest,
                           const std::vector<infer::Tensor>& outputs) {
  if (request.tensors.empty()) return;
  answered_.put(key_of(call, request, digest), {.outputs = outputs}, clock_.now() + outputs_kept);
}

Result<std::vector<infer::Tensor>> Gateway::outputs_again(
    const Call& call, const std::shared_ptr<const LiveRoute>& live, const InferRequest& request,
    const std::string& digest, const InferAnswer& known) {
  const Timestamp start = clock_.now();
  if (const auto kept = answered_.find(key_of(call, request, digest), start)) return kept->outputs;
  const Prediction& first = known.predictions.front();
  const auto target =
      std::find_if(live->targets.begin(), live->targets.end(), [&](const LiveTarget& one) {
        return one.arm != Arm::shadow && one.deployment->version == first.version &&
               one.deployment->model == first.model;
      });
  // Another route had stood in, or a release took it out.
  if (target == live->targets.end() || !target->deployment->runtime)
    return std::vector<infer::Tensor>();
  if (auto made = from_scores(*live, *target->deployment->runtime, known.predictions))
    return std::vector{std::move(*made)};
  // It is run, so it is limited, logged and paid as any call is, under ids of ours: the caller's
  // are those of the first one. Its outputs are kept then.
  InferRequest same = request;
  same.version = first.version;
  const auto ids = own_ids(known.predictions.size(), start);
  Grant grant = TRY(admit(call, *live, same, ids, start));
  grant.instead = nullptr;
  Decided decided = TRY(run(call, *live, same, ids, grant));
  const Timestamp end = clock_.now();
  for (InferenceEvent& event : decided.events) {
    event.total_micros = (end - start).count();
    event.queue_micros = grant.waited.count();
  }
  grant.held.settle(decided.events, end);
  telemetry_.put(std::move(decided.events));
  if (decided.error) return *decided.error;
  keep_outputs(call, request, digest, decided.outputs);
  return std::move(decided.outputs);
}

}  // namespace penstock::serving
