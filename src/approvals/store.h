// The tables of approvals. One function is one statement.
#pragma once

#include "approvals/approval.h"
#include "ports/sql.h"

namespace penstock::approvals::store {

// Those that did not end; of every scope where `scope` is empty.
Result<std::vector<Approval>> standing(sql::Tx& tx, const std::string& project,
                                       const std::string& urn, const std::string& scope);
Result<std::vector<Approval>> all(sql::Tx& tx, const std::string& project, const std::string& urn);
Result<std::vector<Approval>> find(sql::Tx& tx, const std::string& project, const std::string& id);
Result<void> end(sql::Tx& tx, const Approval& approval);
Result<std::vector<Request>> open_requests(sql::Tx& tx, const std::string& project,
                                           const std::string& urn, const std::string& scope);
// Newest first; of every subject where `urn` is empty.
Result<std::vector<Request>> requests(sql::Tx& tx, const std::string& project,
                                      const std::string& urn, bool closed, std::int64_t limit);
Result<void> close(sql::Tx& tx, const Request& request);

}  // namespace penstock::approvals::store
