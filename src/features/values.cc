#include "features/values.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/json.h"

namespace penstock::features {
namespace {

using olap::quoted_text;

constexpr std::size_t decimal_digits_max = 38;

Error misfit_error(std::string problem) { return {Code::invalid_argument, std::move(problem)}; }
Error not_of(FeatureType type) {
  return misfit_error("must be of type " + std::string(name_of(type)));
}

bool is_list(FeatureType type) {
  return type == FeatureType::list_double || type == FeatureType::list_bigint ||
         type == FeatureType::list_text || type == FeatureType::list_boolean;
}

template <class T>
std::string digits_of(T number) {
  char text[32];
  const auto [end, fault] = std::to_chars(text, text + sizeof text, number);
  return {text, end};
}
template <class T>
std::optional<T> number_from(std::string_view text) {
  T out{};
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (fault != std::errc{} || end != text.data() + text.size()) return {};
  return out;
}

// A double of a list, for which JSON may have no number.
std::string double_text(double value) {
  if (std::isnan(value)) return "\"NaN\"";
  if (std::isinf(value)) return value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  return digits_of(value);
}
std::optional<double> named_double(std::string_view text) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return infinity;
  if (text == "-Infinity") return -infinity;
  return {};
}

// ---- lists, as memory holds them ----

// One item of a list of numbers or booleans.
std::optional<json::value> item_from(FeatureType type, std::string_view text) {
  if (text == "null") return json::value(nullptr);
  if (type == FeatureType::list_boolean) {
    if (text == "true" || text == "false") return json::value(text == "true");
  } else if (type == FeatureType::list_bigint) {
    if (const auto whole = number_from<std::int64_t>(text)) return json::value(*whole);
  } else if (text.size() > 2 && text.front() == '"') {
    text = text.substr(1, text.size() - 2);
    if (named_double(text)) return json::value(text);
  } else if (const auto real = number_from<double>(text); real && std::isfinite(*real)) {
    return json::value(*real);
  }
  return {};
}

std::optional<json::array> texts_from(std::string_view text) {
  boost::system::error_code fault;
  json::value parsed = parse_json(text, fault);
  if (fault || !parsed.is_array()) return {};
  for (const json::value& item : parsed.get_array())
    if (!item.is_null() && !item.is_string()) return {};
  return std::move(parsed.get_array());
}

// Boost's parser may miss a double by its last bit, so numbers are read here.
std::optional<json::array> list_from(FeatureType type, std::string_view text) {
  if (type == FeatureType::list_text) return texts_from(text);
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') return {};
  text = text.substr(1, text.size() - 2);
  json::array out;
  if (text.empty()) return out;
  for (;;) {
    const std::size_t comma = text.find(',');
    auto item = item_from(type, text.substr(0, comma));
    if (!item) return {};
    out.push_back(std::move(*item));
    if (comma == std::string_view::npos) return out;
    text.remove_prefix(comma + 1);
  }
}

Result<std::string> item_text(FeatureType type, const json::value& given) {
  if (given.is_null()) return std::string("null");
  const Scalar said = from_json(given);
  if (type == FeatureType::list_double) {
    double real = 0;
    if (Kind<double>::hear(said, real)) return double_text(real);
    if (const auto* name = std::get_if<std::string>(&said))
      if (const auto named = named_double(*name)) return double_text(*named);
  } else if (type == FeatureType::list_bigint) {
    if (const auto* whole = std::get_if<std::int64_t>(&said)) return digits_of(*whole);
  } else if (type == FeatureType::list_boolean) {
    if (const auto* truth = std::get_if<bool>(&said)) return std::string(*truth ? "true" : "false");
  } else if (given.is_string()) {
    return json::serialize(given);
  }
  return not_of(type);
}

Result<Scalar> list_of(FeatureType type, const json::value& given) {
  if (!given.is_array()) return not_of(type);
  const json::array& items = given.get_array();
  if (items.size() > list_items_max)
    return misfit_error("must have at most " + std::to_string(list_items_max) + " items, not " +
                        std::to_string(items.size()));
  std::string out = "[";
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto item = item_text(type, items[i]);
    if (!item)
      return misfit_error(item.error().message + ", and item " + std::to_string(i) + " is not");
    if (i > 0) out += ',';
    out += *item;
  }
  return Scalar(out + "]");
}

// ---- decimals ----

// "12.5" of "+012.50"; nothing where it is no decimal of at most 38 digits.
std::optional<std::string> decimal_from(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const std::size_t point = std::min(text.find('.'), text.size());
  std::string_view whole = text.substr(0, point);
  std::string_view part = point < text.size() ? text.substr(point + 1) : std::string_view();
  const auto digits = [](std::string_view some) {
    return std::all_of(some.begin(), some.end(), [](char c) { return c >= '0' && c <= '9'; });
  };
  if ((whole.empty() && part.empty()) || !digits(whole) || !digits(part)) return {};
  whole.remove_prefix(std::min(whole.find_first_not_of('0'), whole.size()));
  while (part.ends_with('0')) part.remove_suffix(1);
  if (whole.size() + part.size() > decimal_digits_max) return {};
  if (whole.empty() && part.empty()) return "0";
  std::string out = negative ? "-" : "";
  out += whole.empty() ? "0" : whole;
  if (!part.empty()) out.append(".").append(part);
  return out;
}

Result<Scalar> decimal_of(const json::value& given) {
  if (given.is_int64()) return Scalar(digits_of(given.get_int64()));
  if (!given.is_string())
    return misfit_error(
        "must be of type decimal: a text such as \"12.5\", so that no reader makes a float of it, "
        "or a whole number");
  auto text = decimal_from(given.get_string());
  if (!text) return misfit_error("must be of type decimal, with at most 38 digits and no exponent");
  return Scalar(std::move(*text));
}

// ---- embeddings ----

Result<Scalar> embedding_from(const Feature& feature, const json::value& given) {
  if (!given.is_array()) return not_of(feature.type);
  const json::array& items = given.get_array();
  const auto wanted = static_cast<std::size_t>(feature.dimension.value_or(0));
  if (items.size() != wanted)
    return misfit_error("must have " + std::to_string(wanted) + " elements, as " + feature.name +
                        " is declared, not " + std::to_string(items.size()));
  std::vector<float> vector;
  vector.reserve(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    double real = 0;
    if (!Kind<double>::hear(from_json(items[i]), real) || !std::isfinite(static_cast<float>(real)))
      return misfit_error("must be of finite numbers, and element " + std::to_string(i) +
                          " is not one that float32 can hold");
    vector.push_back(static_cast<float>(real));
  }
  return Scalar(embedding_bytes(vector));
}

// The shortest number that names the float, not the long one of its double.
json::value short_number(float value) {
  const std::string text = digits_of(value);
  return number_from<double>(text).value_or(static_cast<double>(value));
}

// ---- columns ----

// "DOUBLE[3]" and "DOUBLE[]" taken apart.
struct ListColumn {
  std::string item;
  std::optional<std::int64_t> size;
};
std::optional<ListColumn> list_column(const std::string& declared) {
  if (!declared.ends_with(']')) return {};
  const std::size_t open = declared.rfind('[');
  if (open == std::string::npos) return {};
  return ListColumn{declared.substr(0, open),
                    number_from<std::int64_t>(
                        std::string_view(declared).substr(open + 1, declared.size() - open - 2))};
}

bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool holds(const ListColumn& column, FeatureType type) {
  const std::string& item = column.item;
  const bool whole = one_of(item, {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT",
                                   "USMALLINT", "UINTEGER", "UBIGINT"});
  const bool real = one_of(item, {"FLOAT", "DOUBLE"});
  switch (type) {
    case FeatureType::list_double: return whole || real || item.starts_with("DECIMAL(");
    case FeatureType::list_bigint: return whole;
    case FeatureType::list_text: return item == "VARCHAR" || item.starts_with("ENUM(");
    case FeatureType::list_boolean: return item == "BOOLEAN";
    case FeatureType::embedding: return real;
    default: return false;
  }
}

bool reads_as(const olap::Column& column, FeatureType declared) {
  const olap::Type found = column.type;
  switch (declared) {
    case FeatureType::real:
      return found == olap::Type::real || found == olap::Type::bigint ||
             found == olap::Type::decimal;
    case FeatureType::bigint: return found == olap::Type::bigint;
    case FeatureType::boolean: return found == olap::Type::boolean;
    case FeatureType::text: return found == olap::Type::text;
    case FeatureType::timestamp: return found == olap::Type::timestamp;
    // Parquet has no place for a HUGEINT, and would make a float of it.
    case FeatureType::decimal: return column.declared.starts_with("DECIMAL(");
    default: {
      const auto list = list_column(column.declared);
      return list && holds(*list, declared);
    }
  }
}

std::string item_at(FeatureType type, const olap::Chunk::Values& items, std::size_t at) {
  if (!items.valid[at]) return "null";
  switch (type) {
    case FeatureType::list_double: return double_text(items.real[at]);
    case FeatureType::list_bigint: return digits_of(items.whole[at]);
    case FeatureType::list_boolean: return items.whole[at] ? "true" : "false";
    default: return json::serialize(json::value(items.text[at]));
  }
}

Scalar list_at(FeatureType type, const olap::Chunk::Values& values, std::size_t row) {
  const olap::Chunk::Span span = values.spans[row];
  const olap::Chunk::Values& items = values.items.front();
  if (type == FeatureType::embedding) {
    std::vector<float> vector(span.count);
    for (std::size_t i = 0; i < span.count; ++i)
      vector[i] = static_cast<float>(items.real[span.begin + i]);
    return embedding_bytes(vector);
  }
  std::string out = "[";
  for (std::size_t i = 0; i < span.count; ++i) {
    if (i > 0) out += ',';
    out += item_at(type, items, span.begin + i);
  }
  return out + "]";
}

}  // namespace

std::string key_at(catalog::ColumnType type, const olap::Chunk::Values& values, std::size_t row) {
  if (type == catalog::ColumnType::bigint) return std::to_string(values.whole[row]);
  if (type == catalog::ColumnType::boolean) return values.whole[row] ? "true" : "false";
  return values.text[row];
}

Timestamp time_at(const olap::Chunk::Values& values, std::size_t row) {
  return Timestamp(Micros(values.whole[row]));
}

json::value value_json(FeatureType type, const Scalar& value) {
  if (value.index() == 0) return nullptr;
  if (type == FeatureType::timestamp) {
    const auto* whole = std::get_if<std::int64_t>(&value);
    return whole ? json::value(to_rfc3339(Timestamp(Micros(*whole)))) : json::value(nullptr);
  }
  const auto* text = std::get_if<std::string>(&value);
  if (text && is_list(type)) {
    auto list = list_from(type, *text);
    return list ? json::value(std::move(*list)) : json::value(nullptr);
  }
  if (text && type == FeatureType::embedding) {
    json::array out;
    for (const float element : embedding_of(*text)) out.push_back(short_number(element));
    return out;
  }
  return to_json(value);
}

Result<Scalar> value_of(const Feature& feature, const json::value& given) {
  if (given.is_null()) return Scalar{};
  if (is_list(feature.type)) return list_of(feature.type, given);
  Scalar said = from_json(given);
  switch (feature.type) {
    case FeatureType::real: {
      double real = 0;
      if (Kind<double>::hear(said, real)) return Scalar(real + 0.0);  // 0 of -0, as cast_sql does
      break;
    }
    case FeatureType::bigint:
      if (std::holds_alternative<std::int64_t>(said)) return said;
      break;
    case FeatureType::boolean:
      if (std::holds_alternative<bool>(said)) return said;
      break;
    case FeatureType::text:
      if (std::holds_alternative<std::string>(said)) return said;
      break;
    case FeatureType::timestamp: {
      Timestamp at;
      if (Kind<Timestamp>::hear(said, at))
        return Scalar(static_cast<std::int64_t>(at.time_since_epoch().count()));
      return misfit_error(
          "must be of type timestamp: a day, or an instant with its offset, as "
          "2024-05-01T12:00:00Z or 2024-05-01T14:00:00+02:00");
    }
    case FeatureType::decimal: return decimal_of(given);
    case FeatureType::embedding: return embedding_from(feature, given);
    default: break;
  }
  return not_of(feature.type);
}

bool is_value(FeatureType type, std::string_view text) {
  if (type == FeatureType::decimal) return decimal_from(text) == text;
  return !is_list(type) || list_from(type, text);
}

std::optional<std::string> misfit(const Feature& feature, const olap::Column& column) {
  const std::string what = feature.name + " is " + column.declared + ", not ";
  const bool embedding = feature.type == FeatureType::embedding;
  if (!reads_as(column, feature.type)) {
    std::string problem = what + std::string(name_of(feature.type));
    if (embedding) problem += ": cast it to FLOAT[]";
    if (feature.type == FeatureType::decimal) problem += ": cast it to DECIMAL(38, digits)";
    return problem;
  }
  if (!embedding) return {};
  const auto size = list_column(column.declared)->size;
  if (size && feature.dimension && *size != *feature.dimension)
    return what + "an embedding of dimension " + std::to_string(*feature.dimension);
  return {};
}

std::string cast_sql(const Feature& feature, const std::string& expression) {
  const auto cast = [&](const char* type) { return "CAST(" + expression + " AS " + type + ")"; };
  switch (feature.type) {
    case FeatureType::real: return cast("DOUBLE") + " + 0.0";  // which makes 0 of -0
    case FeatureType::bigint: return cast("BIGINT");
    case FeatureType::boolean: return cast("BOOLEAN");
    case FeatureType::text: return cast("VARCHAR");
    case FeatureType::timestamp: return cast("TIMESTAMP");
    case FeatureType::decimal: return expression;  // with the digits that its column has
    case FeatureType::list_double: return cast("DOUBLE[]");
    case FeatureType::list_bigint: return cast("BIGINT[]");
    case FeatureType::list_text: return cast("VARCHAR[]");
    case FeatureType::list_boolean: return cast("BOOLEAN[]");
    case FeatureType::embedding: return cast("FLOAT[]");
  }
  return expression;
}

std::string checked_sql(const std::string& view, const Feature& feature, const std::string& name,
                        const std::string& entity) {
  const auto fault = [&](const std::string& problem) {
    return "error(" + quoted_text(feature.name + " of ") + " || " + entity + " || " +
           quoted_text(" in view " + view + " ") + " || " + problem + ")";
  };
  if (feature.type == FeatureType::timestamp)
    return "CASE WHEN " + name +
           " NOT BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP "
           "'9999-12-31 23:59:59.999999' THEN " +
           fault("'lies outside the years 1 to 9999'") + " ELSE " + name + " END AS " + name;
  if (feature.type == FeatureType::embedding) {
    const std::string size = std::to_string(feature.dimension.value_or(0));
    return "CASE WHEN len(" + name + ") <> " + size + " THEN " +
           fault("'has ' || len(" + name + ") || ' elements, not " + size + "'") +
           " WHEN list_count(" + name + ") <> " + size + " OR NOT isfinite(list_sum(CAST(" + name +
           " AS DOUBLE[]))) THEN " + fault("'has an element that is null or no finite number'") +
           " ELSE " + name + " END AS " + name;
  }
  if (is_list(feature.type))
    return "CASE WHEN len(" + name + ") > " + std::to_string(list_items_max) + " THEN " +
           fault("'has ' || len(" + name + ") || ' items, more than " +
                 std::to_string(list_items_max) + "'") +
           " ELSE " + name + " END AS " + name;
  return name;
}

std::string output_sql(const Feature& feature, const std::string& expression, bool number) {
  // Through text, as the online value is read: dividing by a power of ten would round twice.
  if (number && feature.type == FeatureType::decimal)
    return "CAST(CAST(" + expression + " AS VARCHAR) AS DOUBLE)";
  if (number && is_number(feature.type)) return "CAST(" + expression + " AS DOUBLE)";
  if (feature.type == FeatureType::embedding)
    return "CAST(" + expression + " AS FLOAT[" + std::to_string(feature.dimension.value_or(1)) +
           "])";
  return expression;
}

Scalar value_at(const Feature& feature, const olap::Chunk::Values& values, std::size_t row) {
  if (!values.valid[row]) return {};
  switch (feature.type) {
    case FeatureType::real: return values.real[row];
    case FeatureType::bigint:
    case FeatureType::timestamp: return values.whole[row];
    case FeatureType::boolean: return values.whole[row] != 0;
    case FeatureType::text: return values.text[row];
    case FeatureType::decimal: return decimal_from(values.text[row]).value_or(values.text[row]);
    default: return list_at(feature.type, values, row);
  }
}

void write_at(const Feature& feature, const olap::Chunk::Values& values, std::size_t row,
              RowWriter& out) {
  if (!values.valid[row]) return out.null();
  switch (feature.type) {
    case FeatureType::real: return out.real(values.real[row]);
    case FeatureType::bigint:
    case FeatureType::timestamp: return out.whole(values.whole[row]);
    case FeatureType::boolean: return out.whole(values.whole[row] != 0);
    case FeatureType::text: return out.text(values.text[row]);
    default: return out.text(std::get<std::string>(value_at(feature, values, row)));
  }
}

bool is_number(FeatureType type) {
  return type == FeatureType::real || type == FeatureType::bigint || type == FeatureType::boolean ||
         type == FeatureType::decimal;
}

std::optional<double> as_number(FeatureType type, const Scalar& value) {
  if (const auto* real = std::get_if<double>(&value)) return *real;
  if (!is_number(type)) return {};
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
  if (const auto* truth = std::get_if<bool>(&value)) return *truth ? 1.0 : 0.0;
  if (const auto* text = std::get_if<std::string>(&value)) return number_from<double>(*text);
  return {};
}

Result<void> check_numbers(const SchemaHandle& schema) {
  for (std::size_t i = 0; i < schema.types.size(); ++i)
    if (!is_number(schema.types[i]) && schema.types[i] != FeatureType::text)
      return Error{Code::failed_precondition,
                   "feature " + schema.names[i] + " of " + schema.reference() + " is of type " +
                       std::string(name_of(schema.types[i])) +
                       ", which no model's input takes: leave it out of the schema, or make a "
                       "number of it in the SQL of its view"};
  return {};
}

std::string embedding_bytes(std::span<const float> vector) {
  std::string out(vector.size_bytes(), '\0');
  if (!vector.empty()) std::memcpy(out.data(), vector.data(), out.size());
  return out;
}

std::vector<float> embedding_of(std::string_view bytes) {
  std::vector<float> out(bytes.size() / sizeof(float));
  if (!out.empty()) std::memcpy(out.data(), bytes.data(), out.size() * sizeof(float));
  return out;
}

}  // namespace penstock::features
