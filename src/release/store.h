// The tables of releases. One function is one statement.
#pragma once

#include "ports/sql.h"
#include "release/release.h"

namespace penstock::release::store {

Result<std::vector<Release>> find(sql::Tx& tx, const std::string& project, const std::string& id);
Result<std::vector<Release>> list(sql::Tx& tx, const std::string& project, std::int64_t limit);
// Those with traffic, of every project.
Result<std::vector<Release>> running(sql::Tx& tx);
// Newest first, at most 20: at most one of them is open, and it is the newest.
Result<std::vector<Release>> of_route(sql::Tx& tx, const std::string& project,
                                      const std::string& route);
Result<void> put(sql::Tx& tx, const Release& release);
Result<std::vector<GuardState>> guards(sql::Tx& tx, const std::string& project,
                                       const std::string& id);
Result<void> put_guard(sql::Tx& tx, const GuardState& guard);
Result<std::vector<Look>> looks(sql::Tx& tx, const std::string& project, const std::string& id);
Result<std::vector<Look>> last_looks(sql::Tx& tx, const std::string& project,
                                     const std::string& id);
// In the log of this server.
Result<std::int64_t> position(sql::Tx& tx, const std::string& server, std::string_view topic);
Result<void> set_position(sql::Tx& tx, const std::string& server, std::string_view topic,
                          std::int64_t offset);
// Where there is no position yet: the one of the time before servers had their own, which cannot be
// behind `end`.
Result<void> begin_position(sql::Tx& tx, const std::string& server, std::string_view topic,
                            std::int64_t end);
// False where this unit was counted for this purpose ("call", "label") before.
Result<bool> count_unit(sql::Tx& tx, const Release& release, const std::string& purpose,
                        const std::string& unit);

}  // namespace penstock::release::store
