// Lines are never changed: what was wrong is taken back, and what is right is posted in its place.
#pragma once

#include "base/call.h"
#include "costs/ledger.h"
#include "ports/sql.h"

namespace penstock::costs {

struct Replacement {
  std::optional<std::int64_t> quantity, version;
  std::optional<std::string> tenant, route, model, user_tag;  // another model is priced anew
};
BOOST_DESCRIBE_STRUCT(Replacement, (), (quantity, version, tenant, route, model, user_tag))
constexpr auto rules_of(const Replacement&) {
  const auto text = [](std::string_view field) { return Rule{.field = field, .max = 200}; };
  return std::array{Rule{.field = "quantity", .min = 0, .max = quantity_max},
                    Rule{.field = "version", .min = 0},
                    text("tenant"),
                    text("route"),
                    text("model"),
                    text("user_tag")};
}
struct CorrectedLine {
  std::string source;
  std::string id;                          // empty: every line of the source, as those of a share
  std::optional<Meter> meter;              // none: every meter of the call
  std::optional<Replacement> replacement;  // none: the line is taken back and nothing stands for it
};
BOOST_DESCRIBE_STRUCT(CorrectedLine, (), (source, id, meter, replacement))
constexpr auto rules_of(const CorrectedLine&) {
  return std::array{Rule{.field = "source", .min = 1, .max = 100},
                    Rule{.field = "id", .max = 200, .may_miss = true}};
}
struct CorrectInput {
  std::string id;  // the caller's: the same correction again is not made again
  std::string reason;
  std::vector<CorrectedLine> lines;
};
BOOST_DESCRIBE_STRUCT(CorrectInput, (), (id, reason, lines))
constexpr auto rules_of(const CorrectInput&) {
  return std::array{Rule{.field = "id", .min = 1, .max = 100},
                    Rule{.field = "reason", .min = 1, .max = 1000},
                    Rule{.field = "lines", .min = 1, .max = 1000}};
}
// A correction as it is kept.
struct Correction {
  std::string id;
  Timestamp at;
  std::string actor, reason;
  std::int64_t reversed = 0, reposted = 0;
  Money difference;  // what the ledger's total changed by
};
BOOST_DESCRIBE_STRUCT(Correction, (), (id, at, actor, reason, reversed, reposted, difference))

struct CorrectOutput {
  std::string id;
  Timestamp at;
  std::string actor, reason;
  std::int64_t reversed = 0, reposted = 0;
  Money difference;
  bool repeated = false;  // it was made before, and nothing was changed now
};
BOOST_DESCRIBE_STRUCT(CorrectOutput, (),
                      (id, at, actor, reason, reversed, reposted, difference, repeated))

// Where a reprice has come to: after this line.
struct RepricePosition {
  Timestamp at;
  std::string source, id;
  Meter meter = Meter::requests;
};
BOOST_DESCRIBE_STRUCT(RepricePosition, (), (at, source, id, meter))

struct RepriceInput {
  Timestamp from, until;  // lines of these instants
  std::string reason;
  std::optional<std::string> model;
  std::optional<Timestamp> known_at;  // by the price lists as they were then; none: as they are
  bool only_unpriced = false;
  bool dry_run = false;  // says what would change, and changes nothing
  std::optional<RepricePosition> after;
};
BOOST_DESCRIBE_STRUCT(RepriceInput, (),
                      (from, until, reason, model, known_at, only_unpriced, dry_run, after))
constexpr auto rules_of(const RepriceInput&) {
  return std::array{
      Rule{.field = "reason", .min = 1, .max = 1000}, Rule{.field = "model", .max = 200},
      Rule{.field = "only_unpriced", .may_miss = true}, Rule{.field = "dry_run", .may_miss = true}};
}
struct RepriceOutput {
  std::int64_t examined = 0, repriced = 0, unpriced = 0;  // unpriced: no price covers them still
  Money difference;
  std::string correction;               // its id; empty where nothing changed
  std::optional<RepricePosition> next;  // ask again with it as `after`
};
BOOST_DESCRIBE_STRUCT(RepriceOutput, (),
                      (examined, repriced, unpriced, difference, correction, next))

Result<CorrectOutput> correct(sql::Tx& tx, const Call& call, Timestamp now,
                              const CorrectInput& input);
// Takes back and posts again every standing line that the prices say otherwise of. A line whose
// price is gone keeps it. Done twice it changes nothing.
Result<RepriceOutput> reprice(sql::Tx& tx, const Call& call, Timestamp now,
                              const RepriceInput& input);

}  // namespace penstock::costs
