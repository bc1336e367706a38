#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <string>

namespace penstock::log {
namespace {

std::atomic<Level> lowest{Level::info};

bool is_secret(std::string_view name) {
  for (const std::string_view word : {"token", "secret", "password", "authorization", "api_key"})
    if (name.find(word) != std::string_view::npos && name.find("tokens") == std::string_view::npos)
      return true;
  return false;
}

}  // namespace

void set_level(Level level) { lowest = level; }
bool enabled(Level level) { return level >= lowest.load(std::memory_order_relaxed); }

void write(Level level, std::string_view event, const json::object& fields) {
  if (!enabled(level)) return;
  json::object line{
      {"at", to_rfc3339(SystemClock().now())}, {"level", name_of(level)}, {"event", event}};
  for (const auto& field : fields)
    line[field.key()] = is_secret(field.key()) ? json::value("[hidden]") : field.value();
  const std::string text = json::serialize(line) + "\n";
  // One write(2) a line keeps lines whole between threads; a log that cannot be written to is not
  // a reason to stop serving.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace penstock::log
