#include "app/descriptions.h"

#include <algorithm>

#include "lineage/service.h"
#include "resources/service.h"
#include "tracking/lineage.h"

namespace penstock::app {
namespace {

using Found = Result<std::optional<std::string>>;

// What a record names is known where its component knows it.
void look_up_references(DescribedParts parts) {
  parts.registry.verify_with(
      "artifact_uri",
      [&artifacts = parts.artifacts](sql::Tx&, const Call&, const std::string& text) -> Found {
        if (!TRY(artifacts.exists(text))) return std::optional<std::string>();
        return std::optional<std::string>("");
      });
  parts.registry.verify_with(
      "training_data", [](sql::Tx& tx, const Call& call, const std::string& text) -> Found {
        const auto dataset = TRY(catalog::find_dataset(tx, call.project, text));
        if (!dataset) return std::optional<std::string>();
        return std::optional<std::string>(dataset->urn());
      });
  parts.registry.verify_with(
      "feature_schema", [](sql::Tx& tx, const Call& call, const std::string& text) -> Found {
        const auto schema = resources::get(tx, call.project, "feature_schema", text);
        if (schema)
          return std::optional<std::string>("feature_schema:" + text + "@" +
                                            std::to_string(schema->version));
        if (schema.error().code != Code::not_found) return schema.error();
        return std::optional<std::string>();
      });
  parts.registry.verify_with("eval_report",
                             [](sql::Tx& tx, const Call& call, const std::string& text) -> Found {
                               auto urn = TRY(training::evaluation_urn(tx, call, text));
                               return urn ? urn : TRY(tracking::evaluated_run(tx, call, text));
                             });
  parts.registry.verify_with("run",
                             [](sql::Tx& tx, const Call& call, const std::string& text) -> Found {
                               auto urn = TRY(training::run_urn(tx, call, text));
                               return urn ? urn : TRY(tracking::run_urn(tx, call, text));
                             });
}

Result<json::object> describe_model(sql::Tx& tx, const Call& call, const Urn& urn) {
  const auto number = registry::version_number(urn.version);
  if (!number) return json::object{};
  const auto version = registry::version(tx, call.project, urn.name, *number);
  if (!version) return json::object{};
  return json::object{{"owner", version->record.owner.value_or("")},
                      {"summary", "registered by " + version->created_by + ", " +
                                      std::string(name_of(version->status))}};
}

// While a release runs, events of both arms bear its name, for its guards compare them. The
// baseline's version came by the release before it, or by none.
Result<void> name_own_release(sql::Tx& tx, const Call& call, release::Service& release,
                              const serving::InferenceEvent& event,
                              std::vector<catalog::Edge>& edges) {
  const auto named = std::find_if(edges.begin(), edges.end(), [](const catalog::Edge& edge) {
    return edge.relation == "released_by";
  });
  if (named == edges.end()) return {};
  const json::object said = TRY(release.describe(tx, call, {"release", event.release, ""}));
  const std::string version = "model:" + event.model + "@v" + std::to_string(event.version);
  const json::value* releases = said.if_contains("releases");
  if (!releases || *releases == json::value(version)) return {};
  const std::string before(said.at("from_release").as_string());
  if (before.empty())
    edges.erase(named);
  else
    named->to_urn = "release:" + before;
  return {};
}

}  // namespace

void describe_all(DescribedParts parts) {
  look_up_references(parts);
  parts.catalog.describe_with("model", describe_model);
  parts.catalog.describe_with(
      "run", [](sql::Tx& tx, const Call& call, const Urn& urn) -> Result<json::object> {
        json::object said = TRY(tracking::describe_run(tx, call, urn));
        if (said.empty()) said = TRY(lineage::describe_run(tx, call, urn));
        return said;
      });
  parts.catalog.describe_with("logged_model", tracking::describe_logged_model);
  parts.catalog.describe_with(
      "release", [&release = parts.release](sql::Tx& tx, const Call& call, const Urn& urn) {
        return release.describe(tx, call, urn);
      });
  parts.catalog.describe_with(
      "prediction",
      [&serving = parts.serving, &costs = parts.costs](sql::Tx&, const Call& call,
                                                       const Urn& urn) -> Result<json::object> {
        const auto event = serving.prediction(call, {urn.name});
        if (!event) return json::object{};
        const auto lines = TRY(costs.lines(call, {"inference", urn.name}));
        return json::object{
            {"owner", event->tenant},
            {"summary", "score " + std::to_string(event->score.value_or(0)) + " for " +
                            event->actor + " at " + to_rfc3339(event->event_time) + " as " +
                            std::string(name_of(event->arm))},
            {"cost", to_text(lines.total)}};
      });
  parts.catalog.derive_edges_with(
      "prediction",
      [&serving = parts.serving, &release = parts.release](
          sql::Tx& tx, const Call& call, const Urn& urn) -> Result<std::vector<catalog::Edge>> {
        const auto event = serving.prediction(call, {urn.name});
        if (!event) return std::vector<catalog::Edge>{};
        auto edges = serving::prediction_edges(*event);
        TRY(name_own_release(tx, call, release, *event, edges));
        return edges;
      });
}

}  // namespace penstock::app
