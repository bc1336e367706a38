// Taking an entity out of the features, and keeping it out.
#pragma once

#include "features/codec.h"
#include "ports/sql.h"

namespace penstock::features {

struct EraseInput {
  // Join keys by name. A view whose entity has more keys loses every row with these.
  std::vector<std::map<std::string, std::string>> entities;
  std::string view;    // empty: every view that has these keys, in all its versions
  std::string reason;  // kept with the erasure and in the audit log; names nobody
};
BOOST_DESCRIBE_STRUCT(EraseInput, (), (entities, view, reason))
constexpr auto rules_of(const EraseInput&) {
  return std::array{Rule{.field = "entities", .min = 1, .max = 1'000},
                    Rule{.field = "view", .max = 200, .may_miss = true},
                    Rule{.field = "reason", .max = 1'000, .may_miss = true}};
}
struct ErasedView {
  std::string view;       // "carrier_delay@1"
  std::int64_t rows = 0;  // taken out of the online store
};
BOOST_DESCRIBE_STRUCT(ErasedView, (), (view, rows))
// What an erasure cannot reach, because it never changes or is not ours.
struct StillHeld {
  std::string what;                  // "dataset:d@1", "source:flights@2", or a path
  std::optional<std::int64_t> rows;  // of the entities; none: cannot be told from its columns
};
BOOST_DESCRIBE_STRUCT(StillHeld, (), (what, rows))
struct EraseOutput {
  Timestamp erased_at;
  std::int64_t rows = 0;
  std::vector<ErasedView> views;
  std::vector<std::string> entities;  // as the audit log names them, in the order they came
  std::vector<StillHeld> still_held;
  std::int64_t not_examined = 0;  // files that may hold them too, beyond the first 1,000
};
BOOST_DESCRIBE_STRUCT(EraseOutput, (), (erased_at, rows, views, entities, still_held, not_examined))

// A row of feature_erasures: rows of events up to `erased_at` are never seen again.
struct Erasure {
  std::string project, view;
  std::vector<std::string> keys;  // names, sorted
  std::string entity;             // entity_hash of their values
  std::string salt;
  Timestamp erased_at;
  std::string reason, erased_by;
  std::int64_t number = 0;
};
BOOST_DESCRIBE_STRUCT(Erasure, (),
                      (project, view, keys, entity, salt, erased_at, reason, erased_by, number))

// `values` by the names of keys, spelt as in keys of rows.
std::string entity_hash(const std::string& salt, const std::map<std::string, std::string>& values);

// Those that hold for a view, and a text that is another one where they are others; empty where
// there are none.
struct Erasures {
  std::vector<Erasure> all;
  std::string state;
};
Result<Erasures> erasures_of(sql::Tx& tx, const std::string& project, const ViewHandle& view);
Result<std::string> erasures_state(sql::Tx& tx, const std::string& project, const ViewHandle& view);

// The view with SQL that leaves out what was erased.
ViewHandle without_erased(const ViewHandle& view, const std::vector<Erasure>& erasures);

}  // namespace penstock::features
