// What the nodes of one run of a graph gave: tensors as models and callers have them, and columns
// as expressions do.
#pragma once

#include "features/transform/program.h"
#include "graphs/table_graph.h"
#include "ports/infer.h"

namespace penstock::serving {

struct Column {
  features::transform::Type type = features::transform::Type::real;
  std::vector<Scalar> cells;  // one a row; null where there is no value
};

features::transform::Type type_of_datatype(std::string_view datatype);
std::string datatype_of(features::transform::Type type);
// As a caller would write it; nothing for null.
std::optional<std::string> text_of_cell(const Scalar& cell);

class Values {
 public:
  // data_loss where a tensor has not as many rows as those before it.
  Result<void> put(const std::string& name, infer::Tensor tensor);
  void put(const std::string& name, Column column);

  std::size_t rows() const { return rows_; }
  // failed_precondition where there is no such value, or it is a matrix and no column is named.
  Result<Column> column(const graphs::Reference& reference) const;
  // A value as a tensor of its own datatype; a null has a word in floating point alone.
  Result<infer::Tensor> tensor(const graphs::Reference& reference) const;
  // Values side by side, as a model takes them.
  Result<infer::Tensor> input(const infer::TensorInfo& info,
                              const std::vector<graphs::Reference>& columns) const;

 private:
  std::map<std::string, infer::Tensor> tensors_;
  std::map<std::string, Column> columns_;
  std::size_t rows_ = 0;
};

}  // namespace penstock::serving
