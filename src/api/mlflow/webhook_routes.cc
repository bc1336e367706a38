#include "api/mlflow/webhook_routes.h"

#include <simdjson.h>

#include "api/mlflow/protocol.h"
#include "tracking/webhooks.h"

namespace penstock::api {
namespace {

using mlflow::Arguments;
using Object = Result<json::object>;
using enum Permission;

std::string lower(std::string text) {
  for (char& letter : text)
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  return text;
}

std::string upper(std::string text) {
  for (char& letter : text)
    if (letter >= 'a' && letter <= 'z') letter = static_cast<char>(letter - 'a' + 'A');
  return text;
}

// {"entity": "MODEL_VERSION", "action": "CREATED"} is "model_version.created".
Result<std::string> event_of(const Arguments& in) {
  return lower(TRY(in.text("entity"))) + "." + lower(TRY(in.text("action")));
}

Result<std::vector<std::string>> events_of(const Arguments& in) {
  std::vector<std::string> out;
  for (const Arguments& one : TRY(in.objects("events"))) out.push_back(TRY(event_of(one)));
  return out;
}

// Without its secret, which nobody is ever told.
json::object said(const tracking::WebhookDetail& one) {
  json::array events;
  for (const std::string& event : one.events) {
    const std::size_t dot = event.find('.');
    events.push_back(
        {{"entity", upper(event.substr(0, dot))}, {"action", upper(event.substr(dot + 1))}});
  }
  json::object out{{"webhook_id", one.webhook.id},
                   {"name", one.webhook.name},
                   {"url", one.webhook.url},
                   {"events", std::move(events)},
                   {"status", one.webhook.status},
                   {"creation_timestamp", one.webhook.created_at},
                   {"last_updated_timestamp", one.webhook.updated_at}};
  if (!one.webhook.description.empty()) out["description"] = one.webhook.description;
  return out;
}

json::object answer(const tracking::WebhookDetail& one) { return {{"webhook", said(one)}}; }

Object list(tracking::Webhooks& webhooks, const Call& call, const Arguments& in) {
  const auto found = TRY(
      webhooks.list(call, TRY(in.whole_or("max_results", 0)), TRY(in.text_or("page_token", ""))));
  json::array items;
  for (const auto& one : found.items) items.push_back(said(one));
  return json::object{{"webhooks", std::move(items)}, {"next_page_token", found.next_page_token}};
}

Object change(tracking::Webhooks& webhooks, const Call& call, const Arguments& in) {
  tracking::ChangeWebhook change{.id = TRY(in.text("webhook_id"))};
  if (!TRY(in.text_or("name", "")).empty()) change.name = TRY(in.text("name"));
  if (!TRY(in.text_or("url", "")).empty()) change.url = TRY(in.text("url"));
  if (in.has("description")) change.description = TRY(in.text_or("description", ""));
  if (in.has("secret")) change.secret = TRY(in.text_or("secret", ""));
  if (in.has("status")) change.status = TRY(in.text_or("status", ""));
  if (auto events = TRY(events_of(in)); !events.empty()) change.events = std::move(events);
  return answer(TRY(webhooks.change(call, change)));
}

Object test(tracking::Webhooks& webhooks, const Call& call, const Arguments& in) {
  const Arguments event = TRY(in.object("event"));
  const auto done = TRY(webhooks.test(call, TRY(in.text("webhook_id")),
                                      event.fields().empty() ? "" : TRY(event_of(event))));
  json::object result{{"success", done.success}};
  if (done.answer) {
    result["response_status"] = done.answer->status;
    std::string body = done.answer->body;
    if (!simdjson::validate_utf8(body))
      for (char& byte : body)
        if (static_cast<unsigned char>(byte) > 0x7e) byte = '?';
    result["response_body"] = body;
  }
  if (!done.error.empty()) result["error_message"] = done.error;
  return json::object{{"result", std::move(result)}};
}

}  // namespace

std::vector<Route> mlflow_webhook_routes(tracking::Webhooks& webhooks) {
  std::vector<Route> routes;
  const auto add = [&](const char* method, const std::string& path, const char* summary,
                       mlflow::Handler handler) {
    mlflow::add(routes, method, path, summary, administer, std::move(handler));
  };
  add("POST", "webhooks", "Tell an address of changes to models",
      [&](const Call& call, const Arguments& in) -> Object {
        auto name = TRY(in.text("name"));
        auto description = TRY(in.text_or("description", ""));
        auto url = TRY(in.text("url"));
        auto secret = TRY(in.text_or("secret", ""));
        auto status = TRY(in.text_or("status", ""));
        auto events = TRY(events_of(in));
        return answer(TRY(webhooks.create(call, {.name = std::move(name),
                                                 .description = std::move(description),
                                                 .url = std::move(url),
                                                 .secret = std::move(secret),
                                                 .status = std::move(status),
                                                 .events = std::move(events)})));
      });
  add("GET", "webhooks", "List webhooks",
      [&](const Call& call, const Arguments& in) { return list(webhooks, call, in); });
  add("GET", "webhooks/{webhook_id}", "Show a webhook",
      [&](const Call& call, const Arguments& in) -> Object {
        return answer(TRY(webhooks.get(call, TRY(in.text("webhook_id")))));
      });
  add("PATCH", "webhooks/{webhook_id}", "Change a webhook",
      [&](const Call& call, const Arguments& in) { return change(webhooks, call, in); });
  add("DELETE", "webhooks/{webhook_id}", "Delete a webhook",
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(webhooks.remove(call, TRY(in.text("webhook_id"))));
        return json::object{};
      });
  add("POST", "webhooks/{webhook_id}/test", "Post an example to a webhook",
      [&](const Call& call, const Arguments& in) { return test(webhooks, call, in); });
  return routes;
}

}  // namespace penstock::api
