#include "serving/feature_log.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/digest.h"
#include "base/id.h"
#include "policies/service.h"
#include "serving/event_codec.h"
#include "serving/retention.h"
#include "serving/text.h"

namespace penstock::serving {
namespace {

constexpr std::int64_t predictions_max = 20'000'000;
constexpr std::size_t records_read = 2'000;
constexpr std::int64_t records_looked_at = 1'000'000;

// A folder that goes with its owner.
class Scratch {
 public:
  explicit Scratch(std::string path) : path_(std::move(path)) {
    std::error_code ignored;
    std::filesystem::create_directories(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  const std::string path_;
};

Error refuse(const std::string& field, const std::string& problem, Code code) {
  return {code, field + " " + problem, {{field, problem}}};
}

// Lines of a file, with the digest of all of them.
class Lines {
 public:
  explicit Lines(const std::string& path) : path_(path), out_(path, std::ios::binary) {}
  void add(const std::string& line) {
    digest_.update(line);
    out_ << line;
  }
  Result<std::string> finish() {
    out_.close();
    if (!out_) return Error{Code::unavailable, path_ + " could not be written"};
    return to_hex(digest_.finish());
  }

 private:
  const std::string path_;
  std::ofstream out_;
  Sha256Stream digest_;
};

// `take` gets every record of the topic.
Result<void> read_all(events::Log& log, std::string_view topic, const Call& call,
                      const Clock& clock,
                      const std::function<Result<void>(const events::Record&)>& take) {
  for (std::int64_t offset = 0;;) {
    if (clock.now() > call.deadline)
      return Error{Code::deadline_exceeded, "the deadline passed while predictions were read"};
    const auto records = TRY(log.read(topic, offset, records_read));
    if (records.empty()) return {};
    for (const events::Record& record : records) TRY(take(record));
    offset = records.back().offset + 1;
  }
}

std::string_view engine_type(catalog::ColumnType type) {
  if (type == catalog::ColumnType::bigint) return "BIGINT";
  return type == catalog::ColumnType::boolean ? "BOOLEAN" : "VARCHAR";
}

std::string lines_of(const std::string& path, const std::string& columns) {
  return "read_json(" + olap::quoted_text(path) +
         ", format = 'newline_delimited', maximum_object_size = 16777216, columns = {" + columns +
         "})";
}

}  // namespace

struct FeatureLog::Logged {
  std::string schema, digest, path;
  std::int64_t rows = 0;
  std::shared_ptr<const features::SchemaHandle> handle;

  // Columns of the file are numbered, those of the dataset named.
  std::string statement(const Labels& labels) const;
};

struct FeatureLog::Labels {
  std::string rows;  // SELECT prediction, label
  std::vector<catalog::SourceSnapshot> snapshots;
};

std::string FeatureLog::Logged::statement(const Labels& labels) const {
  std::string columns =
                  "prediction: 'VARCHAR', moment: 'VARCHAR', model: 'VARCHAR', statuses: "
                  "'VARCHAR', score: 'DOUBLE'",
              chosen = "p.prediction, CAST(p.moment AS TIMESTAMP) AS event_time";
  const auto taken = [&](const std::string& name) {
    return std::ranges::find(handle->names, name) != handle->names.end() ||
           std::ranges::find(handle->keys, name, &catalog::JoinKey::name) != handle->keys.end();
  };
  if (!taken("model")) chosen += ", p.model";
  for (std::size_t i = 0; i < handle->keys.size(); ++i) {
    const std::string name = "k" + std::to_string(i);
    columns += ", " + name + ": 'VARCHAR'";
    chosen += ", CAST(p." + name + " AS " + std::string(engine_type(handle->keys[i].type)) +
              ") AS " + olap::quoted_name(handle->keys[i].name);
  }
  for (std::size_t i = 0; i < handle->names.size(); ++i) {
    const std::string name = "f" + std::to_string(i);
    columns += ", " + name + ": 'DOUBLE'";
    chosen += ", p." + name + " AS " + olap::quoted_name(handle->names[i]);
  }
  if (!taken("feature_statuses")) chosen += ", p.statuses AS feature_statuses";
  if (!taken("score")) chosen += ", p.score";
  return "SELECT " + chosen + ", l.label FROM " + lines_of(path, columns) + " AS p LEFT JOIN (" +
         labels.rows + ") AS l ON l.prediction = p.prediction ORDER BY event_time, p.prediction";
}

// Fewer rows than the time that was asked for had would look like all of them.
Result<void> FeatureLog::check_kept(const FromPredictions& input) const {
  const auto held = TRY(log_.extent(inference_topic));
  if (held.start == 0 || (held.gone_until && input.from > *held.gone_until)) return {};
  return refuse("from",
                "must be later than " + to_rfc3339(held.gone_until.value_or(input.to)) + ": " +
                    TRY(gone_text(log_)),
                Code::failed_precondition);
}

Result<FeatureLog::Logged> FeatureLog::logged(const Call& call, const FromPredictions& input,
                                              const std::string& path) {
  Logged out{.schema = input.feature_schema, .path = path};
  if (!out.schema.empty()) out.schema = TRY(features_.open_schema(call, out.schema))->reference();
  Lines lines(path);
  std::map<std::string, std::int64_t> schemas;
  std::string line;
  const auto take = [&](const events::Record& record) -> Result<void> {
    // Rows that share a record came as tensors, and read no features.
    const auto read = events_of(record.value);
    if (!read || read->size() != 1) return {};
    const InferenceEvent& event = read->front();
    if (event.project != call.project || event.route != input.route || event.at < input.from ||
        event.at >= input.to || !event.error.empty() || event.feature_schema.empty() ||
        (event.mode != Mode::online && event.mode != Mode::stream))
      return {};
    ++schemas[event.feature_schema];
    if (out.schema.empty()) out.schema = event.feature_schema;
    if (event.feature_schema != out.schema) return {};
    if (!out.handle) out.handle = TRY(features_.open_schema(call, out.schema));
    if (++out.rows > predictions_max)
      return Error{Code::resource_exhausted, "there are more than " +
                                                 std::to_string(predictions_max) +
                                                 " predictions; ask for a shorter time"};
    line = "{\"prediction\":";
    write_text(line, event.id);
    line += ",\"moment\":";
    write_json(line, event.event_time);
    line += ",\"model\":";
    write_text(line, event.model + "@v" + std::to_string(event.version));
    line += ",\"statuses\":";
    write_text(line, event.feature_statuses);
    line += ",\"score\":";
    write_json(line, event.score);
    for (std::size_t i = 0; i < out.handle->keys.size(); ++i) {
      const auto key = event.entities.find(out.handle->keys[i].name);
      line += ",\"k" + std::to_string(i) + "\":";
      write_json(line, key == event.entities.end() ? std::optional<std::string>()
                                                   : std::optional(key->second));
    }
    for (std::size_t i = 0; i < event.features.size(); ++i) {
      line += ",\"f" + std::to_string(i) + "\":";
      write_json(line, event.features[i]);
    }
    line += "}\n";
    lines.add(line);
    return {};
  };
  TRY(read_all(log_, inference_topic, call, clock_, take));
  out.digest = TRY(lines.finish());
  if (input.feature_schema.empty() && schemas.size() > 1) {
    std::string found;
    for (const auto& [schema, count] : schemas)
      found += (found.empty() ? "" : ", ") + schema + " (" + std::to_string(count) + ")";
    return refuse("feature_schema",
                  "must be named: predictions of route " + input.route +
                      " in this time read more than one: " + found,
                  Code::failed_precondition);
  }
  if (out.rows == 0)
    return Error{Code::not_found, "route " + input.route + " answered no prediction from " +
                                      to_rfc3339(input.from) + " to " + to_rfc3339(input.to) +
                                      " that read its features" +
                                      (out.schema.empty() ? "" : " by " + out.schema)};
  for (const char* name : {"prediction", "event_time", "label"})
    if (std::ranges::find(out.handle->names, name) != out.handle->names.end())
      return refuse("feature_schema",
                    out.schema + " has a feature called " + name +
                        ", which the dataset has of its own; give the feature another `name`",
                    Code::failed_precondition);
  return out;
}

Result<std::vector<features::LoggedRead>> FeatureLog::newest_reads(const Call& call,
                                                                   const std::string& schema,
                                                                   std::size_t most) {
  std::vector<features::LoggedRead> out;
  const auto held = TRY(log_.extent(inference_topic));
  const std::int64_t end = held.end;
  const std::int64_t first = std::max(held.start, end - records_looked_at);
  for (std::int64_t before = end; before > first && out.size() < most;) {
    if (clock_.now() > call.deadline)
      return Error{Code::deadline_exceeded, "the deadline passed while predictions were read"};
    const std::int64_t from = std::max(first, before - static_cast<std::int64_t>(records_read));
    std::vector<features::LoggedRead> some;
    for (std::int64_t at = from; at < before;) {
      const auto records =
          TRY(log_.read(inference_topic, at, static_cast<std::size_t>(before - at)));
      if (records.empty()) break;
      for (const events::Record& record : records) {
        if (record.offset >= before) continue;
        const auto read = events_of(record.value);
        if (!read || read->size() != 1) continue;
        const InferenceEvent& event = read->front();
        if (event.project == call.project && event.feature_schema == schema &&
            event.error.empty() && !event.feature_statuses.empty() &&
            (event.mode == Mode::online || event.mode == Mode::stream))
          some.push_back({event.id, event.event_time, event.entities, event.features});
      }
      at = records.back().offset + 1;
    }
    for (auto one = some.rbegin(); one != some.rend() && out.size() < most; ++one)
      out.push_back(std::move(*one));
    before = from;
  }
  return out;
}

// Of several labels of one prediction the one that was told last.
Result<FeatureLog::Labels> FeatureLog::told_labels(const Call& call, const std::string& path) {
  Lines lines(path);
  std::string line;
  std::int64_t number = 0;
  TRY(read_all(log_, label_topic, call, clock_, [&](const events::Record& record) -> Result<void> {
    const auto label = read_json<Label>(record.value);
    if (!label || label->project != call.project) return {};
    line = "{\"prediction\":";
    write_text(line, label->prediction);
    line += ",\"label\":";
    write_number(line, label->value);
    line += ",\"told\":" + std::to_string(label->at.time_since_epoch().count()) +
            ",\"number\":" + std::to_string(number++) + "}\n";
    lines.add(line);
    return {};
  }));
  TRY(lines.finish());
  return Labels{.rows = "SELECT prediction, arg_max(label, (told, number)) AS label FROM " +
                        lines_of(path,
                                 "prediction: 'VARCHAR', label: 'DOUBLE', told: 'BIGINT', "
                                 "number: 'BIGINT'") +
                        " GROUP BY prediction"};
}

Result<FeatureLog::Labels> FeatureLog::labels_of(const Call& call, const FromPredictions& input,
                                                 olap::Session& session, const std::string& path) {
  if (input.labels.empty()) return told_labels(call, path);
  std::string text = input.labels;
  while (!text.empty() && (text.back() == ';' || text.back() == ' ' || text.back() == '\n'))
    text.pop_back();
  if (text.find_first_of(" \n\t(") == std::string::npos)
    text = "SELECT prediction, label FROM " + olap::quoted_name(text);
  TRY(catalog::check_select(text, "labels"));
  const auto tables = session.tables_of(text);
  if (!tables)
    return refuse("labels", "cannot be read: " + tables.error().message, Code::invalid_argument);
  const auto sources =
      TRY(db_.read(call, [&](sql::Tx& tx) -> Result<std::vector<catalog::VersionedSource>> {
        auto found = catalog::sources_named(tx, call.project, *tables);
        if (!found && found.error().code == Code::not_found)
          return refuse("labels", "reads what is no source: " + found.error().message,
                        Code::invalid_argument);
        return found;
      }));
  Labels out{.rows =
                 "SELECT CAST(prediction AS VARCHAR) AS prediction, label FROM (\n" + text + "\n)"};
  std::vector<catalog::Source> bound;
  for (const catalog::VersionedSource& source : sources) {
    bound.push_back(source.source);
    out.snapshots.push_back({source.urn(), TRY(catalog_.snapshot_digest(source.source))});
  }
  TRY(catalog_.bind(session, bound));
  const auto twice = session.query("SELECT prediction FROM (" + out.rows +
                                   ") GROUP BY prediction HAVING count(*) > 1 ORDER BY prediction "
                                   "LIMIT 1");
  if (!twice)
    return refuse("labels", "must give prediction and label: " + twice.error().message,
                  Code::invalid_argument);
  if (!twice->rows.empty() && twice->rows[0].at(0).index() != 0)
    return refuse(
        "labels",
        "give prediction " + std::get<std::string>(twice->rows[0].at(0)) + " more than once",
        Code::invalid_argument);
  return out;
}

Result<PredictionDataset> FeatureLog::dataset(const Call& call, const FromPredictions& input) {
  if (input.to <= input.from)
    return refuse("to", "must be later than from", Code::invalid_argument);
  TRY(db_.read(
      call, [&](sql::Tx& tx) { return resources::get(tx, call.project, "route", input.route); }));
  TRY(check_kept(input));
  const Scratch scratch(scratch_ + "/predictions-" + new_ulid(clock_.now()));
  const auto session = TRY(olap_.session());
  const Labels labels = TRY(labels_of(call, input, *session, scratch / "labels.json"));
  std::vector<std::string> read{"route:" + input.route};
  for (const catalog::SourceSnapshot& snapshot : labels.snapshots) read.push_back(snapshot.urn);
  TRY(policies::enforce_reads(db_, call, clock_.now(), read, "dataset:" + input.dataset));
  const Logged found = TRY(logged(call, input, scratch / "predictions.json"));
  TRY(check_kept(input));  // nor went any of them meanwhile
  const std::string staged = scratch / "dataset.parquet";
  const auto copied =
      session->run("COPY (" + found.statement(labels) + ") TO " + olap::quoted_text(staged) +
                   " (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)");
  if (!copied) return copied.error();
  return keep(call, input, *session, found, labels, staged);
}

Result<PredictionDataset> FeatureLog::keep(const Call& call, const FromPredictions& input,
                                           olap::Session& session, const Logged& logged,
                                           const Labels& labels, const std::string& staged) {
  const std::string rows = "SELECT * FROM read_parquet(" + olap::quoted_text(staged) + ")";
  catalog::TableProfile profile = TRY(catalog::profile_of(session, rows));
  // What flowed into a feature is not known by column here.
  catalog::redact(profile.columns, {});
  std::string digest = TRY(catalog::digest_of_file(staged));
  catalog::NewDataset made{
      .name = input.dataset,
      .digest = std::move(digest),
      .row_count = profile.row_count,
      .query = "predictions of route " + input.route + " from " + to_rfc3339(input.from) + " to " +
               to_rfc3339(input.to) +
               (input.labels.empty() ? std::string() : ", labels: " + input.labels),
      .feature_schema = logged.schema,
      .snapshots = labels.snapshots,
      .profile = std::move(profile.columns)};
  made.snapshots.push_back({"route:" + input.route, logged.digest});
  std::ranges::sort(made.snapshots, {}, &catalog::SourceSnapshot::urn);
  for (const catalog::SourceSnapshot& snapshot : made.snapshots)
    made.sources.push_back(snapshot.urn);
  made.inputs_digest = sha256_hex(
      canonical(json::object{{"query", made.query}, {"snapshots", encode(made.snapshots)}}));
  for (const olap::Column& column : TRY(session.describe(rows)))
    made.columns.push_back({column.name, column.declared});
  const std::string path =
      "datasets/" + call.project + "/" + input.dataset + "/" + made.digest + ".parquet";
  made.uri = blobs_.uri(path);
  const auto urn = Urn::parse("dataset:" + input.dataset);
  if (!urn || urn->name != input.dataset || input.dataset.find('/') != std::string::npos)
    return refuse("dataset", "must be a name of 1 to 200 letters, digits or . _ -",
                  Code::invalid_argument);
  if (!TRY(blobs_.exists(path))) TRY(blobs_.put_local(path, staged));
  const auto labelled = TRY(session.query("SELECT count(label) FROM (" + rows + ")"));
  const catalog::Dataset kept = TRY(catalog_.add_dataset(call, made));
  return PredictionDataset{.dataset = kept.urn(),
                           .uri = kept.uri,
                           .digest = kept.digest,
                           .row_count = kept.row_count,
                           .labelled = std::get<std::int64_t>(labelled.rows.at(0).at(0)),
                           .feature_schema = logged.schema,
                           .columns = kept.columns,
                           .snapshots = kept.snapshots};
}

}  // namespace penstock::serving
