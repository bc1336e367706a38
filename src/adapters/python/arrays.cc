#include "adapters/python/arrays.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <arrow/api.h>
#include <arrow/io/api.h>
#include <arrow/ipc/api.h>
#include <boost/json.hpp>

namespace penstock::python {
namespace {

namespace json = boost::json;

// As they travel: V2's BOOL is a byte.
std::shared_ptr<arrow::DataType> arrow_type(std::string_view datatype) {
  if (datatype == "BOOL" || datatype == "UINT8") return arrow::uint8();
  if (datatype == "INT8") return arrow::int8();
  if (datatype == "INT16") return arrow::int16();
  if (datatype == "INT32") return arrow::int32();
  if (datatype == "INT64") return arrow::int64();
  if (datatype == "UINT16") return arrow::uint16();
  if (datatype == "UINT32") return arrow::uint32();
  if (datatype == "UINT64") return arrow::uint64();
  if (datatype == "FP16") return arrow::float16();
  if (datatype == "FP32") return arrow::float32();
  if (datatype == "FP64") return arrow::float64();
  if (datatype == "BYTES") return arrow::large_binary();
  return nullptr;
}

Error damaged(std::string_view what) {
  return {Code::data_loss, "the worker's answer cannot be read: " + std::string(what)};
}
Error damaged(const arrow::Status& status) { return damaged(status.ToString()); }

Result<std::shared_ptr<arrow::Array>> values_of(const infer::Tensor& tensor) {
  const auto type = arrow_type(tensor.datatype);
  if (!type)
    return Error{Code::invalid_argument, "input " + tensor.name + " is " + tensor.datatype +
                                             ", which a python model cannot take"};
  const auto count = static_cast<std::int64_t>(infer::elements_of(tensor.shape).value_or(0));
  if (tensor.datatype != "BYTES")
    return arrow::MakeArray(arrow::ArrayData::Make(
        type, count,
        {nullptr,
         std::make_shared<arrow::Buffer>(reinterpret_cast<const std::uint8_t*>(tensor.bytes.data()),
                                         static_cast<std::int64_t>(tensor.bytes.size()))},
        0));
  arrow::LargeBinaryBuilder builder;
  const auto texts = infer::texts_of(tensor.bytes, static_cast<std::size_t>(count));
  for (const std::string_view text : texts.value_or(std::vector<std::string_view>()))
    if (!builder.Append(text).ok())
      return Error{Code::resource_exhausted, "there is no memory for input " + tensor.name};
  std::shared_ptr<arrow::Array> out;
  if (!builder.Finish(&out).ok())
    return Error{Code::resource_exhausted, "there is no memory for input " + tensor.name};
  return out;
}

Result<infer::Tensor> tensor_of(const arrow::Field& field, const arrow::Array& column) {
  infer::Tensor out{.name = field.name()};
  const auto metadata = field.metadata();
  if (!metadata) return damaged("no metadata");
  const auto shape = metadata->Get("shape"), datatype = metadata->Get("datatype");
  if (!shape.ok() || !datatype.ok()) return damaged("no shape or datatype");
  out.datatype = *datatype;
  json::error_code fault;
  const json::value sizes = json::parse(*shape, fault);
  if (fault || !sizes.is_array()) return damaged("its shape");
  for (const json::value& size : sizes.get_array()) {
    if (!size.is_int64() || size.get_int64() < 0) return damaged("its shape");
    out.shape.push_back(size.get_int64());
  }
  const auto type = arrow_type(out.datatype);
  if (!type || !column.type()->Equals(arrow::large_list(type))) return damaged("its datatype");
  const auto values = static_cast<const arrow::LargeListArray&>(column).value_slice(0);
  const auto count = infer::elements_of(out.shape);
  if (!count || static_cast<std::size_t>(values->length()) != *count || values->null_count() > 0)
    return damaged("its shape says another number of elements");
  if (out.datatype == "BYTES") {
    const auto& texts = static_cast<const arrow::LargeBinaryArray&>(*values);
    for (std::int64_t at = 0; at < texts.length(); ++at) {
      const auto text = texts.GetView(at);
      if (text.size() > std::numeric_limits<std::uint32_t>::max()) return damaged("a text of 4 GB");
      infer::append_text(text, out.bytes);
    }
    return out;
  }
  const std::size_t size = infer::size_of(out.datatype);
  if (const auto& buffer = values->data()->buffers.at(1); buffer && *count > 0)
    out.bytes.assign(reinterpret_cast<const char*>(buffer->data()) +
                         static_cast<std::size_t>(values->offset()) * size,
                     *count * size);
  return out;
}

}  // namespace

Result<std::string> write_arrays(const std::vector<infer::Tensor>& tensors) {
  std::vector<std::shared_ptr<arrow::Field>> fields;
  std::vector<std::shared_ptr<arrow::Array>> columns;
  for (const infer::Tensor& tensor : tensors) {
    const auto values = TRY(values_of(tensor));
    const std::int64_t ends[] = {0, values->length()};
    auto bounds =
        arrow::Buffer::FromString(std::string(reinterpret_cast<const char*>(ends), sizeof ends));
    const auto type = arrow::large_list(values->type());
    columns.push_back(arrow::MakeArray(
        arrow::ArrayData::Make(type, 1, {nullptr, std::move(bounds)}, {values->data()}, 0)));
    json::array shape(tensor.shape.begin(), tensor.shape.end());
    fields.push_back(
        arrow::field(tensor.name, type, false,
                     arrow::key_value_metadata({"shape", "datatype"},
                                               {json::serialize(shape), tensor.datatype})));
  }
  const auto batch = arrow::RecordBatch::Make(arrow::schema(fields), 1, columns);
  const auto write = [&]() -> arrow::Result<std::string> {
    ARROW_ASSIGN_OR_RAISE(auto sink, arrow::io::BufferOutputStream::Create());
    ARROW_ASSIGN_OR_RAISE(auto writer, arrow::ipc::MakeStreamWriter(sink, batch->schema()));
    ARROW_RETURN_NOT_OK(writer->WriteRecordBatch(*batch));
    ARROW_RETURN_NOT_OK(writer->Close());
    ARROW_ASSIGN_OR_RAISE(auto bytes, sink->Finish());
    return bytes->ToString();
  };
  auto written = write();
  if (written.ok()) return std::move(written).ValueUnsafe();
  return Error{Code::resource_exhausted,
               "the inputs cannot be sent: " + written.status().message()};
}

Result<std::vector<infer::Tensor>> read_arrays(std::string_view bytes) {
  const auto buffer = std::make_shared<arrow::Buffer>(
      reinterpret_cast<const std::uint8_t*>(bytes.data()), static_cast<std::int64_t>(bytes.size()));
  auto reader =
      arrow::ipc::RecordBatchStreamReader::Open(std::make_shared<arrow::io::BufferReader>(buffer));
  if (!reader.ok()) return damaged(reader.status());
  std::shared_ptr<arrow::RecordBatch> batch;
  if (const auto read = (*reader)->ReadNext(&batch); !read.ok()) return damaged(read);
  if (!batch || batch->num_rows() != 1) return damaged("it is not one row");
  if (const auto whole = batch->ValidateFull(); !whole.ok()) return damaged(whole);
  std::vector<infer::Tensor> out;
  for (int at = 0; at < batch->num_columns(); ++at)
    out.push_back(TRY(tensor_of(*batch->schema()->field(at), *batch->column(at))));
  return out;
}

}  // namespace penstock::python
