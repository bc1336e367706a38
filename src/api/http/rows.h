// Rows and tensors as MLflow's scoring protocol writes them.
#pragma once

#include "api/inference.h"

namespace penstock::api::rows {

inline constexpr std::size_t columns_max = 10'000;

// Cells are JSON values; of CSV they are all texts, and an empty one is no value.
struct Table {
  std::vector<std::string> columns;  // none: the cells have no names
  std::vector<json::array> rows;
  bool from_text = false;
};

// RFC 4180 with a line of names first; invalid_argument says which line is wrong.
Result<Table> read_csv(std::string_view text);

// The inputs of a call in one of MLflow's forms: dataframe_split, dataframe_records, instances or
// inputs. `params` are request parameters as those of the Open Inference Protocol.
Result<v2::InferBody> read_json(const json::value& body, const v2::ModelDescription& model);
// Columns by their names; by their order where the model has one matrix of that width.
Result<std::vector<infer::Tensor>> tensors_of(const Table& table,
                                              const v2::ModelDescription& model);

// {"predictions": [...]}: of each row the value of the model's one output, or an object where it
// has several; the score where the route reads features.
Result<std::string> answer_text(const v2::InferReply& reply, const v2::ModelDescription& model);

}  // namespace penstock::api::rows
