#include "api/openai/sse.h"

namespace penstock::api::openai {

EventReader::Got EventReader::next(std::string_view& bytes) {
  if (too_long_) return Got::too_long;
  if (whole_) {
    event_.data.clear();
    event_.others.clear();
    event_.has_data = whole_ = false;
  }
  while (!bytes.empty()) {
    if (after_return_) {
      after_return_ = false;
      if (bytes.front() == '\n') {
        bytes.remove_prefix(1);
        continue;
      }
    }
    std::size_t end = bytes.find('\n');
    end = std::min(end, bytes.substr(0, end).find('\r'));
    line_.append(bytes.substr(0, end));
    if (line_.size() + event_.data.size() + event_.others.size() > most_) {
      too_long_ = true;
      return Got::too_long;
    }
    if (end == std::string_view::npos) {
      bytes = {};
      break;
    }
    after_return_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    const bool blank = line_.empty() || (at_start_ && line_ == "\xEF\xBB\xBF");
    if (!blank) take_line();
    at_start_ = false;
    line_.clear();
    if (blank && (event_.has_data || !event_.others.empty())) {
      whole_ = true;
      return Got::event;
    }
  }
  return Got::more;
}

void EventReader::take_line() {
  std::string_view line = line_;
  if (at_start_ && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  if (line != "data" && !line.starts_with("data:")) {
    event_.others.append(line) += '\n';
    return;
  }
  line.remove_prefix(std::min<std::size_t>(5, line.size()));
  if (line.starts_with(' ')) line.remove_prefix(1);
  if (event_.has_data) event_.data += '\n';
  event_.data.append(line);
  event_.has_data = true;
}

bool EventReader::finish() {
  if (too_long_) return false;
  if (whole_) {
    event_ = {};
    whole_ = false;
  }
  if (!line_.empty()) take_line();
  line_.clear();
  whole_ = event_.has_data;
  return whole_;
}

void write_event(std::string& out, const StreamEvent& event) {
  if (event.has_data)
    write_event(out, event, event.data);
  else
    out.append(event.others) += '\n';
}

void write_event(std::string& out, const StreamEvent& event, std::string_view data) {
  out += event.others;
  for (std::size_t end = data.find('\n'); end != std::string_view::npos; end = data.find('\n')) {
    out.append("data: ").append(data.substr(0, end + 1));
    data.remove_prefix(end + 1);
  }
  out.append("data: ").append(data).append("\n\n");
}

}  // namespace penstock::api::openai
