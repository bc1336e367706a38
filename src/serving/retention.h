// How long inference events and labels are kept. A background turn takes what is too old out of the
// log, with what finds it by id, but never what a reader has still to read.
#pragma once

#include <functional>
#include <map>
#include <mutex>

#include "base/described.h"
#include "base/metrics.h"
#include "ports/log.h"
#include "serving/inference_event.h"

namespace penstock::serving {

struct RetentionOptions {
  std::optional<Micros> time;         // after it was logged; none: for ever
  std::optional<std::int64_t> bytes;  // of inference events on disk, about; none: as many as come
  Micros patience = std::chrono::minutes(1);  // that a reader may hold up what is due
};

// Whoever reads topics of the log to their ends, from a position of its own.
struct LogReader {
  std::string name;
  bool reads_labels = true;  // beside inference events
  std::function<Result<std::int64_t>(std::string_view topic)> position;
};

// That a reader keeps the log from being shortened; told once, and once it is over.
struct HeldUp {
  std::string reader, topic;
  bool over = false;
  std::int64_t unread = 0;  // records that are due and that it has still to read
  Timestamp oldest;         // of them, when it was logged
};

struct ReaderView {
  std::string name;
  std::int64_t position = 0, unread = 0;
  bool holds_up = false;  // what is due cannot go before it has read it
};
BOOST_DESCRIBE_STRUCT(ReaderView, (), (name, position, unread, holds_up))
struct KeptTopic {
  std::string topic;
  std::int64_t records = 0, bytes = 0;  // bytes on disk, about
  std::optional<Timestamp> oldest;      // when the first that is kept was logged
  std::optional<Timestamp> gone_until;  // when the last that is gone was logged
  std::vector<ReaderView> readers;
};
BOOST_DESCRIBE_STRUCT(KeptTopic, (), (topic, records, bytes, oldest, gone_until, readers))
struct RetentionView {
  std::optional<Micros> predictions;  // none: kept for ever
  std::optional<std::int64_t> prediction_bytes;
  std::vector<KeptTopic> topics;
};
BOOST_DESCRIBE_STRUCT(RetentionView, (), (predictions, prediction_bytes, topics))

class Retention {
 public:
  Retention(events::Log& log, const Clock& clock, Metrics& metrics, RetentionOptions options);

  // Before the first turn.
  void add(LogReader reader) { readers_.push_back(std::move(reader)); }
  void on_held_up(std::function<Result<void>(const HeldUp&)> listener) {
    listener_ = std::move(listener);
  }
  // That is due at most: how often to call run_once().
  Micros rhythm() const;

  // Takes a bounded part of what is due out of the log; true if there is more to do.
  Result<bool> run_once();
  Result<RetentionView> view() const;

 private:
  struct Due;
  Result<Due> due(std::string_view topic) const;
  Result<std::int64_t> due_by_time(std::string_view topic, const events::Extent& held) const;
  Result<std::int64_t> due_by_bytes(std::string_view topic, const events::Extent& held) const;
  Result<bool> shorten(std::string_view topic);
  Result<void> tell(const Due& due);
  Result<void> measure() const;

  events::Log& log_;
  const Clock& clock_;
  Metrics& metrics_;
  const RetentionOptions options_;
  std::vector<LogReader> readers_;
  std::function<Result<void>(const HeldUp&)> listener_;
  struct Wait {
    Timestamp since;
    bool told = false;
  };
  std::map<std::pair<std::string, std::string>, Wait> waits_;  // by reader and topic
};

// What to say of something that is not found, or not all of it: from when on events are kept.
// Empty where none was taken out of the log.
Result<std::string> gone_text(events::Log& log);

}  // namespace penstock::serving
