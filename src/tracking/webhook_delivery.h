// Tells webhooks what happened. The audit log is the outbox: a change and its event are one
// transaction, so nothing is lost while a receiver or this server is down. Each event is told at
// least once, always with the same delivery id.
#pragma once

#include <map>
#include <mutex>

#include "audit/follow.h"
#include "tracking/webhooks.h"

namespace penstock::tracking {

// A webhook that fails: many times in a row, or with something that it will never be told. Told
// once an hour at most.
struct WebhookTrouble {
  Webhook webhook;
  std::string problem;       // of the last try
  std::int64_t dropped = 0;  // deliveries that are given up
};

class WebhookDelivery {
 public:
  struct Options {
    std::int64_t attempts_max = 40;
    Micros age_max = std::chrono::hours(24);
    Micros pause_min = std::chrono::seconds(1), pause_max = std::chrono::minutes(10);
    // How long a server may be busy with a webhook before another takes it for dead.
    Micros busy_max = std::chrono::seconds(30);
    std::int64_t waiting_max = 10'000;  // deliveries of one webhook
  };
  using OnTrouble = std::function<Result<void>(const Call&, const WebhookTrouble&)>;

  WebhookDelivery(sql::Database& db, const Clock& clock, WebhookKey key, WebhookNet net,
                  OnTrouble on_trouble, Options options)
      : db_(db),
        clock_(clock),
        key_(std::move(key)),
        net_(std::move(net)),
        on_trouble_(std::move(on_trouble)),
        options_(options) {}
  WebhookDelivery(sql::Database& db, const Clock& clock, WebhookKey key, WebhookNet net,
                  OnTrouble on_trouble)
      : WebhookDelivery(db, clock, std::move(key), std::move(net), std::move(on_trouble),
                        Options()) {}

  // Writes down whom to tell of what the audit log holds since the last time; true where there may
  // be more. For one thread.
  Result<bool> collect();
  // Tells one webhook what is due; false where nothing is. For any number of threads: one that
  // waits for a slow receiver holds up that receiver's webhook alone. A webhook that fails is left
  // alone for a pause that doubles, and what it is to be told is given up after so many tries or
  // hours.
  Result<bool> deliver();

 private:
  struct Outcome;
  Result<void> tell(Webhook& webhook, WebhookTrouble& trouble);
  Outcome post(const Webhook& webhook, const WebhookMessage& message);
  Micros pause_after(std::int64_t failures) const;
  bool may_be_loud(const std::string& webhook);

  sql::Database& db_;
  const Clock& clock_;
  WebhookKey key_;
  WebhookNet net_;
  OnTrouble on_trouble_;
  Options options_;
  std::int64_t seen_ = 0;  // events before it are of no interest to any webhook
  std::mutex turn_;
  std::map<std::string, Timestamp> loud_at_;  // webhooks whose trouble was told of late
};

}  // namespace penstock::tracking
