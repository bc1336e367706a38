#include "api/openai/request.h"

#include <algorithm>
#include <array>
#include <list>
#include <span>

namespace penstock::api::openai {
namespace {

constexpr std::size_t texts_max = 100'000;
constexpr std::size_t members_max = 1'000;
constexpr std::int64_t output_bound_max = 100'000'000;

Error wrong(std::string field, const std::string& problem) {
  std::string message = field + " " + problem;
  return {Code::invalid_argument, std::move(message), {{std::move(field), problem}}};
}

// Where in the body something stands; made into text where somebody asks.
struct Where {
  static constexpr std::size_t none = std::string_view::npos;
  std::string_view field;
  std::size_t item = none;
  std::string_view member = "";
  std::size_t part = none;
  std::string_view last = "";

  std::string text() const {
    std::string out(field);
    const auto add = [&](std::size_t at, std::string_view name) {
      if (at != none) out += "[" + std::to_string(at) + "]";
      if (!name.empty()) (out += out.empty() ? "" : ".") += name;
    };
    add(item, member);
    add(part, last);
    return out;
  }
};

Error wrong(const Where& where, const std::string& problem) { return wrong(where.text(), problem); }

bool has_capital(std::string_view key) {
  return std::any_of(key.begin(), key.end(), [](char at) { return at >= 'A' && at <= 'Z'; });
}

// Some upstreams (those in Go) read "Max_Tokens" as max_tokens, and of two the last. What limits,
// budgets and guardrails look at has one spelling, so that they see what the upstream sees.
std::string_view known_as(std::string_view key) {
  static constexpr std::array<std::string_view, 25> names{"model",
                                                          "messages",
                                                          "prompt",
                                                          "suffix",
                                                          "input",
                                                          "query",
                                                          "documents",
                                                          "instructions",
                                                          "user",
                                                          "stream",
                                                          "stream_options",
                                                          "include_usage",
                                                          "max_tokens",
                                                          "n_predict",
                                                          "max_output_tokens",
                                                          "max_completion_tokens",
                                                          "n",
                                                          "best_of",
                                                          "role",
                                                          "content",
                                                          "text",
                                                          "refusal",
                                                          "tool_calls",
                                                          "function_call",
                                                          "background"};
  std::string lower(key);
  for (char& letter : lower)
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter + ('a' - 'A'));
  const auto found = std::find(names.begin(), names.end(), lower);
  return found == names.end() ? std::string_view() : *found;
}

// The members of an object, read once.
class Object {
 public:
  // Two of one name are read one way here and another way behind us; that is how limits and
  // guardrails are walked around. So they are refused.
  static Result<Object> read(std::string_view text, const Where& where) {
    Object out;
    out.members_.reserve(16);
    for (Members members(text); members.next();) {
      if (out.members_.size() == members_max)
        return wrong(where.field.empty() ? "the body" : where.text(), "has more than 1000 fields");
      std::string_view key = members.key();
      // One with an escape is not in the text as it reads.
      if (key.data() < text.data() || key.data() >= text.data() + text.size())
        key = out.decoded_.emplace_back(key);
      if (has_capital(key))
        if (const std::string_view meant = known_as(key); !meant.empty())
          return wrong((where.text().empty() ? "" : where.text() + ".") + std::string(key),
                       "must be written " + std::string(meant));
      out.members_.emplace_back(key, members.value());
    }
    std::sort(out.members_.begin(), out.members_.end(), before);
    const auto twice =
        std::adjacent_find(out.members_.begin(), out.members_.end(),
                           [](const auto& a, const auto& b) { return a.first == b.first; });
    if (twice == out.members_.end()) return out;
    const std::string its = where.text();
    return wrong((its.empty() ? its : its + ".") + std::string(twice->first), "stands twice");
  }

  // Empty where there is none.
  std::string_view operator[](std::string_view key) const {
    const auto found =
        std::lower_bound(members_.begin(), members_.end(), key,
                         [](const Member& a, std::string_view name) { return a.first < name; });
    return found != members_.end() && found->first == key ? found->second : std::string_view();
  }

 private:
  using Member = std::pair<std::string_view, std::string_view>;
  static bool before(const Member& a, const Member& b) { return a.first < b.first; }
  std::vector<Member> members_;
  std::list<std::string> decoded_;  // keys that had escapes
};

Result<bool> flag(std::string_view value, std::string_view field) {
  if (value.empty() || is_null(value) || value == "false") return false;
  if (value == "true") return true;
  return wrong(std::string(field), "must be true or false");
}

Result<std::optional<std::int64_t>> count(std::string_view value, std::string_view field,
                                          std::int64_t least, std::int64_t most) {
  if (value.empty() || is_null(value)) return std::optional<std::int64_t>();
  const auto number = whole_number(value);
  if (number && *number >= least && *number <= most) return number;
  return wrong(std::string(field), "must be a whole number from " + std::to_string(least) + " to " +
                                       std::to_string(most));
}

struct Reader {
  Asked& out;
  Letters letters = {};
  std::int64_t ids = 0;  // tokens that came as numbers

  Result<void> text(std::string_view literal, const Where& where) {
    if (out.texts.size() == texts_max) return wrong(where, "has more than 100000 texts");
    letters += letters_of(literal);
    out.texts.push_back(literal);
    return {};
  }

  // "text", or a list of parts of which some are text.
  Result<void> content(std::string_view value, const Where& where) {
    if (is_text(value)) return text(value, where);
    if (value.empty() || is_null(value)) return {};
    if (!is_list(value)) return wrong(where, "must be a text or a list of parts");
    Where here = where;
    here.part = 0;
    for (Items parts(value); parts.next(); ++here.part, here.last = "") {
      if (!is_object(parts.value())) return wrong(here, "must be an object");
      const Object part = TRY(Object::read(parts.value(), here));
      const bool refuses = !is_text(part["text"]) && is_text(part["refusal"]);
      here.last = refuses ? "refusal" : "text";
      if (is_text(part[here.last]))
        TRY(text(part[here.last], here));
      else
        out.media = true;
    }
    return {};
  }

  // Is looked at by guardrails; its letters were counted, or are few.
  Result<void> look(std::string_view value, const Where& where) {
    if (!is_text(value)) return {};
    if (out.texts.size() == texts_max) return wrong(where, "has more than 100000 texts");
    out.texts.push_back(value);
    return {};
  }

  Result<void> look_within(std::string_view object, std::string_view key, const Where& where) {
    if (!is_object(object)) return {};
    return look(TRY(Object::read(object, where))[key], where);
  }

  // What else of a message the model reads: what it thought and called before, what tools said.
  Result<void> beside_content(const Object& message, Where here) {
    for (const std::string_view field : {"name", "reasoning_content", "reasoning", "refusal"}) {
      here.member = field;
      TRY(look(message[field], here));
    }
    here.member = "tool_calls";
    if (const std::string_view calls = message["tool_calls"]; is_list(calls))
      for (Items items(calls); items.next();) {
        TRY(look_within(member(items.value(), "function"), "arguments", here));
        TRY(look_within(member(items.value(), "custom"), "input", here));
      }
    here.member = "function_call";
    TRY(look_within(message["function_call"], "arguments", here));
    if (out.task != Task::responses) return {};
    // Items of the responses API: calls, what they gave, what was thought.
    for (const std::string_view field : {"arguments", "input"}) {
      here.member = field;
      if (is_text(message[field])) TRY(text(message[field], here));
    }
    here.member = "output";
    TRY(content(message["output"], here));
    here.member = "summary";
    TRY(content(message["summary"], here));
    out.media = out.media || text_or_empty(message["type"]) == "item_reference";
    return {};
  }

  Result<void> messages(std::string_view value, std::string_view field) {
    Where here{.field = field};
    if (!is_list(value)) return wrong(here, "must be a list of messages");
    here.item = 0;
    for (Items items(value); items.next(); ++here.item, here.member = "") {
      if (!is_object(items.value())) return wrong(here, "must be an object with role and content");
      const Object message = TRY(Object::read(items.value(), here));
      const std::size_t from = out.texts.size();
      here.member = "content";
      TRY(content(message["content"], here));
      if (text_or_empty(message["role"]) == "user") {
        out.question_from = from;
        out.question_end = out.texts.size();
      }
      TRY(beside_content(message, here));
      // Calls of tools go back to the model with their arguments.
      letters.plain += static_cast<std::int64_t>(message["tool_calls"].size()) + 12;
    }
    if (here.item == 0) return wrong(Where{.field = field}, "must have at least one message");
    return {};
  }

  // A text, a list of texts, a list of token numbers, or a list of such lists.
  Result<std::int64_t> prompts(std::string_view value, std::string_view field) {
    if (is_text(value)) {
      TRY(text(value, Where{.field = field}));
      return 1;
    }
    if (!is_list(value))
      return wrong(Where{.field = field}, "must be a text, or a list of texts or tokens");
    std::int64_t found = 0, numbers = 0;
    for (Items items(value); items.next();) {
      if (is_text(items.value())) {
        TRY(text(items.value(), Where{.field = field}));
        ++found;
      } else if (is_list(items.value())) {
        for (Items inner(items.value()); inner.next();) ++ids;
        ++found;
      } else if (whole_number(items.value())) {
        ++numbers;
      } else {
        return wrong(Where{.field = field}, "must be a text, or a list of texts or tokens");
      }
    }
    if (found == 0 && numbers == 0) return wrong(Where{.field = field}, "must not be empty");
    ids += numbers;
    out.token_numbers = out.token_numbers || ids > 0;
    return std::max<std::int64_t>(found, 1);
  }
};

// What bounds the answer of one choice. A field of another task bounds nothing: no upstream reads
// it.
std::span<const std::string_view> bound_fields(Task task) {
  static constexpr std::array<std::string_view, 2> of_chats{"max_completion_tokens", "max_tokens"};
  static constexpr std::array<std::string_view, 1> of_texts{"max_tokens"};
  static constexpr std::array<std::string_view, 1> of_responses{"max_output_tokens"};
  if (task == Task::chat) return of_chats;
  if (task == Task::responses) return of_responses;
  return of_texts;
}
std::string_view bound_field(Task task) { return bound_fields(task).front(); }

// Of the responses API: what the upstream keeps, and what it reads that is not in the body.
Result<void> read_kept(const Object& body, Asked& out) {
  if (TRY(flag(body["background"], "background")))
    return wrong("background",
                 "must be false: what is written once the call is over is metered nowhere");
  for (const char* field : {"previous_response_id", "conversation", "prompt"})
    out.media = out.media || !(body[field].empty() || is_null(body[field]));
  if (const auto tools = body["tools"]; is_list(tools))
    for (Items items(tools); items.next();) {
      const std::string type = text_or_empty(member(items.value(), "type"));
      out.media = out.media || (type != "function" && type != "custom");
    }
  return {};
}

Result<void> read_prompt(const Object& body, Reader& reader) {
  Asked& out = reader.out;
  switch (out.task) {
    case Task::chat:
      if (body["messages"].empty())
        return wrong("messages", "is missing; it must be a list of messages");
      TRY(reader.messages(body["messages"], "messages"));
      out.messages = body["messages"];
      if (const auto expected = body["prediction"]; is_object(expected))
        TRY(reader.content(member(expected, "content"),
                           {.field = "prediction", .member = "content"}));
      if (const auto ways = body["modalities"]; is_list(ways))
        for (Items items(ways); items.next();)
          out.sound = out.sound || text_or_empty(items.value()) != "text";
      break;
    case Task::completions:
      if (const auto prompt = body["prompt"]; !prompt.empty() && !is_null(prompt))
        out.choices *= TRY(reader.prompts(prompt, "prompt"));
      if (const auto after = body["suffix"]; is_text(after))
        TRY(reader.text(after, {.field = "suffix"}));
      break;
    case Task::embeddings:
      if (body["input"].empty())
        return wrong("input", "is missing; it must be a text, or a list of texts or tokens");
      TRY(reader.prompts(body["input"], "input"));
      break;
    case Task::responses: {
      const std::string_view input = body["input"];
      if (is_list(input)) TRY(reader.messages(input, "input"));
      if (is_text(input)) TRY(reader.text(input, {.field = "input"}));
      if (const auto said = body["instructions"]; is_text(said))
        TRY(reader.text(said, {.field = "instructions"}));
      TRY(read_kept(body, out));
      break;
    }
    case Task::rerank:
      TRY(reader.text(body["query"], {.field = "query"}));
      TRY(reader.prompts(body["documents"], "documents"));
  }
  for (const char* schema : {"tools", "functions", "response_format", "text"})
    reader.letters.plain += static_cast<std::int64_t>(body[schema].size());
  out.prompt_tokens = reader.letters.tokens() + reader.ids;
  return {};
}

Result<void> read_bounds(const Object& body, Asked& out) {
  out.stream = TRY(flag(body["stream"], "stream"));
  out.stream_options = body["stream_options"];
  if (is_object(out.stream_options)) {
    const Object options = TRY(Object::read(out.stream_options, {.field = "stream_options"}));
    out.usage_wanted = TRY(flag(options["include_usage"], "stream_options.include_usage"));
  } else if (!out.stream_options.empty() && !is_null(out.stream_options)) {
    return wrong("stream_options", "must be an object");
  }
  if (!writes(out.task)) return {};
  out.bound_value = body[bound_field(out.task)];
  for (const std::string_view field : bound_fields(out.task))
    if (const auto bound = TRY(count(body[field], field, 0, output_bound_max)))
      out.output_bound = std::max(out.output_bound.value_or(0), *bound);
  // llama.cpp reads this one before its others; below zero it says: without end.
  if (const auto predicted = whole_number(body["n_predict"]))
    out.other_bound = *predicted < 0 ? output_bound_max : std::min(*predicted, output_bound_max);
  for (const char* field : {"n", "best_of"})
    if (const auto choices = TRY(count(body[field], field, 1, choices_max)))
      out.choices = std::max(out.choices, *choices);
  return {};
}

}  // namespace

std::string_view path_of(Task task) {
  switch (task) {
    case Task::chat: return "/chat/completions";
    case Task::completions: return "/completions";
    case Task::embeddings: return "/embeddings";
    case Task::responses: return "/responses";
    case Task::rerank: return "/rerank";
  }
  return "";
}

Result<Asked> read_request(Task task, std::string_view text) {
  if (const auto fault = object_fault(text))
    return Error{Code::invalid_argument, "the body cannot be read: " + *fault};
  const Object body = TRY(Object::read(text.substr(text.find('{')), {}));
  Asked out{.task = task, .prompt_tokens_max = static_cast<std::int64_t>(text.size())};
  out.model_value = body["model"];
  if (out.model_value.empty())
    return wrong("model",
                 "is missing; name the route that shall answer: GET /v1/models lists them");
  if (!is_text(out.model_value) || out.model_value.size() == 2 ||
      out.model_value.size() > model_max)
    return wrong("model", "must be the name of a route, a text of 1 to 300 letters");
  out.model = text_of(out.model_value);
  const std::string_view user = body["user"];
  if (!user.empty() && !is_null(user) && !is_text(user)) return wrong("user", "must be a text");
  out.user = text_or_empty(user);
  if (out.user.size() > user_max) {
    std::size_t end = user_max;
    while (end > 0 && (static_cast<unsigned char>(out.user[end]) & 0xC0) == 0x80) --end;
    out.user.resize(end);
  }
  out.object = text.substr(text.find('{'));
  TRY(read_bounds(body, out));
  Reader reader{out};
  TRY(read_prompt(body, reader));
  return out;
}

std::string spliced(std::string_view text, const std::vector<Splice>& splices) {
  std::string out;
  std::size_t more = 0, at = 0;
  for (const Splice& splice : splices) more += splice.text.size();
  out.reserve(text.size() + more);
  for (const Splice& splice : splices) {
    if (splice.from < at) continue;  // within the one before: it is gone
    out.append(text.substr(at, splice.from - at)).append(splice.text);
    at = splice.from + splice.size;
  }
  out.append(text.substr(at));
  return out;
}

namespace {

// Right behind the brace that opens an object. A body has its model at least, so a comma follows.
Splice at_front(std::string_view whole, std::string_view object, std::string text) {
  return {static_cast<std::size_t>(object.data() - whole.data()) + 1, 0, std::move(text)};
}

Splice in_place(std::string_view whole, std::string_view part, std::string text) {
  return {static_cast<std::size_t>(part.data() - whole.data()), part.size(), std::move(text)};
}

void ask_for_usage(std::string_view body, const Asked& asked, std::vector<Splice>& out) {
  const std::string_view options = asked.stream_options;
  if (options.empty()) {
    out.push_back(at_front(body, asked.object, "\"stream_options\":{\"include_usage\":true},"));
    return;
  }
  if (is_null(options)) {
    out.push_back(in_place(body, options, "{\"include_usage\":true}"));
    return;
  }
  if (const std::string_view said = member(options, "include_usage"); !said.empty()) {
    out.push_back(in_place(body, said, "true"));
    return;
  }
  const bool empty = !Members(options).next();
  out.push_back(
      at_front(body, options, empty ? "\"include_usage\":true" : "\"include_usage\":true,"));
}

void bound_output(std::string_view body, const Asked& asked, std::int64_t bound,
                  std::vector<Splice>& out) {
  const std::string text = std::to_string(bound);
  if (!asked.bound_value.empty()) {  // null
    out.push_back(in_place(body, asked.bound_value, text));
    return;
  }
  const std::string field(bound_field(asked.task));
  out.push_back(at_front(body, asked.object, "\"" + field + "\":" + text + ","));
}

}  // namespace

std::string changed(std::string_view body, const Asked& asked, const Change& change) {
  std::vector<Splice> splices;
  if (change.output_bound && !asked.output_bound && writes(asked.task))
    bound_output(body, asked, *change.output_bound, splices);
  if (asked.stream && !asked.usage_wanted &&
      (asked.task == Task::chat || asked.task == Task::completions))
    ask_for_usage(body, asked, splices);
  splices.push_back(in_place(body, asked.model_value, literal_of(change.model)));
  if (!change.front.empty())
    splices.push_back(at_front(body, asked.messages, std::string(change.front)));
  if (change.texts)
    for (std::size_t i = 0; i < asked.texts.size(); ++i)
      if (const auto& text = change.texts->at(i))
        splices.push_back(in_place(body, asked.texts[i], literal_of(*text)));
  if (splices.size() > 1)
    std::stable_sort(splices.begin(), splices.end(),
                     [](const Splice& a, const Splice& b) { return a.from < b.from; });
  return spliced(body, splices);
}

}  // namespace penstock::api::openai
