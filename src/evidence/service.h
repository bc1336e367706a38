#pragma once

#include "approvals/service.h"
#include "evidence/content.h"
#include "record/service.h"

namespace penstock::evidence {

inline constexpr std::int64_t events_max = 20'000;

class Service {
 public:
  struct Parts {
    sql::Database& db;
    const Clock& clock;
    audit::Service& audit;
    approvals::Service& approvals;
    catalog::Service& catalog;
    incidents::Service& incidents;
    release::Service& release;
    record::Service& record;
  };
  explicit Service(Parts parts) : parts_(parts) {}

  // A ZIP archive that verify() checks. All of it is as of one head of the audit log: unavailable
  // where the version is changed as fast as it is read. resource_exhausted says what is too large.
  Result<std::string> bundle(const Call& call, const registry::VersionInput& input);

 private:
  Result<Content> gather(const Call& call, const registry::VersionInput& input);

  Parts parts_;
};

}  // namespace penstock::evidence
