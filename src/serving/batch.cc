#include "serving/batch.h"

#include <filesystem>
#include <fstream>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"
#include "policies/service.h"
#include "serving/decide.h"
#include "serving/store.h"
#include "serving/text.h"

namespace penstock::serving {
namespace {

constexpr std::string_view oldest_column = "oldest_event_time";

// A directory of this run alone, gone with it.
class Scratch {
 public:
  explicit Scratch(std::string path) : path_(std::move(path)) {}
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Result<void> make() const {
    std::error_code fault;
    std::filesystem::create_directories(path_, fault);
    if (!fault) return {};
    return Error{Code::unavailable, "cannot make " + path_ + ": " + fault.message()};
  }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

Result<std::string> file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{Code::unavailable, "cannot read " + path};
  return std::string((std::istreambuf_iterator<char>(file)), {});
}

void write_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char letter : text) {
    if (letter == '"') out += '"';
    out += letter;
  }
  out += '"';
}

// A key as online callers write it.
Result<std::string> key_text(const olap::Chunk& chunk, const olap::Column& column,
                             std::size_t index, std::size_t row) {
  const olap::Chunk::Values& values = chunk.columns[index];
  if (!values.valid[row])
    return Error{Code::invalid_argument, "column " + column.name + " holds null; it names a row"};
  if (column.type == olap::Type::text) return values.text[row];
  if (column.type == olap::Type::bigint) return std::to_string(values.whole[row]);
  if (column.type == olap::Type::boolean) return values.whole[row] ? "true" : "false";
  if (column.type == olap::Type::real) {
    std::string text;
    write_number(text, values.real[row]);
    return text;
  }
  return Error{Code::invalid_argument, "column " + column.name + " is " + column.declared +
                                           "; it must be text, a number or a boolean"};
}

}  // namespace

// One call of score(): rows come ordered by time, so that one partition is open at a time.
class BatchScorer::Run {
 public:
  Run(BatchScorer& scorer, const Call& call, const BatchInput& input,
      std::shared_ptr<const LiveRoute> route)
      : scorer_(scorer),
        call_(call),
        input_(input),
        route_(std::move(route)),
        scratch_(scorer.scratch_ + "/batch-" + new_ulid(scorer.clock_.now())) {}

  Result<BatchResult> all();

 private:
  bool is_input(const std::string& name) const {
    const auto& inputs = route_->features.inputs;
    return std::find(inputs.begin(), inputs.end(), name) != inputs.end();
  }
  Result<void> find_columns(const std::vector<olap::Column>& columns);
  Result<void> take(const olap::Chunk& chunk);
  Result<InferenceEvent> event_of(const olap::Chunk& chunk, std::size_t row);
  Result<void> score_and_write(std::vector<InferenceEvent>& events);
  void write(const InferenceEvent& event, const std::string& read);
  Result<void> close();
  Result<std::string> to_parquet();
  Result<void> publish(BatchOutput& output);
  Result<bool> note(const BatchOutput& output);
  BatchOutput output() const;

  BatchScorer& scorer_;
  const Call& call_;
  const BatchInput& input_;
  std::shared_ptr<const LiveRoute> route_;
  Scratch scratch_;
  BatchResult result_;

  std::vector<olap::Column> columns_;
  std::size_t id_ = 0, time_ = 0, oldest_ = 0;
  std::vector<std::size_t> keys_, features_;

  // Of the open partition.
  std::string day_;
  std::string csv_;  // flushed to the file in stretches
  std::ofstream file_;
  std::unique_ptr<Sha256Stream> digest_ = std::make_unique<Sha256Stream>();
  std::int64_t rows_ = 0;
  std::optional<Timestamp> oldest_read_;
  Timestamp until_;
};

Result<void> BatchScorer::Run::find_columns(const std::vector<olap::Column>& columns) {
  columns_ = columns;
  const auto find = [&](std::string_view name) -> Result<std::size_t> {
    for (std::size_t i = 0; i < columns_.size(); ++i)
      if (columns_[i].name == name) return i;
    return Error{Code::invalid_argument,
                 "rows must give a column " + std::string(name),
                 {{"rows", "must give a column " + std::string(name)}}};
  };
  id_ = TRY(find("id"));
  time_ = TRY(find("event_time"));
  oldest_ = TRY(find(oldest_column));
  if (columns_[time_].type != olap::Type::timestamp)
    return Error{Code::invalid_argument,
                 "column event_time is " + columns_[time_].declared + "; it must be a timestamp"};
  for (const std::string& key : route_->declaration.entity_keys) keys_.push_back(TRY(find(key)));
  for (const std::string& name : route_->features.names) {
    features_.push_back(TRY(find(name)));
    // Text is missing to a model, online too; a number that is read as missing would be a silent
    // lie.
    const olap::Column& column = columns_[features_.back()];
    if (column.type == olap::Type::decimal || column.type == olap::Type::timestamp ||
        column.type == olap::Type::other)
      return Error{Code::internal, "feature " + name + " came as " + column.declared};
  }
  return {};
}

Result<BatchResult> BatchScorer::Run::all() {
  TRY(scratch_.make());
  const auto session = TRY(scorer_.olap_.session());
  const std::string joined =
      TRY(scorer_.historical_(call_, *session, route_->declaration.feature_schema, input_.rows));
  const std::string statement =
      "SELECT * FROM (" + joined + ") ORDER BY event_time, CAST(id AS VARCHAR)";
  const auto columns = TRY(session->describe(statement));
  TRY(find_columns(columns));
  TRY(session->stream(statement, {}, [&](const olap::Chunk& chunk) { return take(chunk); }));
  TRY(close());
  return std::move(result_);
}

Result<InferenceEvent> BatchScorer::Run::event_of(const olap::Chunk& chunk, std::size_t row) {
  if (!chunk.columns[time_].valid[row])
    return Error{Code::invalid_argument, "column event_time holds null"};
  InferenceEvent event;
  event.id = TRY(key_text(chunk, columns_[id_], id_, row));
  event.event_time = Timestamp(Micros(chunk.columns[time_].whole[row]));
  for (const std::size_t key : keys_)
    if (chunk.columns[key].valid[row] || !is_input(columns_[key].name))
      event.entities[columns_[key].name] = TRY(key_text(chunk, columns_[key], key, row));
  for (const std::size_t index : features_) {
    const olap::Chunk::Values& values = chunk.columns[index];
    const olap::Type type = columns_[index].type;
    if (values.valid[row] && type == olap::Type::real)
      event.features.push_back(values.real[row]);
    else if (values.valid[row] && (type == olap::Type::bigint || type == olap::Type::boolean))
      event.features.push_back(static_cast<double>(values.whole[row]));
    else
      event.features.push_back(std::nullopt);
  }
  if (chunk.columns[oldest_].valid[row]) {
    const Timestamp oldest(Micros(chunk.columns[oldest_].whole[row]));
    event.oldest_feature_seconds = static_cast<double>((event.event_time - oldest).count()) * 1e-6;
  }
  return event;
}

Result<void> BatchScorer::Run::take(const olap::Chunk& chunk) {
  std::vector<InferenceEvent> events;
  for (std::size_t row = 0; row < chunk.rows; ++row) {
    InferenceEvent event = TRY(event_of(chunk, row));
    const std::string day = to_rfc3339(event.event_time).substr(0, 10);
    if (day != day_) {
      TRY(score_and_write(events));
      TRY(close());
      day_ = day;
      file_.open(scratch_ / "rows.csv", std::ios::binary | std::ios::trunc);
    }
    events.push_back(std::move(event));
  }
  return score_and_write(events);
}

Result<void> BatchScorer::Run::score_and_write(std::vector<InferenceEvent>& events) {
  if (events.empty()) return {};
  std::vector<InferenceEvent*> rows;
  for (InferenceEvent& event : events) rows.push_back(&event);
  // What a graph reads is as much of the input as what the route has read.
  std::vector<std::string> read(events.size());
  infer::RunLimits limits{.alone = true};
  if (scorer_.reader_)
    limits.features = [&](const std::string& schema, const std::vector<Entities>& entities,
                          const std::vector<Timestamp>& as_of)
        -> Result<std::vector<std::vector<std::optional<double>>>> {
      const auto session = TRY(scorer_.olap_.session());
      auto found = TRY(scorer_.reader_(call_, *session, schema, entities, as_of));
      for (std::size_t row = 0; row < std::min(found.size(), read.size()); ++row)
        write_json(read[row], found[row]);
      return found;
    };
  TRY(run_model(scorer_.clock_, *route_, route_->targets.front(), {}, rows, limits));
  for (std::size_t row = 0; row < events.size(); ++row) write(events[row], read[row]);
  file_ << csv_;
  csv_.clear();
  events.clear();
  if (file_) return {};
  return Error{Code::unavailable, "cannot write the rows of " + day_ + "; is the disk full?"};
}

void BatchScorer::Run::write(const InferenceEvent& event, const std::string& read) {
  std::string input;
  write_json(input, event.id);
  write_json(input, event.entities);
  write_json(input, event.event_time);
  write_json(input, event.features);
  input += read;
  digest_->update(input + "\n");

  write_quoted(csv_, event.id);
  for (const std::string& key : route_->declaration.entity_keys) {
    csv_ += ',';
    if (const auto found = event.entities.find(key); found != event.entities.end())
      write_quoted(csv_, found->second);
  }
  csv_ += ',' + std::to_string(event.event_time.time_since_epoch().count()) + ',';
  write_number(csv_, *event.score);
  csv_ += *event.decision ? ",true," : ",false,";
  if (event.oldest_feature_seconds) {
    write_number(csv_, *event.oldest_feature_seconds);
    const Timestamp oldest =
        event.event_time - Micros(std::llround(*event.oldest_feature_seconds * 1e6));
    if (!oldest_read_ || oldest < *oldest_read_) oldest_read_ = oldest;
  }
  csv_ += '\n';
  ++rows_;
  until_ = std::max(until_, event.event_time);
}

// Text in between loses nothing: every number is written with as many digits as name it alone.
Result<std::string> BatchScorer::Run::to_parquet() {
  std::string columns = "'id': 'VARCHAR'";
  std::string selected = "id";
  for (const std::string& key : route_->declaration.entity_keys) {
    columns += ", " + olap::quoted_text(key) + ": 'VARCHAR'";
    selected += ", " + olap::quoted_name(key);
  }
  columns +=
      ", 'event_micros': 'BIGINT', 'score': 'DOUBLE', 'decision': 'BOOLEAN', "
      "'oldest_feature_seconds': 'DOUBLE'";
  const LiveTarget& target = route_->targets.front();
  selected += ", make_timestamp(event_micros) AS event_time, score, decision, " +
              olap::quoted_text(target.deployment->model) + " AS model, CAST(" +
              std::to_string(target.deployment->version) +
              " AS BIGINT) AS version, oldest_feature_seconds";
  const std::string path = scratch_ / "part.parquet";
  const auto session = TRY(scorer_.olap_.session());
  TRY(session->run("COPY (SELECT " + selected + " FROM read_csv(" +
                   olap::quoted_text(scratch_ / "rows.csv") +
                   ", auto_detect = false, header = false, delim = ',', quote = '\"', escape = "
                   "'\"', allow_quoted_nulls = false, columns = {" +
                   columns + "})) TO " + olap::quoted_text(path) + " (FORMAT parquet)"));
  return file_bytes(path);
}

BatchOutput BatchScorer::Run::output() const {
  const Deployment& deployment = *route_->targets.front().deployment;
  return {.project = call_.project,
          .output = input_.output,
          .day = day_,
          .route = route_->declaration.name,
          .model = deployment.model,
          .version = deployment.version,
          .feature_schema = route_->features.reference,
          .rows = rows_,
          .features_as_of = oldest_read_,
          .rows_until = until_};
}

Result<void> BatchScorer::Run::close() {
  if (rows_ == 0) return {};
  file_.close();
  BatchOutput made = output();
  // The threshold is part of the input: it decides what the rows say.
  std::string rule =
      route_->features.reference + "\n" + route_->targets.front().deployment->digest + "\n";
  write_number(rule, route_->declaration.threshold);
  digest_->update(rule);
  made.input_digest = to_hex(digest_->finish());
  made.path = "batch/" + call_.project + "/" + made.output + "/" + made.model + "/v" +
              std::to_string(made.version) + "/" + made.day + "/" + made.input_digest.substr(0, 32);
  TRY(publish(made));
  if (const bool first = TRY(note(made)); first) ++result_.published;
  result_.rows += rows_;
  result_.partitions.push_back(std::move(made));
  rows_ = 0;
  digest_ = std::make_unique<Sha256Stream>();
  oldest_read_.reset();
  until_ = {};
  return {};
}

Result<void> BatchScorer::Run::publish(BatchOutput& output) {
  blob::Store& blobs = scorer_.blobs_;
  const std::string file = output.path + "/part.parquet";
  if (!TRY(blobs.exists(file))) {
    const std::string bytes = TRY(to_parquet());
    const std::string staged = "staged/batch-" + new_ulid(scorer_.clock_.now());
    TRY(blobs.put(staged + "/part.parquet", bytes));
    json::object manifest = encode(output).as_object();
    // Two runs must give the same bytes, so the file says nothing of when it was made.
    manifest.erase("made_at");
    manifest["digest"] = sha256_hex(bytes);
    TRY(blobs.put(staged + "/manifest.json", canonical(manifest)));
    const auto published = blobs.publish(staged, output.path);
    if (!published) {
      TRY(blobs.remove(staged));
      if (published.error().code != Code::already_exists) return published.error();
    }
  }
  output.digest = sha256_hex(TRY(blobs.get(file)));
  return {};
}

// The row, the audit event and the inference event of a partition that stands; false where they
// stood too.
Result<bool> BatchScorer::Run::note(const BatchOutput& noted) {
  BatchOutput output = noted;
  output.made_at = scorer_.clock_.now();
  const std::string from = "batch:" + output.output + "/" + output.day;
  const std::string model = "model:" + output.model + "@v" + std::to_string(output.version);
  const auto added = scorer_.db_.write(call_, [&](sql::Tx& tx) -> Result<bool> {
    if (!TRY(store::add_output(tx, output))) return false;
    TRY(catalog::add_edge(tx, call_, output.made_at, from, model, "made_by"));
    TRY(catalog::add_edge(tx, call_, output.made_at, from, "route:" + output.route, "scored_for"));
    TRY(audit::record(tx, call_, output.made_at,
                      {"serving.batch.published", from, encode(output).as_object()}));
    return true;
  });
  if (!added) return added.error();
  const LiveTarget& target = route_->targets.front();
  InferenceEvent event{
      .id = "batch." + output.output + "." + output.day + "." + output.input_digest.substr(0, 16),
      .at = output.made_at,
      .event_time = output.rows_until,
      .project = call_.project,
      .tenant = call_.tenant,
      .actor = call_.actor,
      .route = output.route,
      .release = target.release,
      .model = output.model,
      .version = output.version,
      .runtime = target.deployment->runtime_name,
      .mode = Mode::batch,
      .entities = {{"output", output.output},
                   {"day", output.day},
                   {"rows", std::to_string(output.rows)}},
      .feature_schema = output.feature_schema};
  const std::lock_guard lock(scorer_.recording_);
  const auto known = TRY(recorded(scorer_.log_, gateway_group, call_.project, event.id));
  if (!known) TRY(record(scorer_.log_, {event}));
  return *added;
}

BatchScorer::BatchScorer(Service& service, sql::Database& db, olap::Engine& olap,
                         blob::Store& blobs, events::Log& log, const Clock& clock,
                         HistoricalJoin historical, std::string scratch, HistoricalReader reader)
    : service_(service),
      db_(db),
      olap_(olap),
      blobs_(blobs),
      log_(log),
      clock_(clock),
      historical_(std::move(historical)),
      scratch_(std::move(scratch)),
      reader_(std::move(reader)) {}

Result<BatchResult> BatchScorer::score(const Call& call, const BatchInput& input) {
  for (const char letter : input.output)
    if (!std::isalnum(static_cast<unsigned char>(letter)) && letter != '_' && letter != '-')
      return Error{Code::invalid_argument,
                   "output must be of letters, digits, _ and -",
                   {{"output", "must be of letters, digits, _ and -"}}};
  auto route = TRY(service_.pinned(call, input.route, input.version));
  if (!route->features.read)
    return Error{Code::failed_precondition,
                 "route " + input.route + " has no feature schema; batch reads features by it"};
  const Deployment& scored = *route->targets.front().deployment;
  const std::string version = "model:" + scored.model + "@v" + std::to_string(scored.version);
  TRY(policies::enforce_reads(db_, call, clock_.now(), {version}, "batch:" + input.output));
  return Run(*this, call, input, std::move(route)).all();
}

Result<BatchResult> BatchScorer::outputs(const Call& call, const std::string& output) {
  BatchResult out;
  out.partitions =
      TRY(db_.read(call, [&](sql::Tx& tx) { return store::outputs(tx, call.project, output); }));
  for (const BatchOutput& partition : out.partitions) out.rows += partition.rows;
  return out;
}

}  // namespace penstock::serving
