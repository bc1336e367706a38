// What comes after the releases: batch, stream, trace, costs and the summary.
#include <fstream>
#include <iostream>
#include <set>

#include "app/command.h"
#include "app/demo_story.h"

namespace penstock::app {

Result<void> Demo::batch(const Replay& replay) {
  heading("7. Batch: the last month offline, as of each flight's time; stream: the same events");
  const std::string from = options_.quick ? "2013-02-20" : calendar_.third_version;
  const json::object body{
      {"route", "flight-delay"},
      {"version", 2},
      {"rows",
       "SELECT flight_id AS id, flight_id, carrier, origin, coalesce(tailnum, 'unknown') AS "
       "tailnum, decision_time AS event_time FROM flights WHERE decision_time >= TIMESTAMP '" +
           from + "' AND decision_time < TIMESTAMP '" + calendar_.last_day + "'"},
      {"output", "last_month"}};
  const auto first = TRY(operations_->call("POST", "/api/v1/batch:score", body));
  const auto second = TRY(operations_->call("POST", "/api/v1/batch:score", body));
  std::cout << "  " << text_of(first, "rows") << " rows in "
            << first.at("partitions").as_array().size() << " partitions, "
            << text_of(first, "published") << " published; again: " << text_of(second, "published")
            << " published\n";
  json::object served;
  for (const auto& [flight, one] : replay.served())
    if (one.version == 2) served[flight] = one.score;
  const std::string path = data_ + "/served.json";
  std::ofstream(path) << json::serialize(served);
  const auto compared =
      TRY(python({options_.example + "/compare.py", data_ + "/server/blobs/batch", path}));
  std::cout << "  batch against online, bit for bit: " << json::serialize(compared) << "\n";
  if (compared.at("different").to_number<std::int64_t>() != 0 ||
      compared.at("compared").to_number<std::int64_t>() == 0)
    return Error{Code::failed_precondition, "batch scores are not those that were served online"};
  return {};
}

Result<void> Demo::stream(const Replay& replay) {
  const auto view = TRY(ana_->call("GET", "/api/v1/streams/flight-decisions"));
  std::cout << "  stream: " << replay.streamed() << " events and " << replay.duplicates()
            << " duplicates sent; decided " << text_of(view, "decided") << ", duplicates dropped "
            << text_of(view, "duplicates") << ", errors " << text_of(view, "errors") << "\n";
  std::set<std::string> decided;
  std::size_t records = 0;
  for (std::int64_t offset = 0;;) {
    const auto page = TRY(desk_->call(
        "GET", "/api/v1/topics/decisions/records?limit=1000&offset=" + std::to_string(offset)));
    for (const json::value& record : page.at("records").as_array()) {
      decided.insert(text_of(record.at("value"), "id"));
      ++records;
    }
    offset = page.at("next_offset").to_number<std::int64_t>();
    if (page.at("records").as_array().empty()) break;
  }
  std::cout << "  " << records << " decisions for " << decided.size() << " events\n";
  if (records != decided.size() || decided.size() != replay.streamed())
    return Error{Code::failed_precondition, "the stream did not decide each event once"};
  return {};
}

Result<void> Demo::trace(const Replay& replay) {
  heading("8. One question: what made this prediction?");
  std::string id;
  for (const auto& [flight, served] : replay.served())
    if (served.version == 2) id = served.prediction;
  const auto answer = TRY(ana_->call("GET", "/api/v1/trace?urn=prediction:" + id));
  for (const json::value& node : answer.at("nodes").as_array()) {
    std::cout << "  "
              << std::string(
                     static_cast<std::size_t>(2 * node.at("depth").to_number<std::int64_t>()), ' ')
              << text_of(node, "urn");
    for (const char* field : {"owner", "classification", "cost"})
      if (!text_of(node, field).empty()) std::cout << "  " << field << " " << text_of(node, field);
    std::cout << "\n";
  }
  return {};
}

// An hour that costs many times what any hour did: nobody told the ledger that it would.
Result<void> Demo::burst() {
  const auto flights = TRY(
      read_flights(data_ + "/sources/flights.parquet", calendar_.stream_from, calendar_.last_day));
  const Flight& flight = flights.back();
  for (int i = 0; i < 1'500; ++i)
    TRY(desk_->call("POST", "/api/v1/routes/flight-delay:predict",
                    json::object{{"id", "burst-" + std::to_string(i)},
                                 {"event_time", to_rfc3339(flight.decision_time)},
                                 {"entities", json::object{{"flight_id", flight.flight_id},
                                                           {"carrier", flight.carrier},
                                                           {"origin", flight.origin},
                                                           {"tailnum", flight.tailnum}}}}));
  json::value found;
  TRY(wait_for("the cost incident", [&]() -> Result<bool> {
    const auto list = TRY(ana_->call("GET", "/api/v1/incidents?status=open"));
    for (const json::value& incident : list.at("incidents").as_array())
      if (text_of(incident, "dedup_key").find(":surprise:") != std::string::npos) found = incident;
    return !found.is_null();
  }));
  std::cout << "  1500 calls in one hour: incident " << text_of(found, "title") << "\n";
  return {};
}

Result<void> Demo::print_costs() {
  for (const char* by : {"version,tenant", "route,meter"}) {
    const auto report = TRY(ana_->call("GET", "/api/v1/costs?by=" + net::percent_encoded(by)));
    std::vector<std::vector<std::string>> rows;
    for (const json::value& row : report.at("rows").as_array())
      rows.push_back({"  " + std::string(row.at("keys").as_array().at(0).as_string()),
                      std::string(row.at("keys").as_array().at(1).as_string()),
                      text_of(row, "amount")});
    print_table({"  BY", by, "USD"}, rows);
  }
  return {};
}

// Waits until the ledger has a line for every call: its reader is behind by moments.
Result<void> Demo::drain() {
  std::int64_t before = -1;
  return wait_for("the ledger", [&]() -> Result<bool> {
    const auto report = TRY(ana_->call("GET", "/api/v1/costs?by=meter"));
    std::int64_t now = 0;
    for (const json::value& row : report.at("rows").as_array())
      now += row.at("quantity").to_number<std::int64_t>();
    const bool still = now == before;
    before = now;
    if (!still) std::this_thread::sleep_for(std::chrono::milliseconds(500));
    return still;
  });
}

// Whether every answer that the desk got is on record as it was given, and paid for once.
Result<void> Demo::find_all(const Replay& replay) {
  for (const auto& [flight, served] : replay.served()) {
    const auto event = TRY(ana_->call("GET", "/api/v1/predictions/" + served.prediction));
    const auto lines = TRY(ana_->call("GET", "/api/v1/costs/lines?source=inference&id=" +
                                                 net::percent_encoded(served.prediction)));
    std::int64_t requests = 0;
    for (const json::value& line : lines.at("lines").as_array())
      if (text_of(line, "meter") == "requests") requests += line.at("quantity").as_int64();
    const bool same = event.at("version").to_number<std::int64_t>() == served.version &&
                      static_cast<float>(event.at("score").to_number<double>()) ==
                          static_cast<float>(served.score);
    if (!same || requests != 1)
      return Error{Code::data_loss, "prediction " + served.prediction + " was answered by v" +
                                        std::to_string(served.version) +
                                        " with another score, or paid " + std::to_string(requests) +
                                        " times: " + json::serialize(event)};
  }
  std::cout << "  all " << replay.calls()
            << " answers are on record as given, each paid for once\n";
  return {};
}

Result<void> Demo::summary(const Replay& replay) {
  const auto audit = TRY(ana_->call("POST", "/api/v1/audit:verify", json::object{}));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started_;
  heading("Done");
  std::map<std::int64_t, std::pair<std::size_t, std::size_t>> by_version;  // labelled, wrong at 0.3
  for (const auto& [flight, served] : replay.served()) {
    const Flight& truth = replay.by_id().at(flight);
    if (!truth.arrived_at) continue;
    ++by_version[served.version].first;
    by_version[served.version].second += (served.score >= 0.3) != truth.late;
  }
  for (const auto& [version, counts] : by_version)
    std::printf("  flight-delay@v%lld answered %zu labelled flights, wrong on %.1f %%\n",
                static_cast<long long>(version), counts.first,
                100.0 * static_cast<double>(counts.second) / static_cast<double>(counts.first));
  std::printf("  %zu calls, %zu labels; v2 %s, v3 %s; audit log of %s events %s; %.0f s in all\n",
              replay.calls(), replay.labels(), second_state_.c_str(), third_state_.c_str(),
              text_of(audit, "events").c_str(), audit.at("intact").as_bool() ? "intact" : "BROKEN",
              took.count());
  // Two months may end before the evidence against v3 is enough; it must never be promoted.
  const bool stopped = options_.quick ? third_state_ != "closed" && third_state_ != "watch"
                                      : third_state_ == "rolled_back";
  if (second_state_ != "closed" || !stopped || !audit.at("intact").as_bool())
    return Error{
        Code::failed_precondition,
        "the story did not end as it should: v2 must be closed (live), v3 stopped, and the "
        "audit log intact"};
  return {};
}

}  // namespace penstock::app
