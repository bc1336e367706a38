// Webhooks put together: the key that seals their secrets, the way out, and who hears of trouble.
#include <fstream>

#include "app/parts.h"
#include "net/post.h"

namespace penstock::app {
namespace {

// As it was given, or the one of the data directory.
Result<tracking::WebhookKey> webhook_key(const std::string& given, const std::string& path) {
  if (!given.empty()) return tracking::WebhookKey::parse(given);
  std::ifstream stream(path);
  std::string line;
  if (std::getline(stream, line)) {
    auto key = tracking::WebhookKey::parse(line);
    if (!key) return Error{key.error().code, path + ": " + key.error().message};
    return key;
  }
  auto key = tracking::WebhookKey::generate();
  TRY(keep_secret(path, key.text()));
  return key;
}

tracking::WebhookNet way_out(const WebhookOptions& options) {
  const net::PostLimits limits{.allow_http = options.allow_http,
                               .allow_private = options.allow_private,
                               .ca_file = options.ca_file};
  return {
      .post = [limits](const tracking::WebhookRequest& request) -> Result<tracking::WebhookAnswer> {
        auto answer = TRY(net::post(request.url, request.headers, request.body, limits));
        return tracking::WebhookAnswer{answer.status, std::move(answer.body)};
      },
      .check = [limits](const std::string& url) { return net::check_post_url(url, limits); }};
}

}  // namespace

Result<void> System::Parts::make_webhooks() {
  const auto key = TRY(webhook_key(options.webhooks.key, path("webhooks.key")));
  const auto net = way_out(options.webhooks);
  const auto tell = [this](const Call& call,
                           const tracking::WebhookTrouble& trouble) -> Result<void> {
    const tracking::Webhook& webhook = trouble.webhook;
    TRY(incidents->open(call, {.dedup_key = "webhook:" + webhook.id + ":failing",
                               .title = "Webhook " + webhook.name + " is not reached",
                               .severity = incidents::Severity::warning,
                               .subject = "webhook:" + webhook.id,
                               .detail = {{"problem", trouble.problem},
                                          {"failures_in_a_row", webhook.failures},
                                          {"given_up", trouble.dropped}}}));
    return {};
  };
  webhooks = std::make_unique<tracking::Webhooks>(*db, clock, key, net);
  webhook_delivery = std::make_unique<tracking::WebhookDelivery>(*db, clock, key, net, tell);
  return {};
}

}  // namespace penstock::app
