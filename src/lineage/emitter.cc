#include "lineage/emitter.h"

#include <algorithm>
#include <array>

#include "base/digest.h"
#include "base/id.h"
#include "base/log.h"
#include "lineage/names.h"
#include "lineage/store.h"

namespace penstock::lineage {
namespace {

constexpr std::int64_t changes_at_once = 100;
constexpr std::string_view producer = "urn:penstock:server";
constexpr std::string_view event_schema =
    "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

// What is told, as which kind of event, of which job. An action that is not here is no lineage.
struct Told {
  std::string_view action, type, job;
};
constexpr std::array told{
    Told{"training.run.queued", "START", "pipeline"},
    Told{"training.run.succeeded", "COMPLETE", "pipeline"},
    Told{"training.run.failed", "FAIL", "pipeline"},
    Told{"training.evaluated", "COMPLETE", "evaluate"},
    Told{"catalog.dataset.added", "COMPLETE", "dataset"},
    Told{"features.view.evaluated", "COMPLETE", "materialize"},
    Told{"registry.version.registered", "COMPLETE", "register"},
    Told{"serving.batch.published", "COMPLETE", "batch"},
    Told{"release.created", "START", "release"},
    Told{"release.canary", "RUNNING", "release"},
    Told{"release.promoted", "RUNNING", "release"},
    Told{"release.closed", "COMPLETE", "release"},
    Told{"release.rolled_back", "FAIL", "release"},
    Told{"release.cancelled", "ABORT", "release"},
};

const Told* find_told(std::string_view action) {
  const auto found =
      std::find_if(told.begin(), told.end(), [&](const Told& one) { return one.action == action; });
  return found == told.end() ? nullptr : &*found;
}

bool is_data(std::string_view kind) {
  constexpr std::array kinds{"source", "dataset", "feature_view", "feature_schema",
                             "model",  "batch",   "evaluation",   "route"};
  return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

std::string uuid_of(const std::array<unsigned char, 16>& bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15];
  }
  return text;
}

// A ULID and a UUID are both 128 bits, so a run keeps its own.
std::string uuid_of_ulid(std::string_view ulid) {
  constexpr std::string_view letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  std::array<unsigned char, 16> bytes{};
  for (const char letter : ulid) {
    unsigned carry = static_cast<unsigned>(letters.find(letter)) & 31U;
    for (std::size_t i = bytes.size(); i-- > 0;) {
      const unsigned value = static_cast<unsigned>(bytes[i]) << 5 | carry;
      bytes[i] = static_cast<unsigned char>(value & 255U);
      carry = value >> 8;
    }
  }
  return uuid_of(bytes);
}

std::string run_id_of(const audit::Stored& change) {
  const auto urn = Urn::parse(change.subject);
  if (urn && is_ulid(urn->name)) return uuid_of_ulid(urn->name);
  const Sha256 digest = sha256(change.project + "/" + std::to_string(change.number));
  std::array<unsigned char, 16> bytes{};
  std::copy_n(digest.begin(), bytes.size(), bytes.begin());
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0fU) | 0x80U);  // version 8: our own making
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3fU) | 0x80U);
  return uuid_of(bytes);
}

std::string schema_url(std::string_view facet) {
  return "urn:penstock:openlineage:facet:1-0-0:" + std::string(facet);
}

json::object facet(std::string_view name, json::object fields) {
  fields["_producer"] = producer;
  fields["_schemaURL"] = schema_url(name);
  return fields;
}

json::object standard_facet(std::string_view file, std::string_view name, json::object fields) {
  fields["_producer"] = producer;
  fields["_schemaURL"] =
      "https://openlineage.io/spec/facets/" + std::string(file) + "#/$defs/" + std::string(name);
  return fields;
}

Result<std::int64_t> position(sql::Tx& tx, const std::string& reader, std::int64_t otherwise) {
  const auto rows =
      TRY(tx.run("SELECT number FROM openlineage_positions WHERE reader = $1", {reader}));
  return rows.empty() ? otherwise : std::get<std::int64_t>(rows.front().at(0));
}

Result<void> keep_position(sql::Tx& tx, const std::string& reader, std::int64_t number) {
  TRY(
      tx.run("INSERT INTO openlineage_positions (reader, number) VALUES ($1, $2) ON CONFLICT "
             "(reader) DO UPDATE SET number = excluded.number",
             {reader, number}));
  return {};
}

Call caller(const std::string& project) {
  return {.actor = "service:openlineage", .project = project};
}

}  // namespace

Result<bool> Emitter::run_once() {
  const bool more = TRY(keep_some());
  if (!send_) return more;
  return TRY(send_some()) || more;
}

Result<bool> Emitter::keep_some() {
  const auto changes = TRY(db_.read(caller(""), [&](sql::Tx& tx) {
    return [&]() -> Result<std::vector<audit::Stored>> {
      if (kept_ < 0) kept_ = TRY(position(tx, "kept", 0));
      return audit::events_from(tx, kept_, changes_at_once);
    }();
  }));
  if (changes.empty()) return false;
  TRY(db_.write(caller(""), [&](sql::Tx& tx) -> Result<void> {
    for (const audit::Stored& change : changes) {
      if (!find_told(change.action)) continue;
      const Call call = caller(change.project);
      const auto event = parse_event(TRY(event_of(tx, call, change)));
      if (event)
        TRY(store::put_event(tx, change.project, *event, clock_.now()));
      else
        log::error("openlineage.not_told",
                   {{"number", change.number}, {"error", event.error().message}});
    }
    return keep_position(tx, "kept", changes.back().number + 1);
  }));
  kept_ = changes.back().number + 1;
  return std::ssize(changes) == changes_at_once;
}

// A receiver that is named for the first time hears what happens from then on.
Result<bool> Emitter::send_some() {
  std::vector<std::pair<std::int64_t, std::string>> events;
  std::int64_t next = 0;
  bool more = false;
  TRY(db_.read(caller(""), [&](sql::Tx& tx) -> Result<void> {
    if (sent_ < 0) sent_ = TRY(position(tx, "sent", kept_));
    const auto changes = TRY(audit::events_from(tx, sent_, changes_at_once));
    next = changes.empty() ? sent_ : changes.back().number + 1;
    more = std::ssize(changes) == changes_at_once;
    for (const audit::Stored& change : changes)
      if (find_told(change.action))
        events.emplace_back(change.number,
                            json::serialize(TRY(event_of(tx, caller(change.project), change))));
    return {};
  }));
  const auto keep = [&](std::int64_t number) {
    sent_ = number;
    return db_.write(caller(""), [&](sql::Tx& tx) { return keep_position(tx, "sent", number); });
  };
  for (const auto& [number, body] : events) {
    const auto status = send_(body);
    const bool later = !status || *status >= 500 || *status == 408 || *status == 429;
    if (later) {
      TRY(keep(number));
      if (!status) return status.error();
      return Error{Code::unavailable,
                   "the OpenLineage receiver answered " + std::to_string(*status)};
    }
    if (*status >= 300) log::warn("openlineage.refused", {{"number", number}, {"status", *status}});
  }
  if (next != sent_) TRY(keep(next));
  return more;
}

Result<json::object> Emitter::dataset_of(sql::Tx& tx, const Call& call, const std::string& urn,
                                         const audit::Stored* change) {
  json::object facets;
  const auto place = [&](const std::string& path) {
    facets["symlinks"] = standard_facet(
        "1-0-1/SymlinksDatasetFacet.json", "SymlinksDatasetFacet",
        {{"identifiers", {{{"namespace", "file"}, {"name", path}, {"type", "LOCATION"}}}}});
  };
  const auto parsed = Urn::parse(urn);
  if (parsed && parsed->kind == "dataset") {
    if (const auto dataset = TRY(catalog::find_dataset(tx, call.project, urn))) {
      json::array fields;
      for (const auto& column : dataset->columns)
        fields.push_back({{"name", column.name}, {"type", column.type}});
      facets["schema"] = standard_facet("1-2-0/SchemaDatasetFacet.json", "SchemaDatasetFacet",
                                        {{"fields", std::move(fields)}});
      facets["version"] =
          standard_facet("1-0-1/DatasetVersionDatasetFacet.json", "DatasetVersionDatasetFacet",
                         {{"datasetVersion", dataset->digest}});
    }
  } else if (parsed && parsed->kind == "source") {
    const auto source = resources::get(tx, call.project, "source", parsed->name);
    if (source)
      if (const json::value* path = source->declaration.if_contains("path"))
        if (const auto local = catalog_.local_path(std::string(path->as_string()))) place(*local);
  }
  if (change && parsed && (parsed->kind == "model" || parsed->kind == "evaluation")) {
    const bool model = parsed->kind == "model";
    facets[model ? "penstock_model" : "penstock_evaluation"] =
        facet(model ? "PenstockModelDatasetFacet" : "PenstockEvaluationDatasetFacet",
              {{"urn", urn}, {"detail", change->detail}});
  }
  return json::object{
      {"namespace", "penstock:" + call.project}, {"name", urn}, {"facets", std::move(facets)}};
}

Result<json::object> Emitter::event_of(sql::Tx& tx, const Call& call, const audit::Stored& change) {
  const Told& as = *find_told(change.action);
  const auto urn = Urn::parse(change.subject);
  std::string job = urn ? urn->name : change.subject;
  json::array inputs, outputs;
  for (const catalog::Edge& edge : TRY(catalog::edges_from(tx, call.project, change.subject))) {
    if (edge.to_urn.find('#') != std::string::npos) continue;
    const auto to = Urn::parse(edge.to_urn);
    if (!to) continue;
    if (edge.relation == "runs" || edge.relation == "releases") job = to->name;
    if (is_data(to->kind)) inputs.push_back(TRY(dataset_of(tx, call, edge.to_urn, nullptr)));
  }
  if (const json::value* pipeline = change.detail.if_contains("pipeline"))
    if (pipeline->is_string()) job = std::string(pipeline->get_string());
  if (urn && is_data(urn->kind)) {
    outputs.push_back(TRY(dataset_of(tx, call, change.subject, &change)));
  } else {
    for (const catalog::Edge& edge : TRY(catalog::edges_to(tx, call.project, change.subject)))
      if (const auto from = Urn::parse(edge.from_urn); from && is_data(from->kind))
        outputs.push_back(TRY(dataset_of(tx, call, edge.from_urn, nullptr)));
  }
  json::object facets{{"penstock", facet("PenstockRunFacet", {{"urn", change.subject},
                                                              {"action", change.action},
                                                              {"actor", change.actor},
                                                              {"audit_number", change.number},
                                                              {"detail", change.detail}})}};
  if (const json::value* fault = change.detail.if_contains("fault");
      fault && fault->is_string() && !fault->get_string().empty())
    facets["errorMessage"] =
        standard_facet("1-0-1/ErrorMessageRunFacet.json", "ErrorMessageRunFacet",
                       {{"message", *fault}, {"programmingLanguage", "C++"}});
  return json::object{{"eventType", as.type},
                      {"eventTime", to_rfc3339(change.at)},
                      {"producer", producer},
                      {"schemaURL", event_schema},
                      {"run", {{"runId", run_id_of(change)}, {"facets", std::move(facets)}}},
                      {"job",
                       {{"namespace", "penstock:" + call.project},
                        {"name", std::string(as.job) + "/" + job},
                        {"facets", json::object()}}},
                      {"inputs", std::move(inputs)},
                      {"outputs", std::move(outputs)}};
}

std::optional<json::object> facet_schema(std::string_view name) {
  json::object properties{{"_producer", {{"type", "string"}, {"format", "uri"}}},
                          {"_schemaURL", {{"type", "string"}, {"format", "uri"}}},
                          {"urn", {{"type", "string"}, {"description", "kind:name@version"}}},
                          {"detail", {{"type", "object"}}}};
  if (name == "PenstockRunFacet") {
    for (const char* text : {"action", "actor"}) properties[text] = {{"type", "string"}};
    properties["audit_number"] = {{"type", "integer"}};
  } else if (name != "PenstockModelDatasetFacet" && name != "PenstockEvaluationDatasetFacet") {
    return {};
  }
  return json::object{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                      {"$id", schema_url(name)},
                      {"title", name},
                      {"type", "object"},
                      {"properties", std::move(properties)},
                      {"required", {"_producer", "_schemaURL", "urn"}}};
}

}  // namespace penstock::lineage
