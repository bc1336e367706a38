#include "lineage/own_events.h"

#include <algorithm>
#include <array>

#include "base/digest.h"
#include "base/id.h"
#include "lineage/own_datasets.h"

namespace penstock::lineage {
namespace {

constexpr std::string_view event_schema =
    "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

// What is told, as which kind of event, of which job.
struct Told {
  std::string_view action, type, job;
};
constexpr std::array told{
    Told{"training.run.queued", "START", "pipeline"},
    Told{"training.run.succeeded", "COMPLETE", "pipeline"},
    Told{"training.run.failed", "FAIL", "pipeline"},
    Told{"training.step.succeeded", "COMPLETE", "pipeline"},
    Told{"training.step.failed", "FAIL", "pipeline"},
    Told{"training.evaluated", "COMPLETE", "evaluate"},
    Told{"catalog.dataset.added", "COMPLETE", "dataset"},
    Told{"features.view.evaluated", "COMPLETE", "materialize"},
    Told{"registry.version.registered", "COMPLETE", "register"},
    Told{"serving.batch.published", "COMPLETE", "batch"},
    Told{"release.created", "START", "release"},
    Told{"release.shadow", "RUNNING", "release"},
    Told{"release.canary", "RUNNING", "release"},
    Told{"release.bake", "RUNNING", "release"},
    Told{"release.watch", "RUNNING", "release"},
    Told{"release.closed", "COMPLETE", "release"},
    Told{"release.rolled_back", "FAIL", "release"},
    Told{"release.cancelled", "ABORT", "release"},
};

const Told* find_told(std::string_view action) {
  const auto found =
      std::find_if(told.begin(), told.end(), [&](const Told& one) { return one.action == action; });
  return found == told.end() ? nullptr : &*found;
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

// The same text is the same run.
std::string uuid_of_text(const std::string& text) {
  const Sha256 digest = sha256(text);
  std::array<unsigned char, 16> bytes{};
  std::copy_n(digest.begin(), bytes.size(), bytes.begin());
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0fU) | 0x80U);  // version 8: our own making
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3fU) | 0x80U);
  return uuid_of(bytes);
}

std::string run_id_of(const audit::Stored& change) {
  const auto urn = Urn::parse(change.subject);
  if (urn && is_ulid(urn->name)) return uuid_of_ulid(urn->name);
  return uuid_of_text(change.project + "/" + std::to_string(change.number));
}

std::string text_in(const json::object& in, std::string_view field) {
  const json::value* found = in.if_contains(field);
  return found && found->is_string() ? std::string(found->get_string()) : std::string();
}

json::object job_of(const Call& call, const std::string& name, std::string_view type) {
  json::object facets;
  if (!type.empty())
    facets["jobType"] = standard_facet(
        "2-0-4/JobTypeJobFacet.json", "JobTypeJobFacet",
        {{"processingType", "BATCH"}, {"integration", "PENSTOCK"}, {"jobType", type}});
  return {{"namespace", "penstock:" + call.project}, {"name", name}, {"facets", std::move(facets)}};
}

json::object run_facets_of(const audit::Stored& change) {
  json::object facets{{"penstock", own_facet("PenstockRunFacet", {{"urn", change.subject},
                                                                  {"action", change.action},
                                                                  {"actor", change.actor},
                                                                  {"audit_number", change.number},
                                                                  {"detail", change.detail}})}};
  if (const std::string fault = text_in(change.detail, "fault"); !fault.empty())
    facets["errorMessage"] =
        standard_facet("1-0-1/ErrorMessageRunFacet.json", "ErrorMessageRunFacet",
                       {{"message", fault}, {"programmingLanguage", "C++"}});
  return facets;
}

struct Parts {
  std::string run_id;
  json::object run_facets, job;
  json::array inputs, outputs;
};

json::object event(std::string_view type, const std::string& at, Parts parts) {
  return {{"eventType", type},
          {"eventTime", at},
          {"producer", producer},
          {"schemaURL", event_schema},
          {"run", {{"runId", parts.run_id}, {"facets", std::move(parts.run_facets)}}},
          {"job", std::move(parts.job)},
          {"inputs", std::move(parts.inputs)},
          {"outputs", std::move(parts.outputs)}};
}

// {"name", "digest", "urn"} of a step's inputs or outputs; a dataset has a URN.
Result<json::array> named(sql::Tx& tx, const Call& call, catalog::Service& catalog,
                          const json::object& detail, std::string_view field, Side side) {
  json::array out;
  const json::value* list = detail.if_contains(field);
  if (!list || !list->is_array()) return out;
  for (const json::value& one : list->get_array()) {
    const json::object& said = one.as_object();
    const std::string urn = text_in(said, "urn");
    out.push_back(urn.empty() ? step_output(call, text_in(detail, "pipeline"),
                                            text_in(said, "name"), text_in(said, "digest"))
                              : TRY(own_dataset(tx, call, catalog, urn, side)));
  }
  return out;
}

// What a dataset was made from, for the step that made it.
Result<void> add_made_from(sql::Tx& tx, const Call& call, catalog::Service& catalog,
                           const json::object& detail, json::array& inputs) {
  const json::value* list = detail.if_contains("outputs");
  if (!list || !list->is_array()) return {};
  for (const json::value& one : list->get_array()) {
    const std::string urn = text_in(one.as_object(), "urn");
    if (urn.empty()) continue;
    for (const catalog::Edge& edge : TRY(catalog::edges_from(tx, call.project, urn))) {
      const auto to = Urn::parse(edge.to_urn);  // columns are none
      if (to && is_data(to->kind))
        inputs.push_back(TRY(own_dataset(tx, call, catalog, edge.to_urn, Side::input)));
    }
  }
  return {};
}

// A job of its own below the pipeline's: when it began, and how it ended.
Result<std::vector<json::object>> step_events(sql::Tx& tx, const Call& call,
                                              catalog::Service& catalog,
                                              const audit::Stored& change) {
  const std::string pipeline = "pipeline/" + text_in(change.detail, "pipeline"),
                    step = text_in(change.detail, "step");
  const json::object parent_run{{"runId", run_id_of(change)}};
  const json::object parent_job{{"namespace", "penstock:" + call.project}, {"name", pipeline}};
  Parts parts{.run_id = uuid_of_text(change.project + "/" + change.subject + "/" + step),
              .job = job_of(call, pipeline + "." + step, "TASK")};
  parts.run_facets["parent"] =
      standard_facet("1-2-0/ParentRunFacet.json", "ParentRunFacet",
                     {{"run", parent_run},
                      {"job", parent_job},
                      {"root", {{"run", parent_run}, {"job", parent_job}}}});
  parts.inputs = TRY(named(tx, call, catalog, change.detail, "inputs", Side::input));
  TRY(add_made_from(tx, call, catalog, change.detail, parts.inputs));
  std::vector<json::object> out{event("START", text_in(change.detail, "started_at"), parts)};
  for (auto& facet : run_facets_of(change)) parts.run_facets[facet.key()] = facet.value();
  parts.outputs = TRY(named(tx, call, catalog, change.detail, "outputs", Side::output));
  out.push_back(event(find_told(change.action)->type, to_rfc3339(change.at), std::move(parts)));
  return out;
}

// A model or an evaluation also carries what was said when it was made.
Result<json::object> made(sql::Tx& tx, const Call& call, catalog::Service& catalog, const Urn& urn,
                          const audit::Stored& change) {
  json::object out = TRY(own_dataset(tx, call, catalog, change.subject, Side::output));
  if (urn.kind != "model" && urn.kind != "evaluation") return out;
  const bool model = urn.kind == "model";
  out.at("facets").as_object()[model ? "penstock_model" : "penstock_evaluation"] =
      own_facet(model ? "PenstockModelDatasetFacet" : "PenstockEvaluationDatasetFacet",
                {{"urn", change.subject}, {"detail", change.detail}});
  return out;
}

Result<json::object> change_event(sql::Tx& tx, const Call& call, catalog::Service& catalog,
                                  const audit::Stored& change) {
  const Told& as = *find_told(change.action);
  const auto urn = Urn::parse(change.subject);
  std::string job = urn ? urn->name : change.subject;
  Parts parts{.run_id = run_id_of(change), .run_facets = run_facets_of(change)};
  for (const catalog::Edge& edge : TRY(catalog::edges_from(tx, call.project, change.subject))) {
    const auto to = Urn::parse(edge.to_urn);
    if (!to) continue;
    if (edge.relation == "runs" || edge.relation == "releases") job = to->name;
    if (is_data(to->kind))
      parts.inputs.push_back(TRY(own_dataset(tx, call, catalog, edge.to_urn, Side::input)));
  }
  if (const std::string pipeline = text_in(change.detail, "pipeline"); !pipeline.empty())
    job = pipeline;
  if (urn && is_data(urn->kind)) {
    parts.outputs.push_back(TRY(made(tx, call, catalog, *urn, change)));
  } else {
    for (const catalog::Edge& edge : TRY(catalog::edges_to(tx, call.project, change.subject)))
      if (const auto from = Urn::parse(edge.from_urn); from && is_data(from->kind))
        parts.outputs.push_back(TRY(own_dataset(tx, call, catalog, edge.from_urn, Side::output)));
  }
  parts.job = job_of(call, std::string(as.job) + "/" + job, as.job == "pipeline" ? "DAG" : "");
  return event(as.type, to_rfc3339(change.at), std::move(parts));
}

}  // namespace

bool is_told(const audit::Stored& change) { return find_told(change.action) != nullptr; }

Result<std::vector<json::object>> own_events(sql::Tx& tx, const Call& call,
                                             catalog::Service& catalog,
                                             const audit::Stored& change) {
  if (change.action.starts_with("training.step.")) return step_events(tx, call, catalog, change);
  return std::vector<json::object>{TRY(change_event(tx, call, catalog, change))};
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
                      {"$id", text_in(own_facet(name, {}), "_schemaURL")},
                      {"title", name},
                      {"type", "object"},
                      {"properties", std::move(properties)},
                      {"required", {"_producer", "_schemaURL", "urn"}}};
}

}  // namespace penstock::lineage
