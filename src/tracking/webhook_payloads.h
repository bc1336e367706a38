// Which changes webhooks are told of, and in which words: from events of the audit log.
#pragma once

#include "audit/audit.h"
#include "tracking/tracking.h"

namespace penstock::tracking {

// What the audit log keeps of a tag: a long value is null there, and told as it is by then.
json::value audited_value(const std::string& value);
json::object audited_tags(const std::vector<Pair>& tags);
// MLflow's mark of models that are prompts.
bool marks_prompt(const std::vector<Pair>& tags);

struct WebhookNews {
  std::string event;  // "model_version.created"
  json::object data;
};
// Nothing where webhooks are not told of it.
Result<std::optional<WebhookNews>> webhook_news(sql::Tx& tx, const audit::Stored& change);
// Whether an event may be news at all; the look costs nothing.
bool may_be_webhook_news(const std::string& action);

// What a test of a webhook posts. Empty where there is no such event.
json::object webhook_example(const std::string& event);

}  // namespace penstock::tracking
