#include "api/http/feast_answer.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "features/transform/plan.h"
#include "features/values.h"

namespace penstock::api {
namespace {

using features::FeatureColumns;
using features::SchemaHandle;
using features::Status;

void write(std::string& out, std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) >= ' ' && c != '"' && c != '\\';
  });
  if (!plain) {
    out += json::serialize(json::string(text));
    return;
  }
  out += '"';
  out += text;
  out += '"';
}

// The shortest text that reads back as the same number, and as no whole one.
void write(std::string& out, double number) {
  if (std::isnan(number)) return write(out, "NaN");
  if (std::isinf(number)) return write(out, number > 0 ? "Infinity" : "-Infinity");
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, number).ptr;
  out.append(text, end);
  if (std::all_of(text, end, [](char c) { return c == '-' || (c >= '0' && c <= '9'); }))
    out += ".0";
}

void write(std::string& out, std::int64_t number) {
  char text[24];
  out.append(text, std::to_chars(text, text + sizeof text, number).ptr);
}

void write(std::string& out, features::FeatureType type, const Scalar& value) {
  using features::FeatureType;
  const bool plain = type == FeatureType::real || type == FeatureType::bigint ||
                     type == FeatureType::boolean || type == FeatureType::text;
  if (!plain) {
    out += json::serialize(features::value_json(type, value));
    return;
  }
  if (const auto* real = std::get_if<double>(&value))
    write(out, *real);
  else if (const auto* whole = std::get_if<std::int64_t>(&value))
    write(out, *whole);
  else if (const auto* truth = std::get_if<bool>(&value))
    out += *truth ? "true" : "false";
  else if (const auto* text = std::get_if<std::string>(&value))
    write(out, std::string_view(*text));
  else
    out += "null";
}

std::string_view quoted(Status status) {
  switch (status) {
    case Status::PRESENT: return "\"PRESENT\"";
    case Status::NULL_VALUE: return "\"NULL_VALUE\"";
    case Status::NOT_FOUND: return "\"NOT_FOUND\"";
    case Status::OUTSIDE_MAX_AGE: return "\"OUTSIDE_MAX_AGE\"";
  }
  return "null";
}

void write_list(std::string& out, std::string_view name, std::size_t count, auto item) {
  out += name;
  out += '[';
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) out += ',';
    item(i);
  }
  out += ']';
}

constexpr std::string_view no_time = "\"1970-01-01T00:00:00Z\"";

std::string text_of(const std::optional<Timestamp>& time) {
  return time ? '"' + to_rfc3339(*time) + '"' : std::string(no_time);
}

// The times of one view's rows as they stand in the answer, once for all of its features.
std::vector<std::string> times_of(const FeatureColumns& found, std::size_t view) {
  std::vector<std::string> out;
  out.reserve(found.rows);
  for (std::size_t row = 0; row < found.rows; ++row)
    out.push_back(text_of(found.event_times[found.at(view, row)]));
  return out;
}
// The same of a transform.
std::vector<std::string> computed_times(const SchemaHandle& schema, const FeatureColumns& found,
                                        std::size_t slot) {
  std::vector<std::string> out;
  out.reserve(found.rows);
  for (std::size_t row = 0; row < found.rows; ++row)
    out.push_back(text_of(
        features::transform::event_time_of(schema, found.event_times, found.rows, row, slot)));
  return out;
}

void write_given(std::string& out, const json::array& values) {
  out += "{\"values\":";
  out += json::serialize(values);
  write_list(out, ",\"statuses\":", values.size(),
             [&](std::size_t) { out += quoted(Status::PRESENT); });
  write_list(out, ",\"event_timestamps\":", values.size(), [&](std::size_t) { out += no_time; });
  out += '}';
}

void write_found(std::string& out, const FeatureColumns& found, std::size_t slot,
                 features::FeatureType type, const std::vector<std::string>& times) {
  out += '{';
  write_list(out, "\"values\":", found.rows,
             [&](std::size_t row) { write(out, type, found.values[found.at(slot, row)]); });
  write_list(out, ",\"statuses\":", found.rows,
             [&](std::size_t row) { out += quoted(found.statuses[found.at(slot, row)]); });
  write_list(out, ",\"event_timestamps\":", found.rows,
             [&](std::size_t row) { out += times[row]; });
  out += '}';
}

void write_names(std::string& out, const SchemaHandle& schema,
                 const std::vector<GivenColumn>& given, bool full_names) {
  write_list(out, "{\"metadata\":{\"feature_names\":", given.size() + schema.names.size(),
             [&](std::size_t i) {
               if (i < given.size()) return write(out, std::string_view(given[i].name));
               const std::size_t slot = i - given.size();
               const std::string& name = schema.names[slot];
               const features::Slot& from = schema.slots[slot];
               const std::string& of =
                   from.is_computed() ? schema.name : schema.views[from.view]->view.name;
               write(out, std::string_view(full_names ? of + "__" + name : name));
             });
  out += '}';
}

}  // namespace

std::string feast_answer(const SchemaHandle& schema, const std::vector<GivenColumn>& given,
                         const FeatureColumns& found, bool full_names) {
  constexpr std::size_t bytes_a_value = 64, bytes_a_column = 128;
  std::string out;
  out.reserve((given.size() + schema.names.size()) * (bytes_a_column + bytes_a_value * found.rows));
  write_names(out, schema, given, full_names);
  std::vector<std::vector<std::string>> times;
  for (std::size_t view = 0; view < schema.views.size(); ++view)
    times.push_back(times_of(found, view));
  write_list(out, ",\"results\":", given.size() + schema.names.size(), [&](std::size_t i) {
    if (i < given.size()) return write_given(out, *given[i].values);
    const std::size_t slot = i - given.size();
    const features::Slot& from = schema.slots[slot];
    write_found(out, found, slot, schema.types[slot],
                from.is_computed() ? computed_times(schema, found, slot) : times[from.view]);
  });
  out += '}';
  return out;
}

}  // namespace penstock::api
