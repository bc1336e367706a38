// The parts of a card that are tables of what other components know.
#include <algorithm>
#include <cmath>

#include "record/card.h"

namespace penstock::record {
namespace {

constexpr const char* not_recorded = "not recorded";
constexpr std::size_t figure_rows_max = 60;
constexpr std::size_t packages_shown = 60;

std::string or_missing(const std::string& text) { return text.empty() ? not_recorded : text; }

std::string class_text(const std::optional<catalog::Classification>& classification) {
  if (!classification) return not_recorded;
  return std::get<std::string>(Kind<catalog::Classification>::say(*classification));
}

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : ", ") + text;
  return out;
}

std::string fixed(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

// Improvement over the baseline of each slice with its interval, the baseline being the dashed
// line.
std::string forest(const std::vector<training::SliceMetrics>& slices) {
  const std::size_t count = std::min(slices.size(), figure_rows_max);
  double low = 0, high = 0;
  for (std::size_t i = 0; i < count; ++i) {
    low = std::min(low, slices[i].lower);
    high = std::max(high, slices[i].upper);
  }
  if (!(high > low)) return "";
  constexpr double left = 190, width = 440, line = 20, top = 26;
  const auto x = [&](double value) { return left + (value - low) / (high - low) * width; };
  const double height = top + static_cast<double>(count) * line + 8;
  std::string out = "<svg viewBox=\"0 0 720 " + fixed(height) +
                    "\" role=\"img\" aria-label=\"Improvement over the baseline by slice\">\n"
                    "<text class=\"soft\" x=\"" +
                    fixed(left) +
                    "\" y=\"14\">improvement over the baseline, with its interval "
                    "(right of the line is better)</text>\n<line class=\"zero\" x1=\"" +
                    fixed(x(0)) + "\" x2=\"" + fixed(x(0)) + "\" y1=\"" + fixed(top - 4) +
                    "\" y2=\"" + fixed(height - 4) + "\"/>\n";
  for (std::size_t i = 0; i < count; ++i) {
    const training::SliceMetrics& slice = slices[i];
    const double y = top + (static_cast<double>(i) + 0.5) * line;
    const std::string name =
        slice.slice.size() > 28 ? slice.slice.substr(0, 27) + "\xe2\x80\xa6" : slice.slice;
    out += std::string("<g class=\"") + (slice.passed ? "" : "bad ") +
           (slice.judged ? "" : "unjudged") + "\"><title>" + html_escaped(slice.slice) + ": " +
           number(slice.improvement) + " (" + number(slice.lower) + " to " + number(slice.upper) +
           ")</title><text x=\"" + fixed(left - 10) + "\" y=\"" + fixed(y + 4) +
           "\" text-anchor=\"end\">" + html_escaped(name) + "</text><line class=\"ci\" x1=\"" +
           fixed(x(slice.lower)) + "\" x2=\"" + fixed(x(slice.upper)) + "\" y1=\"" + fixed(y) +
           "\" y2=\"" + fixed(y) + "\"/><circle class=\"dot\" r=\"3.5\" cx=\"" +
           fixed(x(slice.improvement)) + "\" cy=\"" + fixed(y) + "\"/><text class=\"soft\" x=\"" +
           fixed(left + width + 12) + "\" y=\"" + fixed(y + 4) + "\">" + number(slice.improvement) +
           "</text></g>\n";
  }
  return out + "</svg>\n";
}

Section missing(const std::string& title) { return {title, {text_block(not_recorded)}}; }

}  // namespace

Section evaluation_data(const Facts& facts) {
  const std::string title = "Evaluation data";
  if (!facts.evaluation) {
    if (!facts.version.record.eval_report) return missing(title);
    return {title,
            {text_block("The record names " + *facts.version.record.eval_report +
                        ", of which nothing is known here.")}};
  }
  const training::Evaluation& evaluation = *facts.evaluation;
  std::vector<std::string> datasets;
  for (const Upstream& upstream : facts.upstream)
    if (upstream.kind == "dataset" &&
        (!facts.training_data || upstream.urn != facts.training_data->urn()))
      datasets.push_back(upstream.urn);
  Block fields{.kind = Block::Kind::fields,
               .rows = {{"Evaluation", code("evaluation:" + evaluation.name)},
                        {"Passed its gate", evaluation.passed ? "yes" : "no"},
                        {"Made", to_rfc3339(evaluation.created_at)},
                        {"Run", code("run:" + evaluation.run)},
                        {"Datasets beside the training data", or_missing(joined(datasets))},
                        {"Predictions", code(evaluation.predictions_uri)}}};
  if (!evaluation.slices.empty()) {
    fields.rows.push_back({"Rows", grouped(evaluation.slices.front().rows)});
    fields.rows.push_back({"Share of positives", number(evaluation.slices.front().positive_rate)});
  }
  return {title, {fields}};
}

Section quantitative(const Facts& facts) {
  const std::string title = "Quantitative analyses";
  if (!facts.evaluation || facts.evaluation->slices.empty()) return missing(title);
  Block figure{.kind = Block::Kind::figure, .svg = forest(facts.evaluation->slices)};
  Block table{.kind = Block::Kind::table,
              .headings = {"Slice", "Rows", "Positives", "Brier", "Baseline", "Improvement",
                           "Interval", "Accuracy", "Log loss", "Verdict"},
              .numbers = {1, 2, 3, 4, 5, 6, 7, 8}};
  for (const training::SliceMetrics& slice : facts.evaluation->slices)
    table.rows.push_back({slice.slice, grouped(slice.rows), number(slice.positive_rate),
                          number(slice.brier), number(slice.baseline_brier),
                          number(slice.improvement),
                          number(slice.lower) + " to " + number(slice.upper),
                          number(slice.accuracy), number(slice.log_loss),
                          !slice.judged  ? "too few rows"
                          : slice.passed ? "passed"
                                         : "failed"});
  return {title, {figure, table}};
}

Section training_data(const Facts& facts) {
  const std::string title = "Training data";
  Section section{title, {}};
  for (const tracking::DatasetInput& input : facts.logged_datasets)
    section.blocks.push_back({.kind = Block::Kind::fields,
                              .rows = {{"Logged dataset", input.name},
                                       {"Digest", code(input.digest)},
                                       {"Source", code(input.source)},
                                       {"Context", or_missing(input.context)}}});
  if (!facts.training_data) {
    if (!section.blocks.empty()) return section;
    if (!facts.version.record.training_data) return missing(title);
    return {title,
            {text_block("The record names " + *facts.version.record.training_data +
                        ", of which nothing is known here.")}};
  }
  const catalog::Dataset& data = *facts.training_data;
  std::optional<catalog::Classification> classification;
  std::string owner = data.created_by;
  for (const Upstream& upstream : facts.upstream)
    if (upstream.urn == data.urn()) {
      classification = upstream.classification;
      if (!upstream.owner.empty()) owner = upstream.owner;
    }
  section.blocks.push_back(
      {.kind = Block::Kind::fields,
       .rows = {{"Dataset", code(data.urn())},
                {"Digest", code(data.digest)},
                {"Rows", grouped(data.row_count)},
                {"Columns", std::to_string(data.columns.size())},
                {"Made", to_rfc3339(data.created_at) + " by " + data.created_by},
                {"Owner", owner},
                {"Classification", class_text(classification)},
                {"Knows nothing later than",
                 data.known_as_of ? to_rfc3339(*data.known_as_of) : std::string(not_recorded)}}});
  Block sources{.kind = Block::Kind::table,
                .headings = {"Source", "Owner", "Classification", "What it is"}};
  for (const Upstream& upstream : facts.upstream)
    if (upstream.kind == "source")
      sources.rows.push_back({code(upstream.urn), or_missing(upstream.owner),
                              class_text(upstream.classification), upstream.summary});
  if (!sources.rows.empty()) section.blocks.push_back(sources);
  if (!data.query.empty())
    section.blocks.push_back({.kind = Block::Kind::source, .rows = {{data.query}}});
  return section;
}

Section features_read(const Facts& facts) {
  if (facts.features.empty()) {
    if (!facts.version.record.feature_schema) return missing("Features");
    return {"Features",
            {text_block("The record names " + *facts.version.record.feature_schema +
                        ", of which nothing is known here.")}};
  }
  Block table{.kind = Block::Kind::table,
              .headings = {"Feature", "Type", "Unit", "View", "Entity", "Owner", "Classification",
                           "What it is"}};
  for (const FeatureFact& feature : facts.features)
    table.rows.push_back({feature.name,
                          std::get<std::string>(Kind<features::FeatureType>::say(feature.type)),
                          feature.unit.value_or(""), feature.view.empty() ? "" : code(feature.view),
                          feature.entity, feature.owner, class_text(feature.classification),
                          feature.view.empty() ? code(feature.description.value_or(""))
                                               : feature.description.value_or("")});
  return {"Features",
          {text_block(std::to_string(facts.features.size()) + " features of " +
                      facts.feature_schema + ", in the order in which the model reads them."),
           table}};
}

Section approvals_given(const Facts& facts) {
  if (facts.approvals.empty()) return {"Approvals", {text_block("None given.")}};
  Block table{.kind = Block::Kind::table,
              .headings = {"Scope", "Approver", "When", "Until", "Of the record", "Comment"}};
  for (const approvals::Approval& approval : facts.approvals)
    table.rows.push_back({approval.scope, approval.approver, to_rfc3339(approval.at),
                          approval.expires_at ? to_rfc3339(*approval.expires_at) : "",
                          code(approval.digest.substr(0, 16)), approval.comment});
  std::string granted;
  for (const std::string& scope : facts.approved_for)
    granted += (granted.empty() ? "" : ", ") + scope;
  return {"Approvals",
          {text_block(granted.empty() ? "Approved for nothing as of now."
                                      : "Approved for " + granted + "."),
           table}};
}

Section releases_made(const Facts& facts) {
  Section section{"Releases and incidents", {}};
  Block deployed{.kind = Block::Kind::table,
                 .headings = {"Route", "As", "Weight", "Since", "Release", "Route's owner"},
                 .numbers = {2}};
  for (const Deployed& one : facts.deployments)
    deployed.rows.push_back({one.route, std::string(name_of(one.arm)),
                             number(static_cast<double>(one.weight) / 100) + "%",
                             to_rfc3339(one.since), code(one.release), or_missing(one.owner)});
  section.blocks.push_back(deployed.rows.empty() ? text_block("No route sends it calls.")
                                                 : deployed);
  Block releases{.kind = Block::Kind::table,
                 .headings = {"Release", "Route", "From", "To", "State", "Author", "When", "Why"}};
  for (const release::Release& one : facts.releases)
    releases.rows.push_back(
        {code(one.id), one.route,
         one.from_version ? "v" + std::to_string(one.from_version) : std::string("nothing"),
         "v" + std::to_string(one.version), std::string(name_of(one.state)), one.author,
         to_rfc3339(one.created_at), one.reason});
  if (!releases.rows.empty()) section.blocks.push_back(releases);
  Block incidents{.kind = Block::Kind::table,
                  .headings = {"Incident", "Severity", "Status", "About", "What", "Opened"}};
  for (const incidents::Incident& one : facts.incidents)
    incidents.rows.push_back({code(one.id), std::string(name_of(one.severity)),
                              std::string(name_of(one.status)), code(one.subject), one.title,
                              to_rfc3339(one.opened_at)});
  section.blocks.push_back(incidents.rows.empty() ? text_block("No incident names it.")
                                                  : incidents);
  return section;
}

Section cost_of_training(const Facts& facts) {
  const TrainingCost& cost = facts.training_cost;
  if (cost.basis == CostBasis::not_recorded && !cost.elapsed_seconds)
    return missing("Cost of training");
  const std::string basis =
      cost.basis == CostBasis::ledger         ? "lines of the ledger"
      : cost.basis == CostBasis::priced_run   ? "the run's seconds at the price then in force"
      : cost.basis == CostBasis::unpriced_run ? "the run's seconds; no price list covers them"
                                              : "the run's start and end";
  Block fields{
      .kind = Block::Kind::fields,
      .rows = {
          {"Amount", cost.amount ? to_text(*cost.amount) + " " + cost.currency : not_recorded},
          {"Taken from", basis},
          {"Compute seconds",
           cost.basis == CostBasis::not_recorded ? not_recorded : number(cost.compute_seconds)},
          {"GPU seconds",
           cost.basis == CostBasis::ledger ? number(cost.gpu_seconds) : not_recorded},
          {"Elapsed seconds",
           cost.elapsed_seconds ? number(*cost.elapsed_seconds) : not_recorded}}};
  if (cost.cached_steps > 0)
    fields.rows.push_back({"Steps taken from earlier runs", std::to_string(cost.cached_steps)});
  return {"Cost of training", {fields}};
}

Section provenance(const Facts& facts) {
  const registry::Record& record = facts.version.record;
  Block fields{.kind = Block::Kind::fields,
               .rows = {{"Record", code(facts.version.digest)},
                        {"Artifact", code(record.artifact_uri)},
                        {"Artifact digest", code(record.artifact_digest.value_or(not_recorded))},
                        {"Run", code(record.run.value_or(not_recorded))},
                        {"Goes back to", or_missing(record.rollback_to.value_or(""))}}};
  if (facts.code) {
    fields.rows.push_back({"Pipeline or script", code(facts.code->pipeline)});
    fields.rows.push_back({"Git commit", facts.code->git_commit.empty()
                                             ? Cell(not_recorded)
                                             : code(facts.code->git_commit)});
  }
  if (facts.seed) fields.rows.push_back({"Seed", std::to_string(*facts.seed)});
  if (!facts.parameters.empty())
    fields.rows.push_back({"Parameters", code(canonical(facts.parameters))});
  for (const registry::CheckedSignature& one : facts.signatures)
    fields.rows.push_back({"Signature", one.verified
                                            ? "verified with " + one.key + " of " + one.owner
                                            : "not verified: " + one.fault});
  if (facts.signatures.empty()) fields.rows.push_back({"Signature", "not signed"});
  Section section{"Provenance", {fields}};
  if (!facts.files.empty()) {
    Block files{
        .kind = Block::Kind::table, .headings = {"File", "Size", "SHA-256"}, .numbers = {1}};
    for (const FileFact& file : facts.files)
      files.rows.push_back({code(file.path), size_text(file.size), code(file.digest)});
    section.blocks.push_back(files);
  }
  if (facts.environment) {
    std::string text = "Python " + or_missing(facts.environment->python) + "; ";
    for (std::size_t i = 0; i < facts.environment->packages.size() && i < packages_shown; ++i) {
      const Package& package = facts.environment->packages[i];
      text += (i ? ", " : "") + package.name + " " + package.version;
    }
    if (facts.environment->packages.size() > packages_shown)
      text += " and " + std::to_string(facts.environment->packages.size() - packages_shown) +
              " more (all of them are in the bill of materials)";
    section.blocks.push_back(text_block(text));
  }
  return section;
}

}  // namespace penstock::record
