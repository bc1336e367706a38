#include "audit/note.h"
#include "costs/cloud_events.h"
#include "costs/reconcile.h"
#include "evidence/archive.h"
#include "serving/event_codec.h"
#include "tests/fuzz/fuzz.h"

namespace penstock::fuzz {
namespace {

const audit::SigningKey& key() {
  static const audit::SigningKey one = audit::SigningKey::generate("fuzz");
  return one;
}

std::string packed() { return *evidence::pack({{"a/b.json", "{}"}, {"c.txt", "hello"}}); }

bool eat_archive(std::string_view input) {
  const auto files = evidence::unpack(input);
  if (!files) return false;
  const auto again = evidence::pack(*files);
  hold(again && *again == input, "an archive of another form was read");
  return true;
}

bool eat_note(std::string_view input) {
  const auto head = audit::open_checkpoint(input, key().public_key());
  static const std::string good = key().sign(key().public_key().name + "\n5\nAAAA\n");
  return bool(head) || input == good;
}

bool eat_public_key(std::string_view input) {
  const auto read = audit::PublicKey::parse(input);
  if (!read) return false;
  hold(read->text() == input, "a key with two texts");
  return true;
}

std::vector<serving::InferenceEvent> events(std::size_t count) {
  std::vector<serving::InferenceEvent> out;
  for (std::size_t row = 0; row < count; ++row) {
    serving::InferenceEvent event;
    event.id = count == 1 ? "one" : serving::row_id("call", row);
    event.project = "p";
    event.route = "r";
    event.model = "m";
    event.version = 3;
    event.score = 0.5 * static_cast<double>(row);
    event.features = {1.0, std::nullopt};
    out.push_back(event);
  }
  return out;
}

std::string record(std::size_t count) {
  const auto made = events(count);
  return serving::records_of(made).front().text;
}

bool eat_record(std::string_view input) {
  const auto read = serving::events_of(input);
  if (!read) return false;
  for (const auto& event : *read)
    hold(bool(serving::events_of(serving::event_text(event))), "it cannot read what it wrote");
  return true;
}

bool eat_cloud_event(std::string_view input) {
  boost::system::error_code fault;
  const json::value value = json::parse(input, fault);
  if (fault) return false;
  Call call;
  call.project = "p";
  return bool(costs::usage_of(value, call, Timestamp(std::chrono::hours(500'000))));
}

}  // namespace

std::vector<Target> document_targets() {
  return {
      {"archive", {packed()}, eat_archive},
      {"note", {key().sign(key().public_key().name + "\n5\nAAAA\n")}, eat_note},
      {"public_key", {key().public_key().text()}, eat_public_key},
      {"event_record", {record(1), record(5)}, eat_record},
      {"cloud_event",
       {R"({"specversion":"1.0","type":"x.gpu_hours","source":"s","id":"1","time":"2026-11-01T00:00:00Z",)"
        R"("subject":"t","data":{"value":"1.5","model":"m","version":3}})"},
       eat_cloud_event},
      {"provider_report",
       {"day,model,meter,quantity,amount\n2026-11-02,m,requests,5,0.25\n",
        R"([{"day":"2026-11-02","model":"m","meter":"requests","quantity":5}])"},
       [](std::string_view input) { return bool(costs::read_report(input)); }},
  };
}

}  // namespace penstock::fuzz
