// DuckDB's types and vectors, as ports/olap.h says them.
#pragma once

#include <string>
#include <utility>
#include <duckdb.h>

#include "ports/olap.h"

namespace penstock::duckdb {

// What a handle of the C API needs: gone with its owner, never copied.
template <class Handle, void (*destroy)(Handle*)>
class Owned {
 public:
  Owned() = default;
  explicit Owned(Handle handle) : handle_(handle) {}
  Owned(const Owned&) = delete;
  Owned(Owned&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Owned() { destroy(&handle_); }
  Handle get() const { return handle_; }
  Handle* out() { return &handle_; }
  explicit operator bool() const { return handle_; }

 private:
  Handle handle_{};
};

using LogicalType = Owned<duckdb_logical_type, duckdb_destroy_logical_type>;
using DataChunk = Owned<duckdb_data_chunk, duckdb_destroy_data_chunk>;

olap::Column column_of(std::string name, duckdb_logical_type type);

// Lists and arrays of plain types: as text, which the query must make of them, or as items.
enum class Lists { as_text, as_items };

// True for what read() cannot say by itself: the query must cast it to VARCHAR.
bool needs_cast(duckdb_logical_type type, Lists lists);

// Columns [0, columns) of a chunk. invalid_argument where a value is beyond 64 bits.
Result<olap::Chunk> read(duckdb_data_chunk chunk, const std::vector<LogicalType>& types);

}  // namespace penstock::duckdb
