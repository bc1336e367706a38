#include "record/diff.h"

#include <set>

#include "record/card.h"

namespace penstock::record {
namespace {

using Texts = std::map<std::string, std::string>;

// What is in one map and not, or otherwise, in the other.
std::vector<Difference> compare(const Texts& before, const Texts& after) {
  std::vector<Difference> out;
  std::set<std::string> names;
  for (const Texts* side : {&before, &after})
    for (const auto& [name, text] : *side) names.insert(name);
  for (const std::string& name : names) {
    const auto old = before.find(name), fresh = after.find(name);
    Difference difference{.name = name};
    if (old != before.end()) difference.before = old->second;
    if (fresh != after.end()) difference.after = fresh->second;
    if (difference.before != difference.after) out.push_back(std::move(difference));
  }
  return out;
}

std::vector<Difference> compare(const std::map<std::string, double>& before,
                                const std::map<std::string, double>& after) {
  Texts old, fresh;
  for (const auto& [name, value] : before) old[name] = number(value);
  for (const auto& [name, value] : after) fresh[name] = number(value);
  std::vector<Difference> out = compare(old, fresh);
  for (Difference& difference : out)
    if (before.contains(difference.name) && after.contains(difference.name))
      difference.delta = after.at(difference.name) - before.at(difference.name);
  return out;
}

std::string text_of(const json::value& value) {
  return value.is_string() ? std::string(value.get_string()) : canonical(value);
}

// What was written of the version; its name and what stands in parts of their own are left out.
Texts record_texts(const Facts& facts) {
  Texts out;
  const json::object record = encode(facts.version.record).as_object();
  for (const auto& field : record) {
    const std::string_view name = field.key();
    if (name == "model_id" || name == "metrics" || name == "signature" || field.value().is_null())
      continue;
    out[std::string(name)] = text_of(field.value());
  }
  return out;
}

Texts dataset_texts(const Facts& facts) {
  Texts out;
  for (const tracking::DatasetInput& input : facts.logged_datasets)
    out["logged " + input.name] =
        input.digest + (input.context.empty() ? "" : ", " + input.context);
  if (!facts.training_data) {
    if (facts.version.record.training_data) out["dataset"] = *facts.version.record.training_data;
    return out;
  }
  const catalog::Dataset& data = *facts.training_data;
  out["dataset"] = data.urn();
  out["digest"] = data.digest;
  out["rows"] = grouped(data.row_count);
  out["feature schema"] = data.feature_schema;
  out["known as of"] = data.known_as_of ? to_rfc3339(*data.known_as_of) : "";
  for (const catalog::DatasetColumn& column : data.columns)
    out["column " + column.name] = column.type;
  return out;
}

std::vector<Difference> datasets(const Facts& before, const Facts& after) {
  std::vector<Difference> out = compare(dataset_texts(before), dataset_texts(after));
  for (Difference& difference : out)
    if (difference.name == "rows" && before.training_data && after.training_data)
      difference.delta = static_cast<double>(after.training_data->row_count) -
                         static_cast<double>(before.training_data->row_count);
  if (before.training_data && after.training_data &&
      before.training_data->query != after.training_data->query)
    out.push_back({.name = "query",
                   .lines = line_diff(before.training_data->query, after.training_data->query)});
  return out;
}

// The versions of each source, with what its owner changed between them.
std::vector<Difference> sources(const Facts& before, const Facts& after) {
  const auto versions = [](const Facts& facts) {
    Texts out;
    for (const Upstream& upstream : facts.upstream)
      if (const auto urn = Urn::parse(upstream.urn); urn && urn->kind == "source")
        out[urn->name] += (out[urn->name].empty() ? "" : ", ") + urn->version;
    return out;
  };
  std::vector<Difference> out = compare(versions(before), versions(after));
  for (Difference& difference : out)
    for (const catalog::SourceChange& change : after.source_changes) {
      const bool between = change.source == difference.name && difference.before &&
                           change.version > std::atoll(difference.before->c_str());
      if (between)
        difference.note += (difference.note.empty() ? "" : "; ") + std::string("version ") +
                           std::to_string(change.version) + ": " + change.what +
                           (change.compatible ? "" : " (readers may break)");
    }
  return out;
}

std::vector<Difference> features(const Facts& before, const Facts& after) {
  const auto texts = [](const Facts& facts) {
    Texts out;
    if (!facts.feature_schema.empty()) out["schema"] = facts.feature_schema;
    std::string order;
    for (const FeatureFact& feature : facts.features) {
      out["feature " + feature.name] =
          std::get<std::string>(Kind<features::FeatureType>::say(feature.type)) +
          (feature.unit ? " in " + *feature.unit : "") +
          (feature.view.empty() ? " = " + feature.description.value_or("") : " of " + feature.view);
      order += (order.empty() ? "" : ", ") + feature.name;
    }
    if (!order.empty()) out["order"] = order;
    return out;
  };
  std::vector<Difference> out = compare(texts(before), texts(after));
  for (const ViewFact& old : before.views)
    for (const ViewFact& fresh : after.views)
      if (old.name == fresh.name && old.sql != fresh.sql)
        out.push_back({.name = "SQL of view " + old.name,
                       .before = "version " + std::to_string(old.version),
                       .after = "version " + std::to_string(fresh.version),
                       .lines = line_diff(old.sql, fresh.sql)});
  return out;
}

std::vector<Difference> code(const Facts& before, const Facts& after) {
  const auto texts = [](const Facts& facts) {
    Texts out;
    if (!facts.code) return out;
    out["pipeline or script"] = facts.code->pipeline;
    out["git commit"] = facts.code->git_commit;
    if (!facts.code->git_repository.empty()) out["git repository"] = facts.code->git_repository;
    for (const auto& [step, words] : facts.code->commands) {
      std::string& text = out["step " + step];
      for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
    }
    for (const auto& [name, digest] : facts.code->files) out["file " + name] = digest;
    return out;
  };
  return compare(texts(before), texts(after));
}

std::vector<Difference> environment(const Facts& before, const Facts& after) {
  const auto texts = [](const Facts& facts) {
    Texts out;
    if (!facts.environment) return out;
    if (!facts.environment->python.empty()) out["python"] = facts.environment->python;
    for (const Package& package : facts.environment->packages)
      out[package.name] = package.version.empty() ? "any" : package.version;
    return out;
  };
  return compare(texts(before), texts(after));
}

std::vector<Difference> parameters(const Facts& before, const Facts& after) {
  const auto texts = [](const Facts& facts) {
    Texts out;
    for (const auto& parameter : facts.parameters)
      out[std::string(parameter.key())] = text_of(parameter.value());
    if (facts.seed) out["seed"] = std::to_string(*facts.seed);
    return out;
  };
  return compare(texts(before), texts(after));
}

// Brier score of each slice, with the interval of its improvement over the baseline.
std::vector<Difference> slices(const Facts& before, const Facts& after) {
  const auto by_name = [](const Facts& facts) {
    std::map<std::string, training::SliceMetrics> out;
    if (facts.evaluation)
      for (const training::SliceMetrics& slice : facts.evaluation->slices) out[slice.slice] = slice;
    return out;
  };
  const auto text = [](const training::SliceMetrics& slice) {
    return number(slice.brier) + " (" + grouped(slice.rows) + " rows, improvement " +
           number(slice.lower) + " to " + number(slice.upper) +
           (slice.judged ? slice.passed ? ")" : ", failed)" : ", too few rows)");
  };
  const auto old = by_name(before), fresh = by_name(after);
  Texts old_texts, fresh_texts;
  for (const auto& [name, slice] : old) old_texts[name] = text(slice);
  for (const auto& [name, slice] : fresh) fresh_texts[name] = text(slice);
  std::vector<Difference> out = compare(old_texts, fresh_texts);
  for (Difference& difference : out) {
    const auto a = old.find(difference.name), b = fresh.find(difference.name);
    if (a == old.end() || b == fresh.end()) continue;
    difference.delta = b->second.brier - a->second.brier;
    if (b->second.lower > a->second.upper) difference.note = "improvement is higher";
    if (b->second.upper < a->second.lower) difference.note = "improvement is lower";
  }
  return out;
}

std::vector<Difference> others(const Facts& before, const Facts& after, std::string_view part) {
  const auto texts = [&](const Facts& facts) {
    Texts out;
    if (part == "signature" && facts.signature)
      for (const auto& field : *facts.signature)
        if (!field.value().is_null()) out[std::string(field.key())] = text_of(field.value());
    if (part == "files")
      for (const FileFact& file : facts.files) out[file.path] = file.digest;
    if (part == "approvals")
      for (const approvals::Approval& approval : facts.approvals)
        out[approval.scope] += (out[approval.scope].empty() ? "" : ", ") + approval.approver;
    if (part == "classification" && facts.classification)
      out["classification"] =
          std::get<std::string>(Kind<catalog::Classification>::say(*facts.classification));
    if (part == "cost" && facts.training_cost.basis != CostBasis::not_recorded) {
      out["compute seconds"] = number(facts.training_cost.compute_seconds);
      if (facts.training_cost.amount)
        out["amount"] =
            penstock::to_text(*facts.training_cost.amount) + " " + facts.training_cost.currency;
    }
    return out;
  };
  return compare(texts(before), texts(after));
}

}  // namespace

Diff diff_of(const Facts& before, const Facts& after) {
  Diff out{.before = before.version.urn(), .after = after.version.urn()};
  const auto add = [&](std::string name, std::vector<Difference> differences) {
    if (!differences.empty()) out.parts.push_back({std::move(name), std::move(differences)});
  };
  add("record", compare(record_texts(before), record_texts(after)));
  add("training data", datasets(before, after));
  add("sources", sources(before, after));
  add("features", features(before, after));
  add("code", code(before, after));
  add("environment", environment(before, after));
  add("parameters", parameters(before, after));
  add("metrics", compare(before.metrics, after.metrics));
  add("slices", slices(before, after));
  for (const char* name : {"signature", "files", "approvals", "classification", "cost"})
    add(name, others(before, after, name));
  out.same = out.parts.empty();
  return out;
}

}  // namespace penstock::record
