#include "api/http/rows.h"
#include "api/http/v2_codec.h"
#include "api/openai/json_text.h"
#include "api/openai/request.h"
#include "api/openai/usage.h"
#include "api/otlp/reader.h"
#include "tests/fuzz/fuzz.h"

namespace penstock::fuzz {
namespace {

namespace openai = api::openai;

bool eat_request(openai::Task task, std::string_view input) {
  const auto asked = openai::read_request(task, input);
  if (!asked) return false;
  const std::string sent = openai::changed(input, *asked, {.model = "other", .output_bound = 7});
  hold(!openai::object_fault(sent), "what is passed on is no JSON object");
  const auto again = openai::read_request(task, sent);
  hold(bool(again), "what is passed on cannot be read again");
  hold(again->model == "other", "it names another model");
  hold(again->texts.size() == asked->texts.size(), "it has other texts");
  hold(asked->prompt_tokens <= asked->prompt_tokens_max, "a guess above the most");
  return true;
}

bool eat_usage(std::string_view input) {
  if (openai::object_fault(input)) return false;
  openai::Tally whole, piece;
  whole.keep_text(100);
  whole.whole(input, openai::Task::chat);
  piece.piece(input, openai::Task::chat);
  hold(whole.text().size() <= 100, "more text was kept than was told");
  const auto asked = openai::Asked{};
  for (const auto* tally : {&whole, &piece}) {
    const auto count = tally->count(asked, 1'000);
    for (const auto& side : {count.usage.prompt, count.usage.output})
      if (side) hold(*side >= 0, "less than no tokens");
  }
  return true;
}

bool eat_tensors(std::string_view input, const std::string* header_length) {
  const auto body = api::v2::read_body(input, header_length);
  if (!body) return false;
  for (const infer::Tensor& tensor : body->inputs) {
    const auto elements = infer::elements_of(tensor.shape);
    hold(elements.has_value(), "a shape without a size");
    if (tensor.datatype == "BYTES")
      hold(infer::texts_of(tensor.bytes, *elements).has_value(), "texts that do not fit");
    else
      hold(tensor.bytes.size() == *elements * infer::size_of(tensor.datatype),
           "data that is not as long as its shape");
  }
  return true;
}

const api::v2::ModelDescription& model() {
  static const api::v2::ModelDescription one = [] {
    api::v2::ModelDescription made;
    made.name = "delay";
    made.inputs = {{"distance", "FP64", {-1}}, {"hour", "INT64", {-1}}, {"carrier", "BYTES", {-1}}};
    made.own_inputs = made.inputs;
    return made;
  }();
  return one;
}

bool eat_csv(std::string_view input) {
  const auto table = api::rows::read_csv(input);
  if (!table) return false;
  for (const auto& row : table->rows)
    hold(row.size() == table->columns.size(), "a row of another width");
  return bool(api::rows::tensors_of(*table, model()));
}

bool eat_invocations(std::string_view input) {
  boost::system::error_code fault;
  const json::value value = json::parse(input, fault);
  return !fault && bool(api::rows::read_json(value, model()));
}

std::string binary_tensor() {
  return R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]})" +
         std::string(8, '\1');
}

}  // namespace

std::vector<Target> body_targets() {
  static const std::string header_length = "93";
  return {
      {"chat",
       {R"({"model":"a","messages":[{"role":"system","content":"be brief"},{"role":"user","content":)"
        R"([{"type":"text","text":"h\u00e9 \ud83d\ude00"}]}],"stream":true,"max_tokens":5,"n":2,)"
        R"("stream_options":{"include_usage":true},"user":"u"})",
        R"({"model":"a","messages":[{"role":"user","content":"hi"}],"tools":[{"x":[1,2,{"y":null}]}]})"},
       [](std::string_view input) { return eat_request(openai::Task::chat, input); }},
      {"responses",
       {R"({"model":"a","input":"hi","max_output_tokens":5})",
        R"({"model":"a","input":[{"role":"user","content":"hi"}]})"},
       [](std::string_view input) { return eat_request(openai::Task::responses, input); }},
      {"embeddings",
       {R"({"model":"a","input":["one","two"]})", R"({"model":"a","input":[[1,2],[3]]})"},
       [](std::string_view input) { return eat_request(openai::Task::embeddings, input); }},
      {"usage",
       {R"({"choices":[{"index":0,"message":{"content":"a \u00e9"},"finish_reason":"stop"}],"usage":)"
        R"({"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":2}}})",
        R"({"choices":[{"delta":{"content":"a"}}],"timings":{"prompt_n":1,"predicted_n":2}})"},
       eat_usage},
      {"v2",
       {R"({"id":"1","inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[[1,2],[3.5,null]]},)"
        R"({"name":"s","datatype":"BYTES","shape":[2],"data":["a","\u00e9"]}],"outputs":[{"name":"y"}]})",
        R"({"inputs":[{"name":"x","datatype":"INT64","shape":[1],"data":[-9223372036854775808]}]})",
        R"({"inputs":[{"name":"x","datatype":"BOOL","shape":[3],"data":[true,false,true]}]})"},
       [](std::string_view input) { return eat_tensors(input, nullptr); }},
      {"v2_binary",
       {binary_tensor()},
       [](std::string_view input) { return eat_tensors(input, &header_length); }},
      {"csv",
       {"distance,hour,carrier\n1.5,2,UA\n3,4,\"D\"\"L\"\n", "distance,hour,carrier\r\n1,2,\r\n"},
       eat_csv},
      {"invocations",
       {R"({"dataframe_split":{"columns":["distance","hour","carrier"],"data":[[1.5,2,"UA"]]}})",
        R"({"dataframe_records":[{"distance":1,"hour":2,"carrier":"UA"}]})",
        R"({"inputs":{"distance":[1],"hour":[2],"carrier":["UA"]}})"},
       eat_invocations},
      {"spans",
       {R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",)"
        R"("spanId":"eee19b7ec3c1b174","name":"x","startTimeUnixNano":"1","endTimeUnixNano":"2",)"
        R"("attributes":[{"key":"a","value":{"stringValue":"b"}}]}]}]}]})"},
       [](std::string_view input) { return bool(api::otlp::read_json(input)); }},
  };
}

}  // namespace penstock::fuzz
