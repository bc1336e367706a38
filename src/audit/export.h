// The file of `penstock audit export`, and checking it with nothing but a public key. Lines of
// JSON:
//   {"penstock_audit_export":1,"key":"NAME+HASH+BASE64"}
//   {"event":{...canonical...},"leaf":"<hex>"}          one for each event, from number 0 on
//   {"checkpoint":"<note>"}                              behind the last event that it covers
#pragma once

#include "audit/audit.h"

namespace penstock::audit {

std::string export_header(const PublicKey& key);
std::string export_line(const std::string& entry, const std::string& leaf);
std::string export_line(const Checkpoint& checkpoint);

// Reads a file line by line, whatever wrote it. The first fault ends it.
class ExportVerifier {
 public:
  explicit ExportVerifier(PublicKey key) : key_(std::move(key)) {}

  // Without its newline. False: there is a fault, and the rest need not be read.
  bool line(std::string_view text);
  // What a checkpoint that was kept elsewhere says: the file must hold at least so many events, and
  // those. Before the first line; failed_precondition where `key` did not sign it.
  Result<void> must_continue(std::string_view note);
  Verification finish();

 private:
  bool fault(std::string what, std::optional<std::int64_t> number = {});
  bool event(std::string_view text);
  bool checkpoint(std::string_view text);

  PublicKey key_;
  Frontier frontier_;
  std::optional<Head> known_;
  bool started_ = false;
  Verification out_;
};

}  // namespace penstock::audit
