#include "api/http/rows.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <simdjson.h>

#include "api/http/v2_codec.h"
#include "serving/text.h"

namespace penstock::api::rows {
namespace {

Error wrong(std::string message) { return {Code::invalid_argument, std::move(message)}; }

std::string names_of(const std::vector<infer::TensorInfo>& inputs) {
  std::string text;
  for (const infer::TensorInfo& input : inputs)
    text += (text.empty() ? "" : ", ") + input.name + " " + input.datatype;
  return text.empty() ? "nothing" : text;
}

// What an error repeats of a caller's own words: whole letters of UTF-8.
std::string shortened(std::string text) {
  constexpr std::size_t most = 100;
  if (text.size() <= most) return text;
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  text.resize(end);
  return text + "...";
}

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// A number of JSON, or of CSV's text; nothing where it is none.
template <class T>
std::optional<T> number_of(const json::value& cell, bool from_text) {
  if (from_text && cell.is_string()) {
    const std::string_view text = cell.get_string();
    T value{};
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    if (read.ec == std::errc{} && read.ptr == text.data() + text.size()) return value;
    return std::nullopt;
  }
  boost::system::error_code fault;
  if (std::is_integral_v<T> && cell.is_double() && std::trunc(cell.get_double()) != cell)
    return std::nullopt;
  const T value = cell.is_number() ? cell.to_number<T>(fault) : T{};
  if (!cell.is_number() || fault) return std::nullopt;
  return value;
}

template <class T>
bool put_number(const json::value& cell, bool from_text, std::string& out) {
  if constexpr (std::is_floating_point_v<T>) {
    const bool missing = cell.is_null() || (from_text && cell.is_string() && cell == "");
    const auto value =
        missing ? std::numeric_limits<double>::quiet_NaN() : number_of<double>(cell, from_text);
    if (!value || (std::isfinite(*value) && !std::isfinite(static_cast<T>(*value)))) return false;
    put(out, static_cast<T>(*value));
  } else {
    const auto value = number_of<T>(cell, from_text);
    if (!value) return false;
    put(out, *value);
  }
  return true;
}

bool put_bool(const json::value& cell, std::string& out) {
  if (cell.is_bool()) {
    put(out, cell.get_bool());
  } else if (cell == "true" || cell == "True" || cell == "1") {
    put(out, true);
  } else if (cell == "false" || cell == "False" || cell == "0") {
    put(out, false);
  } else {
    return false;
  }
  return true;
}

bool put_text(const json::value& cell, std::string& out) {
  if (cell.is_string())
    v2::put_bytes(std::string_view(cell.get_string()), out);
  else if (cell.is_number() || cell.is_bool())
    v2::put_bytes(json::serialize(cell), out);
  else
    return false;
  return true;
}

Result<void> put_cell(const json::value& cell, bool from_text, infer::Tensor& tensor) {
  const std::string& type = tensor.datatype;
  std::string& out = tensor.bytes;
  bool done = false;
  if (type == "FP32") done = put_number<float>(cell, from_text, out);
  if (type == "FP64") done = put_number<double>(cell, from_text, out);
  if (type == "INT8") done = put_number<std::int8_t>(cell, from_text, out);
  if (type == "INT16") done = put_number<std::int16_t>(cell, from_text, out);
  if (type == "INT32") done = put_number<std::int32_t>(cell, from_text, out);
  if (type == "INT64") done = put_number<std::int64_t>(cell, from_text, out);
  if (type == "UINT8") done = put_number<std::uint8_t>(cell, from_text, out);
  if (type == "UINT16") done = put_number<std::uint16_t>(cell, from_text, out);
  if (type == "UINT32") done = put_number<std::uint32_t>(cell, from_text, out);
  if (type == "UINT64") done = put_number<std::uint64_t>(cell, from_text, out);
  if (type == "BOOL") done = put_bool(cell, out);
  if (type == "BYTES") done = put_text(cell, out);
  if (done) return {};
  return wrong("column " + tensor.name + ": " + shortened(json::serialize(cell)) +
               " is no value of datatype " + type);
}

// Nested lists, as deep everywhere and of one length on each level, become one tensor.
Result<void> put_nested(const json::value& data, std::size_t depth, infer::Tensor& tensor) {
  if (!data.is_array()) {
    if (depth == tensor.shape.size()) return put_cell(data, false, tensor);
    return wrong("input " + tensor.name + ": its lists are not all nested as deep");
  }
  const auto size = static_cast<std::int64_t>(data.get_array().size());
  if (depth >= tensor.shape.size() || tensor.shape[depth] != size)
    return wrong("input " + tensor.name + ": its lists are not all of one length");
  for (const json::value& item : data.get_array()) TRY(put_nested(item, depth + 1, tensor));
  return {};
}

Result<infer::Tensor> tensor_of(const infer::TensorInfo& input, const json::value& data) {
  infer::Tensor tensor{.name = input.name, .datatype = input.datatype};
  for (const json::value* level = &data; level->is_array(); level = &level->get_array().front()) {
    tensor.shape.push_back(static_cast<std::int64_t>(level->get_array().size()));
    if (tensor.shape.size() > 16) return wrong("input " + input.name + " is nested too deeply");
    if (level->get_array().empty()) break;
  }
  if (tensor.shape.empty()) return wrong("input " + input.name + " must be a list");
  TRY(put_nested(data, 0, tensor));
  // A list of numbers where the model wants a column of them.
  if (input.shape.size() == 2 && input.shape[1] == 1 && tensor.shape.size() == 1)
    tensor.shape.push_back(1);
  return tensor;
}

const infer::TensorInfo* named(const std::vector<infer::TensorInfo>& inputs,
                               std::string_view name) {
  const auto found =
      std::find_if(inputs.begin(), inputs.end(),
                   [&](const infer::TensorInfo& input) { return input.name == name; });
  return found == inputs.end() ? nullptr : &*found;
}

// Whether each column is one of these inputs.
bool are_columns(const std::vector<infer::TensorInfo>& inputs, const Table& table) {
  return !table.columns.empty() &&
         std::all_of(table.columns.begin(), table.columns.end(),
                     [&](const std::string& column) { return named(inputs, column); });
}

Result<std::vector<infer::Tensor>> by_column(const std::vector<infer::TensorInfo>& inputs,
                                             const Table& table) {
  std::vector<infer::Tensor> out;
  for (std::size_t at = 0; at < table.columns.size(); ++at) {
    const infer::TensorInfo& input = *named(inputs, table.columns[at]);
    infer::Tensor tensor{.name = input.name,
                         .datatype = input.datatype,
                         .shape = {static_cast<std::int64_t>(table.rows.size())}};
    if (input.shape.size() == 2) tensor.shape.push_back(1);
    for (const json::array& row : table.rows) TRY(put_cell(row[at], table.from_text, tensor));
    out.push_back(std::move(tensor));
  }
  return out;
}

Result<Table> read_split(const json::value& in) {
  Table table;
  const json::object* split = in.if_object();
  const json::value* data = split ? split->if_contains("data") : nullptr;
  if (!data || !data->is_array()) return wrong("dataframe_split must be an object with data");
  if (const json::value* columns = split->if_contains("columns")) {
    if (!columns->is_array()) return wrong("dataframe_split.columns must be a list");
    for (const json::value& column : columns->get_array())
      table.columns.push_back(column.is_string() ? std::string(column.get_string())
                                                 : json::serialize(column));
  }
  for (const json::value& row : data->get_array()) {
    if (!row.is_array()) return wrong("dataframe_split.data must be a list of lists");
    table.rows.push_back(row.get_array());
  }
  return table;
}

// A key that a record lacks is no value there.
Result<Table> read_records(const json::value& in, const std::string& field) {
  if (!in.is_array()) return wrong(field + " must be a list of objects");
  Table table;
  std::map<std::string, std::size_t, std::less<>> places;
  for (const json::value& record : in.get_array()) {
    if (!record.is_object()) return wrong(field + " must be a list of objects");
    json::array& row = table.rows.emplace_back(table.columns.size());
    for (const auto& entry : record.get_object()) {
      auto place = places.find(std::string_view(entry.key()));
      if (place == places.end()) {
        if (table.columns.size() == columns_max) return wrong(field + " has too many columns");
        place = places.emplace(entry.key(), table.columns.size()).first;
        table.columns.emplace_back(entry.key());
        row.emplace_back(nullptr);
      }
      row[place->second] = entry.value();
    }
  }
  for (json::array& row : table.rows) row.resize(table.columns.size());
  return table;
}

Result<std::vector<infer::Tensor>> read_tensors(const json::value& in, const std::string& field,
                                                const v2::ModelDescription& model) {
  const auto& inputs = model.own_inputs.empty() ? model.inputs : model.own_inputs;
  if (const json::array* list = in.if_array()) {
    if (!list->empty() && list->front().is_object())
      return tensors_of(TRY(read_records(in, field)), model);
    if (inputs.size() != 1)
      return wrong(field + " must name its inputs: the model takes " + names_of(inputs));
    return std::vector{TRY(tensor_of(inputs.front(), in))};
  }
  if (!in.is_object()) return wrong(field + " must be a list, or an object of lists");
  std::vector<infer::Tensor> out;
  for (const auto& entry : in.get_object()) {
    const infer::TensorInfo* input = named(model.inputs, entry.key());
    if (!input) input = named(model.own_inputs, entry.key());
    if (!input)
      return wrong("input " + std::string(entry.key()) + " is unknown; the route takes " +
                   names_of(model.inputs));
    out.push_back(TRY(tensor_of(*input, entry.value())));
  }
  return out;
}

Result<std::map<std::string, std::string>> read_params(const json::object& body) {
  std::map<std::string, std::string> out;
  const json::value* params = body.if_contains("params");
  if (!params || params->is_null()) return out;
  if (!params->is_object()) return wrong("params must be an object");
  for (const auto& entry : params->get_object())
    out[std::string(entry.key())] = entry.value().is_string()
                                        ? std::string(entry.value().get_string())
                                        : json::serialize(entry.value());
  return out;
}

// The row's part of a tensor; all of it where it has another number of rows.
Result<void> write_row(std::string& out, const infer::Tensor& tensor, std::size_t row,
                       std::size_t rows, const std::vector<std::string>& texts) {
  infer::Tensor part{.name = tensor.name, .datatype = tensor.datatype};
  std::size_t count = texts.size();
  if (tensor.datatype == "BYTES") {
    const std::size_t width = count % rows == 0 ? count / rows : 0;
    for (std::size_t at = row * width; at < (row + 1) * width; ++at)
      v2::put_bytes(texts[at], part.bytes);
    count = width;
  } else {
    const std::size_t size = infer::size_of(tensor.datatype);
    const std::size_t width = size ? tensor.bytes.size() / size / rows : 0;
    part.bytes = tensor.bytes.substr(row * width * size, width * size);
    count = width;
  }
  if (count != 1) out += '[';
  TRY(v2::write_data(out, part));
  if (count != 1) out += ']';
  return {};
}

}  // namespace

Result<std::vector<infer::Tensor>> tensors_of(const Table& table,
                                              const v2::ModelDescription& model) {
  if (table.rows.empty()) return wrong("there is no row to predict");
  const std::size_t width = table.columns.empty() ? table.rows[0].size() : table.columns.size();
  if (width > columns_max)
    return wrong("there are more than " + std::to_string(columns_max) + " columns");
  for (std::size_t row = 0; row < table.rows.size(); ++row)
    if (table.rows[row].size() != width)
      return wrong("row " + std::to_string(row) + " has " + std::to_string(table.rows[row].size()) +
                   " cells; there are " + std::to_string(width) + " columns");
  for (std::size_t at = 0; at < table.columns.size(); ++at)
    if (std::find(table.columns.begin(), table.columns.begin() + static_cast<std::ptrdiff_t>(at),
                  table.columns[at]) != table.columns.begin() + static_cast<std::ptrdiff_t>(at))
      return wrong("column " + table.columns[at] + " stands twice");
  if (are_columns(model.inputs, table)) return by_column(model.inputs, table);
  if (are_columns(model.own_inputs, table)) return by_column(model.own_inputs, table);
  const auto& own = model.own_inputs;
  const bool matrix = own.size() == 1 && own[0].shape.size() == 2 && own[0].datatype != "BYTES" &&
                      (own[0].shape[1] == static_cast<std::int64_t>(width) || own[0].shape[1] < 0);
  if (!matrix) {
    std::string columns;
    for (const std::string& column : table.columns)
      columns += (columns.empty() ? "" : ", ") + column;
    return wrong("the columns are " + (columns.empty() ? std::to_string(width) : columns) +
                 ", and route " + model.name + " takes " + names_of(model.inputs));
  }
  infer::Tensor tensor{
      .name = own[0].name,
      .datatype = own[0].datatype,
      .shape = {static_cast<std::int64_t>(table.rows.size()), static_cast<std::int64_t>(width)}};
  for (const json::array& row : table.rows)
    for (const json::value& cell : row) TRY(put_cell(cell, table.from_text, tensor));
  return std::vector{std::move(tensor)};
}

Result<v2::InferBody> read_json(const json::value& body, const v2::ModelDescription& model) {
  static constexpr std::array<std::string_view, 4> forms = {"dataframe_split", "dataframe_records",
                                                            "instances", "inputs"};
  const json::object* object = body.if_object();
  if (!object) return wrong("the body must be an object");
  const json::value* given = nullptr;
  std::string form;
  for (const std::string_view name : forms)
    if (const json::value* found = object->if_contains(name)) {
      if (given) return wrong("the body has both " + form + " and " + std::string(name));
      given = found;
      form = name;
    }
  if (!given)
    return wrong(
        "the body must have one of dataframe_split, dataframe_records, instances and inputs");
  v2::InferBody out{.parameters = TRY(read_params(*object))};
  if (form == "dataframe_split")
    out.inputs = TRY(tensors_of(TRY(read_split(*given)), model));
  else if (form == "dataframe_records")
    out.inputs = TRY(tensors_of(TRY(read_records(*given, form)), model));
  else
    out.inputs = TRY(read_tensors(*given, form, model));
  return out;
}

Result<Table> read_csv(std::string_view text) {
  if (!simdjson::validate_utf8(text.data(), text.size())) return wrong("the CSV is no UTF-8");
  Table table{.from_text = true};
  json::array row;
  std::string cell;
  std::size_t line = 1;
  const auto end_row = [&]() -> Result<void> {
    row.emplace_back(cell);
    cell.clear();
    const bool blank = row.size() == 1 && row.front() == "";
    if (blank) {
      row.clear();
      return {};
    }
    if (table.columns.empty()) {
      for (const json::value& name : row) table.columns.emplace_back(name.get_string());
      if (row.size() > columns_max) return wrong("the CSV has too many columns");
    } else if (row.size() != table.columns.size()) {
      return wrong("line " + std::to_string(line) + " of the CSV has " +
                   std::to_string(row.size()) + " cells; the first one has " +
                   std::to_string(table.columns.size()));
    } else {
      table.rows.push_back(std::move(row));
    }
    row = {};
    return {};
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char letter = text[at];
    if (letter == '"' && cell.empty()) {
      // Until the quote that is no doubled one.
      for (++at; at < text.size(); ++at) {
        if (text[at] == '"' && (at + 1 == text.size() || text[at + 1] != '"')) break;
        if (text[at] == '"') ++at;
        cell += text[at];
      }
      if (at == text.size()) return wrong("the CSV ends within quotes");
    } else if (letter == ',') {
      row.emplace_back(cell);
      cell.clear();
    } else if (letter == '\n') {
      TRY(end_row());
      ++line;
    } else if (letter != '\r') {
      cell += letter;
    }
  }
  if (!cell.empty() || !row.empty()) TRY(end_row());
  if (table.columns.empty()) return wrong("the CSV is empty; its first line has the columns");
  return table;
}

Result<std::string> answer_text(const v2::InferReply& reply, const v2::ModelDescription& model) {
  std::vector<const infer::Tensor*> said;
  std::vector<std::vector<std::string>> texts;
  std::vector<std::string> ids;
  for (const infer::Tensor& tensor : reply.outputs) {
    if (tensor.name == "prediction_id") ids = TRY(v2::bytes_elements(tensor));
    const bool answers = reply.own_outputs ? named(model.own_outputs, tensor.name) != nullptr
                                           : tensor.name == "score";
    if (!answers) continue;
    said.push_back(&tensor);
    texts.push_back(tensor.datatype == "BYTES" ? TRY(v2::bytes_elements(tensor))
                                               : std::vector<std::string>());
  }
  std::string out = "{\"predictions\":[";
  for (std::size_t row = 0; row < ids.size(); ++row) {
    if (row) out += ',';
    if (said.size() != 1) out += '{';
    for (std::size_t at = 0; at < said.size(); ++at) {
      if (at) out += ',';
      if (said.size() != 1) {
        serving::write_text(out, said[at]->name);
        out += ':';
      }
      TRY(write_row(out, *said[at], row, ids.size(), texts[at]));
    }
    if (said.size() != 1) out += '}';
  }
  out += "],\"prediction_ids\":";
  serving::write_json(out, ids);
  out += ",\"model_version\":";
  serving::write_text(out, reply.version);
  return out + "}";
}

}  // namespace penstock::api::rows
