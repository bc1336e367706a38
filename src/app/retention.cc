// How long the inference log is kept, tied to all who read it.
#include "app/parts.h"
#include "incidents/about.h"
#include "incidents/service.h"

namespace penstock::app {
namespace {

const Call retention_call{.actor = "service:retention", .project = "default"};

incidents::Opening opening_of(const serving::HeldUp& held) {
  return {.dedup_key = "retention:" + held.topic + ":" + held.reader,
          .title = "Topic " + held.topic + " cannot be shortened: " + held.reader +
                   " has not read what is older than the retention",
          .severity = incidents::Severity::warning,
          .subject = "topic:" + held.topic,
          .detail = {
              {"reader", held.reader}, {"unread", held.unread}, {"oldest", encode(held.oldest)}}};
}

// Whoever runs the server must know: the disk fills up, and the reader's reports are old.
Result<void> tell(sql::Tx& tx, Timestamp now, const serving::HeldUp& held) {
  const incidents::Opening opening = opening_of(held);
  if (!held.over) {
    TRY(incidents::open(tx, retention_call, now, opening));
    return {};
  }
  for (const incidents::Incident& incident :
       TRY(incidents::about(tx, retention_call, {opening.subject}, 100)))
    if (incident.dedup_key == opening.dedup_key && incident.status != incidents::Status::resolved)
      TRY(incidents::note(tx, retention_call, now, incident.id, "over", {{"reader", held.reader}}));
  return {};
}

}  // namespace

void System::Parts::make_retention() {
  retention = std::make_unique<serving::Retention>(
      rocks->log(), clock, metrics,
      serving::RetentionOptions{.time = options.keep_predictions,
                                .bytes = options.prediction_bytes});
  retention->add({.name = "metering", .reads_labels = false, .position = [this](std::string_view) {
                    return metering->position();
                  }});
  const auto add = [this](const char* name, const auto& reader) {
    retention->add({.name = name, .position = [&of = *reader](std::string_view topic) {
                      return of.position(topic);
                    }});
  };
  add("monitor", observer);
  add("reports", reports);
  add("release", controller);
  retention->on_held_up([this](const serving::HeldUp& held) {
    return db->write(retention_call, [&](sql::Tx& tx) { return tell(tx, clock.now(), held); });
  });
  gateway->remember_by([this](const std::string& project, const std::string& id) {
    // A call waits for it, and goes on without it where the database is away.
    constexpr Micros longest = std::chrono::seconds(1);
    return costs->has(
        {.actor = "service:serving", .project = project, .deadline = clock.now() + longest},
        {"inference", id});
  });
}

Result<void> System::Parts::begin_readers() {
  TRY(observer->begin());
  return controller->begin();
}

}  // namespace penstock::app
