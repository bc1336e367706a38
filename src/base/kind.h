// How a C++ type is said outside C++. One Kind serves JSON and OpenAPI, and SQL but for times, so a
// new field type is one struct here and nothing elsewhere.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <boost/describe.hpp>
#include <boost/mp11.hpp>

#include "base/money.h"
#include "base/time.h"

namespace penstock {

using Scalar = std::variant<std::monostate, bool, std::int64_t, double, std::string>;

template <class T>
concept Enum = boost::describe::has_describe_enumerators<T>::value;

// type and format are OpenAPI's.
template <class T>
struct Kind;

template <class T>
requires std::same_as<T, bool> || std::same_as<T, std::int64_t> || std::same_as<T, std::string>
struct Kind<T> {
  static constexpr std::string_view type = std::same_as<T, bool>           ? "boolean"
                                           : std::same_as<T, std::int64_t> ? "integer"
                                                                           : "string";
  static constexpr std::string_view format = "";
  static Scalar say(const T& value) { return value; }
  static bool hear(const Scalar& said, T& out) {
    const T* found = std::get_if<T>(&said);
    if (found) out = *found;
    return found;
  }
};

template <>
struct Kind<double> {
  static constexpr std::string_view type = "number", format = "double";
  static Scalar say(double value) { return value; }
  static bool hear(const Scalar& said, double& out) {
    if (const auto* whole = std::get_if<std::int64_t>(&said))
      out = static_cast<double>(*whole);
    else if (const auto* real = std::get_if<double>(&said))
      out = *real;
    else
      return false;
    return true;
  }
};

// Text, so that no reader makes a float of it; a whole number is read too.
template <>
struct Kind<Money> {
  static constexpr std::string_view type = "string", format = "decimal";
  static Scalar say(Money money) { return to_text(money); }
  static bool hear(const Scalar& said, Money& out) {
    if (const auto* amount = std::get_if<std::int64_t>(&said)) {
      out = Money::whole(*amount);
      return true;
    }
    const auto* text = std::get_if<std::string>(&said);
    const auto money = text ? money_from(*text) : std::nullopt;
    if (money) out = *money;
    return money.has_value();
  }
};

template <>
struct Kind<Timestamp> {
  static constexpr std::string_view type = "string", format = "date-time";
  static Scalar say(Timestamp at) { return to_rfc3339(at); }
  static bool hear(const Scalar& said, Timestamp& out) {
    const auto* text = std::get_if<std::string>(&said);
    const auto at = text ? from_rfc3339(*text) : std::nullopt;
    if (at) out = *at;
    return at.has_value();
  }
};

// Durations are whole microseconds in SQL and "15m" in what people write.
template <>
struct Kind<Micros> {
  static constexpr std::string_view type = "string", format = "duration";
  static Scalar say(Micros span) {
    const std::int64_t count = span.count();
    if (count % 86'400'000'000 == 0) return std::to_string(count / 86'400'000'000) + "d";
    if (count % 3'600'000'000 == 0) return std::to_string(count / 3'600'000'000) + "h";
    if (count % 60'000'000 == 0) return std::to_string(count / 60'000'000) + "m";
    if (count % 1'000'000 == 0) return std::to_string(count / 1'000'000) + "s";
    return std::to_string(count / 1'000) + "ms";
  }
  static bool hear(const Scalar& said, Micros& out) {
    const auto* text = std::get_if<std::string>(&said);
    const auto span = text ? duration_from(*text) : std::nullopt;
    if (span) out = *span;
    return span.has_value();
  }
};

template <Enum E>
std::string_view name_of(E value) {
  return boost::describe::enum_to_string(value, "?");
}

template <Enum E>
struct Kind<E> {
  static constexpr std::string_view type = "string", format = "";
  static Scalar say(E value) { return std::string(name_of(value)); }
  static bool hear(const Scalar& said, E& out) {
    const auto* name = std::get_if<std::string>(&said);
    return name && boost::describe::enum_from_string(name->c_str(), out);
  }
};

}  // namespace penstock
