#include "serving/graph_values.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "serving/text.h"

namespace penstock::serving {
namespace {

namespace transform = features::transform;

std::string path_of(const graphs::Reference& reference) {
  return reference.part.empty() ? reference.name : reference.name + "." + reference.part;
}

// Calls visit with a value of the datatype's C++ type; false where it has none.
bool with_type(std::string_view datatype, const auto& visit) {
  if (datatype == "FP32") return visit(float{}), true;
  if (datatype == "FP64") return visit(double{}), true;
  if (datatype == "INT64") return visit(std::int64_t{}), true;
  if (datatype == "INT32") return visit(std::int32_t{}), true;
  if (datatype == "INT16") return visit(std::int16_t{}), true;
  if (datatype == "INT8") return visit(std::int8_t{}), true;
  if (datatype == "UINT64") return visit(std::uint64_t{}), true;
  if (datatype == "UINT32") return visit(std::uint32_t{}), true;
  if (datatype == "UINT16") return visit(std::uint16_t{}), true;
  if (datatype == "UINT8" || datatype == "BOOL") return visit(std::uint8_t{}), true;
  return false;
}

// One column of a tensor, read with a stride.
Result<std::vector<Scalar>> cells_of(const infer::Tensor& tensor, std::size_t rows,
                                     std::size_t width, std::size_t column) {
  std::vector<Scalar> out;
  out.reserve(rows);
  if (tensor.datatype == "BYTES") {
    const auto texts = infer::texts_of(tensor.bytes, rows * width);
    if (!texts) return Error{Code::data_loss, tensor.name + " is not as long as its shape says"};
    for (std::size_t row = 0; row < rows; ++row)
      out.emplace_back(std::string((*texts)[row * width + column]));
    return out;
  }
  if (tensor.bytes.size() != rows * width * infer::size_of(tensor.datatype))
    return Error{Code::data_loss, tensor.name + " is not as long as its shape says"};
  const bool known = with_type(tensor.datatype, [&]<class T>(T value) {
    for (std::size_t row = 0; row < rows; ++row) {
      std::memcpy(&value, tensor.bytes.data() + (row * width + column) * sizeof value,
                  sizeof value);
      if constexpr (std::is_floating_point_v<T>)
        out.push_back(std::isnan(value) ? Scalar() : Scalar(static_cast<double>(value)));
      else if (tensor.datatype == "BOOL")
        out.emplace_back(value != 0);
      else
        out.emplace_back(static_cast<std::int64_t>(value));
    }
  });
  if (!known)
    return Error{Code::failed_precondition,
                 tensor.name + " is of datatype " + tensor.datatype + ", which no graph reads"};
  return out;
}

// Whether the cell can be said in the datatype; appended to `bytes` where it can.
bool put_cell(std::string_view datatype, const Scalar& cell, std::string& bytes) {
  if (datatype == "BYTES") {
    const auto text = text_of_cell(cell);
    if (text) infer::append_text(*text, bytes);
    return text.has_value();
  }
  double number = std::numeric_limits<double>::quiet_NaN();
  std::optional<std::int64_t> whole;
  if (const auto* real = std::get_if<double>(&cell)) number = *real;
  if (const auto* said = std::get_if<std::int64_t>(&cell)) whole = *said;
  if (const auto* said = std::get_if<bool>(&cell)) whole = *said ? 1 : 0;
  if (std::holds_alternative<std::string>(cell)) return false;
  bool fits = false;
  with_type(datatype, [&]<class T>(T value) {
    if constexpr (std::is_floating_point_v<T>) {
      value = whole ? static_cast<T>(*whole) : static_cast<T>(number);
      fits = true;
    } else {
      // A number with a fraction, or beyond what the datatype holds, is none of it.
      if (!whole && number == std::trunc(number) && std::abs(number) < 0x1p63)
        whole = static_cast<std::int64_t>(number);
      fits = whole && std::in_range<T>(*whole) && (datatype != "BOOL" || *whole <= 1);
      if (fits) value = static_cast<T>(*whole);
    }
    if (fits) bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  });
  return fits;
}

}  // namespace

transform::Type type_of_datatype(std::string_view datatype) {
  if (datatype == "BYTES") return transform::Type::text;
  if (datatype == "BOOL") return transform::Type::boolean;
  return datatype.starts_with("FP") ? transform::Type::real : transform::Type::bigint;
}

std::string datatype_of(transform::Type type) {
  switch (type) {
    case transform::Type::real: return "FP64";
    case transform::Type::boolean: return "BOOL";
    case transform::Type::text: return "BYTES";
    default: return "INT64";  // a timestamp: microseconds since 1970
  }
}

std::optional<std::string> text_of_cell(const Scalar& cell) {
  if (const auto* text = std::get_if<std::string>(&cell)) return *text;
  if (const auto* whole = std::get_if<std::int64_t>(&cell)) return std::to_string(*whole);
  if (const auto* said = std::get_if<bool>(&cell)) return *said ? "true" : "false";
  std::string out;
  if (const auto* real = std::get_if<double>(&cell)) {
    write_number(out, *real);
    return out;
  }
  return {};
}

Result<void> Values::put(const std::string& name, infer::Tensor tensor) {
  const std::size_t rows =
      tensor.shape.empty() ? 0
                           : static_cast<std::size_t>(std::max<std::int64_t>(tensor.shape[0], 0));
  if (tensors_.empty()) rows_ = rows;
  if (rows == 0 || rows != rows_)
    return Error{Code::invalid_argument, name + " has " + std::to_string(rows) +
                                             " rows, and what came before has " +
                                             std::to_string(rows_)};
  tensors_[name] = std::move(tensor);
  return {};
}

void Values::put(const std::string& name, Column column) { columns_[name] = std::move(column); }

Result<Column> Values::column(const graphs::Reference& reference) const {
  const std::string path = path_of(reference);
  if (const auto found = columns_.find(path); found != columns_.end()) {
    if (!reference.column) return found->second;
    return Error{Code::failed_precondition, path + " is one value a row; it has no columns"};
  }
  const auto found = tensors_.find(path);
  if (found == tensors_.end()) return Error{Code::failed_precondition, "there is no value " + path};
  const infer::Tensor& tensor = found->second;
  std::size_t width = 1;
  for (std::size_t i = 1; i < tensor.shape.size(); ++i)
    width *= static_cast<std::size_t>(std::max<std::int64_t>(tensor.shape[i], 0));
  const auto at = static_cast<std::size_t>(reference.column.value_or(0));
  if ((width != 1 && !reference.column) || at >= width)
    return Error{Code::failed_precondition, path + " has " + std::to_string(width) +
                                                " columns; say which one: " + path + ".0"};
  return Column{type_of_datatype(tensor.datatype), TRY(cells_of(tensor, rows_, width, at))};
}

Result<infer::Tensor> Values::tensor(const graphs::Reference& reference) const {
  if (!reference.column)
    if (const auto found = tensors_.find(path_of(reference)); found != tensors_.end())
      return found->second;
  const auto whole = tensors_.find(path_of(reference));
  const Column values = TRY(column(reference));
  infer::Tensor out{
      .name = path_of(reference),
      .datatype = whole == tensors_.end() ? datatype_of(values.type) : whole->second.datatype,
      .shape = {static_cast<std::int64_t>(rows_)}};
  for (const Scalar& cell : values.cells)
    if (!put_cell(out.datatype, cell, out.bytes))
      return Error{Code::failed_precondition,
                   out.name + " is null in a row, and " + out.datatype + " has no word for that"};
  return out;
}

Result<infer::Tensor> Values::input(const infer::TensorInfo& info,
                                    const std::vector<graphs::Reference>& columns) const {
  if (columns.size() == 1 && !columns[0].column)
    if (const auto found = tensors_.find(path_of(columns[0]));
        found != tensors_.end() && found->second.datatype == info.datatype) {
      infer::Tensor out = found->second;
      out.name = info.name;
      return out;
    }
  infer::Tensor out{
      .name = info.name, .datatype = info.datatype, .shape = {static_cast<std::int64_t>(rows_)}};
  if (info.shape.size() != 1 || columns.size() > 1)
    out.shape.push_back(static_cast<std::int64_t>(columns.size()));
  std::vector<Column> values;
  for (const graphs::Reference& reference : columns) values.push_back(TRY(column(reference)));
  for (std::size_t row = 0; row < rows_; ++row)
    for (std::size_t i = 0; i < columns.size(); ++i)
      if (!put_cell(info.datatype, values[i].cells[row], out.bytes))
        return Error{Code::failed_precondition, path_of(columns[i]) + " cannot be input " +
                                                    info.name + " of " + info.datatype};
  return out;
}

}  // namespace penstock::serving
