// What a version's graph puts before the caller's messages.
#include "api/openai/exchange.h"

namespace penstock::api::openai {
namespace {

int status_of(Code code) {
  switch (code) {
    case Code::deadline_exceeded: return 504;
    case Code::unavailable:
    case Code::resource_exhausted: return 503;
    default: return 502;  // the version's fault, whatever its node was told
  }
}

}  // namespace

std::optional<Failure> Exchange::check_graph(const serving::Deployment& found) const {
  if (!found.graph) return {};
  const std::string version = "version " + std::to_string(found.version) + " of " + found.model;
  if (!plane_.tools)
    return failure_of(Error{Code::failed_precondition, version + " has a graph, and this server "
                                                                 "runs none"});
  if (task_ != Task::chat) {
    Failure wrong = failure_of(
        Error{Code::invalid_argument,
              version + " answers with a graph, which reads the question of a chat; call POST "
                        "/v1/chat/completions"});
    wrong.param = "model";
    return wrong;
  }
  if (asked_.question_from < asked_.question_end) return {};
  return failure_of(Error{Code::invalid_argument,
                          "messages: " + version +
                              " answers with a graph, which needs a question: a message of role "
                              "user with a text",
                          {{"messages", "must have a text of role user"}}});
}

void Exchange::forget_graph() {
  asked_.prompt_tokens -= std::exchange(front_tokens_, 0);
  front_.reset();
}

void Exchange::run_graph() {
  std::string question;
  for (std::size_t i = asked_.question_from; i < asked_.question_end; ++i) {
    if (!question.empty()) question += '\n';
    const bool masked = i < texts_.size() && texts_[i];
    question += masked ? *texts_[i] : text_of(asked_.texts[i]);
  }
  Call call = call_;
  call.deadline = deadline_;
  call.request_id = id_;
  const Timestamp start = plane_.clock.now();
  const auto filled = deployment().graph->run(call, plane_.clock, question, user_, *plane_.tools);
  graph_time_ += plane_.clock.now() - start;
  if (!filled) {
    graph_failure_ =
        upstream_failure(status_of(filled.error().code), "graph_failed",
                         "the graph of version " + std::to_string(deployment().version) + " of " +
                             deployment().model + " failed: " + filled.error().message);
    return;
  }
  retrieval_calls_ += filled->retrieval_calls;
  reranker_calls_ += filled->reranker_calls;
  front_.emplace();
  for (const auto& [role, text] : filled->messages) {
    const std::string literal = literal_of(text);
    front_tokens_ += letters_of(literal).tokens() + 3;
    front_->append("{\"role\":\"")
        .append(name_of(role))
        .append("\",\"content\":")
        .append(literal)
        .append("},");
  }
  asked_.prompt_tokens += front_tokens_;
}

}  // namespace penstock::api::openai
