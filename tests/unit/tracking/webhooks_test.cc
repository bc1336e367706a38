// Webhooks and their delivery out of the audit log, on both databases. The way out is a function
// here; tests/clients/test_mlflow_webhooks.py has real receivers.
#include "tracking/webhooks.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include "tests/support/fixture.h"
#include "tracking/registered_models.h"
#include "tracking/webhook_delivery.h"
#include "tracking/webhook_payloads.h"

namespace penstock::tracking {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using test::must;

class WebhooksTest : public testing::Test {
 protected:
  WebhooksTest() { must(models_.create(ana_, "before", "", {})); }

  WebhookNet net() {
    return {.post = [this](const WebhookRequest& request) -> Result<WebhookAnswer> {
              ++tries_[request.url];
              const auto found = answers_.find(request.url);
              const int status = found == answers_.end() ? 200 : found->second;
              if (status == 0) return Error{Code::unavailable, "nobody is there"};
              if (status < 300) told_.push_back(request);
              return WebhookAnswer{status, "thanks"};
            },
            .check = [](const std::string& url) -> Result<void> {
              if (url.starts_with("https://")) return {};
              return Error{Code::invalid_argument, "url must begin with https://"};
            }};
  }
  std::string add(const std::string& name, std::vector<std::string> events,
                  const std::string& secret = "") {
    clock_.advance(seconds(1));
    return must(webhooks_.create(ana_, {.name = name,
                                        .url = "https://" + name + ".example/x",
                                        .secret = secret,
                                        .events = std::move(events)}))
        .webhook.id;
  }
  void run() { run(delivery_); }
  void run(WebhookDelivery& delivery) {
    while (must(delivery.collect())) {
    }
    while (must(delivery.deliver())) {
    }
  }
  // "event data" of what was told, in order; forgotten then.
  std::string told() {
    std::string out;
    for (const WebhookRequest& one : told_) {
      const json::object body = json::parse(one.body).as_object();
      out += std::string(body.at("entity").as_string()) + "." +
             std::string(body.at("action").as_string()) + " " + canonical(body.at("data")) + "\n";
    }
    told_.clear();
    return out;
  }
  std::int64_t waiting() { return test::count(*db_, "webhook_deliveries"); }

  const Call ana_ = test::call("user:ana");
  ManualClock clock_;
  std::unique_ptr<sql::Database> db_ = test::database();
  registry::Service registry_{*db_, clock_};
  RegisteredModels models_{*db_, registry_, clock_};
  std::map<std::string, int> answers_, tries_;  // by url; status 0: no answer
  std::vector<WebhookRequest> told_;
  std::vector<std::string> trouble_;
  WebhookKey key_ = WebhookKey::generate();
  Webhooks webhooks_{*db_, clock_, key_, net()};
  WebhookDelivery delivery_{
      *db_, clock_, key_, net(),
      [this](const Call& call, const WebhookTrouble& trouble) -> Result<void> {
        trouble_.push_back(call.project + " " + trouble.webhook.name + " " +
                           std::to_string(trouble.dropped));
        return {};
      }};
};

TEST_F(WebhooksTest, TellsOfModelsInMlflowsWords) {
  add("all", webhook_events());
  must(models_.create(ana_, "my model", "about", {{"team", "ops"}}));
  must(models_.create_version(
      ana_, {.model = "my model", .source = "s3://m", .run = "r1", .tags = {{"a", "1"}}}));
  must(models_.set_version_tag(ana_, "my model", 1, {"b", "2"}));
  must(models_.remove_version_tag(ana_, "my model", 1, "b"));
  must(models_.remove_version_tag(ana_, "my model", 1, "never"));
  must(models_.set_alias(ana_, "my model", "champion", 1));
  must(models_.remove_alias(ana_, "my model", "champion"));
  must(models_.set_tag(ana_, "my model", {"of", "the model"}));  // MLflow tells of prompts' alone
  run();
  EXPECT_EQ(
      told(),
      R"(registered_model.created {"description":"about","name":"my model","tags":{"team":"ops"}}
model_version.created {"description":null,"name":"my model","run_id":"r1","source":"s3://m","tags":{"a":"1"},"version":"1"}
model_version_tag.set {"key":"b","name":"my model","value":"2","version":"1"}
model_version_tag.deleted {"key":"b","name":"my model","version":"1"}
model_version_alias.created {"alias":"champion","name":"my model","version":"1"}
model_version_alias.deleted {"alias":"champion","name":"my model"}
)");
  must(registry_.register_version(ana_, {.model_id = "other-v1", .artifact_uri = "x"}));
  run();
  EXPECT_EQ(
      told(),
      R"(model_version.created {"description":null,"name":"other","run_id":null,"source":"x","tags":{},"version":"1"}
)");
}

TEST_F(WebhooksTest, TellsOfPromptsAsPrompts) {
  add("all", webhook_events());
  const std::string text(10'000, 't');
  const Pair mark{"mlflow.prompt.is_prompt", "true"};
  must(models_.create(ana_, "p", "", {mark, {"team", "ops"}, {"_mlflow_prompt_type", "text"}}));
  must(models_.create_version(ana_, {.model = "p",
                                     .source = "prompt-template",
                                     .description = "first",
                                     .tags = {mark, {"mlflow.prompt.text", text}, {"a", "1"}}}));
  must(models_.set_tag(ana_, "p", {"of", "prompt"}));
  must(models_.remove_tag(ana_, "p", "of"));
  must(models_.set_version_tag(ana_, "p", 1, {"long", text}));
  must(models_.remove_version_tag(ana_, "p", 1, "a"));
  must(models_.set_alias(ana_, "p", "live", 1));
  must(models_.remove_alias(ana_, "p", "live"));
  EXPECT_EQ(test::count(*db_, "audit_events WHERE detail LIKE '%tttttttt%'"), 0)
      << "long texts are not for the log";
  run();
  EXPECT_EQ(told(), R"(prompt.created {"description":"","name":"p","tags":{"team":"ops"}}
prompt_version.created {"description":"first","name":"p","tags":{"a":"1"},"template":")" +
                        text + R"(","version":"1"}
prompt_tag.set {"key":"of","name":"p","value":"prompt"}
prompt_tag.deleted {"key":"of","name":"p"}
prompt_version_tag.set {"key":"long","name":"p","value":")" +
                        text + R"(","version":"1"}
prompt_version_tag.deleted {"key":"a","name":"p","version":"1"}
prompt_alias.created {"alias":"live","name":"p","version":"1"}
prompt_alias.deleted {"alias":"live","name":"p"}
)");
}

TEST_F(WebhooksTest, TellsOfBudgetsThatArePassed) {
  add("money", {"budget_policy.exceeded"});
  must(db_->write(ana_, [&](sql::Tx& tx) {
    return audit::record(tx, ana_, clock_.now(),
                         {"costs.budget.passed",
                          "budget:desk",
                          {{"spent", "10.25"},
                           {"limit", "10"},
                           {"currency", "EUR"},
                           {"period", "day"},
                           {"from", "2026-05-01T00:00:00Z"},
                           {"tenant", ""},
                           {"route", "desk"}}});
  }));
  run();
  EXPECT_EQ(
      told(),
      R"(budget_policy.exceeded {"budget_amount":1E1,"budget_policy_id":"budget:desk",)"
      R"("budget_unit":"EUR","current_spend":1.025E1,"duration_unit":"DAYS","duration_value":1,)"
      R"("target_scope":"ENDPOINT","target_value":"desk","window_start":1777593600000,)"
      R"("workspace":"p1"})"
      "\n");
}

TEST_F(WebhooksTest, SignsWhatItTells) {
  const std::string id = add("signed", {"registered_model.created"}, "a secret");
  must(models_.create(ana_, "m", "", {}));
  clock_.advance(seconds(90));
  run();
  ASSERT_EQ(told_.size(), 1U);
  const auto header = [&](const char* name) -> std::string {
    for (const auto& [key, value] : told_[0].headers)
      if (key == name) return value;
    return "";
  };
  const std::string at = header("X-MLflow-Timestamp");
  EXPECT_EQ(at, std::to_string(clock_.now().time_since_epoch().count() / 1'000'000));
  const std::string text = header("X-MLflow-Delivery-Id") + "." + at + "." + told_[0].body;
  std::string digest(crypto_auth_hmacsha256_BYTES, '\0');
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, reinterpret_cast<const unsigned char*>("a secret"), 8);
  crypto_auth_hmacsha256_update(&state, reinterpret_cast<const unsigned char*>(text.data()),
                                text.size());
  crypto_auth_hmacsha256_final(&state, reinterpret_cast<unsigned char*>(digest.data()));
  char base64[64];
  sodium_bin2base64(base64, sizeof base64, reinterpret_cast<unsigned char*>(digest.data()),
                    digest.size(), sodium_base64_VARIANT_ORIGINAL);
  EXPECT_EQ(header("X-MLflow-Signature"), "v1," + std::string(base64));
  // Neither the database, the log nor an answer holds it.
  EXPECT_EQ(test::count(*db_, "webhooks WHERE secret LIKE '%secret%' OR secret = ''"), 0);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE detail LIKE '%a secret%'"), 0);
  must(webhooks_.change(ana_, {.id = id, .secret = ""}));
  must(models_.create(ana_, "n", "", {}));
  run();
  EXPECT_EQ(told_.at(1).headers.size(), 3U);
}

TEST_F(WebhooksTest, AnotherKeySendsNothingUnsigned) {
  add("signed", {"registered_model.created"}, "a secret");
  must(models_.create(ana_, "m", "", {}));
  WebhookDelivery other(*db_, clock_, WebhookKey::generate(), net(), {});
  run(other);
  EXPECT_TRUE(told_.empty());
  EXPECT_TRUE(tries_.empty());
  EXPECT_EQ(waiting(), 1);
  EXPECT_FALSE(WebhookKey::parse("short"));
  EXPECT_EQ(must(must(WebhookKey::parse(key_.text())).open(key_.seal("x"))), "x");
  EXPECT_EQ(WebhookKey::generate().open(key_.seal("x")).error().code, Code::failed_precondition);
  EXPECT_FALSE(key_.open("no box"));
}

TEST_F(WebhooksTest, IsToldOnlyWhatItAskedForAndFromThenOn) {
  add("models", {"registered_model.created"});
  add("aliases", {"model_version_alias.created"});
  Call other = ana_;
  other.project = "elsewhere";
  must(models_.create(other, "theirs", "", {}));
  must(models_.create(ana_, "m", "", {}));
  const std::string late = add("late", {"registered_model.created"});
  run();
  EXPECT_EQ(tries_, (std::map<std::string, int>{{"https://models.example/x", 1}}));
  EXPECT_EQ(told(), "registered_model.created {\"description\":\"\",\"name\":\"m\",\"tags\":{}}\n");
  must(webhooks_.change(ana_, {.id = late, .status = "DISABLED"}));
  must(models_.create(ana_, "n", "", {}));
  must(webhooks_.change(ana_, {.id = late, .status = "ACTIVE"}));
  run();
  EXPECT_EQ(tries_.count("https://late.example/x"), 0U) << "what came while it was disabled";
  must(models_.create(ana_, "o", "", {}));
  run();
  EXPECT_EQ(tries_["https://late.example/x"], 1);
  EXPECT_EQ(waiting(), 0);
}

TEST_F(WebhooksTest, AReceiverThatIsAwayMissesNothingAndHoldsUpNobody) {
  const std::string id = add("away", {"registered_model.created"}, "s");
  add("there", {"registered_model.created"});
  answers_["https://away.example/x"] = 0;
  for (const char* name : {"a", "b", "c"}) must(models_.create(ana_, name, "", {}));
  run();
  EXPECT_EQ(tries_["https://away.example/x"], 1) << "one try tells that it is away";
  EXPECT_EQ(tries_["https://there.example/x"], 3);
  EXPECT_EQ(waiting(), 3);
  for (int i = 0; i < 5; ++i) {
    clock_.advance(hours(1));
    run();
  }
  EXPECT_EQ(tries_["https://away.example/x"], 6);
  EXPECT_EQ(trouble_, std::vector<std::string>{"p1 away 0"}) << "loud once, at the fifth failure";
  // The server begins anew, and so does the receiver.
  answers_.clear();
  told_.clear();
  clock_.advance(hours(1));
  WebhookDelivery again(*db_, clock_, key_, net(), {});
  run(again);
  EXPECT_EQ(waiting(), 0);
  EXPECT_EQ(told_.size(), 3U);
  EXPECT_EQ(must(webhooks_.get(ana_, id)).webhook.failures, 0);
}

TEST_F(WebhooksTest, GivesUpInTheEnd) {
  add("away", {"registered_model.created"});
  answers_["https://away.example/x"] = 503;
  must(models_.create(ana_, "a", "", {}));
  for (int i = 0; i < 26 && (i == 0 || waiting() > 0); ++i) {
    run();
    clock_.advance(hours(1));
  }
  EXPECT_EQ(waiting(), 0);
  EXPECT_EQ(tries_["https://away.example/x"], 26) << "each hour of a day, and once more";
  EXPECT_EQ(trouble_, (std::vector<std::string>{"p1 away 0", "p1 away 1"}));
  WebhookDelivery hasty(*db_, clock_, key_, net(), {}, {.attempts_max = 2});
  must(models_.create(ana_, "b", "", {}));
  for (int i = 0; i < 2; ++i) {
    run(hasty);
    clock_.advance(hours(1));
  }
  EXPECT_EQ(waiting(), 0);
}

TEST_F(WebhooksTest, WhatIsRefusedIsNotTriedAgain) {
  add("refuses", {"registered_model.created"});
  for (const int status : {400, 401, 404, 410, 301}) {
    answers_["https://refuses.example/x"] = status;
    must(models_.create(ana_, "m" + std::to_string(status), "", {}));
    run();
    EXPECT_EQ(waiting(), 0) << status;
  }
  EXPECT_EQ(tries_["https://refuses.example/x"], 5);
  EXPECT_EQ(trouble_, std::vector<std::string>{"p1 refuses 1"}) << "not once an event";
  for (const int status : {408, 429, 500}) {
    answers_["https://refuses.example/x"] = status;
    must(models_.create(ana_, "m" + std::to_string(status), "", {}));
    clock_.advance(hours(1));
    run();
  }
  EXPECT_EQ(waiting(), 3);
}

TEST_F(WebhooksTest, AQueueHasAnEndAndADeletedWebhookNone) {
  const std::string id = add("away", {"registered_model.created"});
  answers_["https://away.example/x"] = 0;
  WebhookDelivery small(*db_, clock_, key_, net(), {}, {.waiting_max = 2});
  for (const char* name : {"a", "b", "c"}) must(models_.create(ana_, name, "", {}));
  run(small);
  EXPECT_EQ(waiting(), 2);
  must(webhooks_.remove(ana_, id));
  EXPECT_EQ(waiting(), 0);
  EXPECT_EQ(webhooks_.get(ana_, id).error().code, Code::not_found);
  EXPECT_EQ(webhooks_.remove(ana_, id).error().code, Code::not_found);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action LIKE 'tracking.webhook.%'"), 2);
}

TEST_F(WebhooksTest, TwoServersTellItOnce) {
  add("there", {"registered_model.created"});
  WebhookDelivery second(*db_, clock_, key_, net(), {});
  must(second.collect());
  must(models_.create(ana_, "a", "", {}));
  run();
  run(second);
  must(models_.create(ana_, "b", "", {}));
  run(second);
  run();
  EXPECT_EQ(tries_["https://there.example/x"], 2);
}

TEST_F(WebhooksTest, RefusesWhatItCannotUse) {
  struct Case {
    std::string what;
    CreateWebhook input;
  };
  const std::string url = "https://a.example/";
  const std::vector<std::string> events{"prompt.created"};
  const Case cases[] = {
      {"name", {.name = "", .url = url, .events = events}},
      {"name", {.name = "a b", .url = url, .events = events}},
      {"name", {.name = "-a", .url = url, .events = events}},
      {"name", {.name = std::string(64, 'a'), .url = url, .events = events}},
      {"url", {.name = "a", .url = "http://a.example/", .events = events}},
      {"url", {.name = "a", .url = url + std::string(500, 'u'), .events = events}},
      {"events", {.name = "a", .url = url}},
      {"prompt.created, ", {.name = "a", .url = url, .events = {"prompt.exceeded"}}},
      {"status", {.name = "a", .url = url, .status = "PAUSED", .events = events}},
      {"secret", {.name = "a", .url = url, .secret = std::string(4'001, 's'), .events = events}},
      {"description",
       {.name = "a", .description = std::string(1'001, 'd'), .url = url, .events = events}},
  };
  for (const Case& c : cases) {
    const auto refused = webhooks_.create(ana_, c.input);
    ASSERT_FALSE(refused) << c.what;
    EXPECT_EQ(refused.error().code, Code::invalid_argument) << c.what;
    EXPECT_NE(refused.error().message.find(c.what), std::string::npos) << refused.error().message;
  }
  EXPECT_EQ(test::count(*db_, "webhooks"), 0);
  const std::string id = add("a", {"prompt.created", "prompt.created"});
  EXPECT_EQ(must(webhooks_.get(ana_, id)).events, events);
  EXPECT_FALSE(webhooks_.change(ana_, {.id = id, .events = std::vector<std::string>{"x"}}));
  EXPECT_FALSE(webhooks_.change(ana_, {.id = id, .url = "ftp://x"}));
  EXPECT_EQ(webhooks_.list(ana_, 1'001, "").error().code, Code::invalid_argument);
  add("b", events);
  const auto page = must(webhooks_.list(ana_, 1, ""));
  EXPECT_EQ(page.items.at(0).webhook.name, "b");
  EXPECT_EQ(must(webhooks_.list(ana_, 1, page.next_page_token)).items.at(0).webhook.name, "a");
  Call other = ana_;
  other.project = "elsewhere";
  EXPECT_EQ(webhooks_.get(other, id).error().code, Code::not_found);
  EXPECT_TRUE(must(webhooks_.list(other, 0, "")).items.empty());
}

TEST_F(WebhooksTest, ATestSaysHowItWent) {
  const std::string id = add("a", {"model_version.created", "prompt.created"}, "s");
  auto done = must(webhooks_.test(ana_, id, ""));
  EXPECT_TRUE(done.success);
  EXPECT_EQ(done.answer->body, "thanks");
  EXPECT_TRUE(told().starts_with("model_version.created "));
  for (const std::string& event : webhook_events()) {
    must(webhooks_.test(ana_, id, event));
    EXPECT_TRUE(told().starts_with(event + " {")) << event;
  }
  EXPECT_EQ(webhooks_.test(ana_, id, "x.y").error().code, Code::invalid_argument);
  EXPECT_EQ(webhooks_.test(ana_, "none", "").error().code, Code::not_found);
  answers_["https://a.example/x"] = 500;
  done = must(webhooks_.test(ana_, id, ""));
  EXPECT_FALSE(done.success);
  EXPECT_EQ(done.answer->status, 500);
  answers_["https://a.example/x"] = 0;
  done = must(webhooks_.test(ana_, id, ""));
  EXPECT_FALSE(done.success);
  EXPECT_EQ(done.error, "nobody is there");
}

}  // namespace
}  // namespace penstock::tracking
