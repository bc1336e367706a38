// Transforms of one request.
#include <algorithm>

#include "features/transform/kernels.h"
#include "features/transform/plan.h"

namespace penstock::features::transform {
namespace {

Result<Scalar> value_of(const FeatureInput& input, const Request& request, std::size_t row) {
  const std::string_view given = request.value(input, row);
  if (!given.data()) {
    if (input.nullable) return Scalar();
    return request.fault(input, row, "is missing");
  }
  auto value = read_text(*type_of(input.type), given);
  if (!value)
    return request.fault(input, row, "must be of type " + std::string(name_of(input.type)));
  return std::move(*value);
}

// Every input is read, so that a request is wrong whatever an expression makes of it.
Result<std::vector<Scalar>> inputs_of(const SchemaHandle& schema, const Request& request,
                                      std::size_t rows) {
  std::vector<Scalar> out;
  out.reserve(schema.inputs.size() * rows);
  for (const FeatureInput& input : schema.inputs)
    for (std::size_t row = 0; row < rows; ++row) out.push_back(TRY(value_of(input, request, row)));
  return out;
}

}  // namespace

Result<void> compute(const SchemaHandle& schema, const Request& request, Timestamp event_time,
                     std::size_t rows, Scalar* values, Status* statuses) {
  const Plan& plan = *schema.plan;
  const auto inputs = TRY(inputs_of(schema, request, rows));
  const Cell instant = cell_of(event_time.time_since_epoch().count());
  const std::size_t at_once = std::min(rows, rows_at_once(plan.program));
  Frame frame(plan.program, at_once);
  for (std::size_t from = 0; from < rows; from += at_once) {
    const std::size_t count = std::min(at_once, rows - from);
    for (std::size_t i = 0; i < plan.arguments.size(); ++i) {
      const Plan::Argument& argument = plan.arguments[i];
      const Type type = plan.program.registers[plan.program.arguments[i]];
      const Scalar* column =
          (argument.from == Plan::From::input ? inputs.data() : values) + argument.number * rows;
      for (std::size_t row = 0; row < count; ++row)
        frame.argument(i)[row] =
            argument.from == Plan::From::instant ? instant : cell_of(type, column[from + row]);
    }
    frame.run(count);
    for (std::size_t i = 0; i < plan.outputs.size(); ++i)
      for (std::size_t row = 0; row < count; ++row) {
        const std::size_t at = plan.outputs[i].feature * rows + from + row;
        values[at] = scalar_of(plan.program.outputs[i].type, frame.output(i)[row]);
        statuses[at] = values[at].index() == 0 ? Status::NULL_VALUE : Status::PRESENT;
      }
  }
  return {};
}

Result<void> compute(const SchemaHandle& schema, const std::map<std::string, std::string>& request,
                     Timestamp event_time, FeatureRow& row) {
  const Request one{
      .value =
          [&](const FeatureInput& input, std::size_t) {
            const auto given = request.find(input.name);
            return given == request.end() ? std::string_view() : std::string_view(given->second);
          },
      .fault = [](const FeatureInput& input, std::size_t, const std::string& problem) -> Error {
        return {Code::invalid_argument,
                "input " + input.name + " " + problem,
                {{"entities." + input.name, problem}}};
      }};
  return compute(schema, one, event_time, 1, row.values.data(), row.statuses.data());
}

std::optional<Timestamp> event_time_of(const SchemaHandle& schema,
                                       const std::vector<std::optional<Timestamp>>& event_times,
                                       std::size_t rows, std::size_t row, std::size_t feature) {
  const Slot& slot = schema.slots[feature];
  if (!slot.is_computed()) return event_times[slot.view * rows + row];
  std::optional<Timestamp> oldest;
  for (const std::size_t view : schema.plan->outputs[slot.feature].views)
    if (const auto& at = event_times[view * rows + row]; at && (!oldest || *at < *oldest))
      oldest = at;
  return oldest;
}

}  // namespace penstock::features::transform
