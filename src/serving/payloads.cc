#include "serving/payloads.h"

#include <algorithm>
#include <cstring>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/log.h"
#include "policies/service.h"
#include "serving/classes.h"
#include "serving/text.h"

namespace penstock::serving {
namespace {

constexpr std::string_view group = "penstock.payloads";
constexpr std::size_t batch = 1'000;
constexpr std::int64_t days_ahead = 401;  // payloads are kept no longer

std::int64_t day_at(Timestamp at) {
  return std::chrono::floor<std::chrono::days>(at.time_since_epoch()).count();
}
// Records that are over on one day: the key of each payload, and digests of its entities.
std::string topic_of(std::int64_t day) { return std::string(group) + "." + std::to_string(day); }

std::string entity_digest(std::string_view key, std::string_view value) {
  return sha256_hex(std::string(key) + "\x1f" + std::string(value)).substr(0, 32);
}

template <class T>
void write_values(std::string& out, const std::string& bytes) {
  out += '[';
  for (std::size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    if (at > 0) out += ',';
    if constexpr (std::is_floating_point_v<T>)
      write_number(out, static_cast<double>(value));
    else
      out += std::to_string(value);
  }
  out += ']';
}

// The Open Inference Protocol's JSON, of numbers; other datatypes by their shape alone.
void write_tensor(std::string& out, const infer::Tensor& tensor) {
  out += "{\"name\":";
  write_text(out, tensor.name);
  out += ",\"datatype\":";
  write_text(out, tensor.datatype);
  out += ",\"shape\":[";
  for (std::size_t i = 0; i < tensor.shape.size(); ++i)
    out += (i ? "," : "") + std::to_string(tensor.shape[i]);
  out += ']';
  if (tensor.datatype == "FP32" || tensor.datatype == "FP64" || tensor.datatype == "INT64" ||
      tensor.datatype == "INT32") {
    out += ",\"data\":";
    if (tensor.datatype == "FP32") write_values<float>(out, tensor.bytes);
    if (tensor.datatype == "FP64") write_values<double>(out, tensor.bytes);
    if (tensor.datatype == "INT64") write_values<std::int64_t>(out, tensor.bytes);
    if (tensor.datatype == "INT32") write_values<std::int32_t>(out, tensor.bytes);
  }
  out += '}';
}

// Whole letters of UTF-8.
std::string cut_to(std::string_view text, std::size_t most, bool& cut) {
  if (text.size() <= most) return std::string(text);
  cut = true;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0) == 0x80) --most;
  return std::string(text.substr(0, most));
}

Payload begin(const LiveRoute& route, const InferenceEvent& event) {
  std::string marks;
  for (const auto& [key, value] : event.entities)
    marks += (marks.empty() ? "" : " ") + entity_digest(key, value);
  return {.id = event.id,
          .project = event.project,
          .route = event.route,
          .model = event.model,
          .version = event.version,
          .at = event.at,
          .until = event.at + route.declaration.payloads->keep,
          .marks = std::move(marks)};
}

std::size_t size_of(const Payload& payload) {
  return payload.request.size() + payload.answer.size() + 512;
}

// What is written of the features that were read: those that redaction left, by name.
void write_features(std::string& out, const LiveRoute& route, const InferenceEvent& shown) {
  out += ",\"features\":{";
  for (std::size_t i = 0; i < shown.features.size(); ++i) {
    if (i > 0) out += ',';
    write_text(out, i < route.features.names.size() ? route.features.names[i] : std::to_string(i));
    out += ':';
    write_json(out, shown.features[i]);
  }
  out += '}';
}

}  // namespace

bool keeps_payload(const LiveRoute& route, std::string_view id) {
  const auto& options = route.declaration.payloads;
  return options && options->sample > 0 && hash_share(id, 0x7061796c6f6164) < options->sample;
}

std::string payload_urn(std::string_view id) { return "payload:" + std::string(id); }

Payload payload_of(const LiveRoute& route, const InferenceEvent& event,
                   const std::vector<infer::Tensor>& tensors) {
  static const Classes unknown;
  const PayloadOptions& options = *route.declaration.payloads;
  const Classes& classes = route.classes ? *route.classes : unknown;
  Payload out = begin(route, event);
  InferenceEvent shown = event;
  redact(classes, options.max_class, shown);
  for (const auto& [key, value] : event.entities)
    if (!shown.entities.contains(key)) out.withheld.push_back("entities." + key);
  for (std::size_t i = 0; i < event.features.size(); ++i)
    if (event.features[i] && !shown.features[i])
      out.withheld.push_back("features." + (i < route.features.names.size()
                                                ? route.features.names[i]
                                                : std::to_string(i)));
  out.entities = shown.entities;

  std::string request = "{\"entities\":";
  write_json(request, shown.entities);
  if (!shown.features.empty()) write_features(request, route, shown);
  if (!tensors.empty() && shown.features.empty()) {
    if (const auto seen = redacted(classes, options.max_class, tensors)) {
      request += ",\"inputs\":[";
      for (const infer::Tensor& tensor : *seen) {
        if (request.back() != '[') request += ',';
        write_tensor(request, tensor);
      }
      request += ']';
    } else {
      out.withheld.push_back("inputs");
    }
  }
  request += '}';
  std::string answer = "{\"score\":";
  write_json(answer, event.score);
  answer += ",\"decision\":";
  write_json(answer, event.decision);
  answer += '}';
  const auto most = static_cast<std::size_t>(options.max_bytes);
  out.request = cut_to(request, most, out.cut);
  out.answer = cut_to(answer, most, out.cut);
  return out;
}

Payload payload_of(const LiveRoute& route, const InferenceEvent& event, std::string_view request,
                   std::string_view answer) {
  const PayloadOptions& options = *route.declaration.payloads;
  Payload out = begin(route, event);
  if (route.declaration.input_class > options.max_class) {
    out.withheld = {"request", "answer"};
    return out;
  }
  const auto most = static_cast<std::size_t>(options.max_bytes);
  out.request = cut_to(request, most, out.cut);
  out.answer = cut_to(answer, most, out.cut);
  return out;
}

void PayloadLog::put(Payload payload) {
  const std::size_t size = size_of(payload);
  const std::lock_guard lock(turn_);
  if (waiting_.size() >= waiting_max || bytes_ + size > waiting_bytes_max) {
    ++dropped_;
    return;
  }
  bytes_ += size;
  waiting_.push_back(std::move(payload));
}

Result<bool> PayloadLog::flush() {
  const std::lock_guard writing(writing_);
  std::vector<Payload> taken;
  {
    const std::lock_guard lock(turn_);
    taken.swap(waiting_);
    bytes_ = 0;
  }
  if (taken.empty()) return false;
  events::Step step{.group = std::string(group), .topic = std::string(group)};
  for (const Payload& payload : taken) {
    const std::string key = route_key(payload.project, payload.id);
    step.state.put(key, json_text(payload));
    step.outputs.push_back({topic_of(day_at(payload.until)), key, payload.marks});
  }
  const auto done = log_.commit(step, 0, kv::Durability::process);
  if (done) return false;
  dropped_ += static_cast<std::int64_t>(taken.size());
  return done.error();
}

Result<std::optional<Payload>> PayloadLog::find(const std::string& project, const std::string& id) {
  TRY(flush());
  const auto text = TRY(log_.state(group, route_key(project, id)));
  if (!text) return std::optional<Payload>();
  auto payload = TRY(read_json<Payload>(*text));
  if (payload.until <= clock_.now()) return std::optional<Payload>();
  return std::optional(std::move(payload));
}

Result<std::int64_t> PayloadLog::forget(const std::vector<std::string>& keys) {
  if (keys.empty()) return 0;
  events::Step step{.group = std::string(group), .topic = std::string(group)};
  for (const std::string& key : keys) step.state.erase(key);
  TRY(log_.commit(step, 0, kv::Durability::disk));
  return static_cast<std::int64_t>(keys.size());
}

Result<bool> PayloadLog::sweep() {
  const std::lock_guard writing(writing_);
  const std::int64_t today = day_at(clock_.now());
  const auto text = TRY(log_.state(group, "swept"));
  std::int64_t day = text ? std::strtoll(text->c_str(), nullptr, 10) + 1 : today - days_ahead;
  if (day >= today) return false;
  const std::string topic = topic_of(day);
  for (std::int64_t offset = 0;;) {
    const auto records = TRY(log_.read(topic, offset, batch));
    if (records.empty()) break;
    std::vector<std::string> keys;
    for (const events::Record& record : records) keys.push_back(record.key);
    TRY(forget(keys));
    offset = records.back().offset + 1;
    TRY(log_.truncate(topic, offset));
  }
  events::Step step{.group = std::string(group), .topic = std::string(group)};
  step.state.put("swept", std::to_string(day));
  TRY(log_.commit(step, 0, kv::Durability::process));
  return day + 1 < today;
}

Result<std::int64_t> PayloadLog::erase(const std::string& project,
                                       const std::map<std::string, std::string>& entities) {
  TRY(flush());
  const std::lock_guard writing(writing_);
  const std::string prefix = route_key(project, "");
  std::vector<std::string> digests;
  for (const auto& [key, value] : entities) digests.push_back(entity_digest(key, value));
  std::int64_t erased = 0;
  const std::int64_t today = day_at(clock_.now());
  for (std::int64_t day = today - 1; day <= today + days_ahead; ++day) {
    std::int64_t offset = 0;
    while (true) {
      const auto records = TRY(log_.read(topic_of(day), offset, batch));
      if (records.empty()) break;
      offset = records.back().offset + 1;
      std::vector<std::string> keys;
      for (const events::Record& record : records) {
        const bool all = std::all_of(digests.begin(), digests.end(), [&](const auto& digest) {
          return record.value.find(digest) != std::string::npos;
        });
        if (all && record.key.starts_with(prefix) && TRY(log_.state(group, record.key)))
          keys.push_back(record.key);
      }
      erased += TRY(forget(keys));
    }
  }
  return erased;
}

Result<Payload> Payloads::read(const Call& call, const PayloadName& name) {
  auto found = TRY(log_.find(call.project, name.id));
  if (!found)
    return Error{Code::not_found, "no payload of prediction " + name.id +
                                      " is kept; a route keeps them by its payloads.sample and "
                                      "payloads.keep"};
  const Timestamp now = clock_.now();
  TRY(policies::enforce_reads(db_, call, now, {"route:" + found->route},
                              "payload:" + found->route));
  TRY(db_.write(call, [&](sql::Tx& tx) {
    return audit::record(tx, call, now,
                         {"serving.payload.read",
                          "prediction:" + name.id,
                          {{"route", found->route}, {"kept_at", encode(found->at)}}});
  }));
  return std::move(*found);
}

Result<PayloadErased> Payloads::erase(const Call& call, const PayloadEraseInput& input) {
  if (input.entities.empty())
    return Error{Code::invalid_argument,
                 "entities must name at least one entity key and its value",
                 {{"entities", "must not be empty"}}};
  const PayloadErased out{TRY(log_.erase(call.project, input.entities))};
  // The keys and not their values: the audit log is for ever.
  json::array keys;
  for (const auto& [key, value] : input.entities) keys.emplace_back(key);
  TRY(db_.write(call, [&](sql::Tx& tx) {
    return audit::record(tx, call, clock_.now(),
                         {"serving.payloads.erased",
                          "project:" + call.project,
                          {{"keys", keys}, {"erased", out.erased}, {"reason", input.reason}}});
  }));
  return out;
}

}  // namespace penstock::serving
