#include "api/openai/guarded.h"

#include <algorithm>
#include <array>

namespace penstock::api::openai {
namespace {

using guardrails::Hit;
using guardrails::Side;

// What a model says in words, beside the arguments of its calls.
constexpr std::array text_fields = {"content", "reasoning_content", "reasoning", "refusal", "text"};
// And what stands whole in whole answers: arguments, what is spoken, thoughts of each item.
constexpr std::array whole_fields = {"arguments", "input", "transcript", "summary", "output"};
// What of an answer may hold them.
constexpr std::array holders = {"message",       "content", "tool_calls", "function",  "custom",
                                "function_call", "audio",   "summary",    "reasoning", "output"};
// What says again what the text says.
constexpr std::array again_fields = {"logprobs", "token_ids", "reasoning_details"};
constexpr int walk_depth = 6;
constexpr std::size_t arguments_max = 1 << 20;  // held back of one choice
constexpr std::size_t calls_max = 128;

bool is_text_field(std::string_view key) {
  return std::find(text_fields.begin(), text_fields.end(), key) != text_fields.end();
}

bool is_whole_field(std::string_view key) {
  return std::find(whole_fields.begin(), whole_fields.end(), key) != whole_fields.end();
}

bool is_holder(std::string_view key) {
  return std::find(holders.begin(), holders.end(), key) != holders.end();
}

void add(std::vector<std::string>& known, const std::vector<Hit>& hits) {
  for (const Hit& hit : hits) {
    std::string text = guardrails::text_of(hit);
    if (std::find(known.begin(), known.end(), text) == known.end())
      known.push_back(std::move(text));
  }
}

Failure refusal(const std::vector<Hit>& hits, const std::string& what) {
  Failure out{.status = 400,
              .message = what + " was withheld by a guardrail of the route",
              .type = "invalid_request_error",
              .code = "content_filter"};
  for (const Hit& hit : hits) {
    if (hit.action != guardrails::Action::block) continue;
    if (hit.what == guardrails::failed_what)
      return upstream_failure(503, "guardrail_failed",
                              what + " was withheld: guardrail " + hit.guardrail +
                                  " could not judge it, and lets nothing pass unjudged");
    if (hit.what == guardrails::unpaid_what)
      return {.status = 429,
              .message = what + " was withheld: guardrail " + hit.guardrail +
                         " could not judge it: no hard budget covers one more judgement",
              .type = "insufficient_quota",
              .code = "insufficient_quota"};
    out.message = what + " was withheld: guardrail " + hit.guardrail + " blocks " + hit.what;
  }
  return out;
}

std::int64_t index_of(std::string_view object) {
  return whole_number(member(object, "index")).value_or(0);
}

}  // namespace

CheckedInput check_input(const guardrails::Chain& chain, const Asked& asked, Timestamp deadline,
                         const guardrails::MayJudge& may_judge) {
  CheckedInput out;
  if (!chain.looks_at(Side::input)) return out;
  out.texts.resize(asked.texts.size());
  for (std::size_t i = 0; i < asked.texts.size(); ++i) {
    guardrails::Verdict verdict =
        chain.check(Side::input, text_of(asked.texts[i]), deadline, may_judge);
    add(out.hits, verdict.hits);
    guardrails::add(out.runs, verdict.judged);
    if (verdict.blocked) {
      out.blocked = refusal(verdict.hits, "the call");
      return out;
    }
    if (verdict.changed) out.texts[i] = std::move(verdict.text);
  }
  return out;
}

struct OutputGuard::Site {
  std::string_view object;
  std::vector<Splice>& out;
  void put(std::string_view part, std::string text) const {
    out.push_back(
        {static_cast<std::size_t>(part.data() - object.data()), part.size(), std::move(text)});
  }
  // As the first of an object or a list, whose opening letter `holder` begins with.
  void put_first(std::string_view holder, std::string text) const {
    const bool empty = holder[0] == '{' ? !Members(holder).next() : !Items(holder).next();
    if (!empty) text += ',';
    out.push_back(
        {static_cast<std::size_t>(holder.data() - object.data()) + 1, 0, std::move(text)});
  }
};

void OutputGuard::note(const std::vector<Hit>& hits) { add(hits_, hits); }

void OutputGuard::block(const std::vector<Hit>& hits) {
  note(hits);
  if (!blocked_) blocked_ = refusal(hits, "the answer");
}

std::vector<std::string> OutputGuard::hits() const {
  std::vector<std::string> out = hits_;
  for (const auto& [index, choice] : choices_)
    for (const auto& [field, stream] : choice.texts) add(out, stream->hits());
  return out;
}

std::vector<guardrails::Judged> OutputGuard::judged() const {
  std::vector<guardrails::Judged> out = judged_;
  for (const auto& [index, choice] : choices_)
    for (const auto& [field, stream] : choice.texts) guardrails::add(out, stream->judged());
  return out;
}

guardrails::Verdict OutputGuard::judge(const std::string& text) {
  guardrails::Verdict verdict = chain_->check(Side::output, text, deadline_, may_judge_);
  note(verdict.hits);
  guardrails::add(judged_, verdict.judged);
  return verdict;
}

// One that has come to its end and is let go of.
void OutputGuard::close(const guardrails::Stream& stream) {
  note(stream.hits());
  guardrails::add(judged_, stream.judged());
}

// ---- whole answers ----

void OutputGuard::check(const Site& site, std::string_view literal) {
  if (!is_text(literal)) return;
  guardrails::Verdict verdict = judge(text_of(literal));
  if (verdict.blocked)
    block(verdict.hits);
  else if (verdict.changed)
    site.put(literal, literal_of(verdict.text));
}

// Null, or empty, in the place of what says the text once more.
bool OutputGuard::withheld(const Site& site, std::string_view key, std::string_view value) const {
  if (std::find(again_fields.begin(), again_fields.end(), key) == again_fields.end()) return false;
  if (!is_list(value) && !is_object(value)) return false;
  if (chain_->withholds(Side::output)) site.put(value, is_list(value) ? "[]" : "null");
  return true;
}

// Every text that the model wrote, wherever in an answer's choice or item it stands.
void OutputGuard::walk(const Site& site, std::string_view holder, int depth) {
  if (is_list(holder)) {
    for (Items items(holder); items.next();)
      if (is_object(items.value())) walk(site, items.value(), depth);
    return;
  }
  for (Members members(holder); members.next();) {
    const std::string_view key = members.key(), value = members.value();
    if (withheld(site, key, value)) continue;
    if (is_text(value) && (is_text_field(key) || is_whole_field(key))) check(site, value);
    if (depth > 0 && (is_object(value) || is_list(value)) && is_holder(key))
      walk(site, value, depth - 1);
  }
}

void OutputGuard::whole(std::string_view object, std::vector<Splice>& out) {
  if (!chain_->looks_at(Side::output)) return;
  const Site site{object, out};
  for (const char* list : {"choices", "output"})
    if (const std::string_view choices = member(object, list); is_list(choices))
      walk(site, choices, walk_depth);
}

// ---- streams ----

void OutputGuard::piece(std::string_view object, std::vector<Splice>& out) {
  if (!chain_->looks_at(Side::output)) return;
  const Site site{object, out};
  const std::string_view choices = member(object, "choices");
  if (!is_list(choices)) return;
  for (Items items(choices); items.next() && !blocked_;)
    if (is_object(items.value())) choice_piece(site, items.value());
}

void OutputGuard::choice_piece(const Site& site, std::string_view choice) {
  const std::int64_t index = index_of(choice);
  if (choices_.size() >= calls_max && !choices_.contains(index)) return block({});
  Choice& known = choices_[index];
  const bool last = is_text(member(choice, "finish_reason"));
  const std::string_view delta = member(choice, "delta");
  known.has_delta = is_object(delta);
  for (const std::string_view holder : {choice, delta})
    if (is_object(holder)) delta_piece(site, known, holder, last);
  if (last && !blocked_) rest(site, known, choice, delta);
}

void OutputGuard::delta_piece(const Site& site, Choice& known, std::string_view holder, bool last) {
  for (Members members(holder); members.next() && !blocked_;) {
    const std::string_view key = members.key(), value = members.value();
    if (withheld(site, key, value)) continue;
    if (is_text_field(key) && is_text(value)) text_piece(site, known, key, value, last);
    // A list of parts, as some write what was thought and what is said.
    if (is_text_field(key) && is_list(value))
      for (Items parts(value); parts.next() && !blocked_;)
        if (const std::string_view said = member(parts.value(), "text"); is_text(said))
          text_piece(site, known, key, said, last);
    if (key == "tool_calls" && is_list(value)) arguments_piece(site, known, value);
    if (key == "function_call")
      if (const std::string_view said = member(value, "arguments"); is_text(said))
        if (hold(known, known.called, said) && !last) site.put(said, "\"\"");
  }
}

void OutputGuard::text_piece(const Site& site, Choice& known, std::string_view field,
                             std::string_view literal, bool last) {
  auto found = known.texts.find(field);
  if (found == known.texts.end())
    found =
        known.texts.emplace(std::string(field), chain_->stream(Side::output, deadline_, may_judge_))
            .first;
  guardrails::Stream& stream = *found->second;
  const std::string said = text_of(literal);
  std::string free = stream.take(said);
  if (last && !stream.blocked()) free += stream.finish();
  if (stream.blocked()) return block(stream.hits());
  if (free != said) site.put(literal, literal_of(free));
  if (!last) return;
  close(stream);
  known.texts.erase(found);
}

// False where it is too much to keep.
bool OutputGuard::hold(Choice& known, std::string& of, std::string_view literal) {
  const std::string text = text_of(literal);
  known.held += text.size();
  if (known.held > arguments_max) {
    block({});
    return false;
  }
  of += text;
  return true;
}

void OutputGuard::arguments_piece(const Site& site, Choice& known, std::string_view calls) {
  for (Items items(calls); items.next();) {
    std::int64_t call = index_of(items.value()) * 2;
    std::string_view said = member(member(items.value(), "function"), "arguments");
    if (const auto custom = member(member(items.value(), "custom"), "input"); is_text(custom)) {
      said = custom;
      ++call;
    }
    if (!is_text(said)) continue;
    if (known.arguments.size() >= calls_max && !known.arguments.contains(call)) return block({});
    if (!hold(known, known.arguments[call], said)) return;
    if (said.size() > 2) site.put(said, "\"\"");
  }
}

// As items of tool_calls; empty where nothing was held, or where it is blocked.
std::string OutputGuard::held_calls(Choice& known) {
  std::string out;
  for (const auto& [call, text] : std::exchange(known.arguments, {})) {
    guardrails::Verdict verdict = judge(text);
    if (verdict.blocked) {
      block(verdict.hits);
      return "";
    }
    const std::string& free = verdict.changed ? verdict.text : text;
    if (free.empty()) continue;
    out.append(out.empty() ? "{\"index\":" : ",{\"index\":").append(std::to_string(call / 2));
    out.append(call % 2 == 0 ? ",\"function\":{\"arguments\":" : ",\"custom\":{\"input\":");
    out.append(literal_of(free)).append("}}");
  }
  return out;
}

// As the arguments of function_call.
std::string OutputGuard::held_call(Choice& known) {
  const std::string text = std::exchange(known.called, {});
  if (text.empty()) return "";
  guardrails::Verdict verdict = judge(text);
  if (verdict.blocked) {
    block(verdict.hits);
    return "";
  }
  return literal_of(verdict.changed ? verdict.text : text);
}

// What was held back of a choice goes into its last piece.
void OutputGuard::rest(const Site& site, Choice& known, std::string_view choice,
                       std::string_view delta) {
  const std::string_view holder = is_object(delta) ? delta : choice;
  std::string front;  // what the holder has no field for yet
  for (auto& [field, stream] : known.texts) {
    const std::string text = stream->finish();
    if (stream->blocked()) return block(stream->hits());
    if (text.empty()) continue;
    if (const std::string_view there = member(holder, field); !there.empty())
      site.put(there, literal_of(text));  // null: else it would have been taken
    else
      front += (front.empty() ? "" : ",") + literal_of(field) + ":" + literal_of(text);
  }
  for (const auto& [field, stream] : known.texts) close(*stream);
  known.texts.clear();
  const auto add = [&](const std::string& field, std::string value) {
    front += (front.empty() ? "" : ",") + literal_of(field) + ":" + std::move(value);
  };
  if (std::string calls = held_calls(known); !calls.empty()) {
    if (const std::string_view there = member(holder, "tool_calls"); is_list(there))
      site.put_first(there, std::move(calls));
    else if (!there.empty())
      site.put(there, "[" + calls + "]");
    else
      add("tool_calls", "[" + calls + "]");
  }
  if (std::string call = held_call(known); !call.empty()) {
    const std::string_view there = member(holder, "function_call");
    if (const std::string_view said = member(there, "arguments"); !said.empty())
      site.put(said, std::move(call));
    else if (is_object(there))
      site.put_first(there, "\"arguments\":" + call);
    else if (!there.empty())
      site.put(there, "{\"arguments\":" + call + "}");
    else
      add("function_call", "{\"arguments\":" + call + "}");
  }
  if (blocked_) return;
  if (!front.empty()) site.put_first(holder, std::move(front));
}

bool OutputGuard::holds_back(const Choice& known) const {
  return !known.texts.empty() || !known.arguments.empty() || !known.called.empty();
}

std::vector<std::string> OutputGuard::finish() {
  std::vector<std::string> out;
  for (auto& [index, known] : choices_) {
    if (blocked_) break;
    if (!holds_back(known)) continue;
    const std::string choice =
        "{\"index\":" + std::to_string(index) + (known.has_delta ? ",\"delta\":{}}" : "}");
    std::vector<Splice> splices;
    rest({choice, splices}, known, choice, member(choice, "delta"));
    if (!blocked_ && !splices.empty()) out.push_back(spliced(choice, splices));
  }
  return out;
}

}  // namespace penstock::api::openai
