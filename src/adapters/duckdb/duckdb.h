#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "ports/lookup.h"
#include "ports/olap.h"

namespace penstock::duckdb {

struct Options {
  std::string path;                     // empty = in memory
  std::string temp_directory;           // where big sorts and joins spill; empty = nowhere
  std::int64_t memory_limit_mb = 1024;  // of all sessions together
  int threads = 2;                      // of all sessions together
  // Of what is spilled, of all sessions together; 0: most of what is free on that disk.
  std::int64_t spill_limit_mb = 0;
};

// An engine that fetches nothing by itself: no extension is installed or loaded from outside.
// Opened on the first session(), which is unavailable with the reason where it cannot be.
//
// Sessions read TIMESTAMP and TIMESTAMPTZ alike as microseconds UTC. Faults of the SQL are
// invalid_argument, a missing file is not_found, too little memory resource_exhausted; the message
// is DuckDB's. HUGEINT and UHUGEINT are decimal. A text parameter longer than memory, or SQL with a
// NUL in it, is refused. Sessions may outlive the engine.
std::unique_ptr<olap::Engine> open(Options options);

// Of every engine of this process.
olap::Lookup& lookups();

}  // namespace penstock::duckdb
