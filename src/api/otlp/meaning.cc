#include "api/otlp/meaning.h"

#include <charconv>
#include <initializer_list>
#include <limits>
#include <map>
#include <otlp.pb.h>

#include "api/otlp/span_json.h"

namespace penstock::api::otlp {
namespace {

constexpr std::size_t value_max = 8'000, preview_bytes = 8'000;
constexpr std::string_view tag_prefix = "mlflow.traceTag.";

using AnyValue = ::otlp::AnyValue;
using Attributes = std::map<std::string_view, const AnyValue*>;

// MLflow's attribute, and others that mean the same, the best first.
constexpr std::initializer_list<const char*> inputs = {
    "mlflow.spanInputs",          "input.value",  "traceloop.entity.input", "gen_ai.input.messages",
    "gen_ai.tool.call.arguments", "gen_ai.prompt"};
constexpr std::initializer_list<const char*> outputs = {
    "mlflow.spanOutputs",      "output.value",
    "traceloop.entity.output", "gen_ai.output.messages",
    "gen_ai.tool.call.result", "gen_ai.completion"};
constexpr std::initializer_list<const char*> models = {"mlflow.llm.model", "gen_ai.response.model",
                                                       "gen_ai.request.model", "llm.model_name"};
constexpr std::initializer_list<const char*> sessions = {"session.id", "gen_ai.conversation.id"};
constexpr std::initializer_list<const char*> tokens_in = {
    "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"};
constexpr std::initializer_list<const char*> tokens_out = {
    "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"};
constexpr std::initializer_list<const char*> tokens_total = {
    "gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total"};

struct Word {
  std::string_view said, type;
};
constexpr Word operations[] = {{"chat", "CHAT_MODEL"},      {"text_completion", "LLM"},
                               {"generate_content", "LLM"}, {"embeddings", "EMBEDDING"},
                               {"execute_tool", "TOOL"},    {"invoke_agent", "AGENT"},
                               {"create_agent", "AGENT"}};
constexpr Word kinds[] = {
    {"LLM", "LLM"},           {"CHAIN", "CHAIN"},         {"TOOL", "TOOL"},
    {"AGENT", "AGENT"},       {"RETRIEVER", "RETRIEVER"}, {"EMBEDDING", "EMBEDDING"},
    {"RERANKER", "RERANKER"}, {"GUARDRAIL", "GUARDRAIL"}, {"EVALUATOR", "EVALUATOR"},
    {"workflow", "WORKFLOW"}, {"task", "TASK"},           {"agent", "AGENT"},
    {"tool", "TOOL"}};

const AnyValue* first_of(const Attributes& attributes, std::initializer_list<const char*> keys) {
  for (const char* key : keys)
    if (const auto found = attributes.find(key); found != attributes.end()) return found->second;
  return nullptr;
}

std::string text_of(const Attributes& attributes, const char* key) {
  const AnyValue* value = first_of(attributes, {key});
  return value ? plain_text(*value, value_max) : "";
}

std::string type_of(const Attributes& attributes) {
  const std::string own = text_of(attributes, "mlflow.spanType");
  if (!own.empty() && own != "UNKNOWN") return own;
  const std::string operation = text_of(attributes, "gen_ai.operation.name");
  for (const Word& word : operations)
    if (operation == word.said) return std::string(word.type);
  for (const char* key : {"openinference.span.kind", "traceloop.span.kind"}) {
    const std::string kind = text_of(attributes, key);
    for (const Word& word : kinds)
      if (kind == word.said) return std::string(word.type);
  }
  return own;
}

std::optional<std::int64_t> whole(const AnyValue* value) {
  if (!value) return {};
  const std::string text = plain_text(*value, 30);
  std::int64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size()) return {};
  return number;
}

// The numbers of a JSON object by their names; empty where there is none.
json::object amounts_of(const AnyValue* value) {
  json::object out;
  if (!value) return out;
  boost::system::error_code fault;
  const json::value said = json::parse(plain_text(*value, value_max), fault);
  if (fault || !said.is_object()) return out;
  for (const auto& [name, amount] : said.as_object())
    if (amount.is_number()) out[name] = amount;
  return out;
}

json::object tokens_of(const Attributes& attributes) {
  if (const AnyValue* own = first_of(attributes, {"mlflow.chat.tokenUsage"}))
    return amounts_of(own);
  const auto in = whole(first_of(attributes, tokens_in));
  const auto out = whole(first_of(attributes, tokens_out));
  const auto total = whole(first_of(attributes, tokens_total));
  if (!in && !out && !total) return {};
  constexpr std::int64_t most = std::int64_t{1} << 53;
  const std::int64_t read = std::clamp<std::int64_t>(in.value_or(0), 0, most);
  const std::int64_t written = std::clamp<std::int64_t>(out.value_or(0), 0, most);
  return {{"input_tokens", read},
          {"output_tokens", written},
          {"total_tokens", std::clamp<std::int64_t>(total.value_or(read + written), 0, 2 * most)}};
}

AnyValue& add(::otlp::Span& span, const char* key) {
  ::otlp::KeyValue& added = *span.add_attributes();
  added.set_key(key);
  return *added.mutable_value();
}

void fill_in(::otlp::Span& span, Attributes& attributes, const std::string& type,
             const json::object& tokens) {
  if (!type.empty() && text_of(attributes, "mlflow.spanType") != type) {
    const auto own = attributes.find("mlflow.spanType");
    AnyValue& value = own == attributes.end() ? add(span, "mlflow.spanType")
                                              : const_cast<AnyValue&>(*own->second);
    value.set_string_value(type);
  }
  for (const auto& keys : {inputs, outputs, models}) {
    const AnyValue* found = first_of(attributes, keys);
    if (found && !attributes.contains(*keys.begin())) add(span, *keys.begin()).CopyFrom(*found);
  }
  if (tokens.empty() || attributes.contains("mlflow.chat.tokenUsage")) return;
  auto& list = *add(span, "mlflow.chat.tokenUsage").mutable_kvlist_value();
  for (const auto& [name, amount] : tokens) {
    ::otlp::KeyValue& one = *list.add_values();
    one.set_key(std::string(name));
    one.mutable_value()->set_int_value(amount.to_number<std::int64_t>());
  }
}

Result<void> check(const ::otlp::Span& span) {
  const auto wrong = [&](const std::string& problem) {
    return Error{Code::invalid_argument, "span '" + span.name().substr(0, 100) + "' " + problem};
  };
  const auto size = [](const std::string& id) { return std::to_string(id.size()); };
  if (span.trace_id().size() != 16)
    return wrong("must have a trace_id of 16 bytes, and has one of " + size(span.trace_id()));
  if (span.span_id().size() != 8)
    return wrong("must have a span_id of 8 bytes, and has one of " + size(span.span_id()));
  if (!span.parent_span_id().empty() && span.parent_span_id().size() != 8)
    return wrong("must have a parent_span_id of 8 bytes or none, and has one of " +
                 size(span.parent_span_id()));
  constexpr std::uint64_t latest = std::numeric_limits<std::int64_t>::max();
  if (span.start_time_unix_nano() > latest || span.end_time_unix_nano() > latest)
    return wrong("has a time beyond the year 2262");
  return {};
}

void read_trace(tracking::TracedSpan& out, const ::otlp::Span& span, const Attributes& attributes) {
  if (const AnyValue* session = first_of(attributes, sessions))
    out.metadata.push_back({"mlflow.trace.session", plain_text(*session, value_max)});
  if (const AnyValue* user = first_of(attributes, {"user.id"}))
    out.metadata.push_back({"mlflow.trace.user", plain_text(*user, value_max)});
  if (!out.span.parent.empty()) return;
  if (const AnyValue* value = first_of(attributes, inputs))
    out.inputs = plain_text(*value, preview_bytes);
  if (const AnyValue* value = first_of(attributes, outputs))
    out.outputs = plain_text(*value, preview_bytes);
  for (const ::otlp::KeyValue& one : span.attributes()) {
    if (!one.key().starts_with(tag_prefix)) continue;
    const std::string key = one.key().substr(tag_prefix.size());
    if (tracking::check_tag({key, ""}, "tags."))
      out.tags.push_back({key, plain_text(one.value(), value_max)});
  }
}

}  // namespace

Result<tracking::TracedSpan> traced(::otlp::Span& span, std::size_t span_max) {
  TRY(check(span));
  if (span.parent_span_id() == std::string(8, '\0')) span.clear_parent_span_id();
  tracking::TracedSpan out{.trace = "tr-" + hex(span.trace_id())};
  Attributes attributes;
  for (const ::otlp::KeyValue& one : span.attributes()) attributes[one.key()] = &one.value();
  const json::object tokens = tokens_of(attributes);
  const json::object cost = amounts_of(first_of(attributes, {"mlflow.llm.cost"}));
  const std::string type = type_of(attributes);
  const int status = span.status().code();
  out.span = {.id = hex(span.span_id()),
              .parent = hex(span.parent_span_id()),
              .name = span.name(),
              .type = type,
              .status = status == 2   ? "ERROR"
                        : status == 1 ? "OK"
                                      : "UNSET",
              .start_time = static_cast<std::int64_t>(span.start_time_unix_nano()),
              .end_time = static_cast<std::int64_t>(span.end_time_unix_nano())};
  json::object usage;
  if (!tokens.empty()) usage["tokens"] = tokens;
  if (!cost.empty()) usage["cost"] = cost;
  if (!usage.empty()) out.span.usage = json::serialize(usage);
  read_trace(out, span, attributes);
  const auto own = attributes.find("mlflow.traceRequestId");
  AnyValue& request_id = own == attributes.end() ? add(span, "mlflow.traceRequestId")
                                                 : const_cast<AnyValue&>(*own->second);
  request_id.set_string_value(out.trace);
  fill_in(span, attributes, type, tokens);
  out.span.body = TRY(span_json(span, span_max));
  return out;
}

std::vector<tracking::Pair> tags_of(const ::otlp::Resource& resource) {
  std::vector<tracking::Pair> tags;
  for (const ::otlp::KeyValue& one : resource.attributes()) {
    const std::string& key = one.key();
    if (key.starts_with("telemetry.sdk.") || key.starts_with("mlflow.")) continue;
    if (tags.size() < 100 && tracking::check_tag({key, ""}, "tags."))
      tags.push_back({key, plain_text(one.value(), value_max)});
  }
  return tags;
}

}  // namespace penstock::api::otlp
