// Structured log lines: one JSON object a line on standard error.
#pragma once

#include <string_view>

#include "base/described.h"

namespace penstock::log {

enum class Level { debug, info, warn, error };
BOOST_DESCRIBE_ENUM(Level, debug, info, warn, error)

// Lines below this level are dropped. Safe from any thread.
void set_level(Level level);
// Whether a line of this level would be written: ask before building fields on a hot path.
bool enabled(Level level);

// {"at": ..., "level": ..., "event": ..., <fields>}. Callers never pass secrets; as a second fence,
// a field whose name says token, secret, password, authorization or key is written as "[hidden]".
void write(Level level, std::string_view event, const json::object& fields = {});

inline void info(std::string_view event, const json::object& fields = {}) {
  write(Level::info, event, fields);
}
inline void warn(std::string_view event, const json::object& fields = {}) {
  write(Level::warn, event, fields);
}
inline void error(std::string_view event, const json::object& fields = {}) {
  write(Level::error, event, fields);
}

}  // namespace penstock::log
