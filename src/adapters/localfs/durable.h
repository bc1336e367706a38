// Making files that are whole and on disk. Arrow's FileSystem neither syncs what it writes nor says
// whether its Move replaces, and a crash after its write may leave an empty file of the right name;
// so these few calls are POSIX.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "ports/descriptor.h"

namespace penstock::localfs {

// The fault of the last system call, about `path`.
Error fault(const std::string& path);

Result<void> write_all(int to, std::string_view bytes, const std::string& path);
// Copies a file or a directory and all below it to the new `to`, synced.
Result<void> copy(const std::string& from, const std::string& to);
// Makes the directories above `path`, so that they outlive a power cut.
Result<void> make_parents(const std::string& path);
Result<void> sync_parent(const std::string& path);
// Moves `from` to `to` in one step. Replacing, it leaves at `from` what stood at `to` where that
// was a directory; else already_exists.
Result<void> move(const std::string& from, const std::string& to, bool replace);

}  // namespace penstock::localfs
