// A ZIP archive that has one form: the same files are the same bytes, whoever writes them. Every
// ZIP program reads it; what we read is only this form, so a byte that was changed anywhere, also
// in a header that no program looks at, is seen.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace penstock::evidence {

struct File {
  std::string path;  // "audit/events.jsonl": letters, digits and "._-", parts between "/"
  std::string bytes;
};

inline constexpr std::size_t archive_max = 64 << 20;  // bytes
inline constexpr std::size_t files_max = 1'000;

// Files are stored as they are and in the order of their paths, each with the same time and rights.
// invalid_argument for a path that is none or stands twice, resource_exhausted beyond the limits.
Result<std::string> pack(std::vector<File> files);

// data_loss says what is wrong with it. Nothing is unpacked that is larger than the archive itself:
// what is compressed is refused.
Result<std::vector<File>> unpack(std::string_view archive);

}  // namespace penstock::evidence
