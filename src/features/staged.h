// Files of offline features on their way to their place, and faults of the engine as callers read
// them.
#pragma once

#include "base/result.h"
#include "ports/blob.h"
#include "ports/olap.h"

namespace penstock::features {

// A file of the blob store that another process writes; gone with its owner, unless published.
class Staged {
 public:
  Staged(blob::Store& blobs, std::string path) : blobs_(blobs), path_(std::move(path)) {}
  Staged(const Staged&) = delete;
  ~Staged() { static_cast<void>(blobs_.remove(path_)); }
  std::string uri() const { return blobs_.uri(path_); }
  const std::string& path() const { return path_; }
  // Has its bytes on their way to the disk while they are read again, so that publish() waits less.
  void begin_keeping() const;
  // Durable at `path`, which the bytes are known by: what stands there already is the same.
  Result<void> publish(const std::string& path) const;

 private:
  blob::Store& blobs_;
  const std::string path_;
};

// A fault of a statement that a caller wrote or caused, at the field that it came from.
Error at_field(const Error& error, const std::string& field);
// What spilling could not make up for.
Error more_needed(const Error& error);

// The number in one cell.
std::int64_t count_of(const olap::Table& table, std::size_t column = 0);

}  // namespace penstock::features
