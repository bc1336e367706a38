// What a bundle says of itself: which files it holds, by their digests, and of what.
#pragma once

#include <functional>

#include "audit/note.h"
#include "base/described.h"
#include "evidence/archive.h"

namespace penstock::evidence {

inline constexpr std::string_view format = "penstock-evidence/1", manifest_path = "manifest.json",
                                  signature_path = "manifest.sig", statement_kind = "evidence";

struct Entry {
  std::string path, sha256;
  std::int64_t size = 0;
};
BOOST_DESCRIBE_STRUCT(Entry, (), (path, sha256, size))

struct Manifest {
  std::string format, project;
  std::string subject;        // "model:flight-delay@v4"
  std::string record_digest;  // what approvals are bound to
  Timestamp made_at;
  std::string made_by;        // who asked for it
  std::string key;            // that signed it; whoever verifies brings their own
  std::int64_t log_size = 0;  // events under the checkpoint that the proofs lead to
  std::vector<Entry> files;   // all others, by path
};
BOOST_DESCRIBE_STRUCT(Manifest, (),
                      (format, project, subject, record_digest, made_at, made_by, key, log_size,
                       files))

// Two blanks deeper with each level, keys as they stand.
std::string pretty(const json::value& value);

// Adds manifest.json, which lists `files`, and manifest.sig: `sign` makes the note of a statement.
void seal(Manifest manifest, std::vector<File>& files,
          const std::function<std::string(const audit::Statement&)>& sign);

// The manifest, if `key` signed it and every other file is one of its and has its digest, and none
// is missing. failed_precondition or data_loss names the file.
Result<Manifest> unseal(const std::vector<File>& files, const audit::PublicKey& key);

}  // namespace penstock::evidence
