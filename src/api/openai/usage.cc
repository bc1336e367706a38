#include "api/openai/usage.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace penstock::api::openai {
namespace {

constexpr std::int64_t tokens_max = 1'000'000'000;

// The values of these members, in one pass; empty where there is none.
template <std::size_t count>
std::array<std::string_view, count> values_of(std::string_view object,
                                              const std::array<std::string_view, count>& names) {
  std::array<std::string_view, count> out;
  for (Members members(object); members.next();) {
    const auto found = std::find(names.begin(), names.end(), members.key());
    if (found != names.end())
      out[static_cast<std::size_t>(found - names.begin())] = members.value();
  }
  return out;
}

// The first of these values that is a count. `bad` where one is there and is none.
std::optional<std::int64_t> first_of(std::initializer_list<std::string_view> values, bool& bad) {
  for (const std::string_view value : values) {
    if (value.empty() || is_null(value)) continue;
    const auto number = whole_number(value);
    if (number && *number >= 0 && *number <= tokens_max) return number;
    bad = true;
  }
  return {};
}

std::optional<double> number_of(std::string_view value) {
  double number = 0;
  const auto [end, fault] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (fault != std::errc{} || end != value.data() + value.size()) return {};
  return number;
}

}  // namespace

std::optional<Usage> usage_of(std::string_view object) {
  if (!is_object(object)) return {};
  constexpr std::array<std::string_view, 12> names{"prompt_tokens",
                                                   "input_tokens",
                                                   "completion_tokens",
                                                   "output_tokens",
                                                   "total_tokens",
                                                   "prompt_tokens_details",
                                                   "input_tokens_details",
                                                   "completion_tokens_details",
                                                   "output_tokens_details",
                                                   "cache_read_input_tokens",
                                                   "prompt_cache_hit_tokens",
                                                   "cache_creation_input_tokens"};
  const auto [prompt, input, completion, output, total, prompt_details, input_details,
              completion_details, output_details, cache_read, cache_hit, cache_creation] =
      values_of(object, names);
  bool bad = false;
  Usage out;
  out.prompt = first_of({prompt, input}, bad);
  out.output = first_of({completion, output}, bad);
  if (!out.prompt) return {};
  // What is not told beside a total; embeddings write nothing.
  if (!out.output)
    if (const auto all = first_of({total}, bad); all && *all >= *out.prompt)
      out.output = *all - *out.prompt;
  for (const std::string_view details : {prompt_details, input_details}) {
    if (!is_object(details)) continue;
    constexpr std::array<std::string_view, 3> parts{"cached_tokens", "cache_write_tokens",
                                                    "cache_creation_tokens"};
    const auto [cached, written, created] = values_of(details, parts);
    if (!out.cached) out.cached = first_of({cached}, bad);
    if (!out.cache_write) out.cache_write = first_of({written, created}, bad);
  }
  if (!out.cached) out.cached = first_of({cache_read, cache_hit}, bad);
  if (!out.cache_write) out.cache_write = first_of({cache_creation}, bad);
  for (const std::string_view details : {completion_details, output_details})
    if (!out.reasoning) out.reasoning = first_of({member(details, "reasoning_tokens")}, bad);
  if (out.cached.value_or(0) + out.cache_write.value_or(0) > *out.prompt ||
      out.reasoning.value_or(0) > out.output.value_or(0))
    bad = true;
  if (bad) return {};
  return out;
}

std::optional<Usage> timings_usage(std::string_view object) {
  if (!is_object(object)) return {};
  constexpr std::array<std::string_view, 3> names{"prompt_n", "cache_n", "predicted_n"};
  const auto [prompt, cached, predicted] = values_of(object, names);
  bool bad = false;
  Usage out;
  const auto read = first_of({prompt}, bad);
  out.cached = first_of({cached}, bad);
  out.output = first_of({predicted}, bad);
  if (bad || !read || !out.output) return {};
  out.prompt = *read + out.cached.value_or(0);
  return out;
}

Parts::Parts(std::string_view text) : object(text) {
  struct Name {
    std::string_view name;
    std::string_view Parts::*part;
  };
  static constexpr std::array<Name, 12> names{{{"model", &Parts::model},
                                               {"choices", &Parts::choices},
                                               {"usage", &Parts::usage},
                                               {"timings", &Parts::timings},
                                               {"data", &Parts::data},
                                               {"output", &Parts::output},
                                               {"results", &Parts::results},
                                               {"error", &Parts::error},
                                               {"response", &Parts::response},
                                               {"type", &Parts::type},
                                               {"delta", &Parts::delta},
                                               {"status", &Parts::status}}};
  for (Members members(text); members.next();)
    for (const Name& one : names) {
      if (members.key() != one.name) continue;
      model_twice = model_twice || (one.part == &Parts::model && !model.empty());
      this->*one.part = members.value();
      break;
    }
}

void Tally::head(const http::Fields& headers) {
  for (const auto& [name, value] : headers) {
    if (name != "x-gpu-micros") continue;
    const auto micros = whole_number(value);
    if (micros && *micros >= 0 && *micros <= std::int64_t{86'400'000'000}) gpu_micros_ = *micros;
  }
}

void Tally::common(const Parts& parts) {
  if (is_object(parts.usage)) {
    // vLLM can tell it with every piece; the last one holds.
    usage_ = usage_of(parts.usage);
    bad_usage_ = !usage_;
  }
  if (!is_object(parts.timings)) return;
  timings_ = timings_usage(parts.timings);
  const auto prompt = number_of(member(parts.timings, "prompt_ms"));
  const auto predicted = number_of(member(parts.timings, "predicted_ms"));
  if (prompt && predicted && *prompt >= 0 && *predicted >= 0 && *prompt + *predicted < 8.64e7)
    gpu_micros_ = static_cast<std::int64_t>((*prompt + *predicted) * 1e3);
}

void Tally::output(std::string_view literal) {
  if (!is_text(literal) || literal.size() == 2) return;
  letters_ += letters_of(literal);
  wrote_ = true;
  if (text_.size() < text_max_) text_ += text_of(literal);
  if (text_.size() > text_max_) text_.resize(text_max_);
}

void Tally::choice(std::string_view choice, std::string_view holder) {
  for (Members members(choice); members.next();) {
    if (members.key() == "finish_reason" && is_text(members.value())) {
      finish_reason_ = text_of(members.value()).substr(0, 100);
      ++finished_;
    } else if (members.key() == "text") {
      output(members.value());
    } else if (members.key() == holder && is_object(members.value())) {
      for (Members parts(members.value()); parts.next();) {
        const std::string_view key = parts.key(), value = parts.value();
        if (key == "content" || key == "reasoning_content" || key == "reasoning" ||
            key == "refusal")
          output(value);
        if (key != "tool_calls" || !is_list(value)) continue;
        for (Items calls(value); calls.next();) {
          const std::string_view function = member(calls.value(), "function");
          output(member(function, "name"));
          output(member(function, "arguments"));
        }
      }
    }
  }
}

void Tally::whole(const Parts& parts, Task task) {
  common(parts);
  if (!writes(task)) {
    finished_ = 1;
    // A reranker tells one number, if any.
    bool bad = false;
    const auto read = first_of({member(parts.usage, "total_tokens")}, bad);
    if (!usage_ && read) usage_ = Usage{.prompt = read, .output = 0};
    bad_usage_ = bad_usage_ && !usage_;
    return;
  }
  if (task == Task::responses) {
    finish_reason_ = text_or_empty(parts.status).substr(0, 100);
    finished_ = 1;
    for (Items outputs(parts.output); outputs.next();)
      for (Items contents(member(outputs.value(), "content")); contents.next();)
        output(member(contents.value(), "text"));
    return;
  }
  if (!is_list(parts.choices)) return;
  for (Items items(parts.choices); items.next();)
    if (is_object(items.value())) choice(items.value(), "message");
}

bool Tally::piece(const Parts& parts, Task task) {
  wrote_ = false;
  if (task == Task::responses) {
    // {"type": "response.output_text.delta", "delta": "..."}, and the whole at the end.
    const std::string type = text_or_empty(parts.type);
    if (type.ends_with(".delta")) output(parts.delta);
    if (is_object(parts.response)) common(Parts(parts.response));
    if (type == "response.completed" || type == "response.incomplete") {
      finish_reason_ = type.substr(9);
      finished_ = 1;
    }
  } else {
    common(parts);
    if (is_list(parts.choices))
      for (Items items(parts.choices); items.next();)
        if (is_object(items.value())) choice(items.value(), "delta");
  }
  if (wrote_) ++pieces_;
  return wrote_;
}

namespace {

// No token has more than 128 letters, and four are counted as one here.
constexpr std::int64_t most_in_a_token = 32;

}  // namespace

bool Tally::passes(std::int64_t bound) const {
  const std::int64_t counted = letters_.tokens();
  return counted / most_in_a_token > bound || std::min(counted, pieces_) / 4 > bound;
}

Tally::Count Tally::count(const Asked& asked, std::int64_t most) const {
  Count out{.disbelieved = bad_usage_};
  if (const std::optional<Usage>& said = usage_ ? usage_ : timings_) {
    const bool fits = said->prompt.value_or(0) <= most &&
                      said->output.value_or(0) <= most * asked.choices &&
                      (said->prompt.value_or(1) > 0 || asked.prompt_tokens == 0) &&
                      letters_.tokens() <= said->output.value_or(most) * most_in_a_token;
    out.disbelieved = out.disbelieved || !fits;
    if (fits) {
      out.usage = *said;
      out.estimated = !said->output;
      if (!said->output) out.usage.output = std::max(letters_.tokens(), pieces_);
      return out;
    }
  }
  out.estimated = true;
  out.usage.prompt = asked.prompt_tokens;
  // A piece is a token at least.
  out.usage.output = std::max(letters_.tokens(), pieces_);
  return out;
}

}  // namespace penstock::api::openai
