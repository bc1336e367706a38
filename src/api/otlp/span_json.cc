#include "api/otlp/span_json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <otlp.pb.h>

#include "base/described.h"

namespace penstock::api::otlp {
namespace {

using Attributes = google::protobuf::RepeatedPtrField<::otlp::KeyValue>;

std::string quoted(const std::string& text) { return json::serialize(json::string(text)); }

std::string number(double value) {
  if (std::isnan(value)) return "\"NaN\"";
  if (std::isinf(value)) return value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return std::string(text.data(), end);
}

// Not in the middle of a character of UTF-8.
std::string cut(std::string text, std::size_t max) {
  if (text.size() <= max) return text;
  while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xC0) == 0x80) --max;
  text.resize(max);
  return text;
}

// Appends until it is full; what comes after is dropped, and full() says so.
class Writer {
 public:
  explicit Writer(std::size_t max) : max_(max) {}

  bool full() const { return text_.size() > max_; }
  std::string take() { return std::move(text_); }
  void put(std::string_view text) {
    if (!full()) text_ += text;
  }
  // "name": before a value, with a comma where it is not the first of its object.
  void name(std::string_view name) {
    if (!text_.empty() && text_.back() != '{') put(",");
    put("\"");
    put(name);
    put("\":");
  }
  void member(std::string_view key, const std::string& json) {
    name(key);
    put(json);
  }

 private:
  std::string text_;
  const std::size_t max_;
};

void write(Writer& out, const Attributes& attributes);

void write(Writer& out, const ::otlp::AnyValue& value) {
  out.put("{");
  switch (value.value_case()) {
    case ::otlp::AnyValue::kStringValue:
      out.member("string_value", quoted(value.string_value()));
      break;
    case ::otlp::AnyValue::kBoolValue:
      out.member("bool_value", value.bool_value() ? "true" : "false");
      break;
    case ::otlp::AnyValue::kIntValue:
      out.member("int_value", quoted(std::to_string(value.int_value())));
      break;
    case ::otlp::AnyValue::kDoubleValue:
      out.member("double_value", number(value.double_value()));
      break;
    case ::otlp::AnyValue::kBytesValue:
      out.member("bytes_value", quoted(base64(value.bytes_value())));
      break;
    case ::otlp::AnyValue::kArrayValue: {
      out.name("array_value");
      out.put("{\"values\":[");
      bool first = true;
      for (const ::otlp::AnyValue& one : value.array_value().values()) {
        if (out.full()) break;
        if (!first) out.put(",");
        first = false;
        write(out, one);
      }
      out.put("]}");
      break;
    }
    case ::otlp::AnyValue::kKvlistValue:
      out.name("kvlist_value");
      out.put("{\"values\":");
      write(out, value.kvlist_value().values());
      out.put("}");
      break;
    case ::otlp::AnyValue::VALUE_NOT_SET: break;
  }
  out.put("}");
}

void write(Writer& out, const Attributes& attributes) {
  out.put("[");
  bool first = true;
  for (const ::otlp::KeyValue& one : attributes) {
    if (out.full()) return;
    if (!first) out.put(",");
    first = false;
    out.put("{");
    out.member("key", quoted(one.key()));
    out.name("value");
    write(out, one.value());
    out.put("}");
  }
  out.put("]");
}

void write_events(Writer& out, const ::otlp::Span& span) {
  out.name("events");
  out.put("[");
  bool first = true;
  for (const ::otlp::Span::Event& event : span.events()) {
    if (out.full()) return;
    out.put(first ? "{" : ",{");
    first = false;
    out.member("time_unix_nano", quoted(std::to_string(event.time_unix_nano())));
    out.member("name", quoted(event.name()));
    out.name("attributes");
    write(out, event.attributes());
    out.put("}");
  }
  out.put("]");
}

void write_links(Writer& out, const ::otlp::Span& span) {
  out.name("links");
  out.put("[");
  bool first = true;
  for (const ::otlp::Span::Link& link : span.links()) {
    if (out.full()) return;
    out.put(first ? "{" : ",{");
    first = false;
    out.member("trace_id", quoted(base64(link.trace_id())));
    out.member("span_id", quoted(base64(link.span_id())));
    if (!link.trace_state().empty()) out.member("trace_state", quoted(link.trace_state()));
    out.name("attributes");
    write(out, link.attributes());
    out.put("}");
  }
  out.put("]");
}

void write_plain(Writer& out, const ::otlp::AnyValue& value) {
  switch (value.value_case()) {
    case ::otlp::AnyValue::kStringValue: return out.put(quoted(value.string_value()));
    case ::otlp::AnyValue::kBoolValue: return out.put(value.bool_value() ? "true" : "false");
    case ::otlp::AnyValue::kIntValue: return out.put(std::to_string(value.int_value()));
    case ::otlp::AnyValue::kDoubleValue: return out.put(number(value.double_value()));
    case ::otlp::AnyValue::kBytesValue: return out.put(quoted(base64(value.bytes_value())));
    case ::otlp::AnyValue::VALUE_NOT_SET: return out.put("null");
    case ::otlp::AnyValue::kArrayValue: {
      out.put("[");
      const char* before = "";
      for (const ::otlp::AnyValue& one : value.array_value().values()) {
        if (out.full()) return;
        out.put(before);
        before = ", ";
        write_plain(out, one);
      }
      return out.put("]");
    }
    case ::otlp::AnyValue::kKvlistValue: {
      out.put("{");
      const char* before = "";
      for (const ::otlp::KeyValue& one : value.kvlist_value().values()) {
        if (out.full()) return;
        out.put(before);
        before = ", ";
        out.put(quoted(one.key()));
        out.put(": ");
        write_plain(out, one.value());
      }
      return out.put("}");
    }
  }
}

}  // namespace

std::string base64(std::string_view bytes) {
  constexpr std::string_view letters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    unsigned group = 0;
    for (std::size_t i = 0; i < 3; ++i)
      group = group << 8 | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0u);
    for (std::size_t i = 0; i < 4; ++i)
      out += at + i > bytes.size() ? '=' : letters[group >> (18 - 6 * i) & 63];
  }
  return out;
}

std::string hex(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (const char byte : bytes) {
    out += digits[static_cast<unsigned char>(byte) >> 4];
    out += digits[static_cast<unsigned char>(byte) & 15];
  }
  return out;
}

Result<std::string> span_json(const ::otlp::Span& span, std::size_t max) {
  Writer out(max);
  out.put("{");
  out.member("trace_id", quoted(base64(span.trace_id())));
  out.member("span_id", quoted(base64(span.span_id())));
  if (!span.trace_state().empty()) out.member("trace_state", quoted(span.trace_state()));
  if (!span.parent_span_id().empty())
    out.member("parent_span_id", quoted(base64(span.parent_span_id())));
  if (span.flags() != 0) out.member("flags", std::to_string(span.flags()));
  out.member("name", quoted(span.name()));
  if (::otlp::Span::SpanKind_IsValid(span.kind()) && span.kind() != 0)
    out.member("kind", quoted(::otlp::Span::SpanKind_Name(span.kind())));
  out.member("start_time_unix_nano", quoted(std::to_string(span.start_time_unix_nano())));
  out.member("end_time_unix_nano", quoted(std::to_string(span.end_time_unix_nano())));
  out.name("attributes");
  write(out, span.attributes());
  write_events(out, span);
  if (span.links_size() > 0) write_links(out, span);
  const bool is_known = ::otlp::Status::StatusCode_IsValid(span.status().code());
  out.name("status");
  out.put("{");
  out.member("code", quoted(::otlp::Status::StatusCode_Name(
                         is_known ? span.status().code() : ::otlp::Status::STATUS_CODE_UNSET)));
  if (!span.status().message().empty()) out.member("message", quoted(span.status().message()));
  out.put("}}");
  if (out.full())
    return Error{Code::invalid_argument, "span '" + span.name().substr(0, 100) +
                                             "' has more than " + std::to_string(max) + " bytes"};
  return out.take();
}

std::string plain_text(const ::otlp::AnyValue& value, std::size_t max) {
  if (value.value_case() == ::otlp::AnyValue::kStringValue) {
    const std::string& text = value.string_value();
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
      boost::system::error_code fault;
      const json::value inner = json::parse(text, fault);
      if (!fault && inner.is_string()) return cut(std::string(inner.as_string()), max);
    }
    return cut(text, max);
  }
  Writer out(max);
  write_plain(out, value);
  return cut(out.take(), max);
}

}  // namespace penstock::api::otlp
