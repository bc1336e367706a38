#include "features/windows/join.h"

#include <atomic>
#include <filesystem>

#include "features/windows/events.h"
#include "features/windows/history.h"

namespace penstock::features::windows {
namespace {

using olap::quoted_name;

constexpr std::size_t block_rows = 20'480;

std::string fresh_name(const std::string& what) {
  static std::atomic<std::uint64_t> next = 0;
  return "penstock_" + what + "_" + std::to_string(++next);
}

class Removed {
 public:
  explicit Removed(std::string path) : path_(std::move(path)) {}
  Removed(const Removed&) = delete;
  ~Removed() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }

 private:
  const std::string path_;
};

// Events and rows of the same entities, an event before a row of its instant.
std::string merged_statement(const JoinInput& input) {
  const ViewHandle& view = *input.view;
  const std::string rows = "read_parquet(" + olap::quoted_text(input.scratch) + ")";
  std::string events =
      "SELECT " + event_columns(view, "e.") + ", CAST(NULL AS BIGINT) AS penstock_row";
  if (input.known_as_of) {
    const std::string arrived = "e.arrived_at";
    events.replace(events.find(arrived), arrived.size(), "e.event_time AS arrived_at");
  }
  events += " FROM " + input.events + " AS e SEMI JOIN " + rows + " AS r ON ";
  std::string same;
  for (const catalog::JoinKey& key : view.keys)
    same += (same.empty() ? "" : " AND ") + ("e." + quoted_name(key.name)) + " = r." +
            quoted_name(key.name);
  events += same;
  if (input.known_as_of)
    events += " WHERE e.created_time <= " + timestamp_literal(*input.known_as_of);
  std::string asked = "SELECT " + key_columns(view) +
                      ", CAST(NULL AS TIMESTAMP), CAST(NULL AS TIMESTAMP), event_time";
  for (std::size_t i = 0; i < view.windows->inputs.size(); ++i) asked += ", NULL";
  asked += ", penstock_row FROM " + rows;
  return "SELECT * FROM (" + events + " UNION ALL " + asked + ") ORDER BY " + key_columns(view) +
         ", arrived_at, penstock_row NULLS FIRST";
}

// The rows' keys and instants, without rows that have none, as a file that another session reads.
Result<void> write_rows(olap::Session& session, const JoinInput& input) {
  std::string keys, present;
  for (const catalog::JoinKey& key : input.view->keys) {
    const std::string name = quoted_name(key.name);
    keys += ", CAST(" + name + " AS " + std::string(engine_type(key.type)) + ") AS " + name;
    present += " AND " + name + " IS NOT NULL";
  }
  return session.run("COPY (SELECT penstock_row, CAST(event_time AS TIMESTAMP) AS event_time" +
                     keys + " FROM " + input.rows + " WHERE event_time IS NOT NULL" + present +
                     ") TO " + olap::quoted_text(input.scratch) + " (FORMAT parquet)");
}

// Values on their way into the table, column by column.
class Values {
 public:
  Values(olap::Session& session, std::string table, const Plan& plan)
      : session_(session), table_(std::move(table)), plan_(plan) {
    clear();
  }

  Result<void> add(std::int64_t row, History& history, Timestamp at) {
    put(0, row);
    put(1, history.newest_event().time_since_epoch().count());
    const auto values = TRY(history.values(at));
    for (std::size_t i = 0; i < values.size(); ++i) put(2 + i, values[i]);
    return ++block_.rows < block_rows ? Result<void>() : flush();
  }

  Result<void> flush() {
    if (block_.rows == 0) return {};
    TRY(session_.append(table_, block_));
    clear();
    return {};
  }

 private:
  void clear() {
    block_ = {};
    block_.columns.resize(2 + plan_.features.size());
  }
  void put(std::size_t column, const Scalar& value) {
    const FeatureType type = column < 2 ? FeatureType::bigint : plan_.features[column - 2].type;
    olap::Chunk::Values& values = block_.columns[column];
    values.valid.push_back(value.index() != 0);
    if (type == FeatureType::real) {
      const auto* real = std::get_if<double>(&value);
      values.real.push_back(real ? *real : 0);
    } else if (type == FeatureType::text) {
      const auto* text = std::get_if<std::string>(&value);
      values.text.push_back(text ? *text : std::string());
    } else {
      const auto* whole = std::get_if<std::int64_t>(&value);
      const auto* truth = std::get_if<bool>(&value);
      values.whole.push_back(whole ? *whole : truth && *truth ? 1 : 0);
    }
  }

  olap::Session& session_;
  const std::string table_;
  const Plan& plan_;
  olap::Chunk block_;
};

}  // namespace

Result<std::string> number_rows(olap::Session& session, const std::string& rows) {
  const std::string name = fresh_name("rows");
  TRY(session.run("CREATE TEMP TABLE " + name +
                  " AS SELECT *, row_number() OVER () AS penstock_row FROM (\n" + rows + "\n)"));
  return name;
}

Result<std::string> join_windows(olap::Engine& olap, olap::Session& session,
                                 const JoinInput& input) {
  const ViewHandle& view = *input.view;
  const Plan& plan = *view.windows;
  std::string columns = "penstock_row BIGINT, event_time TIMESTAMP";
  for (const Feature& feature : view.view.features)
    columns += ", " + quoted_name(feature.name) + " " + std::string(engine_type(feature.type));
  const std::string table = fresh_name("windows");
  TRY(session.run("CREATE TEMP TABLE " + table + " (" + columns + ")"));
  const Removed scratch(input.scratch);
  TRY(write_rows(session, input));

  EventReader reader(view);
  Values values(session, table, plan);
  std::string entity;
  History history(plan);
  const auto other = TRY(olap.session());
  TRY(other->stream(merged_statement(input), {}, [&](const olap::Chunk& chunk) -> Result<void> {
    const olap::Chunk::Values& numbers = chunk.columns[reader.columns()];
    for (std::size_t row = 0; row < chunk.rows; ++row) {
      if (const std::string& key = reader.key(chunk, row); key != entity) {
        entity = key;
        history.clear();
      }
      if (!numbers.valid[row])
        TRY(history.add(reader.event(chunk, row)));
      else if (!history.empty())
        TRY(values.add(numbers.whole[row], history, reader.arrived(chunk, row)));
    }
    return {};
  }));
  TRY(values.flush());
  return table;
}

Result<std::string> join_all(olap::Engine& olap, olap::Session& session,
                             std::vector<JoinedView>& views, const std::string& rows,
                             std::optional<Timestamp> known_as_of,
                             const std::function<std::string()>& scratch) {
  std::string numbered;
  for (JoinedView& joined : views) {
    if (!joined.view->windows) continue;
    if (numbered.empty()) numbered = TRY(number_rows(session, rows));
    joined.table = TRY(
        join_windows(olap, session, {joined.view, joined.table, numbered, scratch(), known_as_of}));
    joined.by_row = true;
  }
  return numbered.empty() ? rows : "SELECT * EXCLUDE (penstock_row) FROM " + numbered;
}

}  // namespace penstock::features::windows
