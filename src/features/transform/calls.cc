// Calls and operators: which function is meant, and the steps that SQL's own constructs become.
#include <algorithm>

#include "features/transform/walk.h"

namespace penstock::features::transform {
namespace {

std::optional<Comparison> comparison_in(const std::string& type) {
  if (type == "COMPARE_EQUAL") return Comparison::equal;
  if (type == "COMPARE_NOTEQUAL") return Comparison::not_equal;
  if (type == "COMPARE_LESSTHAN") return Comparison::less;
  if (type == "COMPARE_LESSTHANOREQUALTO") return Comparison::less_equal;
  if (type == "COMPARE_GREATERTHAN") return Comparison::greater;
  if (type == "COMPARE_GREATERTHANOREQUALTO") return Comparison::greater_equal;
  return {};
}

// What the parser calls the types that a cast may name.
std::optional<Type> cast_target(const std::string& id) {
  if (id == "DOUBLE") return Type::real;
  if (id == "BIGINT") return Type::bigint;
  if (id == "BOOLEAN") return Type::boolean;
  if (id == "VARCHAR") return Type::text;
  if (id == "TIMESTAMP") return Type::timestamp;
  return {};
}

// Names of all functions, for those who called another.
const std::string& function_list() {
  static const std::string list = [] {
    std::set<std::string> names{"coalesce", "concat", "date_part", "greatest",
                                "if",       "ifnull", "least",     "nullif"};
    for (const Function& function : functions())
      if (std::isalpha(static_cast<unsigned char>(function.name[0])) &&
          function.name.find(' ') == std::string_view::npos)
        names.emplace(function.name);
    std::string out;
    for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
    return out;
  }();
  return list;
}

}  // namespace

const std::vector<Function>& functions() {
  static const std::vector<Function> all = [] {
    std::vector<Function> out = number_functions();
    for (auto more : {text_functions(), time_functions(), casts()})
      out.insert(out.end(), more.begin(), more.end());
    return out;
  }();
  return all;
}

// Of the functions of this name, the one that takes these types; a bigint may become a double.
Result<Compiler::Value> Compiler::Walk::chosen_function(const std::string& name,
                                                        const Values& values) {
  const auto fits = [&](const Function& function, bool widened) {
    if (function.name != name || function.count != values.size()) return false;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto& type = values[i].type;
      if (type && *type != function.arguments[i] &&
          !(widened && *type == Type::bigint && function.arguments[i] == Type::real))
        return false;
    }
    return true;
  };
  for (const bool widened : {false, true})
    for (const Function& function : functions()) {
      if (!fits(function, widened)) continue;
      std::vector<std::uint32_t> in;
      for (std::size_t i = 0; i < values.size(); ++i)
        in.push_back(TRY(as(values[i], function.arguments[i])));
      return emit(function.kernel, function.result, in);
    }
  std::string given, takes;
  for (const Value& value : values) given += (given.empty() ? "" : ", ") + said(value.type);
  for (const Function& function : functions()) {
    if (function.name != name) continue;
    std::string one;
    for (std::size_t i = 0; i < function.count; ++i)
      one += (one.empty() ? "" : ", ") + std::string(type_name(function.arguments[i]));
    takes += (takes.empty() ? "(" : " or (") + one + ")";
  }
  if (takes.empty())
    return refused("calls " + name + ", which is no function of an expression; there are " +
                   function_list());
  return refused("gives (" + given + ") to " + name + ", which takes " + takes);
}

Result<Compiler::Value> Compiler::Walk::call(const json::object& found) {
  const std::string name = lowered(text_in(found, "function_name"));
  const std::string schema = text_in(found, "schema");
  const json::value* distinct = found.if_contains("distinct");
  if ((!schema.empty() && schema != "main") || !text_in(found, "catalog").empty())
    return chosen_function(schema + "." + name, {});
  if (found.contains("filter") || (distinct && distinct->is_bool() && distinct->get_bool()) ||
      !list_in(object_in(found, "order_bys"), "orders").empty())
    return refused("calls " + name + " as an aggregate: it may only read values of its row");
  const json::array& children = list_in(found, "children");
  if (name == "date_part" || name == "datepart") return part_of_date(children);
  const Values given = TRY(values(children));
  if (name == "coalesce" || name == "ifnull" || name == "least" || name == "greatest" ||
      name == "concat" || name == "nullif" || name == "if")
    return call_of_many(name, given);
  return chosen_function(name == "ceiling" ? "ceil" : name, given);
}

Result<Compiler::Value> Compiler::Walk::part_of_date(const json::array& children) {
  std::string part;
  if (children.size() == 2 && children[0].is_object())
    part = lowered(text_in(object_in(children[0].get_object(), "value"), "value"));
  static const std::set<std::string> parts{"year",   "quarter", "month",  "day",    "doy",  "dow",
                                           "isodow", "hour",    "minute", "second", "epoch"};
  if (!parts.contains(part))
    return refused(
        "takes a part of a time that is not there; there are year, quarter, month, day, doy, dow, "
        "isodow, hour, minute, second and epoch");
  return chosen_function(part, {TRY(value(children[1]))});
}

Result<Compiler::Value> Compiler::Walk::call_of_many(const std::string& name,
                                                     const Values& values) {
  const std::size_t wanted = name == "if" ? 3 : name == "nullif" || name == "ifnull" ? 2 : 0;
  if (values.empty() || (wanted && values.size() != wanted))
    return refused("gives " + std::to_string(values.size()) + " values to " + name);
  if (name == "if") {
    const Value when = TRY(truth(values[0], "IF"));
    const Type type = TRY(common({values[1], values[2]}, "IF"));
    return emit(chosen(), type, {when.at, TRY(as(values[1], type)), TRY(as(values[2], type))});
  }
  if (name == "nullif") {
    if (!values[0].type) return values[0];
    const Value same = TRY(compare("COMPARE_EQUAL", values[0], values[1]));
    return emit(chosen(), *values[0].type, {same.at, keep(*values[0].type, {}).at, values[0].at});
  }
  if (name == "concat") {
    Value out = keep(Type::text, cell_of(std::string_view("", 0)));
    for (const Value& value : values)
      out = TRY(emit(joined(), Type::text, {out.at, TRY(as(value, Type::text))}));
    return out;
  }
  const Type type = TRY(common(values, name));
  return chain(values, type,
               name == "least"      ? least(type)
               : name == "greatest" ? greatest(type)
                                    : first_present());
}

Result<Type> Compiler::Walk::common(const Values& values, std::string_view where) {
  std::optional<Type> out;
  for (const Value& value : values) {
    if (!value.type || value.type == out) continue;
    const bool numbers = (out == Type::bigint && value.type == Type::real) ||
                         (out == Type::real && value.type == Type::bigint);
    if (out && !numbers)
      return refused("mixes " + said(out) + " and " + said(value.type) + " in " +
                     std::string(where) + "; say CAST(... AS " + said(out) + ")");
    out = numbers ? Type::real : *value.type;
  }
  return out.value_or(Type::bigint);  // nulls alone: of any type
}

Result<Compiler::Value> Compiler::Walk::chain(const Values& values, Type type, Kernel kernel) {
  Value out{TRY(as(values[0], type)), type};
  for (std::size_t i = 1; i < values.size(); ++i)
    out = TRY(emit(kernel, type, {out.at, TRY(as(values[i], type))}));
  return out;
}

Result<Compiler::Value> Compiler::Walk::truth(const Value& value, std::string_view where) {
  if (value.type && value.type != Type::boolean)
    return refused("gives " + said(value.type) + " to " + std::string(where) +
                   ", which takes a boolean");
  return Value{TRY(as(value, Type::boolean)), Type::boolean};
}

Result<Compiler::Value> Compiler::Walk::compare(const std::string& type, const Value& left,
                                                const Value& right) {
  const Type both = TRY(common({left, right}, "a comparison"));
  const std::vector<std::uint32_t> in{TRY(as(left, both)), TRY(as(right, both))};
  if (type == "COMPARE_DISTINCT_FROM") return emit(distinct(false, both), Type::boolean, in);
  if (type == "COMPARE_NOT_DISTINCT_FROM") return emit(distinct(true, both), Type::boolean, in);
  const auto which = comparison_in(type);
  if (!which) return refused("holds " + lowered(type) + ", which no expression may");
  return emit(comparison(*which, both), Type::boolean, in);
}

Result<Compiler::Value> Compiler::Walk::conjunction(const json::object& found) {
  const bool all = text_in(found, "type") == "CONJUNCTION_AND";
  Values given = TRY(values(list_in(found, "children")));
  if (given.empty()) return refused("cannot be read");
  for (Value& value : given) value = TRY(truth(value, all ? "AND" : "OR"));
  return chain(given, Type::boolean, all ? transform::both() : either());
}

Result<Compiler::Value> Compiler::Walk::between(const json::object& found) {
  const Value input = TRY(value(found.at("input")));
  const Value low = TRY(
                  compare("COMPARE_GREATERTHANOREQUALTO", input, TRY(value(found.at("lower"))))),
              high =
                  TRY(compare("COMPARE_LESSTHANOREQUALTO", input, TRY(value(found.at("upper")))));
  return emit(both(), Type::boolean, {low.at, high.at});
}

Result<Compiler::Value> Compiler::Walk::among(const Values& values, bool is_not) {
  if (values.size() < 2) return refused("has an IN without a list");
  const Type type = TRY(common(values, "IN"));
  const std::uint32_t input = TRY(as(values[0], type));
  Value out;
  for (std::size_t i = 1; i < values.size(); ++i) {
    const Value same = TRY(emit(comparison(Comparison::equal, type), Type::boolean,
                                {input, TRY(as(values[i], type))}));
    out = i == 1 ? same : TRY(emit(either(), Type::boolean, {out.at, same.at}));
  }
  return is_not ? emit(negated(), Type::boolean, {out.at}) : out;
}

Result<Compiler::Value> Compiler::Walk::operation(const json::object& found) {
  const std::string type = text_in(found, "type");
  const Values given = TRY(values(list_in(found, "children")));
  if (type == "OPERATOR_COALESCE") return call_of_many("coalesce", given);
  if (type == "OPERATOR_NULLIF") return call_of_many("nullif", given);
  if (type == "COMPARE_IN" || type == "COMPARE_NOT_IN")
    return among(given, type == "COMPARE_NOT_IN");
  if (given.size() != 1) return refused("holds " + lowered(type) + ", which no expression may");
  if (type == "OPERATOR_NOT")
    return emit(negated(), Type::boolean, {TRY(truth(given[0], "NOT")).at});
  if (type == "OPERATOR_IS_NULL" || type == "OPERATOR_IS_NOT_NULL")
    return emit(is_null(type == "OPERATOR_IS_NOT_NULL"), Type::boolean,
                {TRY(as(given[0], given[0].type.value_or(Type::boolean)))});
  return refused("holds " + lowered(type) + ", which no expression may");
}

Result<Compiler::Value> Compiler::Walk::either_case(const json::object& found) {
  Values whens, thens;
  for (const json::value& check : list_in(found, "case_checks")) {
    whens.push_back(TRY(truth(TRY(value(check.at("when_expr"))), "CASE WHEN")));
    thens.push_back(TRY(value(check.at("then_expr"))));
  }
  const json::value* other = found.if_contains("else_expr");
  thens.push_back(other ? TRY(value(*other)) : Value());
  const Type type = TRY(common(thens, "CASE"));
  Value out{TRY(as(thens.back(), type)), type};
  for (std::size_t i = whens.size(); i-- > 0;)
    out = TRY(emit(chosen(), type, {whens[i].at, TRY(as(thens[i], type)), out.at}));
  return out;
}

Result<Compiler::Value> Compiler::Walk::cast(const json::object& found) {
  const std::string id = text_in(object_in(found, "cast_type"), "id");
  const auto type = cast_target(id);
  if (!type)
    return refused("casts to " + id + "; there are DOUBLE, BIGINT, BOOLEAN, VARCHAR and TIMESTAMP");
  const Value given = TRY(value(found.at("child")));
  if (!given.type || given.type == type) return Value{TRY(as(given, *type)), *type};
  return chosen_function("cast to " + std::string(type_name(*type)), {given});
}

}  // namespace penstock::features::transform
