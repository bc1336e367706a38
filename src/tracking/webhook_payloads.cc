#include "tracking/webhook_payloads.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/urn.h"
#include "registry/version.h"

namespace penstock::tracking {
namespace {

constexpr std::size_t value_max = 4'000;
constexpr std::string_view prompt_mark = "mlflow.prompt.is_prompt",
                           prompt_text = "mlflow.prompt.text", prompt_type = "_mlflow_prompt_type";

enum class Thing { model, version, model_tag, version_tag, alias, budget };

// Events by the action that they are made from: of models, and of prompts (empty: not told).
struct Told {
  std::string_view action;
  Thing thing;
  std::string_view of_model, of_prompt;
};
constexpr std::array told{
    Told{"registry.model.created", Thing::model, "registered_model.created", "prompt.created"},
    Told{"registry.version.registered", Thing::version, "model_version.created",
         "prompt_version.created"},
    Told{"registry.model.tag_set", Thing::model_tag, "", "prompt_tag.set"},
    Told{"registry.model.tag_removed", Thing::model_tag, "", "prompt_tag.deleted"},
    Told{"registry.version.tag_set", Thing::version_tag, "model_version_tag.set",
         "prompt_version_tag.set"},
    Told{"registry.version.tag_removed", Thing::version_tag, "model_version_tag.deleted",
         "prompt_version_tag.deleted"},
    Told{"registry.alias.set", Thing::alias, "model_version_alias.created", "prompt_alias.created"},
    Told{"registry.alias.removed", Thing::alias, "model_version_alias.deleted",
         "prompt_alias.deleted"},
    Told{"costs.budget.passed", Thing::budget, "budget_policy.exceeded", ""},
};

const Told* find_told(const std::string& action) {
  const auto found =
      std::find_if(told.begin(), told.end(), [&](const Told& one) { return one.action == action; });
  return found == told.end() ? nullptr : &*found;
}

std::string text_in(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value && value->is_string() ? std::string(value->get_string()) : "";
}

// A change of a model or of a version: "model:NAME" or "model:NAME@vN".
struct Subject {
  std::string project, model, version;  // version: a number as text
};

Result<json::value> tag_now(sql::Tx& tx, const Subject& subject, std::string_view key) {
  sql::Row row{subject.project, subject.model, std::string(key)};
  std::string text =
      "SELECT value FROM registered_model_tags WHERE project = $1 AND model = $2 "
      "AND key = $3";
  if (!subject.version.empty()) {
    text =
        "SELECT value FROM version_tags WHERE project = $1 AND model = $2 AND key = $3 AND "
        "version = $4";
    row.emplace_back(std::int64_t{std::stoll(subject.version)});
  }
  const auto rows = TRY(tx.run(text, row));
  if (rows.empty()) return json::value(nullptr);
  return json::value(std::get<std::string>(rows.front().at(0)));
}

// Tags as they were, but for what the log does not hold.
Result<json::object> tags_of(sql::Tx& tx, const Subject& subject, const json::object& detail) {
  const json::value* tags = detail.if_contains("tags");
  if (!tags || !tags->is_object()) return json::object{};
  json::object out = tags->get_object();
  for (auto& tag : out)
    if (tag.value().is_null()) tag.value() = TRY(tag_now(tx, subject, tag.key()));
  return out;
}

// Versions that come by another way than MLflow's say nothing of themselves in their event.
Result<json::object> told_of_version(sql::Tx& tx, const Subject& subject, json::object detail) {
  if (detail.contains("name")) return detail;
  const auto rows =
      TRY(tx.run("SELECT name, source, run, description FROM version_notes WHERE project = $1 AND "
                 "model = $2 AND version = $3",
                 {subject.project, subject.model, std::int64_t{std::stoll(subject.version)}}));
  std::size_t column = 0;
  if (!rows.empty())
    for (const char* field : {"name", "source", "run_id", "description"})
      detail[field] = std::get<std::string>(rows.front().at(column++));
  return detail;
}

json::value or_null(std::string text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

// Exact amounts are texts here; MLflow's payload has numbers.
json::value number_in(const json::object& detail, std::string_view key) {
  const std::string text = text_in(detail, key);
  double number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// A budget of ours in the words of MLflow's: a route is its endpoint, a tenant its user.
json::object data_of_budget(const audit::Stored& change) {
  const json::object& detail = change.detail;
  const std::string route = text_in(detail, "route"), tenant = text_in(detail, "tenant");
  const auto from = from_rfc3339(text_in(detail, "from"));
  return {{"budget_policy_id", change.subject},
          {"budget_unit", text_in(detail, "currency")},
          {"budget_amount", number_in(detail, "limit")},
          {"current_spend", number_in(detail, "spent")},
          {"duration_unit", text_in(detail, "period") == "day" ? "DAYS" : "MONTHS"},
          {"duration_value", 1},
          {"target_scope", !route.empty()    ? "ENDPOINT"
                           : !tenant.empty() ? "USER"
                                             : "GLOBAL"},
          {"workspace", change.project},
          {"target_value", or_null(route.empty() ? tenant : route)},
          {"window_start", from ? from->time_since_epoch().count() / 1'000 : 0}};
}

Result<json::object> data_of(sql::Tx& tx, const Subject& subject, Thing thing, bool is_prompt,
                             bool is_set, const json::object& detail) {
  json::object data{{"name", text_in(detail, "name")}};
  if (thing == Thing::alias) {
    data["alias"] = text_in(detail, "alias");
    if (is_set) data["version"] = subject.version;
    return data;
  }
  if (!subject.version.empty()) data["version"] = subject.version;
  if (thing == Thing::model_tag || thing == Thing::version_tag) {
    const std::string key = text_in(detail, "key");
    data["key"] = key;
    if (!is_set) return data;
    const json::value* value = detail.if_contains("value");
    data["value"] = value && value->is_string() ? *value : TRY(tag_now(tx, subject, key));
    return data;
  }
  json::object tags = TRY(tags_of(tx, subject, detail));
  if (thing == Thing::version && is_prompt) {
    const json::value* text = tags.if_contains(prompt_text);
    data["template"] = text ? *text : json::value(nullptr);
    tags.erase(prompt_text);
  } else if (thing == Thing::version) {
    data["source"] = text_in(detail, "source");
    data["run_id"] = or_null(text_in(detail, "run_id"));
  }
  if (is_prompt) {
    tags.erase(prompt_mark);
    tags.erase(prompt_type);
  }
  data["tags"] = std::move(tags);
  const std::string description = text_in(detail, "description");
  data["description"] = thing == Thing::version ? or_null(description) : json::value(description);
  return data;
}

}  // namespace

json::value audited_value(const std::string& value) {
  return value.size() > value_max ? json::value(nullptr) : json::value(value);
}

json::object audited_tags(const std::vector<Pair>& tags) {
  json::object out;
  for (const Pair& tag : tags) out[tag.key] = audited_value(tag.value);
  return out;
}

bool marks_prompt(const std::vector<Pair>& tags) {
  bool is_prompt = false;
  for (const Pair& tag : tags)
    if (tag.key == prompt_mark) is_prompt = tag.value == "true" || tag.value == "True";
  return is_prompt;
}

bool may_be_webhook_news(const std::string& action) { return find_told(action) != nullptr; }

Result<std::optional<WebhookNews>> webhook_news(sql::Tx& tx, const audit::Stored& change) {
  const std::optional<WebhookNews> none;
  const Told* found = find_told(change.action);
  if (found && found->thing == Thing::budget)
    return std::optional(WebhookNews{std::string(found->of_model), data_of_budget(change)});
  const auto urn = Urn::parse(change.subject);
  if (!found || !urn) return none;
  const auto number = registry::version_number(urn->version);
  if (!urn->version.empty() && !number) return none;
  const Subject subject{change.project, urn->name, number ? std::to_string(*number) : ""};
  const bool needs_version = found->thing == Thing::version || found->thing == Thing::version_tag;
  if (needs_version && subject.version.empty()) return none;
  json::object detail = change.detail;
  if (found->thing == Thing::version) detail = TRY(told_of_version(tx, subject, std::move(detail)));
  if (text_in(detail, "name").empty()) return none;
  const json::value* prompt = detail.if_contains("is_prompt");
  const bool is_prompt = prompt && prompt->is_bool() && prompt->get_bool();
  WebhookNews news{.event = std::string(is_prompt ? found->of_prompt : found->of_model)};
  if (news.event.empty()) return none;
  const bool is_set = !change.action.ends_with("_removed") && !change.action.ends_with(".removed");
  news.data = TRY(data_of(tx, subject, found->thing, is_prompt, is_set, detail));
  return std::optional(std::move(news));
}

json::object webhook_example(const std::string& event) {
  const std::string thing = event.substr(0, event.find('.'));
  const bool is_prompt = thing.starts_with("prompt"), is_deleted = event.ends_with(".deleted");
  if (thing == "budget_policy")
    return {{"budget_policy_id", "bp-1"}, {"budget_unit", "USD"},
            {"budget_amount", 100.0},     {"current_spend", 104.5},
            {"duration_unit", "DAYS"},    {"duration_value", 1},
            {"target_scope", "GLOBAL"},   {"workspace", "default"},
            {"target_value", nullptr},    {"window_start", 1'767'225'600'000}};
  json::object out{{"name", is_prompt ? "an-example-prompt" : "an-example-model"}};
  if (thing.ends_with("_alias")) {
    out["alias"] = "champion";
    if (!is_deleted) out["version"] = "1";
    return out;
  }
  if (thing.ends_with("version") || thing.ends_with("version_tag")) out["version"] = "1";
  if (thing.ends_with("_tag")) {
    out["key"] = "team";
    if (!is_deleted) out["value"] = "operations";
    return out;
  }
  if (thing == "model_version") {
    out["source"] = "models:/m-0";
    out["run_id"] = "0123456789abcdef0123456789abcdef";
  }
  if (thing == "prompt_version") out["template"] = "Answer {{question}} in one sentence.";
  out["tags"] = {{"team", "operations"}};
  out["description"] = "This is a test of the webhook.";
  return out;
}

}  // namespace penstock::tracking
