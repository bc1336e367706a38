#include "api/openai/relay.h"

#include <algorithm>

namespace penstock::api::openai {
namespace {

Failure broken(std::string message) {
  return {.status = 502,
          .message = std::move(message),
          .type = "server_error",
          .code = "upstream_broken"};
}

std::size_t place(std::string_view whole, std::string_view part) {
  return static_cast<std::size_t>(part.data() - whole.data());
}

// The usage alone, which a stream has last: no choice, and a count.
bool is_usage_only(const Parts& parts) {
  return is_list(parts.choices) && is_object(parts.usage) && !Items(parts.choices).next();
}

// Takes a member out, with the comma that is before it, or behind it where it is the first.
Splice without(std::string_view whole, std::string_view taken) {
  std::size_t from = place(whole, taken), end = from + taken.size();
  std::size_t before = from;
  while (before > 0 &&
         std::string_view(" \t\r\n").find(whole[before - 1]) != std::string_view::npos)
    --before;
  if (before > 0 && whole[before - 1] == ',') {
    from = before - 1;
  } else {
    while (end < whole.size() && whole[end] != ',' && whole[end] != '}') ++end;
    if (end < whole.size() && whole[end] == ',') ++end;
  }
  return {from, end - from, ""};
}

// Whether there is an answer in it at all.
bool is_answer(const Parts& parts, Task task) {
  switch (task) {
    case Task::chat:
    case Task::completions: return is_list(parts.choices);
    case Task::embeddings: return is_list(parts.data);
    case Task::responses: return is_list(parts.output);
    case Task::rerank: return is_list(parts.results);
  }
  return false;
}

}  // namespace

Relay::Relay(const Asked& asked, std::string_view model, std::shared_ptr<const http::Endpoint> from,
             std::shared_ptr<const guardrails::Chain> guards, Timestamp deadline,
             guardrails::MayJudge may_judge)
    : task_(asked.task),
      usage_wanted_(asked.usage_wanted || asked.task == Task::responses),
      choices_(asked.task == Task::chat || asked.task == Task::completions ? asked.choices : 1),
      model_literal_(literal_of(model)),
      from_(std::move(from)) {
  if (guards && writes(task_)) guard_.emplace(std::move(guards), deadline, std::move(may_judge));
}

std::string Relay::relabelled(const Parts& parts, bool in_stream) {
  const std::string_view object = parts.object;
  const bool drops_usage = in_stream && !usage_wanted_ && is_null(parts.usage);
  if (!guard_ && task_ != Task::responses && !parts.model_twice && !drops_usage) {
    if (!is_text(parts.model)) return std::string(object);
    const std::size_t from = place(object, parts.model);
    std::string out;
    out.reserve(object.size() + model_literal_.size());
    out.append(object.substr(0, from)).append(model_literal_);
    out.append(object.substr(from + parts.model.size()));
    return out;
  }
  std::vector<Splice> splices;
  for (Members members(object); members.next();) {
    const std::string_view key = members.key(), value = members.value();
    if (key == "model" && is_text(value))
      splices.push_back({place(object, value), value.size(), model_literal_});
    // It is there because we asked for it.
    else if (key == "usage" && is_null(value) && in_stream && !usage_wanted_)
      splices.push_back(without(object, members.whole()));
    else if (key == "response" && task_ == Task::responses && is_object(value))
      if (const std::string_view model = member(value, "model"); is_text(model))
        splices.push_back({place(object, model), model.size(), model_literal_});
  }
  if (guard_) {
    if (in_stream)
      guard_->piece(object, splices);
    else
      guard_->whole(object, splices);
    std::stable_sort(splices.begin(), splices.end(),
                     [](const Splice& a, const Splice& b) { return a.from < b.from; });
  }
  return spliced(object, splices);
}

std::variant<std::string, Failure> Relay::whole(std::string_view body) {
  if (const auto fault = object_fault(body))
    return broken("the answer of upstream " + from_->name + " cannot be read: " + *fault);
  const std::string_view object = body.substr(body.find('{'));
  const Parts parts(object);
  if (!is_answer(parts, task_))
    return broken("upstream " + from_->name + " answered without what such a call asks for");
  tally_.whole(parts, task_);
  began_ = done_ = true;
  std::string out = relabelled(parts, false);
  if (guard_ && guard_->blocked()) return *guard_->blocked();
  return out;
}

void Relay::fail(Failure failure, std::string& out) {
  out.append("data: ").append(error_json(failure)).append("\n\n");
  failure_ = std::move(failure);
}

// What is held back of choices that never said that they end. False where it may not go out.
bool Relay::end_guard(std::string& out) {
  for (const std::string& choice : guard_->finish())
    (((out += "data: {\"object\":\"") +=
      task_ == Task::chat ? "chat.completion.chunk" : "text_completion") += "\",\"model\":")
        .append(model_literal_)
        .append(",\"choices\":[")
        .append(choice)
        .append("]}\n\n");
  if (guard_->blocked()) fail(*guard_->blocked(), out);
  return !failure_;
}

void Relay::event(const StreamEvent& event, std::string& out) {
  if (!event.has_data) {
    write_event(out, event);
    return;
  }
  if (event.data == "[DONE]") {
    if (guard_ && !end_guard(out)) return;
    done_ = true;
    write_event(out, event);
    return;
  }
  if (const auto fault = object_fault(event.data)) {
    fail(broken("the stream of upstream " + from_->name + " cannot be read: " + *fault), out);
    return;
  }
  const std::string_view object = std::string_view(event.data).substr(event.data.find('{'));
  const Parts parts(object);
  if (is_object(parts.error) && task_ != Task::responses) {
    // What a runtime says once it has begun: out of memory, cut by its own limit.
    std::string said = text_or_empty(member(parts.error, "message"));
    make_safe(said, *from_);
    fail(broken("upstream " + from_->name + " broke off: " + said), out);
    return;
  }
  if (tally_.piece(parts, task_)) began_ = true;
  if (bound_ && tally_.passes(*bound_)) {
    fail(broken("upstream " + from_->name +
                " goes on behind the tokens that it was told to keep to"),
         out);
    return;
  }
  if (!usage_wanted_ && is_usage_only(parts)) return;
  const std::string text = relabelled(parts, true);
  if (guard_ && guard_->blocked())
    fail(*guard_->blocked(), out);
  else
    write_event(out, event, text);
}

void Relay::piece(std::string_view bytes, std::string& out) {
  while (!failure_ && !done_) {
    const EventReader::Got got = events_.next(bytes);
    if (got == EventReader::Got::more) return;
    if (got == EventReader::Got::too_long) {
      fail(broken("the stream of upstream " + from_->name + " has a piece of more than 8 MB"), out);
      return;
    }
    event(events_.event(), out);
  }
}

void Relay::last(bool broke, std::string& out) {
  if (failure_) return;
  if (!broke && events_.finish()) event(events_.event(), out);
  if (failure_ || done_) return;
  if (complete()) {
    // Nothing of it is missing but the mark of the end, which some forget.
    if (task_ != Task::responses) out += "data: [DONE]\n\n";
    done_ = true;
    return;
  }
  fail(broken("the stream of upstream " + from_->name + " ended before the answer did"), out);
}

}  // namespace penstock::api::openai
