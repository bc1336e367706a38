#pragma once

#include <memory>
#include <string>

#include "ports/sql.h"

namespace penstock::postgres {

// `connection` is what libpq takes: "host=db user=penstock password=..." or "postgresql://...".
// `schema`, made where it is missing, holds all tables; "" is the user's own. The database must be
// encoded in UTF-8, and be made with the C locale if texts shall sort as they do in SQLite.
//
// Writers take one lock per schema for their whole transaction, at READ COMMITTED: they come one
// after another, across all servers of the schema, as in SQLite. So a body runs once, sees no one's
// work half done, and cannot deadlock. SERIALIZABLE would promise the same by failing bodies that
// then must run again, and most would fail: every change updates the one head of the audit log.
// Readers use REPEATABLE READ, which is one snapshot.
//
// A lost server is unavailable to the calls that were under way, and connected to again by the
// next. Opening gives unavailable with the reason, invalid_argument for a connection string that is
// none; no message holds the password.
Result<std::unique_ptr<sql::Database>> open(const std::string& connection,
                                            const std::string& schema = "", int connections = 8);

}  // namespace penstock::postgres
