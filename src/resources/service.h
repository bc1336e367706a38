#pragma once

#include <functional>
#include <map>

#include "base/call.h"
#include "ports/sql.h"
#include "resources/resource.h"

namespace penstock::resources {

// What a component says of a kind that it owns. `check` and `applied` run inside the transaction of
// apply, after the declarations of kinds that were registered before this one were stored.
struct KindHandler {
  std::string kind;
  // Checks the declaration (without `kind`), and gives it back with its defaults filled in. Faults
  // name fields by path. References to other declared things are looked up in `tx`.
  std::function<Result<json::object>(sql::Tx& tx, const Call& call,
                                     const json::object& declaration)>
      check;
  // After the row was stored and only if it changed: lineage edges, tables of the component.
  std::function<Result<void>(sql::Tx& tx, const Call& call, const Resource& resource)> applied;
  // Before that transaction: asks other machines for what `check` will look at. May be none.
  std::function<void(const Call& call, const json::object& declaration)> prepare = {};
};

// A KindHandler::check for a described struct whose members are `name`, `owner`, ... and which
// needs no more than decoding. `further` may add checks: Result<void>(tx, call, const T&).
template <Struct T>
auto checked_as(std::function<Result<void>(sql::Tx&, const Call&, const T&)> further = {}) {
  return [further](sql::Tx& tx, const Call& call,
                   const json::object& declaration) -> Result<json::object> {
    const T value = TRY(decode<T>(declaration));
    if (further) TRY(further(tx, call, value));
    return encode(value).as_object();
  };
}

// One document of a file: where it came from goes into the message of its faults.
struct Document {
  json::object declaration;
  std::string file;                           // may be empty
  std::map<std::string, std::int64_t> lines;  // from path to line
};
BOOST_DESCRIBE_STRUCT(Document, (), (declaration, file, lines))

struct ApplyInput {
  std::vector<Document> documents;
  bool dry_run = false;  // plan: everything is checked and nothing is kept
};
BOOST_DESCRIBE_STRUCT(ApplyInput, (), (documents, dry_run))
constexpr auto rules_of(const ApplyInput&) {
  return std::array{Rule{.field = "documents", .max = 1000},
                    Rule{.field = "dry_run", .may_miss = true}};
}
struct ApplyOutput {
  std::vector<Change> changes;  // in the order of application
};
BOOST_DESCRIBE_STRUCT(ApplyOutput, (), (changes))

class Service {
 public:
  Service(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  // At start, in the order in which kinds may refer to each other.
  void add(KindHandler handler) { handlers_.push_back(std::move(handler)); }

  // Checks every document, then stores all that changed, in one transaction with an audit event
  // each; all faults of all documents come back at once. Nothing changed writes nothing.
  Result<ApplyOutput> apply(const Call& call, const ApplyInput& input);

  Result<Resource> get(const Call& call, const std::string& kind, const std::string& name);
  Result<std::vector<Resource>> list(const Call& call,
                                     const std::string& kind);  // by name; all kinds if empty

  // After a committed apply that changed something, outside the transaction: data planes reload
  // here.
  void on_applied(std::function<void(const Call&, const ApplyOutput&)> listener) {
    listeners_.push_back(std::move(listener));
  }

 private:
  sql::Database& db_;
  const Clock& clock_;
  std::vector<KindHandler> handlers_;
  std::vector<std::function<void(const Call&, const ApplyOutput&)>> listeners_;
};

// For components, inside their own transactions. `version` 0 is the newest. not_found names kind
// and name.
Result<Resource> get(sql::Tx& tx, const std::string& project, std::string_view kind,
                     std::string_view name, std::int64_t version = 0);
Result<std::vector<Resource>> list(sql::Tx& tx, const std::string& project, std::string_view kind);
// The newest of each of these (kind, name), in no order; those that are not declared are left out.
Result<std::vector<Resource>> get_many(
    sql::Tx& tx, const std::string& project,
    const std::vector<std::pair<std::string, std::string>>& names);

// The declaration as its struct.
template <Struct T>
Result<T> declared(sql::Tx& tx, const std::string& project, std::string_view kind,
                   std::string_view name, std::int64_t version = 0) {
  return decode<T>(TRY(get(tx, project, kind, name, version)).declaration);
}

}  // namespace penstock::resources
