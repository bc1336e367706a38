#include "policies/views.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/urn.h"

namespace penstock::policies {
namespace {

constexpr const char *text = "text", *whole = "whole", *number = "number", *yes = "yes/no",
                     *time = "time";

View subject() {
  return {
      "policy_subject",
      "One row: what is about to be done, to what.",
      {{"urn", text, "the subject, e.g. model:flight-delay@v4 or source:flights@2"},
       {"kind", text, "of the URN: model, source, dataset, release, ..."},
       {"name", text, "of the URN: flight-delay"},
       {"version", whole, "of the URN: 4; NULL where it has none"},
       {"action", text, "register, approve, release or read"},
       {"actor", text, "who asks: user:ana"},
       {"route", text, "the route of a release; else empty"},
       {"purpose", text, "what a read is for: dataset:NAME, features, batch:OUTPUT; else empty"},
       {"now", time, "the time of the question"}}};
}

View models() {
  return {"policy_models",
          "Models, declared or only registered.",
          {{"name", text, "the model"},
           {"owner", text, "as declared; empty where nobody did"},
           {"description", text, "as declared"},
           {"risk_class", text, "as declared"},
           {"signature_required", yes, "its versions are loaded only with a signature"},
           {"newest_version", whole, "the highest number that is registered"}}};
}

View model_versions() {
  return {"policy_model_versions",
          "Registered versions with their records.",
          {{"urn", text, "model:NAME@vN"},
           {"model", text, "its model; join by model and version, which is fast"},
           {"version", whole, "its number"},
           {"status", text, "registered, approved, shadow, canary, live, rolled_back, retired"},
           {"owner", text, "of the record; NULL where it has none, as all below"},
           {"description", text, "of the record"},
           {"training_data", text, "as it was written"},
           {"feature_schema", text, "as it was written"},
           {"eval_report", text, "as it was written"},
           {"run", text, "as it was written"},
           {"approved_for", text, "the scope that its author claims"},
           {"rollback_to", text, "the version to go back to"},
           {"licence", text, "of the record"},
           {"risk_class", text, "of the record"},
           {"intended_use", text, "of the record"},
           {"runtime", text, "what executes it"},
           {"external", yes, "its runtime is none of onnx and python: rows leave this program"},
           {"artifact_uri", text, "where its files are"},
           {"artifact_digest", text, "SHA-256 of its files"},
           {"digest", text, "SHA-256 of the record, which approvals are bound to"},
           {"created_by", text, "who registered it"},
           {"created_at", time, "when"},
           {"age_days", number, "since then"},
           {"versions_before", whole, "how many versions of the model have a lower number"}}};
}

View references() {
  return {"policy_references",
          "What records name, and whether it is known here.",
          {{"model", text, "whose record"},
           {"version", whole, "whose record"},
           {"field", text,
            "training_data, feature_schema, eval_report, run, artifact_uri, "
            "rollback_to"},
           {"written", text, "as it was written"},
           {"verified", yes, "it names something that is known"},
           {"target", text, "the URN of that; empty where it is not known"}}};
}

View metrics() {
  return {"policy_metrics",
          "Metrics of records.",
          {{"model", text, "whose record"},
           {"version", whole, "whose record"},
           {"metric", text, "its name"},
           {"value", number, "its value"}}};
}

View evaluations() {
  return {"policy_evaluations",
          "The evaluation that a record names, where it is known.",
          {{"model", text, "of which version"},
           {"version", whole, "of which version"},
           {"evaluation", text, "evaluation:NAME of a pipeline, or run:ID of an MLflow client"},
           {"passed", yes, "its gate passed; NULL for a run, which has none"},
           {"created_at", time, "when it was made"},
           {"age_days", number, "since then"}}};
}

View slices() {
  return {"policy_evaluation_slices",
          "Slices of pipelines' evaluations, the first 200 of each.",
          {{"evaluation", text, "evaluation:NAME"},
           {"slice", text, "all, or column=value"},
           {"row_count", whole, "rows of the slice"},
           {"accuracy", number, "share of right decisions"},
           {"brier", number, "Brier score, lower is better"},
           {"improvement", number, "of the Brier score over the baseline"},
           {"lower_bound", number, "of the improvement's confidence interval"},
           {"upper_bound", number, "of the improvement's confidence interval"},
           {"judged", yes, "it has rows enough"},
           {"passed", yes, "the gate let it pass"}}};
}

View approvals() {
  return {"policy_approvals",
          "Approvals, also those that ended.",
          {{"subject", text, "the URN that was approved"},
           {"scope", text, "for what"},
           {"digest", text, "of what the approver looked at; a version's stands in its row"},
           {"approver", text, "user:bo"},
           {"comment", text, "why"},
           {"given_at", time, "when"},
           {"expires_at", time, "until when; NULL: for ever"},
           {"stands", yes, "it was not taken back and is not too old"},
           {"age_days", number, "since it was given"}}};
}

View aliases() {
  return {"policy_aliases",
          "Aliases of models, as MLflow has them.",
          {{"model", text, "the model"},
           {"alias", text, "champion"},
           {"version", whole, "the version that it names"}}};
}

View tags() {
  return {"policy_tags",
          "Tags of versions, as MLflow has them.",
          {{"model", text, "the model"},
           {"version", whole, "the version"},
           {"tag", text, "its key"},
           {"value", text, "its value"}}};
}

View datasets() {
  return {"policy_datasets",
          "Datasets of the catalog.",
          {{"urn", text, "dataset:NAME@N"},
           {"name", text, "its name"},
           {"version", whole, "its number"},
           {"digest", text, "SHA-256 of its file"},
           {"row_count", whole, "its rows"},
           {"feature_schema", text, "features_v1@1; empty where it has none"},
           {"created_by", text, "who made it"},
           {"created_at", time, "when"},
           {"age_days", number, "since then"}}};
}

View sources() {
  return {"policy_sources",
          "The newest version of each source.",
          {{"urn", text, "source:NAME@N"},
           {"name", text, "its name"},
           {"version", whole, "its number"},
           {"owner", text, "as declared"},
           {"description", text, "as declared"},
           {"classification", text,
            "of its strictest column: public, internal, confidential, "
            "restricted"},
           {"class_rank", whole, "the same as 0, 1, 2, 3"},
           {"measured_at", time, "when it was measured last; NULL: never"},
           {"fresh", yes, "it was fresh then"},
           {"checks_passed", yes, "its checks passed then"}}};
}

View source_columns() {
  return {"policy_source_columns",
          "Columns of the newest version of each source.",
          {{"source", text, "name of the source"},
           {"name", text, "of the column"},
           {"type", text, "boolean, bigint, double, text, timestamp, decimal, list"},
           {"classification", text, "as it stands: declared, confirmed, lowered"},
           {"class_rank", whole, "the same as 0, 1, 2, 3"},
           {"tags", text, "a list as JSON: [\"pii.email\"]"}}};
}

View upstream() {
  return {"policy_upstream",
          "The subject and whatever it was made from, down to 32 steps.",
          {{"urn", text, "source:flights@2"},
           {"kind", text,
            "source, dataset, feature_view, feature_schema, model, run, evaluation, "
            "other"},
           {"depth", whole, "steps from the subject, which is 0"},
           {"owner", text, "of a source, feature view or schema; else NULL"},
           {"classification", text,
            "of a source: of the strictest column that was read; columns "
            "that lineage says are masked do not count; else NULL"},
           {"class_rank", whole, "the same as 0, 1, 2, 3; NULL where nothing is classified"}}};
}

View feature_views() {
  return {"policy_feature_views",
          "The newest version of each feature view.",
          {{"urn", text, "feature_view:NAME@N"},
           {"name", text, "its name"},
           {"version", whole, "its number"},
           {"owner", text, "as declared"},
           {"description", text, "as declared"},
           {"entity", text, "what it describes"},
           {"online", yes, "it is served online"}}};
}

View routes() {
  return {"policy_routes",
          "Routes as they are declared.",
          {{"name", text, "the route"},
           {"owner", text, "as declared"},
           {"model", text, "whose versions answer"},
           {"feature_schema", text, "as declared"},
           {"alias", text, "that follows it; empty: none"},
           {"live_version", whole, "that answers now; NULL: none"}}};
}

View deployments() {
  return {"policy_deployments",
          "Versions that routes send calls to.",
          {{"route", text, "the route"},
           {"model", text, "the model"},
           {"version", whole, "its version"},
           {"arm", text, "live, canary or shadow"},
           {"weight", whole, "parts of 10,000"},
           {"release", text, "id of the release that put it there"},
           {"runtime", text, "what executes it"},
           {"external", yes, "as in policy_model_versions"},
           {"since", time, "when its weight was set"}}};
}

View releases() {
  return {"policy_releases",
          "Releases, open and ended.",
          {{"id", text, "of the release"},
           {"route", text, "the route"},
           {"model", text, "the model"},
           {"version", whole, "where it leads"},
           {"from_version", whole, "where it began; 0: nothing was live"},
           {"state", text,
            "awaiting_approval, shadow, canary, bake, watch, closed, rolled_back, "
            "cancelled"},
           {"author", text, "who asked for it"},
           {"created_at", time, "when"},
           {"updated_at", time, "when it moved last"},
           {"age_days", number, "since it moved last"}}};
}

View incidents() {
  return {"policy_incidents",
          "Incidents, open and resolved.",
          {{"id", text, "of the incident"},
           {"subject", text, "the URN that it is about"},
           {"title", text, "what happened"},
           {"severity", text, "info, warning or critical"},
           {"status", text, "open, acknowledged or resolved"},
           {"owner", text, "who must know"},
           {"opened_at", time, "when"},
           {"resolved_at", time, "when; NULL: it is not"},
           {"age_days", number, "since it was opened"}}};
}

View signatures() {
  return {"policy_signatures",
          "Signatures kept for artifacts. They are verified where a version is loaded.",
          {{"model", text, "whose artifact"},
           {"version", whole, "whose artifact"},
           {"key_id", text, "SHA-256 of the public key"},
           {"added_by", text, "who brought it"},
           {"signed_at", time, "when"}}};
}

}  // namespace

const std::vector<View>& views() {
  static const std::vector<View> all = {
      subject(),     models(),      model_versions(), references(), metrics(),
      evaluations(), slices(),      approvals(),      aliases(),    tags(),
      datasets(),    sources(),     source_columns(), upstream(),   feature_views(),
      routes(),      deployments(), releases(),       incidents(),  signatures()};
  return all;
}

std::vector<std::string> view_names() {
  std::vector<std::string> names;
  for (const View& view : views()) names.push_back(view.name);
  return names;
}

std::string with_views(const std::vector<std::string>& names) {
  std::set<std::string_view> needed(names.begin(), names.end());
  const auto& all = view_texts();
  // Each reads only those before it, so one pass from the end finds all that are needed.
  for (auto view = all.rbegin(); view != all.rend(); ++view)
    if (needed.contains(view->name))
      for (const ViewText& other : all)
        if (view->sql.find(other.name) != std::string_view::npos) needed.insert(other.name);
  std::string out;
  for (const ViewText& view : all)
    if (needed.contains(view.name))
      out += (out.empty() ? "WITH RECURSIVE " : ",\n") + std::string(view.name) + " AS (" +
             std::string(view.sql) + ")";
  return out;
}

sql::Row view_parameters(const std::string& project, const std::string& actor, Timestamp now,
                         const Subject& subject) {
  const Urn urn = Urn::parse(subject.urn).value_or(Urn{"", subject.urn, ""});
  std::string_view digits = urn.version;
  if (digits.starts_with("v")) digits.remove_prefix(1);
  std::int64_t number = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool numbered =
      !digits.empty() && read.ec == std::errc{} && read.ptr == digits.data() + digits.size();
  return {project,
          sql::to_sql(now),
          subject.urn,
          urn.kind,
          urn.name,
          numbered ? Scalar{number} : Scalar{},
          std::string(name_of(subject.action)),
          actor,
          subject.route,
          subject.purpose};
}

}  // namespace penstock::policies
