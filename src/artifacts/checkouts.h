// Local copies of artifacts, for those who need a path: ONNX Runtime, DuckDB, worker processes.
#pragma once

#include <map>
#include <mutex>

#include "artifacts/files.h"
#include "artifacts/manifest.h"

namespace penstock::artifacts {

struct CheckoutOptions {
  std::string folder;                              // of the local disk; may be lost at any time
  std::int64_t size_max = std::int64_t{20} << 30;  // of all together, in bytes
  // What was handed out within this time stays, even beyond size_max: somebody may still read it.
  Micros kept = std::chrono::hours(24);
};

class Checkouts {
 public:
  Checkouts(Files& files, const Clock& clock, CheckoutOptions options);

  // The folder of the artifact with this digest, each file compared with its own: fetched where it
  // is not here, and again where it was changed. data_loss where the store itself is damaged.
  Result<std::string> folder(const std::string& digest);
  Result<Manifest> manifest(const std::string& digest);

 private:
  struct Copy {
    std::int64_t size = 0;
    Timestamp used_at;
  };
  std::string place(const std::string& digest) const { return options_.folder + "/" + digest; }
  Result<std::int64_t> fetch(const Manifest& manifest, const std::string& to);
  void make_room();

  Files& files_;
  const Clock& clock_;
  const CheckoutOptions options_;
  std::mutex turn_;
  std::map<std::string, Copy> copies_;  // by digest
};

}  // namespace penstock::artifacts
