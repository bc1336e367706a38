// Transforms that models read, against what the offline engine makes of the same values.
#include <algorithm>
#include <cmath>

#include "features/causes.h"
#include "features/logged.h"
#include "features/offline.h"
#include "features/operations.h"
#include "features/transform/kernels.h"
#include "features/transform/plan.h"
#include "features/values.h"

namespace penstock::features {
namespace {

constexpr std::size_t differences_max = 1'000;
constexpr double exact_max = 9'007'199'254'740'992;  // beyond it a double skips whole numbers

std::string table() { return "penstock_logged"; }

// Whether the log holds values of this type as they were: it holds numbers.
bool is_logged(FeatureType type) {
  return type == FeatureType::real || type == FeatureType::bigint || type == FeatureType::boolean;
}

std::string_view engine_type(FeatureType type) {
  switch (type) {
    case FeatureType::real: return "DOUBLE";
    case FeatureType::bigint: return "BIGINT";
    case FeatureType::boolean: return "BOOLEAN";
    case FeatureType::timestamp: return "TIMESTAMP";
    default: return "VARCHAR";
  }
}

FeatureType feature_type(catalog::ColumnType type) {
  if (type == catalog::ColumnType::bigint) return FeatureType::bigint;
  return type == catalog::ColumnType::boolean ? FeatureType::boolean : FeatureType::text;
}

void put(FeatureType type, const Scalar& value, olap::Chunk::Values& out) {
  out.valid.push_back(value.index() != 0);
  if (type == FeatureType::real) {
    const auto* real = std::get_if<double>(&value);
    out.real.push_back(real ? *real : 0);
  } else if (type == FeatureType::text) {
    const auto* text = std::get_if<std::string>(&value);
    out.text.push_back(text ? *text : std::string());
  } else {
    const auto* whole = std::get_if<std::int64_t>(&value);
    const auto* truth = std::get_if<bool>(&value);
    out.whole.push_back(whole ? *whole : truth && *truth ? 1 : 0);
  }
}

Scalar from_number(FeatureType type, const std::optional<double>& number) {
  if (!number) return {};
  if (type == FeatureType::real) return *number;
  if (type == FeatureType::boolean) return *number != 0;
  return static_cast<std::int64_t>(*number);
}

std::string logged_name(std::size_t slot) { return "penstock_f" + std::to_string(slot); }

// The reads as a table: their number, event_time, keys and inputs; and behind them each feature of
// a view that the log holds.
class Reads {
 public:
  Reads(const SchemaHandle& schema, const std::vector<LoggedRead>& reads)
      : schema_(schema), reads_(reads) {
    add("penstock_read", FeatureType::bigint);
    add("event_time", FeatureType::timestamp);
    for (const catalog::JoinKey& key : schema.keys) add(key.name, feature_type(key.type));
    for (const FeatureInput& input : schema.inputs) add(input.name, input.type);
    rows_ = columns_.size();
    for (std::size_t slot = 0; slot < schema.slots.size(); ++slot)
      if (!schema.slots[slot].is_computed() && is_logged(schema.types[slot]))
        add(logged_name(slot), schema.types[slot]);
  }

  Result<void> write(olap::Session& session) {
    std::string declared;
    for (const auto& [name, type] : columns_)
      declared += (declared.empty() ? "" : ", ") + olap::quoted_name(name) + " " +
                  std::string(engine_type(type));
    TRY(session.run("CREATE TEMP TABLE " + table() + " (" + declared + ")"));
    olap::Chunk chunk;
    chunk.columns.resize(columns_.size());
    for (std::size_t i = 0; i < reads_.size(); ++i) {
      const auto row = row_of(i);
      if (!row) continue;  // what was read is not known to the bit
      for (std::size_t column = 0; column < columns_.size(); ++column)
        put(columns_[column].type, (*row)[column], chunk.columns[column]);
      ++chunk.rows;
    }
    return session.append(table(), chunk);
  }

  // What is of the rows and not of the features.
  std::string rows() const {
    std::string list;
    for (std::size_t i = 0; i < rows_; ++i)
      list += (list.empty() ? "" : ", ") + olap::quoted_name(columns_[i].name);
    return list;
  }

 private:
  struct Column {
    std::string name;
    FeatureType type = FeatureType::text;
  };
  void add(const std::string& name, FeatureType type) { columns_.push_back({name, type}); }

  std::optional<std::vector<Scalar>> row_of(std::size_t place) const {
    const LoggedRead& read = reads_[place];
    if (read.values.size() != schema_.slots.size()) return {};
    std::vector<Scalar> out{static_cast<std::int64_t>(place),
                            read.event_time.time_since_epoch().count()};
    for (std::size_t i = out.size(); i < rows_; ++i) {
      const auto given = read.request.find(columns_[i].name);
      const auto type = transform::type_of(columns_[i].type);
      if (given == read.request.end()) {
        out.emplace_back();
      } else if (auto value = type ? transform::read_text(*type, given->second) : std::nullopt) {
        out.push_back(std::move(*value));
      } else {
        return {};
      }
    }
    for (std::size_t slot = 0; slot < schema_.slots.size(); ++slot) {
      if (schema_.slots[slot].is_computed() || !is_logged(schema_.types[slot])) continue;
      const auto& number = read.values[slot];
      if (schema_.types[slot] == FeatureType::bigint && number && std::abs(*number) > exact_max)
        return {};
      out.push_back(from_number(schema_.types[slot], number));
    }
    return out;
  }

  const SchemaHandle& schema_;
  const std::vector<LoggedRead>& reads_;
  std::vector<Column> columns_;
  std::size_t rows_ = 0;  // so many of the columns are no features
};

// The schema's features of views, without its transforms.
SchemaHandle stored_features(const SchemaHandle& schema) {
  SchemaHandle out{.project = schema.project,
                   .name = schema.name,
                   .version = schema.version,
                   .views = schema.views,
                   .keys = schema.keys};
  for (std::size_t i = 0; i < schema.slots.size(); ++i) {
    if (schema.slots[i].is_computed()) continue;
    out.names.push_back(schema.names[i]);
    out.types.push_back(schema.types[i]);
    out.slots.push_back(schema.slots[i]);
  }
  return out;
}

bool all_logged(const SchemaHandle& schema) {
  for (std::size_t i = 0; i < schema.slots.size(); ++i)
    if (!schema.slots[i].is_computed() && !is_logged(schema.types[i])) return false;
  return true;
}

// A feature that the transform hangs on, and that the log does not hold; empty: there is none.
std::string unlogged_of(const SchemaHandle& schema, const transform::Plan::Output& output) {
  for (const std::size_t at : output.arguments) {
    const auto& argument = schema.plan->arguments[at];
    if (argument.from == transform::Plan::From::feature &&
        !is_logged(schema.types[argument.number]))
      return schema.names[argument.number];
  }
  return "";
}

std::string entity_of(const SchemaHandle& schema, const LoggedRead& read) {
  std::string out;
  for (const catalog::JoinKey& key : schema.keys) {
    const auto given = read.request.find(key.name);
    if (given != read.request.end()) out += (out.empty() ? "" : ", ") + given->second;
  }
  return out;
}

std::optional<double> as_logged(FeatureType type, const Scalar& value) {
  const auto number = as_number(type, value);
  return number && *number == *number ? number : std::nullopt;  // NaN is logged as missing
}

std::string text_of(const std::optional<double>& number) {
  return number ? json::serialize(json::value(*number)) : "null";
}

}  // namespace

Result<std::string> Service::logged_statement(const Call& call, olap::Session& session,
                                              const SchemaHandle& schema,
                                              const std::string& row_columns) {
  std::string from = table();
  if (!all_logged(schema)) {
    const std::string rows = "SELECT * FROM " + table();
    const auto joined =
        TRY(offline_->join(call, session, stored_features(schema),
                           {.statement = rows, .field = "rows", .reads_sources = false}, {}));
    from = "(" + joined.statement + ")";
  }
  std::string features;
  for (std::size_t slot = 0; slot < schema.slots.size(); ++slot)
    if (!schema.slots[slot].is_computed())
      features += ", " + olap::quoted_name(is_logged(schema.types[slot]) ? logged_name(slot)
                                                                         : schema.names[slot]);
  const auto columns = TRY(session.describe("SELECT " + row_columns + " FROM " + table()));
  return transform::computed_statement(session, schema, columns,
                                       "SELECT " + row_columns + features + " FROM " + from, {});
}

Result<void> Service::verify_transforms(const Call& call, const SchemaHandle& schema,
                                        std::int64_t sample, VerifyOutput& out) {
  if (!schema.plan || !logged_) return {};
  const auto reads = TRY(logged_(call, schema.reference(), static_cast<std::size_t>(sample)));
  if (reads.empty()) return {};
  const auto session = TRY(olap_.session());
  Reads rows(schema, reads);
  TRY(rows.write(*session));
  std::string wanted = "penstock_read";
  std::vector<std::size_t> slots;
  for (std::size_t slot = 0; slot < schema.slots.size(); ++slot) {
    if (!schema.slots[slot].is_computed() || !is_logged(schema.types[slot])) continue;
    wanted += ", " + olap::quoted_name(schema.names[slot]);
    slots.push_back(slot);
  }
  const auto made = TRY(session->query("SELECT " + wanted + " FROM (" +
                                       TRY(logged_statement(call, *session, schema, rows.rows())) +
                                       ") ORDER BY penstock_read"));
  for (const auto& row : made.rows) {
    const LoggedRead& read = reads.at(static_cast<std::size_t>(std::get<std::int64_t>(row.at(0))));
    ++out.predictions;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      ++out.values;
      const std::size_t slot = slots[i];
      const auto online = read.values[slot], offline = as_logged(schema.types[slot], row.at(i + 1));
      if (online == offline) continue;
      const std::string other =
          unlogged_of(schema, schema.plan->outputs[schema.slots[slot].feature]);
      const std::string_view cause = other.empty() ? causes::transform : causes::sources_changed;
      ++out.differing;
      ++out.causes[std::string(cause)];
      if (out.differences.size() >= differences_max) continue;
      out.differences.push_back(
          {schema.reference(), entity_of(schema, read), schema.names[slot], text_of(online),
           text_of(offline),
           std::string(cause) + ": prediction " + read.prediction +
               (other.empty() ? " read another value than the expression gives of what was read "
                                "with it"
                              : " read another value, of " + other +
                                    " as it was then, which the log does not hold")});
    }
  }
  return {};
}

void Service::on_logged(LoggedReads logged) { logged_ = std::move(logged); }

}  // namespace penstock::features
