// The tables of the work on views: one function is one statement, or one row read and written.
#pragma once

#include <functional>

#include "base/call.h"
#include "features/schema.h"
#include "features/view_work.h"
#include "ports/sql.h"

namespace penstock::features::states {

// What the newest declaration of a view asks to be done again and again. A row of
// feature_schedules; views that ask for nothing have none.
struct Plan {
  std::string project, view;
  std::optional<Micros> schedule, freshness, verify_every;
};
BOOST_DESCRIBE_STRUCT(Plan, (), (project, view, schedule, freshness, verify_every))

Result<void> put_plan(sql::Tx& tx, const std::string& project, const FeatureView& view);
Result<std::vector<Plan>> plans(sql::Tx& tx);  // of all projects
Result<Plan> plan(sql::Tx& tx, const std::string& project, const std::string& view);

// One version of a view in one online store.
struct Key {
  std::string store, project, view;
  std::int64_t version = 0;
};
Result<std::optional<ViewWork>> find(sql::Tx& tx, const Key& key);
Result<std::vector<ViewWork>> of_project(sql::Tx& tx, const std::string& store,
                                         const std::string& project);
// Those with rows that have no profile yet.
Result<std::vector<ViewWork>> unprofiled(sql::Tx& tx, const std::string& store);
// Reads the row (a new one where there is none), changes it, writes it; gives what it was before.
Result<ViewWork> change(sql::Tx& tx, const Key& key, const std::function<void(ViewWork&)>& change);
// Whether `holder` has the view to itself until `until`: nobody else had, or no longer has.
Result<bool> take(sql::Tx& tx, const Key& key, const std::string& holder, Timestamp now,
                  Timestamp until);

Result<void> put_profile(sql::Tx& tx, const ViewProfile& profile);
Result<std::optional<ViewProfile>> profile(sql::Tx& tx, const ViewProfile& key);
// Newest first; days that are older than the newest `kept` of a version go when one is put.
Result<std::vector<Timestamp>> profile_days(sql::Tx& tx, const ViewProfile& key);

}  // namespace penstock::features::states
