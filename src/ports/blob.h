// Files by path: artifacts, datasets, prediction logs. A local directory and S3 implement it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace penstock::blob {

struct Entry {
  std::string path;  // relative to the store, "/" between parts
  std::int64_t size = 0;
  Timestamp modified = {};
};

// A file on its way, for one thread at a time. Nobody sees it before commit(); of one that is
// destroyed without, nothing is left.
class Writer {
 public:
  virtual ~Writer() = default;
  virtual Result<void> write(std::string_view bytes) = 0;
  // Whole and durable at `path` when it returns; replaces what stood there. The last call.
  virtual Result<void> commit(std::string_view path) = 0;
};

// A file as it was when it was opened. Safe from several threads.
class Reader {
 public:
  virtual ~Reader() = default;
  virtual std::int64_t size() const = 0;
  // Of two readers of one path whose states are equal, the bytes were not written in between.
  virtual const std::string& state() const = 0;
  virtual Timestamp modified() const = 0;
  // Fills `to` with the bytes from `offset` on; gives how many, fewer than `most` only at the end.
  virtual Result<std::size_t> read(std::int64_t offset, char* to, std::size_t most) = 0;
};

// Paths are relative, without "..", and never end in "/"; anything else is invalid_argument. Where
// there is no room for more, writing is resource_exhausted and reading goes on.
class Objects {
 public:
  virtual ~Objects() = default;
  virtual Result<std::unique_ptr<Writer>> create() = 0;
  // not_found where there is nothing, invalid_argument where there is no file but a directory.
  virtual Result<std::unique_ptr<Reader>> open(std::string_view path) = 0;
  virtual Result<bool> exists(std::string_view path) = 0;
  // Everything below `prefix`, sorted by path. resource_exhausted, without looking further, where
  // that is more than `most` files.
  virtual Result<std::vector<Entry>> list(std::string_view prefix, std::size_t most) = 0;
  Result<std::vector<Entry>> list(std::string_view prefix) { return list(prefix, SIZE_MAX); }
  virtual Result<void> remove(std::string_view path) = 0;  // a file or a tree; absent is fine
  // A URL at which whoever has it can read the file for a while; none where the store has no
  // server.
  virtual std::optional<std::string> presigned(std::string_view, std::chrono::seconds) const {
    return {};
  }

  // Small files in one call: whole or not at all, as a Writer; at most 1 GB.
  Result<void> put(std::string_view path, std::string_view bytes);
  Result<std::string> get(std::string_view path);
};

// What only a directory of the local disk can do: DuckDB and other processes read its files, and a
// tree moves in one step.
class Store : public Objects {
 public:
  // Copies a file or directory of the local disk to `path`, whole or not at all.
  virtual Result<void> put_local(std::string_view path, const std::string& local_path) = 0;
  // Moves a tree to its final place in one step; already_exists if something stands there.
  virtual Result<void> publish(std::string_view staged, std::string_view final_path) = 0;
  // Where `path` is on the local disk.
  virtual std::string uri(std::string_view path) const = 0;
};

// What every store refuses: parts of 1 to 255 bytes, 1000 in all, no control characters, no "." or
// "..", no name that begins with ".tmp".
Result<void> check_path(std::string_view path);
// What list() says beyond `most`.
Error too_many(std::string_view prefix, std::size_t most);

}  // namespace penstock::blob
