// Events as JSON text, without a tree in between: what the hot path writes and reads back exactly.
#pragma once

#include <charconv>
#include <cmath>

#include "base/described.h"

namespace penstock::serving {

void write_text(std::string& out, std::string_view text);  // quoted and escaped
void write_number(std::string& out, double number);        // shortest exact text; null for NaN

// JSON that every reader takes and every database keeps: what is no UTF-8 in its strings, and zero
// characters, become U+FFFD. True if something was changed.
bool make_readable(std::string& text);

// The same JSON as encode() gives, appended to `out`.
template <class T>
void write_json(std::string& out, const T& value) {
  if constexpr (is_optional<T>) {
    if (value)
      write_json(out, *value);
    else
      out += "null";
  } else if constexpr (is_list<T>) {
    out += '[';
    for (const auto& item : value) {
      if (out.back() != '[') out += ',';
      write_json(out, item);
    }
    out += ']';
  } else if constexpr (is_map<T>) {
    out += '{';
    for (const auto& [key, item] : value) {
      if (out.back() != '{') out += ',';
      write_text(out, key);
      out += ':';
      write_json(out, item);
    }
    out += '}';
  } else if constexpr (Struct<T>) {
    out += '{';
    for_each_member(value, [&](auto name, auto& field, auto&) {
      if (out.back() != '{') out += ',';
      out += '"';
      out += name;
      out += "\":";
      write_json(out, field);
    });
    out += '}';
  } else if constexpr (std::same_as<T, bool>) {
    out += value ? "true" : "false";
  } else if constexpr (std::same_as<T, double>) {
    write_number(out, value);
  } else if constexpr (std::same_as<T, std::int64_t>) {
    out += std::to_string(value);
  } else if constexpr (std::same_as<T, std::string>) {
    write_text(out, value);
  } else if constexpr (Enum<T>) {
    write_text(out, name_of(value));
  } else {
    write_text(out, std::get<std::string>(Kind<T>::say(value)));
  }
}

template <class T>
std::string json_text(const T& value) {
  std::string out;
  write_json(out, value);
  return out;
}

// Like json::parse, but every double comes back as the one that was written: Boost's reader may be
// off by one in the last place, and stored scores are compared bit for bit.
Result<json::value> parse_exact(std::string_view text);

template <Struct T>
Result<T> read_json(std::string_view text) {
  return decode<T>(TRY(parse_exact(text)));
}

}  // namespace penstock::serving
