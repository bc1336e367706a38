// How one expression becomes steps; the two halves of it are compile.cc and calls.cc.
#pragma once

#include "features/transform/compile.h"
#include "features/transform/kernels.h"

namespace penstock::features::transform {

inline Error refused(std::string what) { return {Code::invalid_argument, std::move(what)}; }

// Of the serialized tree of DuckDB's parser: nodes are objects with `class` and `type`.
std::string text_in(const json::object& node, std::string_view key);
const json::array& list_in(const json::object& node, std::string_view key);
const json::object& object_in(const json::object& node, std::string_view key);

std::string lowered(std::string text);
// A type for people: "null" where there is none.
std::string said(const std::optional<Type>& type);

// One expression on its way down.
class Compiler::Walk {
 public:
  Walk(Compiler& compiler, const std::string& expression)
      : compiler_(compiler), program_(compiler.program_), expression_(expression) {}

  Result<Value> value(const json::value& given);
  Result<std::uint32_t> as(const Value& value, Type type);

  std::set<std::string> arguments;

 private:
  using Values = std::vector<Value>;

  Result<Value> node(const json::object& node);
  Result<Value> name(const json::object& node);
  Result<Value> constant(const json::object& node);
  double real_at(const json::object& node, double near) const;
  Result<Value> call(const json::object& node);
  Result<Value> call_of_many(const std::string& name, const Values& values);
  Result<Value> part_of_date(const json::array& children);
  Result<Value> chosen_function(const std::string& name, const Values& values);
  Result<Value> operation(const json::object& node);
  Result<Value> among(const Values& values, bool is_not);
  Result<Value> compare(const std::string& type, const Value& left, const Value& right);
  Result<Value> conjunction(const json::object& node);
  Result<Value> between(const json::object& node);
  Result<Value> either_case(const json::object& node);
  Result<Value> cast(const json::object& node);

  Result<Values> values(const json::array& list);
  Result<Type> common(const Values& values, std::string_view where);
  Result<Value> chain(const Values& values, Type type, Kernel kernel);
  Result<Value> truth(const Value& value, std::string_view where);

  std::uint32_t fresh(Type type) {
    program_.registers.push_back(type);
    return static_cast<std::uint32_t>(program_.registers.size() - 1);
  }
  Result<Value> emit(Kernel kernel, Type type, const std::vector<std::uint32_t>& in);
  std::optional<Value> folded(Kernel kernel, Type type, const std::vector<std::uint32_t>& in);
  Value keep(Type type, Cell cell) {
    const std::uint32_t at = fresh(type);
    program_.constants.push_back({at, cell});
    return {at, type};
  }

  Compiler& compiler_;
  Program& program_;
  const std::string& expression_;
  std::size_t depth_ = 0, steps_ = 0;
};

}  // namespace penstock::features::transform
