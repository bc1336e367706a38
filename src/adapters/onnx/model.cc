#include "adapters/onnx/model.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace penstock::onnx {
namespace {

struct Datatype {
  std::string_view name;
  ONNXTensorElementDataType type;
};

constexpr Datatype datatypes[] = {
    {"BOOL", ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL},
    {"UINT8", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8},
    {"UINT16", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16},
    {"UINT32", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32},
    {"UINT64", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64},
    {"INT8", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8},
    {"INT16", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16},
    {"INT32", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32},
    {"INT64", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64},
    {"FP16", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16},
    {"BF16", ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16},
    {"FP32", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT},
    {"FP64", ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE},
    {"BYTES", ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING},
};

constexpr std::size_t length_size = 4;

// A tensor of the signature, and what the Open Inference Protocol has no word for.
struct Place {
  infer::TensorInfo info;
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  bool any_rank = false;
};

std::string text_of(const std::vector<std::int64_t>& shape) {
  std::string out = "[";
  for (std::size_t at = 0; at < shape.size(); ++at)
    out += (at ? "," : "") + (shape[at] < 0 ? std::string("any") : std::to_string(shape[at]));
  return out + "]";
}

bool fits(const Place& place, const std::vector<std::int64_t>& shape) {
  if (std::ranges::any_of(shape, [](std::int64_t size) { return size < 0; })) return false;
  if (place.any_rank) return true;
  return std::ranges::equal(shape, place.info.shape, [](std::int64_t given, std::int64_t wanted) {
    return wanted < 0 || given == wanted;
  });
}

class Model final : public infer::Model {
 public:
  Model(std::shared_ptr<const Library> library, Handle<OrtSession> session)
      : library_(std::move(library)), api_(library_->api()), session_(std::move(session)) {}

  // Reads the signature; called once, before anybody else has the model.
  Result<void> read_signature() {
    std::size_t inputs = 0, outputs = 0;
    TRY(library_->done(api_.SessionGetInputCount(session_.get(), &inputs)));
    TRY(library_->done(api_.SessionGetOutputCount(session_.get(), &outputs)));
    for (std::size_t at = 0; at < inputs; ++at) {
      const auto place = TRY(place_of(at, api_.SessionGetInputName, api_.SessionGetInputTypeInfo));
      if (!place)
        return Error{Code::invalid_argument, "input " + std::to_string(at + 1) +
                                                 " of the model is no tensor of a known datatype"};
      places_.push_back(*place);
      inputs_.push_back(place->info);
    }
    for (std::size_t at = 0; at < outputs; ++at)
      if (const auto place =
              TRY(place_of(at, api_.SessionGetOutputName, api_.SessionGetOutputTypeInfo)))
        outputs_.push_back(place->info);
    if (outputs_.empty())
      return Error{Code::invalid_argument, "no output of the model is a tensor"};
    for (const auto& input : inputs_) input_names_.push_back(input.name.c_str());
    for (const auto& output : outputs_) output_names_.push_back(output.name.c_str());
    return {};
  }

  Result<Properties> properties() const {
    OrtModelMetadata* made = nullptr;
    TRY(library_->done(api_.SessionGetModelMetadata(session_.get(), &made)));
    const Handle<OrtModelMetadata> metadata(made, api_.ReleaseModelMetadata);
    Properties out;
    for (const char* key : {batch_rows_key, batch_wait_key}) {
      char* value = nullptr;
      TRY(library_->done(
          api_.ModelMetadataLookupCustomMetadataMap(made, library_->allocator(), key, &value)));
      if (!value) continue;
      out[key] = value;
      TRY(library_->done(api_.AllocatorFree(library_->allocator(), value)));
    }
    return out;
  }

  const std::vector<infer::TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<infer::TensorInfo>& outputs() const override { return outputs_; }

  Result<std::vector<infer::Tensor>> run(const std::vector<infer::Tensor>& inputs,
                                         const infer::RunLimits& limits) override {
    if (inputs.size() != places_.size())
      return Error{Code::invalid_argument, "the model takes " + std::to_string(places_.size()) +
                                               " inputs, not " + std::to_string(inputs.size())};
    std::vector<Handle<OrtValue>> owned;
    std::vector<const OrtValue*> values(places_.size());
    for (const infer::Tensor& input : inputs) {
      const std::size_t at = TRY(find(input));
      if (values[at]) return Error{Code::invalid_argument, "input " + input.name + " comes twice"};
      values[at] = owned.emplace_back(TRY(value_of(places_[at], input))).get();
    }
    std::vector<Handle<OrtValue>> results;
    TRY(run_until(limits.deadline, values, results));
    std::vector<infer::Tensor> out(outputs_.size());
    for (std::size_t at = 0; at < out.size(); ++at) {
      out[at].name = outputs_[at].name;
      TRY(read(results[at].get(), out[at]));
    }
    return out;
  }

 private:
  Result<void> run_until(Timestamp deadline, const std::vector<const OrtValue*>& values,
                         std::vector<Handle<OrtValue>>& results) const {
    OrtRunOptions* made = nullptr;
    if (deadline != Timestamp::max()) {
      if (SystemClock().now() >= deadline)
        return Error{Code::deadline_exceeded, "the deadline passed before the model could run"};
      TRY(library_->done(api_.CreateRunOptions(&made)));
    }
    const Handle<OrtRunOptions> options(made, api_.ReleaseRunOptions);
    std::optional<Deadlines::Watch> watch;
    if (made) watch.emplace(library_->deadlines(), deadline, made);
    std::vector<OrtValue*> answers(outputs_.size());
    OrtStatus* status =
        api_.Run(session_.get(), made, input_names_.data(), values.data(), values.size(),
                 output_names_.data(), output_names_.size(), answers.data());
    for (OrtValue* answer : answers) results.emplace_back(answer, api_.ReleaseValue);
    auto ran = library_->done(status);
    if (ran) return {};
    if (watch && watch->was_ended())
      return Error{Code::deadline_exceeded, "the deadline passed while the model ran"};
    // What the signature cannot say, as that two inputs have as many rows: the inputs are at
    // fault, since the model ran when it was loaded.
    Error error = ran.error();
    if (error.code == Code::internal) error.code = Code::invalid_argument;
    return error;
  }

  using NameOf = decltype(OrtApi::SessionGetInputName);
  using TypeOf = decltype(OrtApi::SessionGetInputTypeInfo);

  // Nothing where it is no tensor, or one of a datatype that the protocol lacks.
  Result<std::optional<Place>> place_of(std::size_t at, NameOf name_of, TypeOf type_of) {
    char* name = nullptr;
    TRY(library_->done(name_of(session_.get(), at, library_->allocator(), &name)));
    Place out;
    out.info.name = name;
    TRY(library_->done(api_.AllocatorFree(library_->allocator(), name)));
    OrtTypeInfo* made = nullptr;
    TRY(library_->done(type_of(session_.get(), at, &made)));
    const Handle<OrtTypeInfo> type(made, api_.ReleaseTypeInfo);
    const OrtTensorTypeAndShapeInfo* tensor = nullptr;  // belongs to `type`
    TRY(library_->done(api_.CastTypeInfoToTensorInfo(type.get(), &tensor)));
    if (!tensor) return std::optional<Place>();
    TRY(read_shape(*tensor, out.type, out.info));
    out.any_rank = !api_.TensorTypeAndShape_HasShape(tensor);
    if (out.info.datatype.empty()) return std::optional<Place>();
    return std::optional(std::move(out));
  }

  // `out` has a datatype and a shape: TensorInfo or Tensor.
  template <class Out>
  Result<void> read_shape(const OrtTensorTypeAndShapeInfo& tensor, ONNXTensorElementDataType& type,
                          Out& out) const {
    TRY(library_->done(api_.GetTensorElementType(&tensor, &type)));
    const auto* found = std::ranges::find(datatypes, type, &Datatype::type);
    if (found != std::end(datatypes)) out.datatype = found->name;
    std::size_t rank = 0;
    TRY(library_->done(api_.GetDimensionsCount(&tensor, &rank)));
    out.shape.resize(rank);
    return library_->done(api_.GetDimensions(&tensor, out.shape.data(), rank));
  }

  Result<std::size_t> find(const infer::Tensor& input) const {
    std::string expected;
    for (std::size_t at = 0; at < places_.size(); ++at) {
      const infer::TensorInfo& wanted = places_[at].info;
      expected += (at ? ", " : "") + wanted.name;
      if (wanted.name != input.name) continue;
      if (wanted.datatype == input.datatype && fits(places_[at], input.shape)) return at;
      return Error{Code::invalid_argument,
                   "input " + input.name + " must be " + wanted.datatype +
                       (places_[at].any_rank ? " of any shape" : " " + text_of(wanted.shape)) +
                       ", not " + input.datatype + " " + text_of(input.shape)};
    }
    return Error{Code::invalid_argument,
                 "the model has no input " + input.name + ": it takes " + expected};
  }

  // The tensor over the caller's own bytes, but for texts, which ONNX Runtime keeps itself.
  Result<Handle<OrtValue>> value_of(const Place& place, const infer::Tensor& input) const {
    const auto count = infer::elements_of(input.shape);
    OrtValue* value = nullptr;
    if (place.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) {
      const auto texts = count ? infer::texts_of(input.bytes, *count) : std::nullopt;
      if (!texts)
        return Error{Code::invalid_argument,
                     "input " + input.name + " must hold as many texts as its shape " +
                         text_of(input.shape) + " says, each after its length in 4 bytes"};
      TRY(library_->done(api_.CreateTensorAsOrtValue(library_->allocator(), input.shape.data(),
                                                     input.shape.size(), place.type, &value)));
      Handle<OrtValue> out(value, api_.ReleaseValue);
      for (std::size_t at = 0; at < texts->size(); ++at) {
        char* room = nullptr;
        const std::string_view text = (*texts)[at];
        TRY(library_->done(
            api_.GetResizedStringTensorElementBuffer(value, at, text.size(), &room)));
        text.copy(room, text.size());
      }
      return out;
    }
    std::size_t size = 0;
    if (!count || __builtin_mul_overflow(*count, infer::size_of(input.datatype), &size) ||
        size != input.bytes.size())
      return Error{Code::invalid_argument, "input " + input.name + " has " +
                                               std::to_string(input.bytes.size()) +
                                               " bytes, which its shape " + text_of(input.shape) +
                                               " of " + input.datatype + " does not"};
    // ONNX Runtime writes to no input; its C API has no const for it.
    TRY(library_->done(api_.CreateTensorWithDataAsOrtValue(
        library_->memory(), const_cast<char*>(input.bytes.data()), size, input.shape.data(),
        input.shape.size(), place.type, &value)));
    return Handle<OrtValue>(value, api_.ReleaseValue);
  }

  Result<void> read(OrtValue* value, infer::Tensor& out) const {
    OrtTensorTypeAndShapeInfo* made = nullptr;
    TRY(library_->done(api_.GetTensorTypeAndShape(value, &made)));
    const Handle<OrtTensorTypeAndShapeInfo> info(made, api_.ReleaseTensorTypeAndShapeInfo);
    ONNXTensorElementDataType type{};
    TRY(read_shape(*made, type, out));
    const std::size_t count = infer::elements_of(out.shape).value_or(0);
    if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) return read_texts(value, count, out.bytes);
    void* data = nullptr;
    TRY(library_->done(api_.GetTensorMutableData(value, &data)));
    if (count > 0)
      out.bytes.assign(static_cast<const char*>(data), count * infer::size_of(out.datatype));
    return {};
  }

  Result<void> read_texts(OrtValue* value, std::size_t count, std::string& out) const {
    for (std::size_t at = 0; at < count; ++at) {
      std::size_t size = 0;
      TRY(library_->done(api_.GetStringTensorElementLength(value, at, &size)));
      const auto length = static_cast<std::uint32_t>(size);
      out.append(reinterpret_cast<const char*>(&length), length_size);
      const std::size_t start = out.size();
      out.resize(start + size);
      TRY(library_->done(api_.GetStringTensorElement(value, size, at, out.data() + start)));
    }
    return {};
  }

  const std::shared_ptr<const Library> library_;
  const OrtApi& api_;
  const Handle<OrtSession> session_;
  std::vector<Place> places_;
  std::vector<infer::TensorInfo> inputs_, outputs_;
  std::vector<const char*> input_names_, output_names_;
};

}  // namespace

Result<Loaded> load_model(std::shared_ptr<const Library> library, const std::string& path,
                          int threads) {
  const OrtApi& api = library->api();
  OrtSessionOptions* made = nullptr;
  TRY(library->done(api.CreateSessionOptions(&made)));
  const Handle<OrtSessionOptions> options(made, api.ReleaseSessionOptions);
  TRY(library->done(api.SetIntraOpNumThreads(made, threads)));
  TRY(library->done(api.SetInterOpNumThreads(made, 1)));
  // Threads that wait must not burn the processor that requests need.
  TRY(library->done(api.AddSessionConfigEntry(made, "session.intra_op.allow_spinning", "0")));
  OrtSession* opened = nullptr;
  if (auto done =
          library->done(api.CreateSession(library->environment(), path.c_str(), made, &opened));
      !done) {
    Error error = done.error();
    // What it calls a failure here is nearly always the file.
    if (error.code == Code::internal) error.code = Code::invalid_argument;
    return error;
  }
  const auto model =
      std::make_shared<Model>(library, Handle<OrtSession>(opened, api.ReleaseSession));
  TRY(model->read_signature());
  return Loaded{model, TRY(model->properties())};
}

}  // namespace penstock::onnx
