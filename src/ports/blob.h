// Files by path: artifacts, datasets, prediction logs. A local directory and S3 implement it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace penstock::blob {

struct Entry {
  std::string path;  // relative to the store, "/" between parts
  std::int64_t size = 0;
};

// Paths are relative, without "..", and never end in "/"; anything else is invalid_argument.
class Store {
 public:
  virtual ~Store() = default;
  // Whole or not at all, durable when it returns; replaces what stood there.
  virtual Result<void> put(std::string_view path, std::string_view bytes) = 0;
  // Copies a file or directory of the local disk to `path`, whole or not at all.
  virtual Result<void> put_local(std::string_view path, const std::string& local_path) = 0;
  virtual Result<std::string> get(std::string_view path) = 0;
  virtual Result<bool> exists(std::string_view path) = 0;
  // Everything below `prefix`, sorted by path.
  virtual Result<std::vector<Entry>> list(std::string_view prefix) = 0;
  virtual Result<void> remove(std::string_view path) = 0;  // a file or a tree; absent is fine
  // Moves a tree to its final place in one step; already_exists if something stands there.
  virtual Result<void> publish(std::string_view staged, std::string_view final_path) = 0;
  // Where DuckDB and worker processes read `path`: a local path or a URL.
  virtual std::string uri(std::string_view path) const = 0;
};

}  // namespace penstock::blob
