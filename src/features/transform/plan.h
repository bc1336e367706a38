// The transforms of a feature schema, ready to run: online over one request, offline over the rows
// of a join. Both run the same program.
#pragma once

#include <functional>
#include <map>

#include "features/schema.h"
#include "features/transform/program.h"
#include "ports/olap.h"

namespace penstock::features {
struct JoinOptions;
}

namespace penstock::features::transform {

// The instant that a row is asked for, as expressions call it.
inline constexpr std::string_view instant_name = "event_time";

struct Plan {
  enum class From { instant, input, feature };
  struct Argument {
    From from = From::instant;
    std::size_t number = 0;  // of SchemaHandle::inputs; or of its features
  };
  struct Output {
    std::size_t feature = 0;             // of the schema's features
    std::vector<std::size_t> arguments;  // that it is made from, at last
    std::vector<std::size_t> views;      // whose features are among them
  };
  Program program;
  std::vector<Argument> arguments;  // the program's
  std::vector<Output> outputs;      // the program's
  std::string function;  // what the offline engine calls it: the same name, the same plan
};

// Nothing for types that no expression reads or gives: decimals, lists, embeddings.
std::optional<Type> type_of(FeatureType type);
FeatureType feature_type(Type type);

// Compiles the transforms of a schema whose features of views have `types` by place; fills in the
// types of transforms that do not say theirs. Null where there are none. Faults name their field.
// `views` of its outputs are the caller's to fill.
Result<std::shared_ptr<Plan>> plan_of(olap::Session& session, FeatureSchema& schema,
                                      const std::vector<std::optional<FeatureType>>& types);

// The values of requests, as text; a missing one has no data.
struct Request {
  std::function<std::string_view(const FeatureInput& input, std::size_t row)> value;
  std::function<Error(const FeatureInput& input, std::size_t row, const std::string& problem)>
      fault;
};
// Online: computes the transforms of rows whose features of views are read. `values` and `statuses`
// hold feature after feature, each of all rows. An input that is missing or none of its type is a
// fault.
Result<void> compute(const SchemaHandle& schema, const Request& request, Timestamp event_time,
                     std::size_t rows, Scalar* values, Status* statuses);
Result<void> compute(const SchemaHandle& schema, const std::map<std::string, std::string>& request,
                     Timestamp event_time, FeatureRow& row);
// How old a feature of a row is: a transform is as old as the oldest that it is made from.
// `event_times` are view after view, each of all rows.
std::optional<Timestamp> event_time_of(const SchemaHandle& schema,
                                       const std::vector<std::optional<Timestamp>>& event_times,
                                       std::size_t rows, std::size_t row, std::size_t feature);

// Offline: the plan as a function of the engine, of a timestamp that it does not read and of the
// program's arguments.
olap::Function function_of(const std::shared_ptr<const Plan>& plan);
// What is wrong with the entity rows' columns for the schema's inputs.
void check_inputs(const SchemaHandle& schema, const std::vector<olap::Column>& columns,
                  const std::string& field, std::vector<Violation>& faults);
// `joined` gives the entity rows' `columns`, the schema's features of views as they are, and
// oldest_event_time where it is asked for. The statement gives all features in the schema's order,
// and keeps the rows' order.
Result<std::string> computed_statement(olap::Session& session, const SchemaHandle& schema,
                                       const std::vector<olap::Column>& columns,
                                       const std::string& joined, const JoinOptions& options);

}  // namespace penstock::features::transform
