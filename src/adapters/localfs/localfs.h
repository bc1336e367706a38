#pragma once

#include <memory>
#include <string>

#include "ports/blob.h"

namespace penstock::localfs {

// Files below `root`, which is made where it is absent. Safe from any thread and for several
// processes at once. unavailable where the directory cannot be made or written.
//
// Paths have at most 1000 bytes in parts of at most 255, hold no control characters, and none
// begins with ".tmp", where things stand until they are whole. What put_local copies are plain
// files and directories: a link or device in it is invalid_argument. get() reads at most 1 GB.
// uri() throws on a path that the other calls refuse: a caller that did not check it is broken.
Result<std::unique_ptr<blob::Store>> open(const std::string& root);

}  // namespace penstock::localfs
