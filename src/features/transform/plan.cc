#include "features/transform/plan.h"

#include <algorithm>

#include "base/digest.h"
#include "features/transform/compile.h"

namespace penstock::features::transform {
namespace {

Error at_field(const std::string& field, const Error& error) {
  if (error.code != Code::invalid_argument) return error;
  return {error.code, field + " " + error.message, {{field, error.message}}};
}

std::string name_of_feature(const FeatureReference& reference) {
  return reference.name.value_or(reference.feature);
}

// What an expression may name, and what it is.
struct Names {
  std::map<std::string, std::pair<Plan::Argument, Type>> all;

  Names(const FeatureSchema& schema, const std::vector<std::optional<FeatureType>>& types) {
    all[std::string(instant_name)] = {{Plan::From::instant, 0}, Type::timestamp};
    for (std::size_t i = 0; i < schema.inputs.size(); ++i)
      if (const auto type = type_of(schema.inputs[i].type))
        all[schema.inputs[i].name] = {{Plan::From::input, i}, *type};
    for (std::size_t i = 0; i < schema.features.size(); ++i) {
      if (schema.features[i].expression || !types[i]) continue;
      if (const auto type = type_of(*types[i]))
        all[name_of_feature(schema.features[i])] = {{Plan::From::feature, i}, *type};
    }
  }
  std::vector<std::string> list() const {
    std::vector<std::string> out;
    for (const auto& [name, value] : all) out.push_back(name);
    return out;
  }
};

Result<void> add(olap::Session& session, Compiler& compiler, FeatureReference& reference,
                 std::set<std::string>& arguments) {
  const json::value tree = TRY(parse(session, *reference.expression));
  const auto wanted = reference.type ? type_of(*reference.type) : std::nullopt;
  if (reference.type && !wanted)
    return Error{Code::invalid_argument, "cannot give " + std::string(name_of(*reference.type))};
  const auto made =
      TRY(compiler.add(name_of_feature(reference), *reference.expression, tree, wanted));
  arguments = made.arguments;
  if (wanted) return {};
  if (!made.type) return Error{Code::invalid_argument, "is always null; say its type"};
  reference.type = feature_type(*made.type);
  return {};
}

// Equal texts are equal plans, so that the engine need not know a plan twice.
std::string function_of(const FeatureSchema& schema, const Names& names) {
  std::string text;
  for (const auto& [name, value] : names.all)
    text += name + " " + std::string(type_name(value.second)) + "\n";
  for (const FeatureReference& reference : schema.features)
    if (reference.expression)
      text += name_of_feature(reference) + " " + std::string(name_of(*reference.type)) + " " +
              *reference.expression + "\n";
  return "penstock_transform_" + sha256_hex(text).substr(0, 32);
}

}  // namespace

std::optional<Type> type_of(FeatureType type) {
  switch (type) {
    case FeatureType::real: return Type::real;
    case FeatureType::bigint: return Type::bigint;
    case FeatureType::boolean: return Type::boolean;
    case FeatureType::text: return Type::text;
    case FeatureType::timestamp: return Type::timestamp;
    default: return {};
  }
}

FeatureType feature_type(Type type) {
  switch (type) {
    case Type::real: return FeatureType::real;
    case Type::bigint: return FeatureType::bigint;
    case Type::boolean: return FeatureType::boolean;
    case Type::text: return FeatureType::text;
    case Type::timestamp: return FeatureType::timestamp;
  }
  return FeatureType::text;
}

Result<std::shared_ptr<Plan>> plan_of(olap::Session& session, FeatureSchema& schema,
                                      const std::vector<std::optional<FeatureType>>& types) {
  const Names names(schema, types);
  Compiler compiler(
      [&](const std::string& name) {
        const auto found = names.all.find(name);
        return found == names.all.end() ? std::nullopt : std::optional(found->second.second);
      },
      names.list());
  auto plan = std::make_shared<Plan>();
  std::vector<std::set<std::string>> made_from;
  for (std::size_t i = 0; i < schema.features.size(); ++i) {
    FeatureReference& reference = schema.features[i];
    if (!reference.expression) continue;
    const auto added = add(session, compiler, reference, made_from.emplace_back());
    if (!added) return at_field("features[" + std::to_string(i) + "].expression", added.error());
    plan->outputs.push_back({i, {}, {}});
  }
  if (plan->outputs.empty()) return std::shared_ptr<Plan>();
  auto finished = std::move(compiler).finish();
  plan->program = std::move(finished.program);
  for (const std::string& name : finished.arguments)
    plan->arguments.push_back(names.all.at(name).first);
  for (std::size_t i = 0; i < plan->outputs.size(); ++i)
    for (std::size_t a = 0; a < finished.arguments.size(); ++a)
      if (made_from[i].contains(finished.arguments[a])) plan->outputs[i].arguments.push_back(a);
  plan->function = function_of(schema, names);
  return plan;
}

}  // namespace penstock::features::transform
