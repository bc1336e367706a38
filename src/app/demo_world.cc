#include "app/demo_world.h"

#include "adapters/duckdb/duckdb.h"

namespace penstock::app {
namespace {

std::string text_or(const Scalar& value, const std::string& otherwise) {
  const auto* text = std::get_if<std::string>(&value);
  return text ? *text : otherwise;
}

json::value bytes_input(const std::string& name, const std::string& value) {
  return {{"name", name}, {"datatype", "BYTES"}, {"shape", {1}}, {"data", {value}}};
}

}  // namespace

Calendar calendar_of(bool quick) {
  if (quick)
    return {.months = "1-2",
            .train_from = "2013-01-01",
            .train_until = "2013-01-25",
            .test_until = "2013-02-01",
            .first_day = "2013-02-01",
            .second_version = "2013-02-06",
            .third_version = "2013-02-20",
            .last_day = "2013-03-01",
            .stream_from = "2013-02-26",
            .safe_ratio = 1.25};
  return {.months = "1-9",
          .train_from = "2013-01-01",
          .train_until = "2013-07-01",
          .test_until = "2013-08-01",
          .first_day = "2013-07-01",
          .second_version = "2013-08-01",
          .third_version = "2013-09-01",
          .last_day = "2013-10-01",
          .stream_from = "2013-09-24"};
}

Result<std::vector<Flight>> read_flights(const std::string& path, const std::string& from,
                                         const std::string& until) {
  const auto engine = duckdb::open({.memory_limit_mb = 512});
  const auto session = TRY(engine->session());
  const auto table = TRY(session->query(
      "SELECT flight_id, carrier, origin, tailnum, epoch_us(decision_time), CASE WHEN cancelled OR "
      "diverted THEN NULL ELSE epoch_us(arrived_at) END, arrived_at >= scheduled_arrival + "
      "INTERVAL 15 MINUTES FROM read_parquet(" +
      olap::quoted_text(path) + ") WHERE decision_time >= TIMESTAMP " + olap::quoted_text(from) +
      " AND decision_time < TIMESTAMP " + olap::quoted_text(until) +
      " ORDER BY decision_time, flight_id"));
  std::vector<Flight> flights;
  for (const auto& row : table.rows) {
    Flight flight{.flight_id = text_or(row[0], ""),
                  .carrier = text_or(row[1], ""),
                  .origin = text_or(row[2], ""),
                  .tailnum = text_or(row[3], "unknown"),
                  .decision_time = Timestamp(Micros(std::get<std::int64_t>(row[4])))};
    if (const auto* arrived = std::get_if<std::int64_t>(&row[5])) {
      flight.arrived_at = Timestamp(Micros(*arrived));
      const auto* late = std::get_if<bool>(&row[6]);
      flight.late = late && *late;
    }
    flights.push_back(std::move(flight));
  }
  return flights;
}

Killer::Killer(DemoServer& server, int kills, unsigned seed)
    : thread_([this, &server, kills, seed] {
        std::mt19937 random(seed);
        while (!ending_ && done_ < kills) {
          const int pause = std::uniform_int_distribution<int>(50, 1'500)(random);
          std::this_thread::sleep_for(std::chrono::milliseconds(pause));
          if (ending_) return;
          server.kill();
          ++done_;
        }
      }) {}

void Killer::end() {
  ending_ = true;
  if (thread_.joinable()) thread_.join();
}

Result<void> Replay::ask(const Flight& flight) {
  // The caller's own id: a call that is sent again after a crash is the same call.
  const auto answer = TRY(desk_.call(
      "POST", "/v2/models/flight-delay/infer",
      json::object{{"id", "desk-" + flight.flight_id},
                   {"parameters", json::object{{"event_time", to_rfc3339(flight.decision_time)}}},
                   {"inputs", json::array{bytes_input("flight_id", flight.flight_id),
                                          bytes_input("carrier", flight.carrier),
                                          bytes_input("origin", flight.origin),
                                          bytes_input("tailnum", flight.tailnum)}}}));
  Served served{.prediction = "desk-" + flight.flight_id};
  const std::string version(answer.at("model_version").as_string());
  served.version = std::strtoll(version.c_str() + (version.starts_with("v") ? 1 : 0), nullptr, 10);
  for (const json::value& output : answer.at("outputs").as_array())
    if (output.at("name").as_string() == "score")
      // A score is a float32. Boost.JSON 1.81 may read a double one bit off, which the float
      // undoes.
      served.score = static_cast<double>(
          static_cast<float>(output.at("data").as_array().at(0).to_number<double>()));
  served_[flight.flight_id] = served;
  by_id_[flight.flight_id] = flight;
  return {};
}

Result<void> Replay::tell_labels(Timestamp now) {
  json::array labels;
  while (!in_the_air_.empty() && in_the_air_.begin()->first <= now) {
    const Flight& flight = *in_the_air_.begin()->second;
    labels.push_back({{"prediction", "desk-" + flight.flight_id},
                      {"value", flight.late ? 1.0 : 0.0},
                      {"at", to_rfc3339(*flight.arrived_at)}});
    in_the_air_.erase(in_the_air_.begin());
  }
  if (labels.empty()) return {};
  labels_ += labels.size();
  TRY(operations_.call("POST", "/api/v1/labels", json::object{{"labels", std::move(labels)}}));
  return {};
}

// The same flights on the stream, each third one twice: a topic gives no promise against
// duplicates.
Result<void> Replay::stream_wave(std::size_t begin, std::size_t end) {
  json::array records;
  for (std::size_t i = begin; i < end; ++i) {
    const Flight& flight = flights_[i];
    const json::object record{
        {"key", flight.carrier},
        {"value", json::object{{"id", "stream-" + flight.flight_id},
                               {"entities", json::object{{"flight_id", flight.flight_id},
                                                         {"carrier", flight.carrier},
                                                         {"origin", flight.origin},
                                                         {"tailnum", flight.tailnum}}},
                               {"event_time", to_rfc3339(flight.decision_time)}}}};
    records.push_back(record);
    ++streamed_;
    if (i % 3 == 0) {
      records.push_back(record);
      ++duplicates_;
    }
  }
  if (records.empty()) return {};
  TRY(desk_.call("POST", "/api/v1/topics/flights/records",
                 json::object{{"records", std::move(records)}}));
  // Features move on with the next wave: the stream must have read its own by then.
  for (int wait = 0; wait < 10'000; ++wait) {
    const auto view = TRY(desk_.call("GET", "/api/v1/streams/flight-decisions"));
    if (view.at("lag").to_number<std::int64_t>() == 0) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return Error{Code::deadline_exceeded, "the stream did not catch up"};
}

Result<void> Replay::play_until(Timestamp until, const std::function<Result<bool>()>& done) {
  while (next_ < flights_.size() && flights_[next_].decision_time < until) {
    const Timestamp now = flights_[next_].decision_time;
    TRY(operations_.call("POST", "/api/v1/features:materialize",
                         json::object{{"views", json::array{}}, {"until", to_rfc3339(now)}}));
    TRY(tell_labels(now));
    if (restart_ && restart_at_ && now >= *restart_at_) {
      TRY(restart_());
      restart_ = {};
    }
    const std::size_t begin = next_;
    for (; next_ < flights_.size() && flights_[next_].decision_time == now; ++next_) {
      TRY(ask(flights_[next_]));
      if (flights_[next_].arrived_at)
        in_the_air_.emplace(*flights_[next_].arrived_at, &flights_[next_]);
    }
    if (stream_from_ && now >= *stream_from_) TRY(stream_wave(begin, next_));
    if (done && TRY(done())) return {};
  }
  return {};
}

}  // namespace penstock::app
