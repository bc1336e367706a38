// Real ONNX models, small enough to write by hand: score = sigmoid(features * weights + bias), with
// missing features (NaN) counted as 0.
#pragma once

#include <cstring>
#include <string>
#include <vector>

namespace penstock::test {

// The protobuf wire format, as far as ONNX needs it here.
class Message {
 public:
  Message& number(unsigned field, std::uint64_t value) {
    varint(field << 3);
    varint(value);
    return *this;
  }
  Message& bytes(unsigned field, const std::string& value) {
    varint(field << 3 | 2);
    varint(value.size());
    text_ += value;
    return *this;
  }
  Message& add(unsigned field, const Message& value) { return bytes(field, value.text_); }
  const std::string& text() const { return text_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 128; value >>= 7) text_ += static_cast<char>(value | 128);
    text_ += static_cast<char>(value);
  }
  std::string text_;
};

inline Message node(const std::string& operation, const std::vector<std::string>& inputs,
                    const std::string& output) {
  Message out;
  for (const std::string& input : inputs) out.bytes(1, input);
  return out.bytes(2, output).bytes(3, output).bytes(4, operation);
}

inline Message floats(const std::string& name, const std::vector<std::uint64_t>& shape,
                      const std::vector<float>& values) {
  Message out;
  for (const std::uint64_t length : shape) out.number(1, length);
  std::string raw(values.size() * sizeof(float), '\0');
  std::memcpy(raw.data(), values.data(), raw.size());
  return out.number(2, 1).bytes(8, name).bytes(9, raw);
}

// FP32 of shape [-1, width].
inline Message matrix(const std::string& name, std::uint64_t width) {
  const Message shape =
      Message().add(1, Message().bytes(2, "rows")).add(1, Message().number(1, width));
  return Message().bytes(1, name).add(2, Message().add(1, Message().number(1, 1).add(2, shape)));
}

inline std::string tiny_model(const std::vector<float>& weights, float bias,
                              const std::string& output = "score") {
  const Message graph = Message()
                            .add(1, node("IsNaN", {"features"}, "missing"))
                            .add(1, node("Where", {"missing", "zero", "features"}, "known"))
                            .add(1, node("MatMul", {"known", "weights"}, "product"))
                            .add(1, node("Add", {"product", "bias"}, "sum"))
                            .add(1, node("Sigmoid", {"sum"}, output))
                            .bytes(2, "tiny")
                            .add(5, floats("zero", {1}, {0}))
                            .add(5, floats("weights", {weights.size(), 1}, weights))
                            .add(5, floats("bias", {1}, {bias}))
                            .add(11, matrix("features", weights.size()))
                            .add(12, matrix(output, 1));
  return Message().number(1, 8).add(7, graph).add(8, Message().bytes(1, "").number(2, 13)).text();
}

// The same with the sum before the sigmoid as a second output.
inline std::string two_outputs_model(const std::vector<float>& weights) {
  const Message graph = Message()
                            .add(1, node("MatMul", {"features", "weights"}, "sum"))
                            .add(1, node("Sigmoid", {"sum"}, "score"))
                            .bytes(2, "two")
                            .add(5, floats("weights", {weights.size(), 1}, weights))
                            .add(11, matrix("features", weights.size()))
                            .add(12, matrix("score", 1))
                            .add(12, matrix("sum", 1));
  return Message().number(1, 8).add(7, graph).add(8, Message().bytes(1, "").number(2, 13)).text();
}

}  // namespace penstock::test
