// Server-sent events, however the bytes were cut on their way.
#pragma once

#include <string>
#include <string_view>

namespace penstock::api::openai {

struct StreamEvent {
  std::string data;    // its data lines, joined by line feeds
  std::string others;  // its other lines and comments as they came, each with a line feed
  bool has_data = false;
};

class EventReader {
 public:
  static constexpr std::size_t event_max = 8 << 20;
  enum class Got { event, more, too_long };

  explicit EventReader(std::size_t most = event_max) : most_(most) {}

  // Takes from the front of `bytes` until an event is whole (then it is in event() until the next
  // call) or nothing is left. After too_long it takes nothing more.
  Got next(std::string_view& bytes);
  const StreamEvent& event() const { return event_; }
  // The stream ended: an event without its empty line is none, by the standard; but servers forget
  // that line, and what they meant is lost with it. True where something was left.
  bool finish();

 private:
  void take_line();

  const std::size_t most_;
  StreamEvent event_;
  std::string line_;
  bool whole_ = false;         // event_ was handed out
  bool after_return_ = false;  // a line feed that comes now belongs to the last line's end
  bool at_start_ = true, too_long_ = false;
};

// Appends the event as it goes on the wire.
void write_event(std::string& out, const StreamEvent& event);
// The same with other data.
void write_event(std::string& out, const StreamEvent& event, std::string_view data);

}  // namespace penstock::api::openai
