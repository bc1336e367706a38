// Entity rows that callers bring: files on their way, for one join each.
#pragma once

#include <mutex>

#include "base/call.h"
#include "base/described.h"

namespace penstock::features {

enum class RowsFormat { parquet, csv };
BOOST_DESCRIBE_ENUM(RowsFormat, parquet, csv)

struct NewRows {
  RowsFormat format = RowsFormat::parquet;
};
BOOST_DESCRIBE_STRUCT(NewRows, (), (format))
constexpr auto rules_of(const NewRows&) {
  return std::array{Rule{.field = "format", .may_miss = true}};
}
struct RowsUpload {
  std::string upload;      // what HistoricalInput calls entity_upload
  std::int64_t bytes = 0;  // that are here
};
BOOST_DESCRIBE_STRUCT(RowsUpload, (), (upload, bytes))

// Files lie in `folder` until a join has taken them, or nobody has for an hour. Of several threads.
class EntityUploads {
 public:
  EntityUploads(std::string folder, const Clock& clock, std::int64_t bytes_max);

  Result<RowsUpload> begin(const Call& call, const NewRows& rows);
  // `offset` is what is here already: a piece that is sent twice is refused the second time.
  Result<RowsUpload> append(const Call& call, const std::string& upload, std::int64_t offset,
                            std::string_view bytes);

  struct Taken {
    std::string path;
    RowsFormat format = RowsFormat::parquet;
  };
  // From here on the file is the caller's, who removes it.
  Result<Taken> take(const Call& call, const std::string& upload);

 private:
  Result<std::string> path_of(const Call& call, const std::string& upload) const;
  Result<void> make_room(const std::string& folder);

  const std::string folder_;
  const Clock& clock_;
  const std::int64_t bytes_max_;
  std::mutex turn_;
};

}  // namespace penstock::features
