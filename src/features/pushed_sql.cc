// Pushed rows beside those of a view's SQL, in the engine.
#include <algorithm>

#include "base/json.h"
#include "features/join.h"
#include "features/pushed_rows.h"
#include "features/row_reader.h"
#include "features/values.h"
#include "features/windows/events.h"

namespace penstock::features {
namespace {

using olap::quoted_name;
using olap::Type;

constexpr std::int64_t page_rows = 5'000;
constexpr int digits_max = 38;
constexpr const char* table = "penstock_pushed";

std::string_view engine_type(Type type) {
  switch (type) {
    case Type::boolean: return "BOOLEAN";
    case Type::bigint: return "BIGINT";
    case Type::real: return "DOUBLE";
    case Type::timestamp: return "TIMESTAMP";
    default: return "VARCHAR";
  }
}

Type type_of(catalog::ColumnType type) {
  if (type == catalog::ColumnType::bigint) return Type::bigint;
  return type == catalog::ColumnType::boolean ? Type::boolean : Type::text;
}

Type type_of(FeatureType type) {
  switch (type) {
    case FeatureType::real: return Type::real;
    case FeatureType::bigint: return Type::bigint;
    case FeatureType::boolean: return Type::boolean;
    case FeatureType::timestamp: return Type::timestamp;
    default: return Type::text;
  }
}

std::string text_of(const Scalar& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return json::serialize(to_json(value));
}

// What does not fit is null: it is no value of the SQL's column either.
void put(olap::Chunk::Values& out, Type type, const Scalar& value) {
  const auto* truth = std::get_if<bool>(&value);
  const auto* whole = std::get_if<std::int64_t>(&value);
  const auto* real = std::get_if<double>(&value);
  bool valid = value.index() != 0;
  if (type == Type::text) {
    out.text.push_back(valid ? text_of(value) : "");
  } else if (type == Type::real) {
    valid = truth || whole || real;
    out.real.push_back(real    ? *real
                       : whole ? static_cast<double>(*whole)
                       : truth ? static_cast<double>(*truth)
                               : 0.0);
  } else {
    valid = truth || whole;
    out.whole.push_back(whole ? *whole : truth ? std::int64_t{*truth} : 0);
  }
  out.valid.push_back(valid ? 1 : 0);
}

// How many digits a decimal has before and behind its point.
struct Digits {
  int before = 1, behind = 0;
  void hold(std::string_view text) {
    if (text.starts_with('-')) text.remove_prefix(1);
    const auto point = std::min(text.find('.'), text.size());
    before = std::max(before, static_cast<int>(point));
    if (point < text.size()) behind = std::max(behind, static_cast<int>(text.size() - point - 1));
  }
  // "DECIMAL(10,2)"
  void hold_type(const std::string& declared) {
    int width = 0, scale = 0;
    if (std::sscanf(declared.c_str(), "DECIMAL(%d,%d)", &width, &scale) != 2) width = 19;
    before = std::max(before, width - scale);
    behind = std::max(behind, scale);
  }
  std::string type() const {
    const int whole = std::min(before, digits_max), scale = std::min(behind, digits_max - whole);
    return "DECIMAL(" + std::to_string(whole + scale) + ", " + std::to_string(scale) + ")";
  }
};

// A column of what the view's SQL gives, beside the same of pushed rows.
struct Column {
  std::string name;
  Type type = Type::text;            // in the table of pushed rows
  const Feature* feature = nullptr;  // that it is; none: an input of windows
  std::optional<std::size_t> input;  // of the row's values
  Digits digits = {};                // of a decimal

  std::string cast(const std::string& expression, bool pushed) const {
    if (!feature) return "CAST(" + expression + " AS " + std::string(engine_type(type)) + ")";
    if (feature->type == FeatureType::decimal)
      return "CAST(" + expression + " AS " + digits.type() + ")";
    const bool in_json = type == Type::text && feature->type != FeatureType::text;
    return cast_sql(*feature, pushed && in_json ? "CAST(" + expression + " AS JSON)" : expression);
  }
};

const olap::Column* find(const std::vector<olap::Column>& columns, const std::string& name) {
  const auto found = std::ranges::find(columns, name, &olap::Column::name);
  return found == columns.end() ? nullptr : &*found;
}

// Each column once that the features of windows read; of two types the one that has all values of
// the other.
std::vector<Column> inputs_of(const ViewHandle& view, const std::vector<olap::Column>& columns) {
  constexpr Type order[] = {Type::boolean, Type::bigint, Type::text, Type::real};
  std::vector<Column> out;
  const auto& inputs = view.windows->inputs;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (std::ranges::find(out, inputs[i].column, &Column::name) != out.end()) continue;
    Column& column = out.emplace_back(Column{.name = inputs[i].column, .input = i});
    std::optional<Type> chosen;
    for (std::size_t k = i; k < inputs.size(); ++k) {
      if (inputs[k].column != column.name || !inputs[k].type) continue;
      const Type type = type_of(*inputs[k].type);
      if (chosen && std::ranges::find(order, type) >= std::ranges::find(order, *chosen)) continue;
      chosen = type;
      column.input = k;
    }
    if (chosen) {
      column.type = *chosen;
    } else if (const olap::Column* known = find(columns, column.name)) {
      const bool plain = std::ranges::find(order, known->type) != std::end(order);
      column.type = plain ? known->type : Type::text;
    }
  }
  return out;
}

std::vector<Column> columns_of(const ViewHandle& view, const std::vector<olap::Column>& columns) {
  if (view.windows) return inputs_of(view, columns);
  std::vector<Column> out;
  for (std::size_t i = 0; i < view.view.features.size(); ++i) {
    const Feature& feature = view.view.features[i];
    Column& column = out.emplace_back(Column{
        .name = feature.name, .type = type_of(feature.type), .feature = &feature, .input = i});
    if (const olap::Column* known = find(columns, feature.name);
        known && feature.type == FeatureType::decimal)
      column.digits.hold_type(known->declared);
  }
  return out;
}

// The table of pushed rows: keys k0, k1, ..., t and c, the view's columns v0, v1, ...
class Table {
 public:
  Table(const ViewHandle& view, std::vector<Column> columns)
      : view_(view), columns_(std::move(columns)), reader_(view, true) {
    const auto taken = [&](const std::string& name) {
      return name == view_.view.event_time ||
             std::ranges::find(view_.keys, name, &catalog::JoinKey::name) != view_.keys.end() ||
             std::ranges::find(columns_, name, &Column::name) != columns_.end();
    };
    while (taken(created_)) created_ += '_';
  }
  // The column of its statement() that says when a row was created.
  const std::string& created() const { return created_; }

  std::string declaration() const {
    std::string text;
    for (std::size_t i = 0; i < view_.keys.size(); ++i)
      text += "k" + std::to_string(i) + " " +
              std::string(engine_type(type_of(view_.keys[i].type))) + ", ";
    text += "t TIMESTAMP, c TIMESTAMP";
    for (std::size_t i = 0; i < columns_.size(); ++i)
      text += ", v" + std::to_string(i) + " " + std::string(engine_type(columns_[i].type));
    return std::string("CREATE OR REPLACE TEMP TABLE ") + table + " (" + text + ")";
  }

  void add(const PushedRow& pushed, olap::Chunk& out) {
    boost::system::error_code fault;
    const json::value given = parse_json(pushed.row_text, fault);
    if (fault || !given.is_object()) return;
    const Online::Row row = reader_.read(given.as_object());
    if (!reader_.fits_but_for_columns()) return;
    out.columns.resize(view_.keys.size() + 2 + columns_.size());
    const auto keys = keys_in(view_, row.key);
    std::size_t at = 0;
    for (std::size_t i = 0; i < view_.keys.size(); ++i) {
      const Type type = type_of(view_.keys[i].type);
      Scalar key = keys.at(i);
      if (type == Type::bigint) key = std::int64_t{std::stoll(keys.at(i))};
      if (type == Type::boolean) key = keys.at(i) == "true";
      put(out.columns[at++], type, key);
    }
    for (const Timestamp time :
         {row.row.event_time, std::max(row.row.created_time, pushed.pushed_at)})
      put(out.columns[at++], Type::timestamp, std::int64_t{time.time_since_epoch().count()});
    for (Column& column : columns_) {
      Scalar value = row.row.values.at(*column.input);
      if (column.feature && column.feature->type == FeatureType::decimal && value.index() != 0)
        column.digits.hold(std::get<std::string>(value));
      if (column.feature && column.feature->type == FeatureType::embedding && value.index() != 0)
        value = json::serialize(value_json(FeatureType::embedding, value));
      put(out.columns[at++], column.type, value);
    }
    ++out.rows;
  }

  // Of all that was added.
  std::string statement() const {
    const FeatureView& view = view_.view;
    std::string sources, pushed;
    const auto both = [&](const std::string& name, const std::string& from,
                          const std::string& kept) {
      sources += (sources.empty() ? "" : ", ") + from + " AS " + quoted_name(name);
      pushed += (pushed.empty() ? "" : ", ") + kept + " AS " + quoted_name(name);
    };
    for (std::size_t i = 0; i < view_.keys.size(); ++i) {
      const catalog::JoinKey& key = view_.keys[i];
      both(key.name,
           "CAST(" + quoted_name(key.name) + " AS " + std::string(key_type(key.type)) + ")",
           "k" + std::to_string(i));
    }
    both(view.event_time, as_timestamp(quoted_name(view.event_time)), "t");
    both(created_,
         view.created_time ? as_timestamp(quoted_name(*view.created_time))
                           : std::string("CAST(NULL AS TIMESTAMP)"),
         "c");
    for (std::size_t i = 0; i < columns_.size(); ++i)
      both(columns_[i].name, columns_[i].cast(quoted_name(columns_[i].name), false),
           columns_[i].cast("v" + std::to_string(i), true));
    return "SELECT " + sources + " FROM (\n" + view.sql + "\n) UNION ALL SELECT " + pushed +
           " FROM " + table;
  }

 private:
  const ViewHandle& view_;
  std::vector<Column> columns_;
  RowReader reader_;
  std::string created_ = "penstock_created_time";
};

}  // namespace

Result<ViewHandle> with_pushed_rows(sql::Database& db, olap::Session& session, const Call& call,
                                    const ViewHandle& view, const PushedCounts& counts) {
  if (counts.row_count == 0) return view;
  // What is wrong with the SQL, the evaluation says.
  const auto known = session.describe(view.view.sql);
  if (!known) return view;
  Table rows(view, columns_of(view, *known));
  TRY(session.run(rows.declaration()));
  for (std::int64_t after = 0; after < counts.last_number;) {
    const auto page = TRY(db.read(call, [&](sql::Tx& tx) {
      return sql::select<PushedRow>(
          tx,
          "SELECT " + columns<PushedRow>() +
              " FROM feature_pushed_rows WHERE project = $1 AND view = $2 AND number > $3 AND "
              "number <= $4 ORDER BY number LIMIT " +
              std::to_string(page_rows),
          {call.project, view.view.name, after, counts.last_number});
    }));
    if (page.empty()) break;
    olap::Chunk chunk;
    for (const PushedRow& row : page) rows.add(row, chunk);
    after = page.back().number;
    if (chunk.rows > 0) TRY(session.append(table, chunk));
  }
  ViewHandle out = view;
  out.view.sql = rows.statement();
  out.view.created_time = rows.created();
  return out;
}

}  // namespace penstock::features
