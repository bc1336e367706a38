// One declaration of a struct gives its JSON, its OpenAPI schema and its SQL columns.
#pragma once

#include <limits>
#include <map>
#include <optional>
#include <vector>
#include <boost/json.hpp>

#include "base/kind.h"
#include "base/result.h"

namespace penstock {

namespace json = boost::json;

BOOST_DESCRIBE_ENUM(Code, invalid_argument, unauthenticated, permission_denied, not_found,
                    already_exists, failed_precondition, resource_exhausted, deadline_exceeded,
                    unavailable, data_loss, internal)

template <class T>
concept Struct = boost::describe::has_describe_members<T>::value;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_list = false;
template <class T>
inline constexpr bool is_list<std::vector<T>> = true;
template <class T>
inline constexpr bool is_map = false;
template <class T>
inline constexpr bool is_map<std::map<std::string, T>> = true;
// JSON of any shape, kept as it came.
template <class T>
concept Free = std::same_as<T, json::value> || std::same_as<T, json::object>;
// What SQL keeps as JSON text.
template <class T>
concept Compound = Struct<T> || is_list<T> || is_map<T> || Free<T>;

// What a type cannot say of a field. min and max bound a number, or the length of a text or list.
struct Rule {
  std::string_view field;
  std::string_view doc = "";
  std::int64_t min = std::numeric_limits<std::int64_t>::min();
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
  bool may_miss = false;  // absent means: the member's own default
};

// Whether input must name the field: a list may only be left out where it may be empty.
template <class Field>
constexpr bool is_required(const Rule& rule) {
  if (rule.may_miss || is_optional<Field> || is_map<Field>) return false;
  return !is_list<Field> || rule.min > 0;
}

template <Struct T>
using Members = boost::describe::describe_members<T, boost::describe::mod_public>;

// Calls visit(name, member, rule) for each member of `value`, in the order of their declaration.
template <class T>
void for_each_member(T&& value, auto&& visit) {
  boost::mp11::mp_for_each<Members<std::remove_cvref_t<T>>>([&](auto member) {
    Rule rule{.field = member.name};
    if constexpr (requires { rules_of(value); })
      for (const Rule& candidate : rules_of(value))
        if (candidate.field == member.name) rule = candidate;
    visit(member.name, value.*member.pointer, rule);
  });
}

json::value to_json(const Scalar& scalar);
Scalar from_json(const json::value& in);  // monostate for null, lists and objects
// Keys sorted, no spaces: equal values give equal text, so it can be hashed.
std::string canonical(const json::value& value);

template <class T>
json::value encode(const T& value) {
  if constexpr (Free<T>) {
    return value;
  } else if constexpr (is_optional<T>) {
    return value ? encode(*value) : json::value(nullptr);
  } else if constexpr (is_list<T>) {
    json::array out;
    out.reserve(value.size());
    for (const auto& item : value) out.push_back(encode(item));
    return out;
  } else if constexpr (is_map<T>) {
    json::object out;
    for (const auto& [key, item] : value) out[key] = encode(item);
    return out;
  } else if constexpr (Struct<T>) {
    json::object out;
    for_each_member(value, [&](auto name, auto& field, auto&) { out[name] = encode(field); });
    return out;
  } else {
    return to_json(Kind<T>::say(value));
  }
}

// Reads JSON into structs, and keeps every fault it meets with the path where it met it.
class Decoder {
 public:
  std::vector<Violation> faults;

  template <Struct T>
  void read(const json::value& in, const std::string& path, const Rule&, T& out) {
    if (!in.is_object()) return fault(path.empty() ? "body" : path, "must be an object");
    const json::object& object = in.get_object();
    std::vector<std::string_view> known;
    for_each_member(out, [&](auto name, auto& field, const Rule& rule) {
      const std::string where = path.empty() ? name : path + "." + name;
      known.push_back(name);
      using Field = std::remove_reference_t<decltype(field)>;
      if (const json::value* found = object.if_contains(name))
        read(*found, where, rule, field);
      else if (is_required<Field>(rule))
        fault(where, "is missing");
    });
    for (const auto& entry : object) refuse_unknown(entry.key(), known, path);
  }

  template <Free T>
  void read(const json::value& in, const std::string& path, const Rule&, T& out) {
    if constexpr (std::same_as<T, json::value>)
      out = in;
    else if (in.is_object())
      out = in.get_object();
    else
      fault(path, "must be an object");
  }

  template <class T>
  void read(const json::value& in, const std::string& path, const Rule& rule,
            std::optional<T>& out) {
    if (!in.is_null()) read(in, path, rule, out.emplace());
  }

  template <class T>
  void read(const json::value& in, const std::string& path, const Rule& rule, std::vector<T>& out) {
    if (!in.is_array()) return fault(path, "must be a list");
    check(static_cast<std::int64_t>(in.get_array().size()), " items", path, rule);
    for (const json::value& item : in.get_array()) {
      T value{};
      read(item, path + "[" + std::to_string(out.size()) + "]", Rule{}, value);
      out.push_back(std::move(value));
    }
  }

  template <class T>
  void read(const json::value& in, const std::string& path, const Rule&,
            std::map<std::string, T>& out) {
    if (!in.is_object()) return fault(path, "must be an object");
    for (const auto& entry : in.get_object())
      read(entry.value(), path + "." + std::string(entry.key()), Rule{},
           out[std::string(entry.key())]);
  }

  template <class T>
  void read(const json::value& in, const std::string& path, const Rule& rule, T& out) {
    if (!Kind<T>::hear(from_json(in), out)) return fault(path, "must be " + expected<T>());
    if (in.is_string())
      check(static_cast<std::int64_t>(in.get_string().size()), " characters", path, rule);
    if (in.is_int64()) check(in.get_int64(), "", path, rule);
  }

  void fault(const std::string& path, std::string problem) {
    faults.push_back({path, std::move(problem)});
  }

 private:
  void refuse_unknown(std::string_view key, const std::vector<std::string_view>& known,
                      const std::string& path);
  void check(std::int64_t size, const std::string& unit, const std::string& path, const Rule& rule);

  template <class T>
  static std::string expected() {
    if constexpr (Enum<T>) {
      std::string names;
      boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>(
          [&](auto e) { names += (names.empty() ? "one of " : ", ") + std::string(e.name); });
      return names;
    } else if constexpr (Kind<T>::format.empty()) {
      return "of type " + std::string(Kind<T>::type);
    } else {
      return "of type " + std::string(Kind<T>::type) + " (" + std::string(Kind<T>::format) + ")";
    }
  }
};

template <Struct T>
Result<T> decode(const json::value& in) {
  T out;
  Decoder decoder;
  decoder.read(in, "", {}, out);
  if (decoder.faults.empty()) return out;
  std::string message = decoder.faults.front().field + " " + decoder.faults.front().problem;
  if (decoder.faults.size() > 1)
    message += " (and " + std::to_string(decoder.faults.size() - 1) + " more; see violations)";
  return Error{Code::invalid_argument, std::move(message), std::move(decoder.faults)};
}

// The OpenAPI 3.1 schema of T.
template <class T>
json::object schema(const Rule& rule = {}) {
  json::object out;
  if constexpr (Free<T>) {
    if (std::same_as<T, json::object>) out["type"] = "object";
  } else if constexpr (is_optional<T>) {
    out = schema<typename T::value_type>(rule);
    if (const json::value* type = out.if_contains("type")) out["type"] = json::array{*type, "null"};
    if (json::value* names = out.if_contains("enum")) names->as_array().push_back(nullptr);
    return out;
  } else if constexpr (is_list<T>) {
    out = {{"type", "array"}, {"items", schema<typename T::value_type>()}};
    if (rule.min > Rule{}.min) out["minItems"] = rule.min;
    if (rule.max < Rule{}.max) out["maxItems"] = rule.max;
  } else if constexpr (is_map<T>) {
    out = {{"type", "object"}, {"additionalProperties", schema<typename T::mapped_type>()}};
  } else if constexpr (Struct<T>) {
    json::object properties;
    json::array required;
    for_each_member(T{}, [&](auto name, auto& field, const Rule& its) {
      using Field = std::remove_cvref_t<decltype(field)>;
      properties[name] = schema<Field>(its);
      if (is_required<Field>(its)) required.push_back(json::value(name));
    });
    out = {{"type", "object"},
           {"properties", properties},
           {"required", required},
           {"additionalProperties", false}};
  } else {
    const bool text = Kind<T>::type == "string";
    out["type"] = Kind<T>::type;
    if (!Kind<T>::format.empty()) out["format"] = Kind<T>::format;
    if (rule.min > Rule{}.min) out[text ? "minLength" : "minimum"] = rule.min;
    if (rule.max < Rule{}.max) out[text ? "maxLength" : "maximum"] = rule.max;
    if constexpr (Enum<T>)
      boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>([&](auto e) {
        out.emplace("enum", json::array{}).first->value().as_array().push_back(json::value(e.name));
      });
  }
  if (!rule.doc.empty()) out["description"] = rule.doc;
  return out;
}

// "id, model, number": the columns of T's table, in the order in which its members are declared.
template <Struct T>
std::string columns() {
  std::string out;
  for_each_member(
      T{}, [&](auto name, auto&, auto&) { out += (out.empty() ? "" : ", ") + std::string(name); });
  return out;
}

}  // namespace penstock
