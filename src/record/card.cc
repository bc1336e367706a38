#include "record/card.h"

#include <cmath>
#include <cstdio>
#include <map>
#include <set>

#include "base/yaml.h"

namespace penstock::record {
namespace {

constexpr const char* not_recorded = "not recorded";

std::string or_missing(const std::optional<std::string>& text) {
  return text && !text->empty() ? *text : not_recorded;
}
std::string or_missing(const std::string& text) { return text.empty() ? not_recorded : text; }

std::string class_text(const std::optional<catalog::Classification>& classification) {
  if (!classification) return not_recorded;
  return std::get<std::string>(Kind<catalog::Classification>::say(*classification));
}

std::string risk_of(const Facts& facts) {
  if (facts.version.record.risk_class) return *facts.version.record.risk_class;
  return facts.model.risk_class ? *facts.model.risk_class + " (of the model's declaration)"
                                : not_recorded;
}

Section details(const Facts& facts) {
  const registry::ModelVersion& version = facts.version;
  const registry::Record& record = version.record;
  std::string aliases;
  for (const std::string& alias : facts.aliases) aliases += (aliases.empty() ? "" : ", ") + alias;
  Block fields{
      .kind = Block::Kind::fields,
      .rows = {{"Name", version.model},
               {"Version", "v" + std::to_string(version.version)},
               {"URN", code(version.urn())},
               {"Status", std::string(name_of(version.status))},
               {"Owner", or_missing(record.owner)},
               {"Registered", to_rfc3339(version.created_at) + " by " + version.created_by},
               {"Task", or_missing(facts.model.task)},
               {"Runtime", or_missing(record.runtime)},
               {"Licence", or_missing(record.licence)},
               {"Risk class", risk_of(facts)},
               {"Aliases", or_missing(aliases)}}};
  std::string description = record.description.value_or("");
  if (description.empty()) description = facts.model.description;
  return {"Model details", {text_block(or_missing(description)), fields}};
}

Section intended_use(const Facts& facts) {
  Block fields{
      .kind = Block::Kind::fields,
      .rows = {{"Intended use", or_missing(facts.version.record.intended_use)},
               {"Approved for, as claimed", or_missing(facts.version.record.approved_for)}}};
  return {"Intended use", {fields}};
}

// "carrier" of "carrier=AA", with how many groups of it were looked at.
Section factors(const Facts& facts) {
  Section section{"Factors", {}};
  std::map<std::string, std::int64_t> groups, judged;
  if (facts.evaluation)
    for (const training::SliceMetrics& slice : facts.evaluation->slices) {
      const std::size_t equals = slice.slice.find('=');
      if (equals == std::string::npos) continue;
      const std::string factor = slice.slice.substr(0, equals);
      ++groups[factor];
      judged[factor] += slice.judged ? 1 : 0;
    }
  if (groups.empty()) {
    section.blocks.push_back(text_block(not_recorded));
    return section;
  }
  Block table{.kind = Block::Kind::table,
              .headings = {"Factor", "Groups", "Large enough to judge"},
              .numbers = {1, 2}};
  for (const auto& [factor, count] : groups)
    table.rows.push_back({factor, std::to_string(count), std::to_string(judged[factor])});
  section.blocks = {text_block("Groups that the evaluation looks at one by one."), table};
  return section;
}

Section metrics(const Facts& facts) {
  Section section{"Metrics", {}};
  if (facts.metrics.empty() && !facts.evaluation) {
    section.blocks.push_back(text_block(not_recorded));
    return section;
  }
  Block table{
      .kind = Block::Kind::table, .headings = {"Metric", "Value", "Interval"}, .numbers = {1}};
  for (const auto& [name, value] : facts.metrics) table.rows.push_back({name, number(value), ""});
  if (facts.evaluation && !facts.evaluation->slices.empty()) {
    const training::SliceMetrics& all = facts.evaluation->slices.front();
    table.rows.push_back({"improvement of the Brier score over the baseline",
                          number(all.improvement),
                          number(facts.evaluation->gate.confidence * 100) +
                              "%: " + number(all.lower) + " to " + number(all.upper)});
    section.blocks.push_back(table);
    section.blocks.push_back(text_block(
        "Brier score: the mean of (score - label) squared, less is better. A decision is made at a "
        "score of " +
        number(facts.evaluation->gate.threshold) +
        " or more. The interval is the normal one of the mean of paired differences."));
    return section;
  }
  section.blocks.push_back(table);
  return section;
}

Section considerations(const Facts& facts) {
  Block fields{.kind = Block::Kind::fields,
               .rows = {{"Risk class", risk_of(facts)},
                        {"Classification", class_text(facts.classification)}}};
  std::string strict;
  for (const Upstream& upstream : facts.upstream)
    if (upstream.kind == "source" && upstream.classification &&
        *upstream.classification >= catalog::Classification::confidential)
      strict += (strict.empty() ? "" : ", ") + upstream.urn + " (" +
                class_text(upstream.classification) + ")";
  fields.rows.push_back(
      {"Confidential or restricted sources", facts.upstream.empty() ? std::string(not_recorded)
                                             : strict.empty()       ? std::string("none")
                                                                    : strict});
  return {"Ethical considerations",
          {text_block("The classification is the strictest of everything upstream of the model."),
           fields}};
}

Section caveats(const Facts& facts) {
  Section section{"Caveats and recommendations",
                  {text_block(or_missing(facts.version.record.limitations))}};
  for (const std::string& blocker : facts.blockers)
    section.blocks.push_back(warning_block("Blocks a release: " + blocker));
  if (!facts.evaluation) return section;
  std::string failed, small;
  for (const training::SliceMetrics& slice : facts.evaluation->slices) {
    if (!slice.judged) small += (small.empty() ? "" : ", ") + slice.slice;
    if (!slice.passed) failed += (failed.empty() ? "" : ", ") + slice.slice;
  }
  if (!failed.empty())
    section.blocks.push_back(warning_block("Did not pass the evaluation's gate: " + failed));
  if (!small.empty())
    section.blocks.push_back(warning_block("Too few rows to be judged (fewer than " +
                                           std::to_string(facts.evaluation->gate.slice_rows) +
                                           "): " + small));
  return section;
}

json::array hub_results(const Facts& facts, const std::string& task) {
  json::array metrics;
  for (const auto& [name, value] : facts.metrics)
    if (std::isfinite(value))
      metrics.push_back(json::object{{"type", name}, {"name", name}, {"value", value}});
  if (metrics.empty()) return {};
  const std::string data = facts.evaluation                   ? facts.evaluation->name
                           : facts.version.record.eval_report ? *facts.version.record.eval_report
                                                              : "not recorded";
  return json::array{json::object{{"task", {{"type", task.empty() ? std::string("other") : task}}},
                                  {"dataset", {{"name", data}, {"type", data}}},
                                  {"metrics", metrics}}};
}

json::object front_matter(const Facts& facts) {
  const registry::Record& record = facts.version.record;
  json::object out;
  if (record.licence) out["license"] = *record.licence;
  std::string task = facts.model.task.value_or("");
  for (char& c : task) c = c == ' ' ? '-' : c;
  if (!task.empty()) out["pipeline_tag"] = task;
  if (record.runtime) out["library_name"] = *record.runtime;
  json::array tags{json::value("penstock")};
  for (const auto& [key, value] : facts.tags)
    tags.push_back(json::value(value.empty() ? key : key + "=" + value));
  out["tags"] = tags;
  if (facts.training_data) out["datasets"] = json::array{json::value(facts.training_data->name)};
  if (!facts.metrics.empty()) {
    json::array names;
    for (const auto& [name, value] : facts.metrics) names.push_back(json::value(name));
    out["metrics"] = names;
  }
  const std::string name = facts.version.model + "-v" + std::to_string(facts.version.version);
  out["model_name"] = name;
  out["version"] = facts.version.urn();
  if (auto results = hub_results(facts, task); !results.empty())
    out["model-index"] = json::array{json::object{{"name", name}, {"results", results}}};
  return out;
}

}  // namespace

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::string grouped(std::int64_t value) {
  const std::string digits = std::to_string(value);
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const bool comma = i > 0 && (digits.size() - i) % 3 == 0 && digits[i - 1] != '-';
    if (comma) out += ',';
    out += digits[i];
  }
  return out;
}

std::string size_text(std::int64_t bytes) {
  if (bytes < 10'000) return grouped(bytes) + " bytes";
  return bytes < 10'000'000 ? number(std::round(static_cast<double>(bytes) / 1e2) / 10) + " kB"
                            : number(std::round(static_cast<double>(bytes) / 1e5) / 10) + " MB";
}

Block text_block(const std::string& text) { return {.kind = Block::Kind::text, .rows = {{text}}}; }
Block warning_block(const std::string& text) {
  return {.kind = Block::Kind::warning, .rows = {{text}}};
}

Document card_of(const Facts& facts) {
  const registry::ModelVersion& version = facts.version;
  return {.title = version.model + " v" + std::to_string(version.version),
          .subtitle = "Model card of " + version.urn() + ", record " +
                      version.digest.substr(0, 16) + ", " + std::string(name_of(version.status)),
          .sections = {details(facts), intended_use(facts), factors(facts), metrics(facts),
                       evaluation_data(facts), training_data(facts), features_read(facts),
                       quantitative(facts), considerations(facts), caveats(facts),
                       approvals_given(facts), releases_made(facts), cost_of_training(facts),
                       provenance(facts)}};
}

std::string markdown_card(const Facts& facts) {
  return "---\n" + yaml::print(front_matter(facts)) + "---\n\n" + to_markdown(card_of(facts));
}

std::string html_card(const Facts& facts) { return to_html(card_of(facts)); }

}  // namespace penstock::record
