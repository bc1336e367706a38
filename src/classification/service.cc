#include "classification/service.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "audit/audit.h"
#include "classification/store.h"

namespace penstock::classification {

using catalog::ColumnType;
using catalog::Source;
using catalog::SourceColumn;
using catalog::VersionedSource;

namespace {

constexpr std::int64_t values_max = 2'000'000;  // in memory at once, all columns together
constexpr std::int64_t rows_read_max = 2'000'000;
constexpr std::int64_t letters_max = 2'000;  // of a value: what tells is at its beginning
constexpr std::int64_t runs_max = 10'000;
constexpr Micros sample_time_max = std::chrono::seconds(20);

Shape shape_of(ColumnType type) {
  switch (type) {
    case ColumnType::boolean: return Shape::boolean;
    case ColumnType::bigint: return Shape::whole;
    case ColumnType::real:
    case ColumnType::decimal: return Shape::real;
    case ColumnType::timestamp: return Shape::time;
    case ColumnType::list:
    case ColumnType::text: return Shape::text;
  }
  return Shape::text;
}

// Every column as text: a value that cannot be read as its declared type is judged as it is, and
// stands in no message of an error.
Source as_text(Source source) {
  for (SourceColumn& column : source.columns) column.type = ColumnType::text;
  return source;
}

// The fault of reading a file, without what DuckDB quotes of its rows below the first line.
Error without_rows(const Source& source, const Error& error) {
  return {error.code, "source " + source.name + " could not be sampled: " +
                          error.message.substr(
                              0, std::min<std::size_t>(error.message.find_first_of("\n'\""), 200))};
}

std::string sample_statement(const Source& source, std::int64_t rows, std::int64_t wanted) {
  std::string list;
  for (const SourceColumn& column : source.columns)
    list += (list.empty() ? "left(" : ", left(") + olap::quoted_name(column.name) + ", " +
            std::to_string(letters_max) + ")";
  const std::string from = "SELECT " + list + " FROM " + olap::quoted_name(source.name);
  if (rows <= rows_read_max)
    return "SELECT * FROM (" + from + ") USING SAMPLE reservoir(" + std::to_string(wanted) +
           " ROWS) REPEATABLE (1)";
  if (source.format == catalog::Format::csv)
    return "SELECT * FROM (" + from + " LIMIT " + std::to_string(rows_read_max) +
           ") USING SAMPLE reservoir(" + std::to_string(wanted) + " ROWS) REPEATABLE (1)";
  const double percent =
      std::max(0.01, 200.0 * static_cast<double>(wanted) / static_cast<double>(rows));
  return from + " TABLESAMPLE system(" + std::to_string(percent) + " PERCENT) LIMIT " +
         std::to_string(wanted);
}

bool declared(const Source& source, const Suggestion& found) {
  for (const SourceColumn& one : source.columns)
    if (one.name == found.column_name)
      return one.classification >= found.classification &&
             std::find(one.tags.begin(), one.tags.end(), found.tag) != one.tags.end();
  return false;
}

std::string two_digits(double share) {
  const auto hundredths = std::lround(share * 100);
  return std::to_string(hundredths / 100) + "." + std::to_string(hundredths / 10 % 10) +
         std::to_string(hundredths % 10);
}

// What a person who decided on `then` would want to know of `now`; empty where it is nothing.
std::string difference(const Suggestion& then, const Suggestion* now) {
  if (!now) return "the rules no longer suggest it";
  std::string text;
  const auto say = [&](const std::string& what) { text += (text.empty() ? "" : "; ") + what; };
  if (then.classification != now->classification)
    say("class " + std::string(name_of(then.classification)) + " -> " +
        std::string(name_of(now->classification)));
  if (std::abs(then.evidence.share - now->evidence.share) >= 0.2)
    say("share " + two_digits(then.evidence.share) + " -> " + two_digits(now->evidence.share));
  if (std::abs(then.confidence - now->confidence) >= 0.2)
    say("confidence " + two_digits(then.confidence) + " -> " + two_digits(now->confidence));
  return text;
}

bool is_person(const std::string& actor) { return actor.starts_with("user:"); }

}  // namespace

Result<Service::Sampled> Service::sample(const Source& source, std::int64_t rows) {
  const Source read = as_text(source);
  const auto session = TRY(olap_.session());
  if (const auto bound = catalog_.bind(*session, {read}); !bound)
    return without_rows(source, bound.error());
  Sampled out;
  const std::string name = olap::quoted_name(source.name);
  const auto counted =
      session->query("SELECT count(*) FROM " + (source.format == catalog::Format::csv
                                                    ? "(SELECT 1 FROM " + name + " LIMIT " +
                                                          std::to_string(rows_read_max + 1) + ")"
                                                    : name));
  if (!counted) return without_rows(source, counted.error());
  out.rows = std::get<std::int64_t>(counted->rows.at(0).at(0));
  for (const SourceColumn& column : source.columns)
    out.columns.push_back({.name = column.name, .shape = shape_of(column.type)});
  const auto width = static_cast<std::int64_t>(source.columns.size());
  const std::int64_t wanted = std::max<std::int64_t>(1, std::min(rows, values_max / width));
  const Timestamp until = clock_.now() + sample_time_max;
  const auto streamed = session->stream(
      sample_statement(read, out.rows, wanted), {}, [&](const olap::Chunk& chunk) -> Result<void> {
        for (std::size_t at = 0; at < out.columns.size(); ++at)
          for (std::size_t row = 0; row < chunk.rows; ++row)
            if (chunk.columns[at].valid[row])
              out.columns[at].values.push_back(chunk.columns[at].text[row]);
        out.sampled += static_cast<std::int64_t>(chunk.rows);
        if (clock_.now() < until) return {};
        out.partial = true;
        return Error{Code::deadline_exceeded, "enough"};
      });
  if (!streamed && !out.partial) return without_rows(source, streamed.error());
  // Files are often sorted; judge() may stop early where values come in no order.
  std::mt19937 random(1);
  for (ColumnSample& column : out.columns) {
    column.rows = out.sampled;
    std::shuffle(column.values.begin(), column.values.end(), random);
  }
  return out;
}

Result<ClassifyReport> Service::classify(const Call& call, const ClassifyInput& input) {
  const VersionedSource source = TRY(db_.read(call, [&](sql::Tx& tx) {
                                   return catalog::sources_named(tx, call.project, {input.name});
                                 })).front();
  const Sampled sampled = TRY(sample(source.source, input.rows));
  std::vector<std::string> names;
  for (const SourceColumn& column : source.source.columns) names.push_back(column.name);
  const Timestamp now = clock_.now();
  std::vector<Suggestion> found;
  for (const ColumnSample& column : sampled.columns)
    for (Finding& finding : judge(input.name, names, column))
      found.push_back({.project = call.project,
                       .source = input.name,
                       .column_name = column.name,
                       .tag = std::move(finding.tag),
                       .classification = finding.classification,
                       .confidence = finding.confidence,
                       .rule = std::move(finding.rule),
                       .rule_version = finding.rule_version,
                       .evidence = std::move(finding.evidence),
                       .source_version = source.version,
                       .judged_at = now});
  return db_.write(call, [&](sql::Tx& tx) { return keep(tx, call, source, sampled, found); });
}

Result<ClassifyReport> Service::keep(sql::Tx& tx, const Call& call, const VersionedSource& source,
                                     const Sampled& sampled, std::vector<Suggestion> found) {
  const std::string& name = source.source.name;
  const SuggestionQuery all{.source = name, .limit = 10'000};
  ClassifyReport report{.source = source.urn(),
                        .rows = sampled.rows,
                        .sampled = sampled.sampled,
                        .partial = sampled.partial};
  const auto same = [](const Suggestion& a) {
    return [&a](const Suggestion& b) { return a.column_name == b.column_name && a.tag == b.tag; };
  };
  for (Suggestion& before : TRY(store::suggestions(tx, call.project, all))) {
    const auto now = std::find_if(found.begin(), found.end(), same(before));
    if (before.status == SuggestionStatus::suggested) {
      if (now != found.end() && !declared(source.source, *now)) {
        ++report.judged_again;
        continue;
      }
      TRY(store::remove(tx, before));
      ++report.withdrawn;
      continue;
    }
    const std::string changed = difference(before, now == found.end() ? nullptr : &*now);
    if (now != found.end()) found.erase(now);
    if (!changed.empty()) ++report.changed;
    if (changed == before.changed) continue;
    before.changed = changed;
    TRY(store::put(tx, before));
  }
  std::erase_if(found, [&](const Suggestion& one) { return declared(source.source, one); });
  for (const Suggestion& suggestion : found) TRY(store::put(tx, suggestion));
  report.added = static_cast<std::int64_t>(found.size()) - report.judged_again;
  TRY(store::put(tx, ClassificationRun{.project = call.project,
                                       .source = name,
                                       .source_version = source.version,
                                       .rules_digest = rules_digest(),
                                       .sampled = sampled.sampled,
                                       .judged_at = clock_.now()}));
  TRY(audit::record(tx, call, clock_.now(),
                    {"catalog.source.classified",
                     source.urn(),
                     {{"rules", rules_digest()},
                      {"sampled", sampled.sampled},
                      {"added", report.added},
                      {"withdrawn", report.withdrawn},
                      {"changed", report.changed}}}));
  report.suggestions = TRY(store::suggestions(tx, call.project, all));
  return report;
}

// Two at most: the second says that there is more to do.
Result<std::vector<ClassificationRun>> Service::stale_runs(sql::Tx& tx) {
  std::map<std::string, std::map<std::string, std::int64_t>> versions;  // by project and source
  std::vector<ClassificationRun> stale;
  for (ClassificationRun& run : TRY(store::runs(tx, runs_max))) {
    const auto [project, fresh] = versions.try_emplace(run.project);
    if (fresh)
      for (const auto& resource : TRY(resources::list(tx, run.project, "source")))
        project->second[resource.name] = resource.version;
    const auto version = project->second.find(run.source);
    if (version == project->second.end()) continue;
    if (run.rules_digest == rules_digest() && run.source_version == version->second) continue;
    run.source_version = version->second;
    stale.push_back(std::move(run));
    if (stale.size() == 2) break;
  }
  return stale;
}

Result<bool> Service::run_once() {
  const Call system{.actor = "service:classification"};
  const auto stale = TRY(db_.read(system, [](sql::Tx& tx) { return stale_runs(tx); }));
  if (stale.empty()) return false;
  ClassificationRun run = stale.front();
  const Call call{.actor = system.actor, .tenant = run.project, .project = run.project};
  const auto done = classify(call, {.name = run.source});
  if (done) return stale.size() > 1;
  if (done.error().code == Code::unavailable || done.error().code == Code::internal)
    return done.error();
  // A file that is gone is not asked for again until its declaration or the rules change.
  run.rules_digest = rules_digest();
  run.fault = done.error().message;
  TRY(db_.write(call, [&](sql::Tx& tx) { return store::put(tx, run); }));
  return stale.size() > 1;
}

Result<SuggestionList> Service::list(const Call& call, const SuggestionQuery& query) {
  SuggestionStatus status{};
  if (!query.status.empty() && !Kind<SuggestionStatus>::hear(query.status, status))
    return Error{Code::invalid_argument,
                 "status must be one of suggested, confirmed, refused",
                 {{"status", "must be one of suggested, confirmed, refused"}}};
  return db_.read(call, [&](sql::Tx& tx) -> Result<SuggestionList> {
    if (!query.source.empty()) TRY(catalog::sources_named(tx, call.project, {query.source}));
    return SuggestionList{TRY(store::suggestions(tx, call.project, query))};
  });
}

Result<Suggestion> Service::decide(const Call& call, const DecideInput& input) {
  if (!is_person(call.actor))
    return Error{Code::permission_denied,
                 call.actor + " is no person: a suggestion is confirmed or refused by one"};
  return db_.write(call, [&](sql::Tx& tx) -> Result<Suggestion> {
    const auto source = TRY(catalog::sources_named(tx, call.project, {input.name})).front();
    auto found = TRY(store::suggestion(tx, call.project, input.name, input.column_name, input.tag));
    if (found.empty())
      return Error{Code::not_found, "nothing suggests " + input.tag + " for column " +
                                        input.column_name + " of source " + input.name +
                                        "; see penstock classification list --source " +
                                        input.name};
    Suggestion& suggestion = found.front();
    const SuggestionStatus before = suggestion.status;
    suggestion.status = input.decision == Decision::confirm ? SuggestionStatus::confirmed
                                                            : SuggestionStatus::refused;
    suggestion.decided_by = call.actor;
    suggestion.decided_at = clock_.now();
    suggestion.comment = input.comment;
    suggestion.changed.clear();
    TRY(store::put(tx, suggestion));
    const catalog::ConfirmedTag tag{.project = call.project,
                                    .source = input.name,
                                    .column_name = input.column_name,
                                    .tag = input.tag,
                                    .classification = suggestion.classification,
                                    .confirmed_by = call.actor,
                                    .confirmed_at = *suggestion.decided_at};
    TRY(input.decision == Decision::confirm ? catalog::confirm_tag(tx, tag)
                                            : catalog::withdraw_tag(tx, tag));
    TRY(audit::record(tx, call, *suggestion.decided_at,
                      {"catalog.suggestion." + std::string(name_of(suggestion.status)),
                       source.urn(),
                       {{"column", input.column_name},
                        {"tag", input.tag},
                        {"classification", name_of(suggestion.classification)},
                        {"rule", suggestion.rule + "@" + std::to_string(suggestion.rule_version)},
                        {"before", name_of(before)},
                        {"comment", input.comment}}}));
    return suggestion;
  });
}

Result<SourceClasses> Service::classes(const Call& call, const catalog::SourceName& name) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<SourceClasses> {
    const auto source = TRY(catalog::sources_named(tx, call.project, {name.name})).front();
    auto columns = TRY(catalog::column_classes(tx, call.project, source.source));
    SourceClasses out{.source = source.urn(), .columns = std::move(columns)};
    for (const catalog::ColumnClass& column : out.columns)
      out.classification = std::max(out.classification, column.classification);
    return out;
  });
}

RuleList Service::rules() const {
  RuleList list{.digest = rules_digest()};
  for (const Rule& rule : classification::rules())
    list.rules.push_back({std::string(rule.id), rule.version, std::string(rule.tag), rule.suggested,
                          std::string(rule.looks_at)});
  return list;
}

}  // namespace penstock::classification
