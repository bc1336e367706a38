#include "catalog/message_rows.h"

#include <algorithm>
#include <cmath>

#include "base/json.h"

namespace penstock::catalog {
namespace {

constexpr std::size_t value_bytes_max = 4 << 20;
constexpr std::size_t depth_max = 32, fields_max = 2'000, field_name_max = 200;
constexpr std::pair<std::string_view, ColumnType> own_columns[] = {
    {"_key", ColumnType::text},
    {"_partition", ColumnType::bigint},
    {"_offset", ColumnType::bigint},
    {"_timestamp", ColumnType::timestamp}};

bool is_own(std::string_view name) { return MessageRows::own_type(std::string(name)).has_value(); }

std::string small_letters(std::string_view text) {
  std::string out(text);
  for (char& letter : out)
    letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return out;
}

std::string csv_text(std::string_view text) {
  std::string out = "\"";
  for (const char letter : text) {
    if (letter == '"') out += '"';
    out += letter;
  }
  return out + '"';
}

// "2026-05-01 12:00:00.5", as DuckDB reads a TIMESTAMP.
std::string time_text(Timestamp at) {
  std::string out = to_rfc3339(at);
  out[out.find('T')] = ' ';
  out.pop_back();
  return out;
}

bool is_utf8(std::string_view text) {
  // What JSON takes as a text is UTF-8; letters that it escapes are none of those that may be
  // wrong.
  std::string plain = "\"";
  for (const char letter : text)
    if (static_cast<unsigned char>(letter) >= 0x80) plain += letter;
  json::error_code fault;
  json::parse(plain + "\"", fault);
  return !fault && text.find('\0') == std::string_view::npos;
}

// Keys are bytes: those that are no text are told in hex.
std::string key_text(std::string_view key) {
  if (is_utf8(key)) return std::string(key);
  static constexpr char digits[] = "0123456789abcdef";
  std::string out = "\\x";
  for (const char letter : key) {
    out += digits[static_cast<unsigned char>(letter) >> 4];
    out += digits[static_cast<unsigned char>(letter) & 15];
  }
  return out;
}

bool holds_nul(const json::value& value) {
  if (const auto* text = value.if_string()) return text->find('\0') != json::string::npos;
  if (const auto* list = value.if_array()) return std::ranges::any_of(*list, holds_nul);
  if (const auto* object = value.if_object())
    return std::ranges::any_of(*object, [](const auto& field) {
      return field.key().find('\0') != json::string_view::npos || holds_nul(field.value());
    });
  return false;
}

bool is_decimal(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  const std::size_t point = std::min(text.find('.'), text.size());
  const auto digits = [](std::string_view part) {
    return std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
  };
  return point > 0 && point <= 26 && text.size() <= 100 && digits(text.substr(0, point)) &&
         (point == text.size() || digits(text.substr(point + 1)));
}

std::optional<std::string> whole_text(const json::value& value) {
  if (value.is_int64()) return std::to_string(value.get_int64());
  if (!value.is_double()) return {};
  const double number = value.get_double();
  if (number != std::floor(number) || std::abs(number) > 9e15) return {};
  return std::to_string(static_cast<std::int64_t>(number));
}

// As CSV; nothing where the value is not of the type.
std::optional<std::string> cell(const json::value& value, ColumnType type) {
  if (value.is_null()) return "";
  const json::string* text = value.if_string();
  switch (type) {
    case ColumnType::boolean:
      if (!value.is_bool()) return {};
      return value.get_bool() ? "true" : "false";
    case ColumnType::bigint: return whole_text(value);
    case ColumnType::real:
      if (!value.is_number() || !std::isfinite(value.to_number<double>())) return {};
      return json::serialize(value);
    case ColumnType::decimal:
      if (text) return is_decimal(*text) ? std::optional(std::string(*text)) : std::nullopt;
      if (value.is_int64()) return std::to_string(value.get_int64());
      if (!value.is_double() || std::abs(value.get_double()) >= 1e15) return {};
      {
        char digits[64];
        std::snprintf(digits, sizeof digits, "%.12f", value.get_double());
        return digits;
      }
    case ColumnType::text: return csv_text(text ? std::string_view(*text) : json::serialize(value));
    case ColumnType::timestamp: {
      const auto at = text ? from_rfc3339(*text) : std::nullopt;
      return at ? std::optional(time_text(*at)) : std::nullopt;
    }
    case ColumnType::list:
      return value.is_array() ? std::optional(csv_text(json::serialize(value))) : std::nullopt;
  }
  return {};
}

std::string own_cell(const messages::Message& message, const std::string& name) {
  if (name == "_key") return message.key ? csv_text(key_text(*message.key)) : "";
  if (name == "_partition") return std::to_string(message.partition);
  if (name == "_offset") return std::to_string(message.offset);
  return message.at ? time_text(*message.at) : "";
}

}  // namespace

std::string rejects_text(const Rejects& rejects) {
  std::string out;
  for (const auto& [reason, count] : rejects)
    out += (out.empty() ? "" : ", ") + std::to_string(count) + " " + reason;
  return out;
}
std::int64_t count_of(const Rejects& rejects) {
  std::int64_t out = 0;
  for (const auto& [reason, count] : rejects) out += count;
  return out;
}

std::string MessageRows::reason(const messages::Message& message, json::object& object) const {
  if (!message.value) return "without a value";
  if (message.value->size() > value_bytes_max) return "larger than 4 MiB";
  json::parse_options limits;
  limits.max_depth = depth_max;
  json::error_code fault;
  json::value value = parse_json(*message.value, fault, {}, limits);
  if (fault == json::error::too_deep) return "deeper than 32 levels";
  if (fault) return "not JSON";
  if (!value.is_object()) return "not a JSON object";
  if (holds_nul(value)) return "with a NUL in a text";
  object = std::move(value.get_object());
  if (object.size() > fields_max) return "with more than 2000 fields";
  for (const auto& field : object)
    if (field.key().empty() || field.key().size() > field_name_max)
      return "with a field whose name has not 1 to 200 bytes";
  return "";
}

std::string MessageRows::row(const messages::Message& message, const json::object& object,
                             std::string& csv) const {
  std::string line;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const SourceColumn& column = columns_[i];
    if (i > 0) line += ',';
    if (is_own(column.name)) {
      line += own_cell(message, column.name);
      continue;
    }
    const json::value* value = object.if_contains(column.name);
    if (!value) continue;
    const auto text = cell(*value, column.type);
    if (!text) return "whose " + column.name + " is not " + std::string(name_of(column.type));
    line += *text;
  }
  csv += line + "\n";
  return "";
}

// The engine knows no case in names: two fields that differ in nothing else are one column.
std::string MessageRows::clash(const json::object& object) const {
  for (const auto& field : object) {
    const std::string name(field.key());
    if (is_own(name)) continue;
    const auto found = known_.find(small_letters(name));
    if (found != known_.end() && seen_[found->second].name != name)
      return "with a field " + name + " beside " + seen_[found->second].name;
    if (found == known_.end() && known_.size() >= fields_max)
      return "with fields beyond the first 2000";
  }
  return "";
}

void MessageRows::see(const json::object& object) {
  for (const auto& field : object) {
    if (is_own(field.key())) continue;
    const std::string name(field.key());
    const auto [at, added] = known_.emplace(small_letters(name), seen_.size());
    if (added) seen_.push_back({.name = name});
    Seen& seen = seen_[at->second];
    const json::value& value = field.value();
    if (value.is_null()) continue;
    if (value.is_bool())
      seen.truth = true;
    else if (value.is_int64())
      seen.whole = true;
    else if (value.is_number())
      seen.real = true;
    else if (value.is_string() && from_rfc3339(value.get_string()))
      seen.time = true;
    else
      seen.text = true;
  }
}

void MessageRows::take(const messages::Message& message, std::string& csv) {
  if (message.at && (!newest_ || *message.at > *newest_)) newest_ = message.at;
  json::object object;
  std::string why = reason(message, object);
  if (why.empty()) why = clash(object);
  if (why.empty() && !columns_.empty()) why = row(message, object, csv);
  if (!why.empty()) {
    ++rejects_[why];
    return;
  }
  see(object);
  ++rows_;
}

std::string MessageRows::header() const {
  std::string out;
  for (const SourceColumn& column : columns_)
    out += (out.empty() ? "" : ",") + csv_text(column.name);
  return out + "\n";
}

tables::Column MessageRows::column(const std::string& name, ColumnType type) {
  switch (type) {
    case ColumnType::boolean: return {{name, olap::Type::boolean, "BOOLEAN"}, "boolean"};
    case ColumnType::bigint: return {{name, olap::Type::bigint, "BIGINT"}, "whole number"};
    case ColumnType::real: return {{name, olap::Type::real, "DOUBLE"}, "number"};
    case ColumnType::decimal: return {{name, olap::Type::decimal, "DECIMAL(38,12)"}, "number"};
    case ColumnType::timestamp: return {{name, olap::Type::timestamp, "TIMESTAMP"}, "time"};
    case ColumnType::list:
    case ColumnType::text: return {{name, olap::Type::text, "VARCHAR"}, "text"};
  }
  return {};
}

std::optional<ColumnType> MessageRows::own_type(const std::string& name) {
  for (const auto& [own, type] : own_columns)
    if (own == name) return type;
  return {};
}

std::vector<tables::Column> MessageRows::columns() const {
  std::vector<tables::Column> out;
  for (const auto& [name, type] : own_columns) out.push_back(column(std::string(name), type));
  for (const Seen& seen : seen_) {
    const int kinds = seen.truth + (seen.whole || seen.real) + seen.time + seen.text;
    ColumnType type = ColumnType::text;
    if (kinds == 1 && seen.truth) type = ColumnType::boolean;
    if (kinds == 1 && seen.whole) type = ColumnType::bigint;
    if (kinds == 1 && seen.real) type = ColumnType::real;
    if (kinds == 1 && seen.time) type = ColumnType::timestamp;
    out.push_back(column(seen.name, type));
  }
  return out;
}

}  // namespace penstock::catalog
