#include "catalog/dataset_builder.h"

#include <algorithm>
#include <filesystem>

#include "base/digest.h"
#include "base/id.h"
#include "catalog/store.h"
#include "policies/service.h"

namespace penstock::catalog {
namespace {

constexpr std::int64_t rows_compared = 20'000'000;

class Scratch {
 public:
  explicit Scratch(std::string path) : path_(std::move(path)) {}
  Scratch(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

std::string trimmed(std::string sql) {
  const auto ends = [&](char letter) {
    return letter == ';' || std::isspace(static_cast<unsigned char>(letter));
  };
  while (!sql.empty() && ends(sql.back())) sql.pop_back();
  return sql;
}

Error refuse(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

std::int64_t count_of(const olap::Table& table) {
  return std::get<std::int64_t>(table.rows.at(0).at(0));
}

std::string file_of(const Dataset& dataset) {
  return "read_parquet(" + olap::quoted_text(dataset.uri) + ")";
}

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

void compare_profiles(const ColumnProfile& before, const ColumnProfile& after,
                      std::vector<std::string>& out) {
  const auto say = [&](const char* what, const std::string& was, const std::string& is) {
    if (was != is) out.push_back("column " + after.name + ": " + what + " " + was + " -> " + is);
  };
  say("nulls", std::to_string(before.nulls), std::to_string(after.nulls));
  say("distinct about", std::to_string(before.distinct), std::to_string(after.distinct));
  if (before.mean && after.mean) say("mean", number_text(*before.mean), number_text(*after.mean));
  if (before.min && after.min) say("min", *before.min, *after.min);
  if (before.max && after.max) say("max", *before.max, *after.max);
}

void compare(const Dataset& before, const Dataset& after, std::vector<std::string>& out) {
  const auto type_in = [](const Dataset& dataset, const std::string& name) {
    const auto found = std::ranges::find(dataset.columns, name, &DatasetColumn::name);
    return found == dataset.columns.end() ? std::string() : found->type;
  };
  for (const DatasetColumn& column : before.columns) {
    const std::string now = type_in(after, column.name);
    if (now.empty())
      out.push_back("column " + column.name + ": removed");
    else if (now != column.type)
      out.push_back("column " + column.name + ": type " + column.type + " -> " + now);
  }
  for (const DatasetColumn& column : after.columns)
    if (type_in(before, column.name).empty())
      out.push_back("column " + column.name + ": added (" + column.type + ")");
  if (before.query != after.query) out.push_back("query changed");
  if (before.feature_schema != after.feature_schema)
    out.push_back("feature schema " + before.feature_schema + " -> " + after.feature_schema);
  for (const SourceSnapshot& snapshot : after.snapshots) {
    const auto same = std::ranges::find(before.snapshots, snapshot.digest, &SourceSnapshot::digest);
    if (same == before.snapshots.end())
      out.push_back("made from other bytes of " + snapshot.urn + " (" +
                    snapshot.digest.substr(0, 12) + ")");
  }
  for (const ColumnProfile& column : after.profile) {
    const auto was = std::ranges::find(before.profile, column.name, &ColumnProfile::name);
    if (was != before.profile.end()) compare_profiles(*was, column, out);
  }
}

}  // namespace

struct DatasetBuilder::Inputs {
  std::vector<VersionedSource> sources;
  std::vector<std::pair<std::string, Dataset>>
      datasets;                           // with the name that the query calls it by
  std::vector<SourceSnapshot> snapshots;  // by URN
  std::string digest;
  bool open = true;  // no column of its sources is confidential or restricted
};

Result<DatasetBuilder::Inputs> DatasetBuilder::inputs_of(const Call& call, olap::Session& session,
                                                         const std::string& sql) {
  const auto tables = session.tables_of(sql);
  if (!tables) return refuse("sql", "cannot be read: " + tables.error().message);
  return db_.read(call, [&](sql::Tx& tx) -> Result<Inputs> {
    Inputs out;
    for (const std::string& table : *tables) {
      auto source = sources_named(tx, call.project, {table});
      if (source) {
        for (const ColumnClass& column :
             TRY(column_classes(tx, call.project, source->front().source)))
          if (column.classification > Classification::internal) out.open = false;
        out.sources.push_back(std::move(source->front()));
        continue;
      }
      if (source.error().code != Code::not_found) return source.error();
      const auto dataset = TRY(find_dataset(tx, call.project, table));
      if (!dataset)
        return refuse(
            "sql", "reads " + table + ", which is no source or dataset of project " + call.project);
      // What flowed into it is not known by column here.
      out.open = false;
      out.datasets.emplace_back(table, *dataset);
    }
    return out;
  });
}

Result<void> DatasetBuilder::take_snapshots(Inputs& inputs) {
  inputs.snapshots.clear();
  for (const VersionedSource& source : inputs.sources)
    inputs.snapshots.push_back({source.urn(), TRY(catalog_.snapshot_digest(source.source))});
  for (const auto& [name, dataset] : inputs.datasets)
    inputs.snapshots.push_back({dataset.urn(), dataset.digest});
  std::ranges::sort(inputs.snapshots, {}, &SourceSnapshot::urn);
  return {};
}

// What was read is what the snapshots say: copies never change, files may while they are read.
Result<void> DatasetBuilder::check_read(const Inputs& inputs,
                                        const std::vector<std::optional<std::string>>& read) {
  for (std::size_t i = 0; i < inputs.sources.size(); ++i) {
    const VersionedSource& source = inputs.sources[i];
    const std::string now = read[i] ? *read[i] : TRY(catalog_.snapshot_digest(source.source));
    const auto said = std::ranges::find(inputs.snapshots, source.urn(), &SourceSnapshot::urn);
    if (said->digest != now)
      return Error{Code::unavailable,
                   "source " + source.source.name + " changed while it was read; ask again"};
  }
  return {};
}

Result<Dataset> DatasetBuilder::create(const Call& call, const DatasetRequest& request) {
  DatasetRequest asked{request.name, trimmed(request.sql)};
  TRY(check_select(asked.sql, "sql"));
  TRY(check_repeatable(asked.sql, "sql"));
  const auto session = TRY(olap_.session());
  Inputs inputs = TRY(inputs_of(call, *session, asked.sql));
  std::vector<std::string> read;
  for (const VersionedSource& source : inputs.sources) read.push_back(source.urn());
  for (const auto& [name, dataset] : inputs.datasets) read.push_back(dataset.urn());
  TRY(policies::enforce_reads(db_, call, clock_.now(), read, "dataset:" + asked.name));
  TRY(take_snapshots(inputs));
  inputs.digest = sha256_hex(
      canonical(json::object{{"sql", asked.sql}, {"snapshots", encode(inputs.snapshots)}}));
  const auto same = TRY(db_.read(call, [&](sql::Tx& tx) {
    return store::dataset_of_inputs(tx, call.project, asked.name, inputs.digest);
  }));
  if (!same.empty() && TRY(blobs_.exists("datasets/" + call.project + "/" + asked.name + "/" +
                                         same.front().digest + ".parquet")))
    return same.front();
  return make(call, *session, asked, std::move(inputs));
}

Result<Dataset> DatasetBuilder::make(const Call& call, olap::Session& session,
                                     const DatasetRequest& request, Inputs inputs) {
  std::vector<Source> sources;
  for (const VersionedSource& source : inputs.sources) sources.push_back(source.source);
  const auto read = TRY(catalog_.snapshots().bind(session, sources));
  for (const auto& [name, dataset] : inputs.datasets)
    TRY(session.run("CREATE OR REPLACE TEMP VIEW " + olap::quoted_name(name) +
                    " AS SELECT * FROM " + file_of(dataset)));
  std::error_code ignored;
  std::filesystem::create_directories(scratch_, ignored);
  const Scratch staged(scratch_ + "/dataset-" + new_ulid(clock_.now()) + ".parquet");
  const auto copied =
      session.run("COPY (SELECT * FROM (\n" + request.sql + "\n) AS made ORDER BY ALL) TO " +
                  olap::quoted_text(staged.path()) +
                  " (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)");
  if (!copied && copied.error().code == Code::invalid_argument)
    return refuse("sql", "cannot be run: " + copied.error().message);
  if (!copied) return copied.error();
  TRY(check_read(inputs, read));

  auto digest = TRY(digest_of_file(staged.path()));
  NewDataset made{.name = request.name,
                  .digest = std::move(digest),
                  .query = request.sql,
                  .snapshots = inputs.snapshots,
                  .inputs_digest = inputs.digest};
  const std::string rows = "SELECT * FROM read_parquet(" + olap::quoted_text(staged.path()) + ")";
  TableProfile profile = TRY(profile_of(session, rows));
  made.row_count = profile.row_count;
  if (!inputs.open) redact(profile.columns, {});
  made.profile = std::move(profile.columns);
  for (const olap::Column& column : TRY(session.describe(rows)))
    made.columns.push_back({column.name, column.declared});
  for (const SourceSnapshot& snapshot : inputs.snapshots) made.sources.push_back(snapshot.urn);
  // Found by its digest: it is there already, or comes whole.
  const std::string path =
      "datasets/" + call.project + "/" + request.name + "/" + made.digest + ".parquet";
  made.uri = blobs_.uri(path);
  const auto urn = Urn::parse("dataset:" + request.name);
  if (!urn || urn->name != request.name || request.name.find('/') != std::string::npos)
    return refuse("name", "must be 1 to 200 letters, digits or . _ -");
  if (!TRY(blobs_.exists(path))) TRY(blobs_.put_local(path, staged.path()));
  return catalog_.add_dataset(call, made);
}

Result<DatasetDifference> DatasetBuilder::diff(const Call& call, const DatasetPair& pair) {
  const auto both = TRY(db_.read(call, [&](sql::Tx& tx) -> Result<std::vector<Dataset>> {
    std::vector<Dataset> out;
    for (const std::string& reference : {pair.before, pair.after}) {
      const auto found = TRY(find_dataset(tx, call.project, reference));
      if (!found)
        return Error{Code::not_found,
                     "there is no dataset " + reference + " in project " + call.project};
      out.push_back(*found);
    }
    return out;
  }));
  const Dataset &before = both[0], &after = both[1];
  DatasetDifference out{.before = before.urn(),
                        .after = after.urn(),
                        .same = before.digest == after.digest,
                        .rows_before = before.row_count,
                        .rows_after = after.row_count};
  compare(before, after, out.changes);
  if (out.same || encode(before.columns) != encode(after.columns) ||
      before.row_count + after.row_count > rows_compared)
    return out;
  const auto session = TRY(olap_.session());
  const auto only = [&](const Dataset& in, const Dataset& not_in) -> Result<std::int64_t> {
    return count_of(TRY(session->query("SELECT count(*) FROM (SELECT * FROM " + file_of(in) +
                                       " EXCEPT ALL SELECT * FROM " + file_of(not_in) + ")")));
  };
  out.only_before = TRY(only(before, after));
  out.only_after = TRY(only(after, before));
  return out;
}

}  // namespace penstock::catalog
