#include "serving/event_codec.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <simdjson.h>

#include "serving/gateway.h"
#include "serving/text.h"

namespace penstock::serving {
namespace {

namespace dom = simdjson::dom;

constexpr std::size_t group_max = 1'000;  // rows of one record

// Fields that each event has, whatever they say. Others are left out where they say what a reader
// takes them to be: half of what a call would write is fields that do not concern it.
constexpr bool is_always_there(std::string_view field) {
  return field == "id" || field == "at" || field == "event_time" || field == "project" ||
         field == "route" || field == "model";
}

template <class Field>
bool is_default(const Field& field, const Field& usual) {
  if constexpr (is_optional<Field>)
    return !field.has_value();
  else if constexpr (is_list<Field> || is_map<Field>)
    return field.empty();
  else
    return field == usual;
}

// What differs from row to row: scores one each, decisions a letter each, features as FP32 in
// base64, NaN where one is missing.
struct Rows {
  std::int64_t count = 0, width = 0;
  bool own_units = false;  // each row's unit is its id
  std::vector<double> scores;
  std::string decisions, features;
};
BOOST_DESCRIBE_STRUCT(Rows, (), (count, width, own_units, scores, decisions, features))

constexpr std::string_view digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Two letters at once: features are most of what an event says.
std::string packed(std::string_view bytes) {
  static const std::array<std::array<char, 2>, 4'096> pairs = [] {
    std::array<std::array<char, 2>, 4'096> out{};
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = {digits[i >> 6], digits[i & 63]};
    return out;
  }();
  std::string out((bytes.size() + 2) / 3 * 4, '\0');
  char* to = out.data();
  const auto put = [&](std::uint32_t first, std::uint32_t second, std::uint32_t third) {
    const std::uint32_t three = first << 16 | second << 8 | third;
    std::memcpy(to, pairs[three >> 12].data(), 2);
    std::memcpy(to + 2, pairs[three & 4'095].data(), 2);
    to += 4;
  };
  const auto* const from = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t at = 0;
  for (; at + 3 <= bytes.size(); at += 3) put(from[at], from[at + 1], from[at + 2]);
  if (at < bytes.size()) put(from[at], at + 1 < bytes.size() ? from[at + 1] : 0U, 0);
  return out;
}

// The first `size` bytes; nothing where the text has others.
std::optional<std::string> unpacked(std::string_view text, std::size_t size) {
  static const std::array<signed char, 256> values = [] {
    std::array<signed char, 256> out{};
    out.fill(-1);
    for (std::size_t i = 0; i < digits.size(); ++i)
      out[static_cast<unsigned char>(digits[i])] = static_cast<signed char>(i);
    return out;
  }();
  if (text.size() != (size + 2) / 3 * 4) return std::nullopt;
  std::string out(text.size() / 4 * 3, '\0');
  char* to = out.data();
  const auto* const from = reinterpret_cast<const unsigned char*>(text.data());
  int any = 0;  // below 0 where one of them is
  for (std::size_t at = 0; at < text.size(); at += 4) {
    const int first = values[from[at]], second = values[from[at + 1]], third = values[from[at + 2]],
              fourth = values[from[at + 3]];
    any |= first | second | third | fourth;
    *to++ = static_cast<char>(first << 2 | second >> 4);
    *to++ = static_cast<char>(second << 4 | third >> 2);
    *to++ = static_cast<char>(third << 6 | fourth);
  }
  if (any < 0) return std::nullopt;
  out.resize(size);
  return out;
}

bool is_row_id(std::string_view id, std::string_view base, std::size_t row) {
  std::array<char, 20> text{};
  const char* const end = std::to_chars(text.data(), text.data() + text.size(), row).ptr;
  const std::string_view number(text.data(), end);
  return id.size() == base.size() + 1 + number.size() && id.starts_with(base) &&
         id[base.size()] == '.' && id.ends_with(number);
}

// Whether the row says nothing but its numbers beyond what the first one says.
bool is_like(const InferenceEvent& first, const InferenceEvent& row, std::string_view base,
             std::size_t place, bool own_units) {
  return is_row_id(row.id, base, place) && row.unit == (own_units ? row.id : first.unit) &&
         row.entities.empty() && row.feature_schema.empty() && row.error.empty() && row.score &&
         row.decision && row.model == first.model && row.version == first.version &&
         row.release == first.release && row.arm == first.arm && row.mode == first.mode &&
         row.shadow_of.empty() && row.comparison.empty() && !row.generation &&
         row.guardrails.empty() && (place == 0 || row.nodes.empty()) &&
         row.features.size() == first.features.size() && row.event_time == first.event_time &&
         row.at == first.at && row.total_micros == first.total_micros &&
         row.model_micros == first.model_micros && row.request_bytes == first.request_bytes &&
         row.payload == first.payload && row.gpu_micros == first.gpu_micros &&
         row.upstream == first.upstream && row.upstream_micros == first.upstream_micros &&
         row.attempts == first.attempts && row.queue_micros == first.queue_micros &&
         row.user == first.user && row.experiment == first.experiment &&
         row.fallback_of == first.fallback_of && row.runtime == first.runtime &&
         row.input_digest == first.input_digest && row.from_cache == first.from_cache &&
         row.assignment_probability == first.assignment_probability;
}

// False where a feature is no FP32.
bool put_features(const InferenceEvent& row, char* to) {
  for (const std::optional<double>& feature : row.features) {
    const float narrow =
        feature ? static_cast<float>(*feature) : std::numeric_limits<float>::quiet_NaN();
    if (feature && static_cast<double>(narrow) != *feature) return false;
    std::memcpy(to, &narrow, sizeof narrow);
    to += sizeof narrow;
  }
  return true;
}

// The rows in one record; nothing where they are not of one kind.
std::optional<EventRecord> group_of(std::span<const InferenceEvent> call, std::size_t from) {
  const InferenceEvent& first = call.front();
  const std::string_view base = base_of(first.id);
  if (call.size() < 2 || base.empty()) return std::nullopt;
  Rows rows{.count = static_cast<std::int64_t>(call.size()),
            .width = static_cast<std::int64_t>(first.features.size()),
            .own_units = first.unit == first.id};
  const std::size_t row_size = first.features.size() * sizeof(float);
  std::string bytes(call.size() * row_size, '\0');
  rows.scores.reserve(call.size());
  for (std::size_t at = 0; at < call.size(); ++at) {
    const InferenceEvent& row = call[at];
    if (!is_like(first, row, base, from + at, rows.own_units) ||
        !put_features(row, bytes.data() + at * row_size))
      return std::nullopt;
    rows.scores.push_back(*row.score);
    rows.decisions += *row.decision ? '1' : '0';
  }
  rows.features = packed(bytes);
  InferenceEvent shared = first;
  shared.features.clear();
  std::string text = event_text(shared);
  constexpr std::size_t names = 100, number = 26;  // what the rows take beside their features
  text.reserve(text.size() + names + rows.features.size() + call.size() * number);
  text.back() = ',';
  text += "\"rows\":";
  write_json(text, rows);
  text += '}';
  return EventRecord{std::string(base), std::move(text), group_key(first.project, base), true};
}

Result<std::vector<InferenceEvent>> expanded(const InferenceEvent& shared, const Rows& rows) {
  const Error broken{Code::data_loss, "the rows of " + shared.id + " are not as many as it says"};
  const auto count = static_cast<std::size_t>(rows.count);
  const auto width = static_cast<std::size_t>(rows.width);
  const std::size_t dot = shared.id.rfind('.');
  if (rows.count < 1 || count > group_max || width > (1 << 24) || dot == std::string::npos ||
      rows.scores.size() != count || rows.decisions.size() != count)
    return broken;
  const auto bytes = unpacked(rows.features, count * width * sizeof(float));
  if (!bytes) return broken;
  const std::string base = shared.id.substr(0, dot);
  const std::size_t first = std::strtoul(shared.id.c_str() + dot + 1, nullptr, 10);
  std::vector<InferenceEvent> out(count, shared);
  for (std::size_t row = 0; row < count; ++row) {
    InferenceEvent& event = out[row];
    event.id = row_id(base, first + row);
    if (rows.own_units) event.unit = event.id;
    if (row > 0) event.nodes.clear();
    event.score = rows.scores[row];
    event.decision = rows.decisions[row] == '1';
    event.features.reserve(width);
    for (std::size_t at = row * width; at < (row + 1) * width; ++at) {
      float value = 0;
      std::memcpy(&value, bytes->data() + at * sizeof value, sizeof value);
      event.features.push_back(std::isnan(value) ? std::nullopt : std::optional<double>(value));
    }
  }
  return out;
}

// Every reader of the log reads every event, so this is written for speed: the same as decode(),
// but that what it cannot read is left to decode(), which says what is wrong.
template <class T>
bool read(dom::element in, T& out);

template <class T>
struct Field {
  std::string_view name;
  bool required = false;
  bool (*read)(dom::element, T&) = nullptr;
};

template <Struct T>
const std::vector<Field<T>>& fields() {
  static const std::vector<Field<T>> known = [] {
    std::vector<Field<T>> out;
    boost::mp11::mp_for_each<Members<T>>([&]<class Member>(Member) {
      out.push_back({Member::name, false, [](dom::element in, T& value) {
                       return penstock::serving::read(in, value.*Member::pointer);
                     }});
    });
    std::size_t place = 0;
    for_each_member(T{}, [&]<class Value>(auto name, Value&, const Rule& rule) {
      Field<T>& field = out[place++];
      field.required = is_required<std::remove_cvref_t<Value>>(rule);
      if constexpr (std::same_as<T, InferenceEvent>)
        field.required = field.required && is_always_there(name);
    });
    return out;
  }();
  return known;
}

// Members are written in their order, so the next one is mostly a few places on. `other` takes
// what is no member.
template <Struct T, class Other>
bool read_members(dom::element in, T& out, Other other) {
  dom::object object;
  if (in.get(object)) return false;
  const std::vector<Field<T>>& known = fields<T>();
  std::size_t required = 0, at = 0;
  for (const auto& [key, value] : object) {
    std::size_t passed = 0;
    while (passed < known.size() && known[at].name != key) {
      ++passed;
      if (++at == known.size()) at = 0;
    }
    if (passed == known.size()) {
      if (!other(key, value)) return false;
      continue;
    }
    if (!known[at].read(value, out)) return false;
    required += known[at].required;
    if (++at == known.size()) at = 0;
  }
  static const auto wanted = static_cast<std::size_t>(std::count_if(
      known.begin(), known.end(), [](const Field<T>& field) { return field.required; }));
  return required == wanted;
}

template <class T>
bool read(dom::element in, T& out) {
  if constexpr (is_optional<T>) {
    return in.is_null() || read(in, out.emplace());
  } else if constexpr (is_list<T>) {
    dom::array list;
    if (in.get(list)) return false;
    out.reserve(list.size());
    for (const dom::element item : list)
      if (!read(item, out.emplace_back())) return false;
    return true;
  } else if constexpr (is_map<T>) {
    dom::object object;
    if (in.get(object)) return false;
    for (const auto& [key, value] : object)
      if (!read(value, out[std::string(key)])) return false;
    return true;
  } else if constexpr (Struct<T>) {
    return read_members(in, out, [](auto, auto) { return false; });
  } else if constexpr (std::same_as<T, std::string>) {
    std::string_view text;
    if (in.get(text)) return false;
    out = text;
    return true;
  } else if constexpr (std::same_as<T, bool> || std::same_as<T, double> ||
                       std::same_as<T, std::int64_t>) {
    return !in.get(out);
  } else if constexpr (std::same_as<T, Timestamp>) {
    std::string_view text;
    if (in.get(text)) return false;
    const auto at = from_rfc3339(text);
    if (at) out = *at;
    return at.has_value();
  } else {
    std::string_view text;
    return !in.get(text) && Kind<T>::hear(std::string(text), out);
  }
}

// False where decode() must look at it.
bool read_event(dom::element in, InferenceEvent& out, std::optional<dom::element>& rows) {
  return read_members(in, out, [&](std::string_view key, dom::element value) {
    if (key == "rows") rows = value;
    return key == "rows";
  });
}

Result<Rows> read_rows(dom::element in) {
  Rows rows;
  if (!in["count"].get(rows.count) && !in["width"].get(rows.width) &&
      !in["own_units"].get(rows.own_units)) {
    dom::element scores, decisions, features;
    if (!in["scores"].get(scores) && !in["decisions"].get(decisions) &&
        !in["features"].get(features) && read(scores, rows.scores) &&
        read(decisions, rows.decisions) && read(features, rows.features))
      return rows;
  }
  return Error{Code::data_loss, "the rows of an event cannot be read"};
}

Result<std::vector<InferenceEvent>> slowly_read(std::string_view text) {
  static const json::value usual = encode(InferenceEvent());
  json::value value = TRY(parse_exact(text));
  json::object* object = value.if_object();
  if (object)
    for (const auto& field : usual.get_object())
      if (!is_always_there(field.key())) object->insert(field);
  const json::value* found = object ? object->if_contains("rows") : nullptr;
  if (found) {
    const Rows rows = TRY(decode<Rows>(*found));
    object->erase("rows");
    return expanded(TRY(decode<InferenceEvent>(value)), rows);
  }
  std::vector<InferenceEvent> one;
  one.push_back(TRY(decode<InferenceEvent>(value)));
  return one;
}

}  // namespace

namespace {

bool is_finite(double number) { return std::isfinite(number); }
bool is_finite(const std::optional<double>& number) { return !number || is_finite(*number); }

// Numbers that JSON has no word for are read as null.
bool has_words(const InferenceEvent& event) {
  const auto is_said = [](const auto& number) { return is_finite(number); };
  return is_finite(event.score) && is_finite(event.assignment_probability) &&
         is_finite(event.oldest_feature_seconds) &&
         std::all_of(event.features.begin(), event.features.end(), is_said) &&
         std::all_of(event.comparison.begin(), event.comparison.end(),
                     [&](const auto& one) { return is_said(one.second); });
}

// As write_json, but nulls of a struct are left out.
template <class T>
void write_lean(std::string& out, const T& value) {
  if constexpr (is_optional<T>) {
    write_lean(out, *value);
  } else if constexpr (Struct<T>) {
    out += '{';
    boost::mp11::mp_for_each<Members<T>>([&](auto member) {
      const auto& field = value.*member.pointer;
      if constexpr (is_optional<std::remove_cvref_t<decltype(field)>>)
        if (!field) return;
      out += out.back() == '{' ? "\"" : ",\"";
      out += member.name;
      out += "\":";
      write_lean(out, field);
    });
    out += '}';
  } else {
    write_json(out, value);
  }
}

// True where the text says all as it is.
bool write_event(std::string& out, const InferenceEvent& event) {
  static const InferenceEvent usual;
  out.reserve(768);
  boost::mp11::mp_for_each<Members<InferenceEvent>>([&](auto member) {
    const auto& field = event.*member.pointer;
    constexpr bool always = is_always_there(decltype(member)::name);
    if (!always && is_default(field, usual.*member.pointer)) return;
    out += out.empty() ? "{\"" : ",\"";
    out += member.name;
    out += "\":";
    write_lean(out, field);
  });
  out += '}';
  // Callers tag their calls with what they like, and no tag may keep a call out of the ledger.
  return !make_readable(out) && has_words(event);
}

}  // namespace

std::string event_text(const InferenceEvent& event) {
  std::string out;
  write_event(out, event);
  return out;
}

std::string group_key(std::string_view project, std::string_view base) {
  return '\1' + prediction_key(project, base);
}

std::string row_id(std::string_view base, std::size_t row) {
  std::array<char, 20> number{};
  const char* const end = std::to_chars(number.data(), number.data() + number.size(), row).ptr;
  std::string out;
  out.reserve(base.size() + 1 + number.size());
  return out.append(base).append(1, '.').append(std::string_view(number.data(), end));
}

std::string_view base_of(std::string_view id) {
  const std::size_t dot = id.rfind('.');
  if (dot == std::string_view::npos || dot == 0 || dot + 1 == id.size()) return {};
  const bool counts = std::all_of(id.begin() + static_cast<std::ptrdiff_t>(dot) + 1, id.end(),
                                  [](char letter) { return letter >= '0' && letter <= '9'; });
  return counts ? id.substr(0, dot) : std::string_view();
}

std::vector<EventRecord> records_of(std::span<const InferenceEvent> call) {
  std::vector<EventRecord> out;
  for (std::size_t from = 0; from < call.size(); from += group_max) {
    const auto part = call.subspan(from, std::min(group_max, call.size() - from));
    // Only what one base finds is a group: the first stretch of the rows.
    if (from == 0)
      if (auto group = group_of(part, from)) {
        out.push_back(std::move(*group));
        continue;
      }
    for (const InferenceEvent& event : part) {
      EventRecord& record = out.emplace_back(EventRecord{.key = event.id});
      record.is_exact = write_event(record.text, event);
      // An error is not found by its id: the caller's retry must run, and may succeed.
      if (event.error.empty()) record.found_by = prediction_key(event.project, event.id);
    }
  }
  return out;
}

Result<std::vector<InferenceEvent>> events_of(std::string_view text) {
  thread_local simdjson::dom::parser parser;
  dom::element root;
  const auto fault = parser.parse(text.data(), text.size()).get(root);
  // An older program wrote what callers said as it was.
  if (fault == simdjson::UTF8_ERROR || (!fault && text.find("\\u0000") != text.npos))
    if (std::string mended(text); make_readable(mended)) return events_of(mended);
  if (fault)
    return Error{Code::data_loss,
                 "the event is no JSON: " + std::string(simdjson::error_message(fault))};
  InferenceEvent event;
  std::optional<dom::element> rows;
  if (!read_event(root, event, rows)) return slowly_read(text);
  if (rows) return expanded(event, TRY(read_rows(*rows)));
  std::vector<InferenceEvent> one;
  one.push_back(std::move(event));
  return one;
}

}  // namespace penstock::serving
