// Transforms of the rows of a join, as a function of the offline engine.
#include <algorithm>

#include "features/join.h"
#include "features/transform/plan.h"
#include "features/values.h"

namespace penstock::features::transform {
namespace {

olap::Type olap_type(Type type) {
  switch (type) {
    case Type::real: return olap::Type::real;
    case Type::bigint: return olap::Type::bigint;
    case Type::boolean: return olap::Type::boolean;
    case Type::text: return olap::Type::text;
    case Type::timestamp: return olap::Type::timestamp;
  }
  return olap::Type::other;
}

std::string_view engine_type(Type type) {
  switch (type) {
    case Type::real: return "DOUBLE";
    case Type::bigint: return "BIGINT";
    case Type::boolean: return "BOOLEAN";
    case Type::text: return "VARCHAR";
    case Type::timestamp: return "TIMESTAMP";
  }
  return "VARCHAR";
}

Cell cell_at(Type type, const olap::Chunk::Values& values, std::size_t row) {
  if (!values.valid[row]) return {};
  if (type == Type::real) return cell_of(values.real[row]);
  if (type == Type::text) return cell_of(std::string_view(values.text[row]));
  return cell_of(values.whole[row]);
}

void put(Type type, const Cell& cell, std::size_t row, olap::Chunk::Values& out) {
  out.valid[row] = cell.valid;
  if (!cell.valid) return;
  if (type == Type::real)
    out.real[row] = cell.real;
  else if (type == Type::text)
    out.text[row] = cell.view();
  else
    out.whole[row] = cell.whole;
}

// `arguments` are the program's, after one that is only there so that there is one.
void run(const Program& program, const olap::Chunk& arguments, olap::Chunk& out) {
  const std::size_t at_once = std::min(arguments.rows, rows_at_once(program));
  Frame frame(program, at_once);
  for (std::size_t from = 0; from < arguments.rows; from += at_once) {
    const std::size_t rows = std::min(at_once, arguments.rows - from);
    for (std::size_t i = 0; i < program.arguments.size(); ++i) {
      const Type type = program.registers[program.arguments[i]];
      for (std::size_t row = 0; row < rows; ++row)
        frame.argument(i)[row] = cell_at(type, arguments.columns[i + 1], from + row);
    }
    frame.run(rows);
    for (std::size_t i = 0; i < program.outputs.size(); ++i)
      for (std::size_t row = 0; row < rows; ++row)
        put(program.outputs[i].type, frame.output(i)[row], from + row, out.columns[i]);
  }
}

bool reads_as(olap::Type found, FeatureType declared) {
  if (declared == FeatureType::real)
    return found == olap::Type::real || found == olap::Type::bigint || found == olap::Type::decimal;
  return found == olap_type(*type_of(declared));
}

const olap::Column* find(const std::vector<olap::Column>& columns, std::string_view name) {
  const auto found = std::find_if(columns.begin(), columns.end(),
                                  [&](const olap::Column& column) { return column.name == name; });
  return found == columns.end() ? nullptr : &*found;
}

std::string column(std::size_t number) { return "t.c" + std::to_string(number); }

}  // namespace

olap::Function function_of(const std::shared_ptr<const Plan>& plan) {
  olap::Function function{.name = plan->function, .arguments = {olap::Type::timestamp}};
  for (const std::uint32_t at : plan->program.arguments)
    function.arguments.push_back(olap_type(plan->program.registers[at]));
  for (const Program::Output& output : plan->program.outputs)
    function.results.push_back(olap_type(output.type));
  function.run = [plan](const olap::Chunk& arguments, olap::Chunk& out) {
    run(plan->program, arguments, out);
  };
  return function;
}

void check_inputs(const SchemaHandle& schema, const std::vector<olap::Column>& columns,
                  const std::string& field, std::vector<Violation>& faults) {
  for (const FeatureInput& input : schema.inputs) {
    const olap::Column* given = find(columns, input.name);
    if (!given)
      faults.push_back({field, "must give " + input.name + ", an input of " + schema.name});
    else if (!reads_as(given->type, input.type))
      faults.push_back({field, "gives " + input.name + " as " + given->declared +
                                   "; the input is " + std::string(name_of(input.type))});
  }
}

Result<std::string> computed_statement(olap::Session& session, const SchemaHandle& schema,
                                       const std::vector<olap::Column>& columns,
                                       const std::string& joined, const JoinOptions& options) {
  const Plan& plan = *schema.plan;
  TRY(session.define(function_of(schema.plan)));
  // Columns by their place: names of entity rows may be anybody's.
  const auto place = [&](std::string_view name) {
    return static_cast<std::size_t>(find(columns, name) - columns.data());
  };
  std::vector<std::string> values(schema.slots.size());
  std::size_t next = columns.size();
  for (std::size_t i = 0; i < schema.slots.size(); ++i)
    values[i] = schema.slots[i].is_computed() ? "t.made.v" + std::to_string(schema.slots[i].feature)
                                              : column(next++);
  const std::string instant = "CAST(" + column(place(instant_name)) + " AS TIMESTAMP)";
  std::string arguments = instant;
  for (std::size_t i = 0; i < plan.arguments.size(); ++i) {
    const Plan::Argument& argument = plan.arguments[i];
    const Type type = plan.program.registers[plan.program.arguments[i]];
    const std::string from = argument.from == Plan::From::instant ? instant
                             : argument.from == Plan::From::input
                                 ? column(place(schema.inputs[argument.number].name))
                                 : values[argument.number];
    arguments += ", CAST(" + from + " AS " + std::string(engine_type(type)) + ")";
  }
  std::string names, selected;
  for (std::size_t i = 0; i < next + (options.oldest ? 1 : 0); ++i)
    names += (names.empty() ? "c" : ", c") + std::to_string(i);
  for (std::size_t i = 0; i < columns.size(); ++i)
    selected += column(i) + " AS " + olap::quoted_name(columns[i].name) + ", ";
  for (std::size_t i = 0; i < schema.slots.size(); ++i) {
    const Slot& slot = schema.slots[i];
    const Feature feature = slot.is_computed()
                                ? Feature{.name = "", .type = schema.types[i]}
                                : schema.views[slot.view]->view.features[slot.feature];
    selected += output_sql(feature, values[i], options.numbers) + " AS " +
                olap::quoted_name(schema.names[i]) + ", ";
  }
  if (options.oldest) selected += column(next) + " AS oldest_event_time, ";
  selected.resize(selected.size() - 2);
  return "SELECT " + selected + "\nFROM (SELECT t.*, " + plan.function + "(" + arguments +
         ") AS made FROM (\n" + joined + "\n) AS t(" + names + ")) AS t";
}

}  // namespace penstock::features::transform
