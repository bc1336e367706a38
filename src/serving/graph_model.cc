#include "serving/graph_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "features/transform/compile.h"
#include "serving/graph_values.h"

namespace penstock::serving {
namespace {

using graphs::Reference;
using graphs::TableGraph;
using graphs::TableNode;
using graphs::TableNodeKind;
namespace transform = features::transform;

Error unfit(const TableNode& node, const std::string& why) {
  return {Code::failed_precondition, "node " + node.name + " of the graph " + why};
}
Error within(const TableNode& node, const Error& error) {
  return {error.code, "node " + node.name + ": " + error.message};
}

// An expression, compiled: its arguments are values of the graph.
struct Compiled {
  transform::Program program;
  std::vector<Reference> arguments;
};

struct Step {
  const TableNode* node = nullptr;
  std::map<std::string, std::vector<Reference>> reads;  // by key of features, input of a model
  std::shared_ptr<const Deployment> model;
  OpenSchema schema;
  std::unique_ptr<Compiled> compiled;
};

// What is known before anything runs: the types of values that expressions may read.
using Types = std::map<std::string, transform::Type>;

class GraphModel final : public infer::Model {
 public:
  explicit GraphModel(GraphParts parts) : parts_(std::move(parts)) {}

  Result<void> make();
  const std::vector<infer::TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<infer::TensorInfo>& outputs() const override { return outputs_; }
  Result<std::vector<infer::Tensor>> run(const std::vector<infer::Tensor>& inputs,
                                         const infer::RunLimits& limits) override;

 private:
  Result<void> add_features(Step& step, Types& types);
  Result<void> add_model(Step& step, Types& types);
  Result<void> add_expression(Step& step, Types& types);
  Result<void> check_outputs(const Types& types);
  Result<void> run_step(const Step& step, const infer::RunLimits& limits, Values& values,
                        infer::NodeRun& ran) const;
  Result<void> read_features(const Step& step, const infer::RunLimits& limits,
                             Values& values) const;
  Result<void> ask_model(const Step& step, const infer::RunLimits& limits, Values& values,
                         infer::NodeRun& ran) const;
  Result<void> compute(const Step& step, Values& values) const;

  GraphParts parts_;
  std::vector<Step> steps_;
  std::vector<Reference> results_;  // of each output
  std::vector<infer::TensorInfo> inputs_, outputs_;
};

Result<void> GraphModel::make() {
  Types types;
  for (const graphs::TableInput& input : parts_.graph.inputs) {
    infer::TensorInfo& info = inputs_.emplace_back(
        infer::TensorInfo{.name = input.name, .datatype = input.datatype, .shape = {-1}});
    if (input.width)
      info.shape.push_back(*input.width);
    else
      types.emplace(input.name, type_of_datatype(input.datatype));
  }
  for (const TableNode* node : TRY(graphs::order_of(parts_.graph))) {
    Step step{.node = node};
    for (const auto& [key, text] : node->keys)
      step.reads[key].push_back(TRY(graphs::reference_of(text)));
    for (const auto& [input, columns] : node->inputs)
      for (const std::string& text : columns)
        step.reads[input].push_back(TRY(graphs::reference_of(text)));
    if (node->kind == TableNodeKind::features)
      TRY(add_features(step, types));
    else if (node->kind == TableNodeKind::model)
      TRY(add_model(step, types));
    else
      TRY(add_expression(step, types));
    steps_.push_back(std::move(step));
  }
  return check_outputs(types);
}

Result<void> GraphModel::add_features(Step& step, Types& types) {
  const TableNode& node = *step.node;
  step.schema = parts_.schemas.at(node.name);
  for (const std::string& feature : step.schema.names)
    types.emplace(node.name + "." + feature, transform::Type::real);
  for (const std::string& input : step.schema.inputs) {
    const auto& optional = step.schema.optional_inputs;
    if (!node.keys.contains(input) &&
        std::find(optional.begin(), optional.end(), input) == optional.end())
      return unfit(node,
                   "must give " + input + " in keys: it is an input of " + step.schema.reference);
  }
  return {};
}

Result<void> GraphModel::add_model(Step& step, Types& types) {
  const TableNode& node = *step.node;
  step.model = parts_.models.at(node.name);
  if (!step.model->runtime) return unfit(node, "names a language model; it must take tensors");
  const auto& takes = step.model->runtime->inputs();
  if (takes.empty()) return unfit(node, "names a model that does not say what it takes");
  for (const auto& [input, ignored] : step.reads)
    if (std::none_of(takes.begin(), takes.end(),
                     [&, name = input](const auto& info) { return info.name == name; }))
      return unfit(node, "gives input " + input + ", which " + *node.model + " does not take");
  for (const infer::TensorInfo& info : takes)
    if (!info.optional && !step.reads.contains(info.name))
      return unfit(node, "must give input " + info.name + " of " + *node.model);
  for (const infer::TensorInfo& info : step.model->runtime->outputs())
    types.emplace(node.name + "." + info.name, type_of_datatype(info.datatype));
  return {};
}

// By name: inputs and other expressions as they are, other values as `values` calls them.
Result<void> GraphModel::add_expression(Step& step, Types& types) {
  const TableNode& node = *step.node;
  std::map<std::string, Reference> known;
  for (const auto& [name, ignored] : types)
    if (name.find('.') == std::string::npos) known.emplace(name, Reference{.name = name});
  for (const auto& [name, text] : node.values) known[name] = TRY(graphs::reference_of(text));
  std::vector<std::string> names;
  for (const auto& [name, ignored] : known) names.push_back(name);
  const auto type_of = [&](const std::string& name) -> std::optional<transform::Type> {
    const auto found = known.find(name);
    if (found == known.end()) return {};
    const Reference& reference = found->second;
    const std::string path =
        reference.part.empty() ? reference.name : reference.name + "." + reference.part;
    if (const auto type = types.find(path); type != types.end()) return type->second;
    for (const graphs::TableInput& input : parts_.graph.inputs)
      if (input.name == path && reference.column) return type_of_datatype(input.datatype);
    return {};
  };
  const auto tree = parts_.parse(*node.expression);
  if (!tree) return unfit(node, "has an expression that " + tree.error().message);
  transform::Compiler compiler(type_of, names);
  const auto made = compiler.add(node.name, *node.expression, *tree, std::nullopt);
  if (!made) return unfit(node, "has an expression that " + made.error().message);
  if (!made->type) return unfit(node, "has an expression that is always NULL");
  auto finished = std::move(compiler).finish();
  step.compiled = std::make_unique<Compiled>(Compiled{std::move(finished.program), {}});
  for (const std::string& name : finished.arguments)
    step.compiled->arguments.push_back(known.at(name));
  types.emplace(node.name, *made->type);
  return {};
}

Result<void> GraphModel::check_outputs(const Types& types) {
  for (const graphs::TableOutput& output : parts_.graph.outputs) {
    const Reference reference = TRY(graphs::reference_of(output.from));
    results_.push_back(reference);
    const std::string path =
        reference.part.empty() ? reference.name : reference.name + "." + reference.part;
    infer::TensorInfo info{.name = output.name, .shape = {-1}};
    const auto is_one = [&](const auto& step) { return step.node->name == reference.name; };
    const auto step = std::find_if(steps_.begin(), steps_.end(), is_one);
    const auto type = types.find(path);
    if (step != steps_.end() && step->model) {
      const auto& gives = step->model->runtime->outputs();
      const auto given = std::find_if(gives.begin(), gives.end(),
                                      [&](const auto& one) { return one.name == reference.part; });
      if (given == gives.end() && !gives.empty())
        return Error{Code::failed_precondition, "outputs." + output.name + ".from is " +
                                                    output.from + ", and " + *step->node->model +
                                                    " has no output " + reference.part};
      if (given != gives.end()) {
        info.datatype = given->datatype;
        if (!reference.column) info.shape = given->shape;
      }
    } else if (type != types.end()) {
      info.datatype = datatype_of(type->second);
    } else {
      for (const infer::TensorInfo& input : inputs_)
        if (input.name == path) info = {output.name, input.datatype, input.shape};
    }
    if (info.datatype.empty() && (step == steps_.end() || !step->model))
      return Error{Code::failed_precondition,
                   "outputs." + output.name + ".from is " + output.from + ", which nobody gives"};
    outputs_.push_back(std::move(info));
  }
  // A server elsewhere may not say what it gives; then the graph does not either.
  if (std::any_of(outputs_.begin(), outputs_.end(),
                  [](const auto& info) { return info.datatype.empty(); }))
    outputs_.clear();
  return {};
}

Result<std::vector<infer::Tensor>> GraphModel::run(const std::vector<infer::Tensor>& inputs,
                                                   const infer::RunLimits& limits) {
  TRY(infer::check_inputs(inputs_, inputs));
  Values values;
  for (const infer::Tensor& input : inputs) TRY(values.put(input.name, input));
  for (const Step& step : steps_) {
    const Timestamp start = parts_.clock.now();
    if (start > limits.deadline)
      return Error{Code::deadline_exceeded, "the deadline passed before node " + step.node->name};
    infer::NodeRun ran{.name = step.node->name, .kind = std::string(name_of(step.node->kind))};
    const auto done = run_step(step, limits, values, ran);
    ran.micros = (parts_.clock.now() - start).count();
    ran.failed = !done;
    if (limits.nodes) limits.nodes->push_back(std::move(ran));
    if (!done) return within(*step.node, done.error());
  }
  std::vector<infer::Tensor> out;
  for (std::size_t i = 0; i < results_.size(); ++i) {
    auto tensor = values.tensor(results_[i]);
    if (!tensor)
      return Error{tensor.error().code,
                   "output " + parts_.graph.outputs[i].name + ": " + tensor.error().message};
    tensor->name = parts_.graph.outputs[i].name;
    out.push_back(std::move(tensor).take());
  }
  return out;
}

Result<void> GraphModel::run_step(const Step& step, const infer::RunLimits& limits, Values& values,
                                  infer::NodeRun& ran) const {
  switch (step.node->kind) {
    case TableNodeKind::features: return read_features(step, limits, values);
    case TableNodeKind::model: return ask_model(step, limits, values, ran);
    case TableNodeKind::expression: return compute(step, values);
  }
  return {};
}

Result<void> GraphModel::read_features(const Step& step, const infer::RunLimits& limits,
                                       Values& values) const {
  const std::size_t rows = values.rows();
  const std::vector<Timestamp>& instants = limits.as_of;
  if (instants.size() != 1 && instants.size() != rows)
    return Error{Code::failed_precondition, "it reads features, and was told " +
                                                std::to_string(instants.size()) + " instants for " +
                                                std::to_string(rows) + " rows"};
  std::map<std::string, Column> keys;
  for (const auto& [key, references] : step.reads)
    keys.emplace(key, TRY(values.column(references.front())));
  std::vector<Entities> entities(rows);
  std::vector<Timestamp> as_of;
  for (std::size_t row = 0; row < rows; ++row) {
    for (const auto& [key, column] : keys)
      if (auto text = text_of_cell(column.cells[row])) entities[row].emplace(key, std::move(*text));
    as_of.push_back(instants[instants.size() == 1 ? 0 : row]);
  }
  std::vector<std::vector<std::optional<double>>> found;
  if (limits.features)
    found = TRY(limits.features(step.schema.reference, entities, as_of));
  else
    for (std::size_t row = 0; row < rows; ++row)
      found.push_back(TRY(step.schema.read(entities[row], as_of[row])).values);
  std::vector<Column> columns(step.schema.names.size(), Column{transform::Type::real, {}});
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const std::optional<double>& value = found.at(row).at(i);
      columns[i].cells.push_back(value ? Scalar(*value) : Scalar());
    }
  for (std::size_t i = 0; i < columns.size(); ++i)
    values.put(step.node->name + "." + step.schema.names[i], std::move(columns[i]));
  return {};
}

Result<void> GraphModel::ask_model(const Step& step, const infer::RunLimits& limits, Values& values,
                                   infer::NodeRun& ran) const {
  const Deployment& by = *step.model;
  ran.model = by.model;
  ran.version = by.version;
  ran.runtime = by.runtime_name;
  ran.upstream = by.remote ? by.remote->endpoint->name : "";
  ran.gpus = by.gpus;
  std::vector<infer::Tensor> asked;
  for (const infer::TensorInfo& info : by.runtime->inputs()) {
    const auto found = step.reads.find(info.name);
    if (found == step.reads.end()) continue;
    asked.push_back(TRY(values.input(info, found->second)));
  }
  auto answer = by.runtime->run(asked, {.deadline = limits.deadline, .alone = limits.alone});
  // What the graph made for the model is not the caller's fault.
  if (!answer && answer.error().code == Code::invalid_argument)
    return Error{Code::failed_precondition, answer.error().message};
  if (!answer) return answer.error();
  for (infer::Tensor& tensor : *answer) {
    const std::string name = step.node->name + "." + tensor.name;
    TRY(values.put(name, std::move(tensor)));
  }
  return {};
}

Result<void> GraphModel::compute(const Step& step, Values& values) const {
  const transform::Program& program = step.compiled->program;
  const std::size_t rows = values.rows();
  std::vector<Column> arguments;
  for (const Reference& reference : step.compiled->arguments)
    arguments.push_back(TRY(values.column(reference)));
  Column out{program.outputs.front().type, {}};
  const std::size_t at_once =
      std::max<std::size_t>(std::min(rows, transform::rows_at_once(program)), 1);
  transform::Frame frame(program, at_once);
  for (std::size_t from = 0; from < rows; from += at_once) {
    const std::size_t count = std::min(at_once, rows - from);
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const transform::Type type = program.registers[program.arguments[i]];
      for (std::size_t row = 0; row < count; ++row)
        frame.argument(i)[row] = transform::cell_of(type, arguments[i].cells[from + row]);
    }
    frame.run(count);
    for (std::size_t row = 0; row < count; ++row)
      out.cells.push_back(transform::scalar_of(out.type, frame.output(0)[row]));
  }
  values.put(step.node->name, std::move(out));
  return {};
}

}  // namespace

Result<std::shared_ptr<infer::Model>> make_graph_model(GraphParts parts) {
  auto model = std::make_shared<GraphModel>(std::move(parts));
  TRY(model->make());
  return std::shared_ptr<infer::Model>(std::move(model));
}

}  // namespace penstock::serving
