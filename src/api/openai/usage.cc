#include "api/openai/usage.h"

#include <algorithm>
#include <charconv>

namespace penstock::api::openai {
namespace {

constexpr std::int64_t tokens_max = 1'000'000'000;

// The first of these members that is a count. `bad` where one is there and is none.
std::optional<std::int64_t> first_of(std::string_view object,
                                     std::initializer_list<std::string_view> names, bool& bad) {
  for (const std::string_view name : names) {
    const std::string_view value = member(object, name);
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
  bool bad = false;
  Usage out;
  out.prompt = first_of(object, {"prompt_tokens", "input_tokens"}, bad);
  out.output = first_of(object, {"completion_tokens", "output_tokens"}, bad);
  const std::string_view total = member(object, "total_tokens");
  if (!out.prompt) return {};
  // Embeddings write nothing.
  if (!out.output && !total.empty()) out.output = 0;
  for (const std::string_view name : {"prompt_tokens_details", "input_tokens_details"}) {
    const std::string_view details = member(object, name);
    if (!out.cached) out.cached = first_of(details, {"cached_tokens"}, bad);
    if (!out.cache_write)
      out.cache_write = first_of(details, {"cache_write_tokens", "cache_creation_tokens"}, bad);
  }
  if (!out.cached)
    out.cached = first_of(object, {"cache_read_input_tokens", "prompt_cache_hit_tokens"}, bad);
  if (!out.cache_write) out.cache_write = first_of(object, {"cache_creation_input_tokens"}, bad);
  for (const std::string_view name : {"completion_tokens_details", "output_tokens_details"})
    if (!out.reasoning) out.reasoning = first_of(member(object, name), {"reasoning_tokens"}, bad);
  if (out.cached.value_or(0) + out.cache_write.value_or(0) > *out.prompt ||
      out.reasoning.value_or(0) > out.output.value_or(0))
    bad = true;
  if (bad) return {};
  return out;
}

std::optional<Usage> timings_usage(std::string_view object) {
  if (!is_object(object)) return {};
  bool bad = false;
  Usage out;
  const auto read = first_of(object, {"prompt_n"}, bad);
  out.cached = first_of(object, {"cache_n"}, bad);
  out.output = first_of(object, {"predicted_n"}, bad);
  if (bad || !read || !out.output) return {};
  out.prompt = *read + out.cached.value_or(0);
  return out;
}

void Tally::head(const http::Fields& headers) {
  for (const auto& [name, value] : headers) {
    if (name != "x-gpu-micros") continue;
    const auto micros = whole_number(value);
    if (micros && *micros >= 0 && *micros <= std::int64_t{86'400'000'000}) gpu_micros_ = *micros;
  }
}

void Tally::common(std::string_view object) {
  for (Members members(object); members.next();) {
    if (members.key() == "usage" && is_object(members.value())) {
      // vLLM can tell it with every piece; the last one holds.
      usage_ = usage_of(members.value());
      bad_usage_ = !usage_;
    } else if (members.key() == "timings" && is_object(members.value())) {
      timings_ = timings_usage(members.value());
      const auto prompt = number_of(member(members.value(), "prompt_ms"));
      const auto predicted = number_of(member(members.value(), "predicted_ms"));
      if (prompt && predicted && *prompt >= 0 && *predicted >= 0 && *prompt + *predicted < 8.64e7)
        gpu_micros_ = static_cast<std::int64_t>((*prompt + *predicted) * 1e3);
    }
  }
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

void Tally::whole(std::string_view object, Task task) {
  common(object);
  if (!writes(task)) {
    finished_ = 1;
    // A reranker tells one number, if any.
    bool bad = false;
    const auto read = first_of(member(object, "usage"), {"total_tokens"}, bad);
    if (!usage_ && read) usage_ = Usage{.prompt = read, .output = 0};
    bad_usage_ = bad_usage_ && !usage_;
    return;
  }
  if (task == Task::responses) {
    finish_reason_ = text_or_empty(member(object, "status")).substr(0, 100);
    finished_ = 1;
    for (Items outputs(member(object, "output")); outputs.next();)
      for (Items parts(member(outputs.value(), "content")); parts.next();)
        output(member(parts.value(), "text"));
    return;
  }
  const std::string_view choices = member(object, "choices");
  if (!is_list(choices)) return;
  for (Items items(choices); items.next();)
    if (is_object(items.value())) choice(items.value(), "message");
}

bool Tally::piece(std::string_view object, Task task) {
  wrote_ = false;
  if (task == Task::responses) {
    // {"type": "response.output_text.delta", "delta": "..."}, and the whole at the end.
    const std::string type = text_or_empty(member(object, "type"));
    if (type.ends_with(".delta")) output(member(object, "delta"));
    const std::string_view whole = member(object, "response");
    if (is_object(whole)) common(whole);
    if (type == "response.completed" || type == "response.incomplete") {
      finish_reason_ = type.substr(9);
      finished_ = 1;
    }
  } else {
    common(object);
    const std::string_view choices = member(object, "choices");
    if (is_list(choices))
      for (Items items(choices); items.next();)
        if (is_object(items.value())) choice(items.value(), "delta");
  }
  if (wrote_) ++pieces_;
  return wrote_;
}

Tally::Count Tally::count(const Asked& asked, std::int64_t most) const {
  Count out{.disbelieved = bad_usage_};
  if (const std::optional<Usage>& said = usage_ ? usage_ : timings_) {
    const bool fits =
        said->prompt.value_or(0) <= most && said->output.value_or(0) <= most * asked.choices;
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
