#include "catalog/discovery.h"

#include <algorithm>
#include <filesystem>

#include "base/urn.h"

namespace penstock::catalog {
namespace {

namespace fs = std::filesystem;

// Above, keys are not looked for: it would count every value of every column.
constexpr std::int64_t rows_searched_for_keys = 20'000'000;
constexpr std::size_t keys_max = 10;

Error refuse(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

std::string usable_name(std::string text) {
  for (char& letter : text)
    if (letter == '/' || !Urn::is_name_letter(letter)) letter = '_';
  return text.empty() ? "source" : text;
}

std::optional<Format> format_by_name(const std::string& name) {
  for (const Format format : {Format::parquet, Format::csv, Format::json})
    if (belongs(name, format)) return format;
  return {};
}

// The format of a file by its name, or of a directory by the first file in it that has one.
std::optional<Format> format_of(const std::string& path) {
  std::error_code fault;
  if (!fs::is_directory(path, fault)) return format_by_name(path);
  int looked_at = 0;
  for (fs::recursive_directory_iterator at(path, fault), end;
       !fault && at != end && ++looked_at < 10'000; at.increment(fault))
    if (const auto format = format_by_name(at->path().filename().string())) return format;
  return {};
}

// How much a name sounds like the time of an event: more is better, 0 not at all.
int time_rank(const std::string& name) {
  if (name == "_timestamp") return 0;  // when it was sent, which a field may say better
  int rank = 1;
  for (const char* word :
       {"date", "timestamp", "ts", "created_at", "occurred_at", "event_at", "event_time"}) {
    ++rank;
    if (name == word) return rank + 10;
  }
  return name.ends_with("_at") || name.ends_with("_time") ? 2 : 1;
}

void propose_event_time(Discovery& out) {
  std::vector<std::string> times;
  for (const SourceColumn& column : out.source.columns)
    if (column.type == ColumnType::timestamp) times.push_back(column.name);
  if (times.empty()) return;
  const auto best = std::ranges::max_element(times, {}, time_rank);
  out.source.event_time = *best;
  if (times.size() == 1) return;
  std::string others;
  for (const std::string& time : times)
    if (time != *best) others += (others.empty() ? "" : ", ") + time;
  out.notes.push_back("event_time is " + *best + " by its name; it could be " + others);
}

// Nulls and keys, counted over all rows.
Result<void> look_at_rows(olap::Session& session, const std::string& table, Discovery& out) {
  std::string asked = "count(*)";
  for (const SourceColumn& column : out.source.columns) {
    const std::string name = olap::quoted_name(column.name);
    asked += ", count(" + name + "), approx_count_distinct(" + name + ")";
  }
  const auto counted = TRY(session.query("SELECT " + asked + " FROM " + table));
  const auto count = [&](std::size_t at) {
    return std::get<std::int64_t>(counted.rows.at(0).at(at));
  };
  out.row_count = count(0);
  std::vector<std::string> likely;
  for (std::size_t i = 0; i < out.source.columns.size(); ++i) {
    SourceColumn& column = out.source.columns[i];
    column.nullable = out.row_count == 0 || count(1 + 2 * i) < out.row_count;
    const bool nearly =
        static_cast<double>(count(2 + 2 * i)) >= 0.9 * static_cast<double>(out.row_count);
    if (!column.nullable && nearly && column.type != ColumnType::real)
      likely.push_back(column.name);
  }
  out.notes.push_back("nullable is what " + std::to_string(out.row_count) + " rows show");
  if (out.row_count > rows_searched_for_keys) {
    out.notes.push_back("there are too many rows to look for keys in");
    return {};
  }
  for (const std::string& name : likely) {
    if (out.candidate_keys.size() >= keys_max) break;
    const auto distinct =
        TRY(session.query("SELECT count(DISTINCT " + olap::quoted_name(name) + ") FROM " + table));
    if (std::get<std::int64_t>(distinct.rows.at(0).at(0)) == out.row_count)
      out.candidate_keys.push_back({name});
  }
  return {};
}

// One that is called like a key, or the only one; else people choose.
void propose_key(Discovery& out) {
  std::vector<std::string> named;
  for (const auto& key : out.candidate_keys)
    if (key.front() == "id" || key.front().ends_with("_id") || key.front().ends_with("_key"))
      named.push_back(key.front());
  if (named.size() == 1) out.source.primary_key = named;
  std::string all;
  for (const auto& key : out.candidate_keys) all += (all.empty() ? "" : ", ") + key.front();
  if (!all.empty() && out.source.primary_key.empty())
    out.notes.push_back("no two rows have the same " + all + "; primary_key is for you to choose");
}

void take_columns(const std::vector<tables::Column>& found, Discovery& out) {
  for (const tables::Column& column : found) {
    SourceColumn& made = out.source.columns.emplace_back();
    made.name = column.column.name;
    made.type = type_of(column.column);
    made.nullable = column.nullable;
    if (!column.description.empty()) made.description = column.description;
    if (column.column.type == olap::Type::other && made.type == ColumnType::text)
      out.notes.push_back("column " + made.name + " is " + column.native + ", read as text");
  }
}

Result<void> discover_table(Snapshots& snapshots, const PostgresTable& place, Discovery& out) {
  const tables::Table table = TRY(snapshots.describe_table(place));
  out.source.postgres = place;
  out.source.description = table.description;
  take_columns(table.columns, out);
  out.candidate_keys = table.keys;
  if (table.has_primary_key) out.source.primary_key = table.keys.front();
  return {};
}

// Types are those of the newest messages, nulls and keys those of all that the source would have.
Result<void> discover_topic(olap::Engine& olap, Snapshots& snapshots, Discovery& out) {
  const MessageRows seen = TRY(snapshots.sample(out.source));
  out.notes.push_back(
      "columns are what the newest " + std::to_string(seen.rows()) + " messages show" +
      (seen.rejects().empty() ? "" : "; left out: " + rejects_text(seen.rejects())));
  take_columns(seen.columns(), out);
  const auto session = TRY(olap.session());
  TRY(look_at_rows(*session, TRY(snapshots.scan(out.source)), out));
  propose_key(out);
  return {};
}

Result<void> discover_files(olap::Engine& olap, Snapshots& snapshots, const DiscoverInput& input,
                            Discovery& out) {
  const std::string path = out.source.path;
  auto format = input.format;
  if (is_object_path(path)) {
    const auto keys = TRY(snapshots.keys(out.source));
    if (keys.empty()) return refuse("path", "names nothing that is there: " + path);
    for (std::size_t i = 0; i < keys.size() && !format; ++i) format = format_by_name(keys[i]);
  } else {
    const std::string local = TRY(snapshots.local_path(path));
    std::error_code fault;
    if (!fs::exists(local, fault)) return refuse("path", "names nothing that is there: " + local);
    if (!format) format = format_of(local);
  }
  if (!format)
    return refuse("format", "cannot be told from " + path + "; give parquet, csv or json");
  out.source.format = *format;
  const auto session = TRY(olap.session());
  auto found = snapshots.columns(*session, out.source);
  if (!found && found.error().code == Code::invalid_argument && found.error().violations.empty())
    return refuse("path", path + " is no readable " + std::string(name_of(*format)) +
                              " file: " + found.error().message);
  if (!found) return found.error();
  take_columns(*found, out);
  TRY(look_at_rows(*session, TRY(snapshots.scan(out.source)), out));
  propose_key(out);
  return {};
}

// After the file, table or topic, unless it was given one.
std::string name_for(const DiscoverInput& input) {
  if (!input.name.empty()) return usable_name(input.name);
  if (input.postgres)
    return usable_name(input.postgres->table.substr(input.postgres->table.find_last_of('.') + 1));
  if (input.kafka) return usable_name(input.kafka->topic);
  const fs::path path(input.path);
  const std::string name = (path.has_filename() ? path : path.parent_path()).filename().string();
  return usable_name(name.substr(0, name.find('.')));
}

}  // namespace

Result<Discovery> discover(olap::Engine& olap, Snapshots& snapshots, const Call& call,
                           const DiscoverInput& input) {
  Discovery out;
  Source& place = out.source;
  place.name = name_for(input);
  place.path = input.path;
  place.postgres = input.postgres;
  place.connection = input.connection;
  place.kafka = input.kafka;
  if (is_object_path(input.path) && !input.connection && snapshots.bucket_connections().size() == 1)
    place.connection = snapshots.bucket_connections().front();
  const auto faults = snapshots.place_faults(place);
  if (!faults.empty())
    return Error{Code::invalid_argument, faults.front().field + " " + faults.front().problem,
                 faults};
  if (input.postgres)
    TRY(discover_table(snapshots, *input.postgres, out));
  else if (input.kafka)
    TRY(discover_topic(olap, snapshots, out));
  else
    TRY(discover_files(olap, snapshots, input, out));
  if (out.source.columns.empty()) return refuse("path", "has no columns");
  out.source.owner =
      input.owner.empty() ? call.actor.substr(call.actor.find(':') + 1) : input.owner;
  propose_event_time(out);
  out.notes.push_back(
      "classification is internal for every column: nobody has classified them yet");
  return out;
}

}  // namespace penstock::catalog
