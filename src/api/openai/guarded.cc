#include "api/openai/guarded.h"

#include <algorithm>
#include <array>

namespace penstock::api::openai {
namespace {

using guardrails::Hit;
using guardrails::Side;

// What a model says in words, beside the arguments of its calls.
constexpr std::array text_fields = {"content", "reasoning_content", "reasoning", "refusal", "text"};
constexpr std::size_t arguments_max = 1 << 20;  // held back of one choice
constexpr std::size_t calls_max = 128;

bool is_text_field(std::string_view key) {
  return std::find(text_fields.begin(), text_fields.end(), key) != text_fields.end();
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

void OutputGuard::whole_fields(const Site& site, std::string_view holder) {
  for (Members members(holder); members.next();) {
    if (is_text_field(members.key())) check(site, members.value());
    if (members.key() != "tool_calls" || !is_list(members.value())) continue;
    for (Items calls(members.value()); calls.next();)
      check(site, member(member(calls.value(), "function"), "arguments"));
  }
}

void OutputGuard::whole(std::string_view object, std::vector<Splice>& out) {
  if (!chain_->looks_at(Side::output)) return;
  const Site site{object, out};
  for (const char* list : {"choices", "output"}) {
    const std::string_view choices = member(object, list);
    if (!is_list(choices)) continue;
    for (Items items(choices); items.next();) {
      if (!is_object(items.value())) continue;
      whole_fields(site, items.value());
      if (const std::string_view said = member(items.value(), "message"); is_object(said))
        whole_fields(site, said);
      // Of OpenAI's responses: parts of text.
      const std::string_view parts = member(items.value(), "content");
      if (!is_list(parts)) continue;
      for (Items texts(parts); texts.next();)
        if (is_object(texts.value())) whole_fields(site, texts.value());
    }
  }
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
  for (const std::string_view holder : {choice, delta}) {
    if (!is_object(holder)) continue;
    for (Members members(holder); members.next();) {
      if (is_text_field(members.key()) && is_text(members.value()))
        text_piece(site, known, members.key(), members.value(), last);
      if (members.key() == "tool_calls" && is_list(members.value()))
        arguments_piece(site, known, members.value());
    }
  }
  if (last && !blocked_) rest(site, known, choice, delta);
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

void OutputGuard::arguments_piece(const Site& site, Choice& known, std::string_view calls) {
  for (Items items(calls); items.next();) {
    const std::string_view said = member(member(items.value(), "function"), "arguments");
    if (!is_text(said)) continue;
    const std::int64_t call = index_of(items.value());
    if (known.arguments.size() >= calls_max && !known.arguments.contains(call)) return block({});
    const std::string text = text_of(said);
    known.held += text.size();
    if (known.held > arguments_max) return block({});
    known.arguments[call] += text;
    if (!text.empty()) site.put(said, "\"\"");
  }
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
  std::string calls;
  for (const auto& [call, text] : known.arguments) {
    guardrails::Verdict verdict = judge(text);
    if (verdict.blocked) return block(verdict.hits);
    const std::string& free = verdict.changed ? verdict.text : text;
    if (free.empty()) continue;
    calls += (calls.empty() ? "{\"index\":" : ",{\"index\":") + std::to_string(call) +
             ",\"function\":{\"arguments\":" + literal_of(free) + "}}";
  }
  known.arguments.clear();
  if (!calls.empty()) {
    if (const std::string_view there = member(holder, "tool_calls"); is_list(there))
      site.put_first(there, std::move(calls));
    else if (!there.empty())
      site.put(there, "[" + calls + "]");
    else
      front += (front.empty() ? "" : ",") + ("\"tool_calls\":[" + calls + "]");
  }
  if (!front.empty()) site.put_first(holder, std::move(front));
}

}  // namespace penstock::api::openai
