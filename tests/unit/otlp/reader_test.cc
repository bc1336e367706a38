// Export requests of OpenTelemetry: what is read, and that nothing breaks the reader.
#include "api/otlp/reader.h"

#include <gtest/gtest.h>
#include <otlp.pb.h>

#include <random>

#include "api/otlp/span_json.h"
#include "tests/support/fixture.h"

namespace penstock::api::otlp {
namespace {

using test::must;

// A field with a length, as protobuf writes it.
std::string field(int number, const std::string& bytes) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  for (std::size_t left = bytes.size();; left >>= 7) {
    out += static_cast<char>((left & 0x7F) | (left > 0x7F ? 0x80 : 0));
    if (left <= 0x7F) break;
  }
  return out + bytes;
}

std::string request(const std::vector<::otlp::Span>& spans, const ::otlp::Resource& resource = {}) {
  std::string scope;
  for (const ::otlp::Span& span : spans) scope += field(2, span.SerializeAsString());
  return field(1, field(2, scope) + field(1, resource.SerializeAsString()));
}

void set(::otlp::Span& span, const std::string& key, const std::string& value) {
  ::otlp::KeyValue& one = *span.add_attributes();
  one.set_key(key);
  one.mutable_value()->set_string_value(value);
}

::otlp::Span span(const std::string& name = "call") {
  ::otlp::Span out;
  std::string trace_id(16, '\1');
  trace_id.back() = '\2';
  out.set_trace_id(trace_id);
  out.set_span_id("12345678");
  out.set_name(name);
  out.set_start_time_unix_nano(1'000'000);
  out.set_end_time_unix_nano(5'000'000);
  return out;
}

TEST(OtlpReader, SaysASpanAsMLflowsClientsReadIt) {
  ::otlp::Span one = span("say \"hi\"");
  one.set_parent_span_id("abcdefgh");
  one.mutable_status()->set_code(::otlp::Status::STATUS_CODE_ERROR);
  one.mutable_status()->set_message("too late");
  ::otlp::KeyValue& map = *one.add_attributes();
  map.set_key("in");
  ::otlp::KeyValue& inner = *map.mutable_value()->mutable_kvlist_value()->add_values();
  inner.set_key("n");
  inner.mutable_value()->mutable_array_value()->add_values()->set_int_value(-5);
  inner.mutable_value()->mutable_array_value()->add_values()->set_double_value(0.5);
  inner.mutable_value()->mutable_array_value()->add_values()->set_bool_value(true);
  inner.mutable_value()->mutable_array_value()->add_values();
  one.add_events()->set_name("token");
  const auto read = must(read_protobuf(request({one})));
  ASSERT_EQ(read.size(), 1U);
  EXPECT_EQ(read[0].trace, "tr-01010101010101010101010101010102");
  EXPECT_EQ(read[0].span.id, "3132333435363738");
  EXPECT_EQ(read[0].span.parent, "6162636465666768");
  EXPECT_EQ(read[0].span.status, "ERROR");
  const json::object body = json::parse(read[0].span.body).as_object();
  EXPECT_EQ(body.at("trace_id").as_string(), "AQEBAQEBAQEBAQEBAQEBAg==");
  EXPECT_EQ(body.at("name").as_string(), "say \"hi\"");
  EXPECT_EQ(body.at("start_time_unix_nano").as_string(), "1000000");
  EXPECT_EQ(json::serialize(body.at("status")),
            R"({"code":"STATUS_CODE_ERROR","message":"too late"})");
  EXPECT_EQ(
      json::serialize(body.at("attributes").at(0)),
      R"({"key":"in","value":{"kvlist_value":{"values":[{"key":"n","value":{"array_value":)"
      R"({"values":[{"int_value":"-5"},{"double_value":5E-1},{"bool_value":true},{}]}}}]}}})");
  EXPECT_EQ(body.at("attributes").at(1).at("key").as_string(), "mlflow.traceRequestId");
  EXPECT_EQ(plain_text(map.value(), 100), R"({"n": [-5, 0.5, true, null]})");
}

TEST(OtlpReader, FillsInWhatOtherLibrariesSayInTheirOwnWords) {
  ::otlp::Span one = span();
  set(one, "gen_ai.operation.name", "chat");
  set(one, "gen_ai.usage.input_tokens", "7");
  set(one, "gen_ai.usage.output_tokens", "5");
  set(one, "gen_ai.request.model", "small");
  set(one, "input.value", "question");
  set(one, "output.value", "answer");
  set(one, "session.id", "\"s1\"");
  set(one, "mlflow.traceTag.team", "ops");
  set(one, "mlflow.traceTag.a\"b", "no tag");
  ::otlp::Resource resource;
  for (const char* key : {"service.name", "telemetry.sdk.name", "mlflow.mine"}) {
    ::otlp::KeyValue& added = *resource.add_attributes();
    added.set_key(key);
    added.mutable_value()->set_string_value("r");
  }
  const auto read = must(read_protobuf(request({one, one}, resource)));
  ASSERT_EQ(read.size(), 2U);
  EXPECT_EQ(read[0].span.type, "CHAT_MODEL");
  EXPECT_EQ(read[0].inputs, "question");
  EXPECT_EQ(read[0].outputs, "answer");
  EXPECT_EQ(read[0].span.usage,
            R"({"tokens":{"input_tokens":7,"output_tokens":5,"total_tokens":12}})");
  ASSERT_EQ(read[0].tags.size(), 2U);
  EXPECT_EQ(read[0].tags[0].key, "service.name");
  EXPECT_EQ(read[0].tags[1].value, "ops");
  EXPECT_EQ(read[1].tags.size(), 1U) << "a resource speaks once for a trace";
  ASSERT_EQ(read[0].metadata.size(), 1U);
  EXPECT_EQ(read[0].metadata[0].value, "s1");
  for (const char* filled : {R"("mlflow.spanType","value":{"string_value":"CHAT_MODEL")",
                             R"("mlflow.spanInputs","value":{"string_value":"question")",
                             R"("mlflow.llm.model","value":{"string_value":"small")"})
    EXPECT_NE(read[0].span.body.find(filled), std::string::npos) << filled;
}

TEST(OtlpReader, ReadsTheSameFromJson) {
  const std::string text = R"({"resourceSpans": [{"resource": {"attributes": [{"key": "host",
      "value": {"stringValue": "h"}}]}, "scopeSpans": [{"spans": [{
      "traceId": "01010101010101010101010101010102", "spanId": "3132333435363738",
      "parentSpanId": "", "name": "call", "kind": 3, "startTimeUnixNano": "1000000",
      "endTimeUnixNano": 5000000, "attributes": [{"key": "n", "value": {"intValue": "5"}}],
      "status": {"code": 2}, "unknown": [1]}]}]}]})";
  const auto read = must(read_json(text));
  ASSERT_EQ(read.size(), 1U);
  ::otlp::Span same = span();
  same.set_kind(::otlp::Span::SPAN_KIND_CLIENT);
  same.mutable_status()->set_code(::otlp::Status::STATUS_CODE_ERROR);
  same.add_attributes()->set_key("n");
  same.mutable_attributes(0)->mutable_value()->set_int_value(5);
  EXPECT_EQ(read[0].span.body, must(read_protobuf(request({same})))[0].span.body);
  EXPECT_EQ(read[0].trace, "tr-01010101010101010101010101010102");
  ASSERT_EQ(read[0].tags.size(), 1U);
}

TEST(OtlpReader, RefusesWhatIsMalformedSayingWhat) {
  ::otlp::Span short_trace = span(), no_span = span(), long_parent = span(), late = span();
  short_trace.set_trace_id("short");
  no_span.clear_span_id();
  long_parent.set_parent_span_id("123456789");
  late.set_end_time_unix_nano(std::uint64_t{1} << 63);
  const std::pair<std::string, std::string> cases[] = {
      {request({short_trace}), "trace_id of 16 bytes"},
      {request({no_span}), "span_id of 8 bytes"},
      {request({long_parent}), "parent_span_id of 8 bytes"},
      {request({late}), "2262"},
      {"\x0a", "no protobuf"},
      {"\x0a\x05zz", "no protobuf"},
      {"\x0b", "no protobuf"},
      {std::string("\x10\x01", 2) + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "no protobuf"},
      {field(1, field(2, field(2, "\xff"))), "a span cannot be read"},
      {field(1, field(2, field(2, field(5, "\xc3\x28")))), "a span cannot be read"},
      {std::string("\x0a\x02\x10\x01", 4), "number for a message"},
  };
  for (const auto& [body, problem] : cases) {
    const auto refused = read_protobuf(body);
    ASSERT_FALSE(refused) << problem;
    EXPECT_EQ(refused.error().code, Code::invalid_argument);
    EXPECT_NE(refused.error().message.find(problem), std::string::npos) << refused.error().message;
  }
  for (const char* body :
       {"", "{", "[]", "{}", R"({"resourceSpans": 5})", R"({"resourceSpans": [5]})",
        R"({"resourceSpans": [{"scopeSpans": [{"spans": [5]}]}]})",
        R"({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]})",
        R"({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 5}]}]}]})",
        R"({"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 5}]}]}]})"}) {
    const auto refused = read_json(body);
    ASSERT_FALSE(refused) << body;
    EXPECT_EQ(refused.error().code, Code::invalid_argument) << body;
  }
  EXPECT_FALSE(read_json(std::string(200, '[')));
}

TEST(OtlpReader, CountsBeforeItAllocates) {
  std::string many;
  for (int i = 0; i < 10'001; ++i) many += field(2, span().SerializeAsString());
  const auto refused = read_protobuf(field(1, field(2, many)));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("10000 spans"), std::string::npos);
  ::otlp::Span large = span("large one");
  set(large, "text", std::string(1'000'001, 'x'));
  EXPECT_NE(read_protobuf(request({large})).error().message.find("may have 1000000"),
            std::string::npos);
  // Half a million attributes of two bytes each are more than a span's bytes once they are said.
  std::string spread = span("spread").SerializeAsString();
  for (int i = 0; i < 400'000; ++i) spread += std::string("\x4a\x00", 2);
  EXPECT_NE(
      read_protobuf(field(1, field(2, field(2, spread)))).error().message.find("more than 1000000"),
      std::string::npos);
  // Resources without spans are skipped, however many.
  std::string empty;
  for (int i = 0; i < 1'000'000; ++i) empty += std::string("\x0a\x00", 2);
  EXPECT_TRUE(must(read_protobuf(empty)).empty());
  // Values within values, deeper than anybody means.
  std::string deep;
  for (int i = 0; i < 300; ++i) deep = field(5, field(1, deep));
  ::otlp::Span nested = span();
  EXPECT_FALSE(read_protobuf(field(
      1,
      field(2, field(2, nested.SerializeAsString() + field(9, field(1, "k") + field(2, deep)))))));
}

TEST(OtlpReader, NoInputBreaksIt) {
  std::mt19937 random(11);
  const auto roll = [&](std::size_t below) {
    return std::uniform_int_distribution<std::size_t>(0, below - 1)(random);
  };
  ::otlp::Span one = span();
  set(one, "mlflow.spanInputs", "{\"a\": [1, 2]}");
  set(one, "mlflow.chat.tokenUsage", "{\"input_tokens\": 5}");
  set(one, "session.id", "\"\\u00e4\"");
  one.add_events()->set_name("e");
  one.add_links()->set_trace_id("t");
  const std::string good = request({one, span("b")});
  int taken = 0, refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string body = good;
    for (std::size_t changes = 1 + roll(4); changes > 0; --changes) {
      const std::size_t at = roll(body.size());
      switch (roll(4)) {
        case 0: body[at] = static_cast<char>(roll(256)); break;
        case 1: body.erase(at, 1 + roll(8)); break;
        case 2: body.insert(at, std::string(1 + roll(4), static_cast<char>(roll(256)))); break;
        case 3: body[at] = static_cast<char>(body[at] ^ (1 << roll(8))); break;
      }
      if (body.empty()) body = good;
    }
    const auto read = read_protobuf(body);
    if (!read) {
      ++refused;
      ASSERT_EQ(read.error().code, Code::invalid_argument) << read.error().message;
      continue;
    }
    ++taken;
    for (const auto& span : *read) {
      boost::system::error_code fault;
      static_cast<void>(json::parse(span.span.body, fault));
      ASSERT_FALSE(fault) << span.span.body;
    }
  }
  EXPECT_GT(taken, 100);
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace penstock::api::otlp
