#include "features/staged.h"

#include <fcntl.h>
#include <unistd.h>

namespace penstock::features {

void Staged::begin_keeping() const {
  const int file = open(uri().c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return;  // publish() says so
  static_cast<void>(sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE));
  close(file);
}

Result<void> Staged::publish(const std::string& path) const {
  const int file = open(uri().c_str(), O_RDONLY | O_CLOEXEC);
  const bool kept = file >= 0 && fsync(file) == 0;
  if (file >= 0) close(file);
  if (!kept) return Error{Code::unavailable, uri() + " could not be kept"};
  const auto moved = blobs_.publish(path_, path);
  if (!moved && moved.error().code != Code::already_exists) return moved.error();
  return {};
}

Error at_field(const Error& error, const std::string& field) {
  if (error.code != Code::invalid_argument || !error.violations.empty()) return error;
  return {error.code, field + ": " + error.message, {{field, error.message}}};
}

Error more_needed(const Error& error) {
  return {error.code,
          "joins of features need more than limits.join_memory_bytes and limits.join_spill_bytes "
          "of penstock.yaml give them: raise these, or ask for fewer rows or features; " +
              error.message};
}

std::int64_t count_of(const olap::Table& table, std::size_t column) {
  return std::get<std::int64_t>(table.rows.at(0).at(column));
}

}  // namespace penstock::features
