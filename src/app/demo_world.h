// The airline of the demo: its flights as they really went, and what the desk asks about them.
#pragma once

#include <map>
#include <memory>
#include <random>
#include <thread>

#include "app/demo.h"
#include "app/demo_client.h"

namespace penstock::app {

struct Flight {
  std::string flight_id, carrier, origin, tailnum;
  Timestamp decision_time;
  std::optional<Timestamp> arrived_at;  // none: cancelled or diverted
  bool late = false;
};

struct Served {
  std::string prediction;
  std::int64_t version = 0;
  double score = 0;
};

// When each part of the story happens.
struct Calendar {
  std::string months;                               // of data that prepare.py writes
  std::string train_from, train_until, test_until;  // of v1
  std::string first_day, second_version, third_version, last_day;
  std::string stream_from;  // from here the stream gets the same flights
  double safe_ratio = 1.3;
};
Calendar calendar_of(bool quick);

// Flights whose decision falls in [from, until), by decision time.
Result<std::vector<Flight>> read_flights(const std::string& path, const std::string& from,
                                         const std::string& until);

// Kills the server at random moments until it is told to end.
class Killer {
 public:
  Killer(DemoServer& server, int kills, unsigned seed);
  ~Killer() { end(); }
  void end();
  int kills() const { return done_; }

 private:
  std::atomic<bool> ending_{false};
  std::atomic<int> done_{0};
  std::jthread thread_;
};

// Plays flights in event order: before each wave of decisions the online store is brought up to its
// moment; arrivals come back as labels once they have happened.
class Replay {
 public:
  Replay(DemoClient& desk, DemoClient& operations) : desk_(desk), operations_(operations) {}

  // Asks for every flight whose decision is before `until`; stops early where `done` says so after
  // a wave.
  Result<void> play_until(Timestamp until, const std::function<Result<bool>()>& done = {});
  void add(std::vector<Flight> flights) { flights_ = std::move(flights); }
  void stream_from(Timestamp from) { stream_from_ = from; }
  void restart_at(Timestamp at, std::function<Result<void>()> restart) {
    restart_at_ = at;
    restart_ = std::move(restart);
  }
  const std::map<std::string, Served>& served() const { return served_; }
  const std::map<std::string, Flight>& by_id() const { return by_id_; }
  std::size_t calls() const { return served_.size(); }
  std::size_t labels() const { return labels_; }
  std::size_t streamed() const { return streamed_; }
  std::size_t duplicates() const { return duplicates_; }

 private:
  Result<void> ask(const Flight& flight);
  Result<void> tell_labels(Timestamp now);
  Result<void> stream_wave(std::size_t begin, std::size_t end);

  DemoClient& desk_;
  DemoClient& operations_;
  std::vector<Flight> flights_;
  std::size_t next_ = 0;
  std::multimap<Timestamp, const Flight*> in_the_air_;
  std::map<std::string, Served> served_;
  std::map<std::string, Flight> by_id_;
  std::optional<Timestamp> stream_from_, restart_at_;
  std::function<Result<void>()> restart_;
  std::size_t labels_ = 0, streamed_ = 0, duplicates_ = 0;
};

}  // namespace penstock::app
