// OpenLineage's names as nodes of our graph, and back.
#pragma once

#include "catalog/service.h"
#include "lineage/event.h"

namespace penstock::lineage {

// The namespace in which Penstock's own events name its things, by their URNs.
inline constexpr std::string_view own_namespace = "penstock";

// "dataset:postgres._.host._3A5432/db.public.orders". Letters that a URN does not have are escaped
// (catalog::escaped), so the name can be read back; what would be longer than 400 characters ends
// in a digest instead, and is known by its row of openlineage_names alone.
std::string external_urn(std::string_view kind, const Name& name);
// Nothing where the text is no such URN, or ends in a digest.
std::optional<Name> external_name(std::string_view urn);

// The names of jobs and datasets inside one transaction.
class Names {
 public:
  Names(sql::Tx& tx, const Call& call, catalog::Service& catalog, Timestamp now)
      : tx_(tx), call_(call), catalog_(catalog), now_(now) {}

  // The node of a name; a name that nobody knew is one from now on. A dataset that lies where a
  // source or dataset of ours does is that one.
  Result<std::string> dataset(const Name& name);
  Result<std::string> job(const Name& name);
  // `other` is one more name of the node `urn`. Where it was a node of its own the two become one:
  // ours where one of them is ours.
  Result<std::string> join(const std::string& urn, const Name& other);
  // A source was declared: what was known by its place is this source from now on.
  Result<void> declared(const std::string& urn, const std::string& path);
  std::int64_t made() const { return made_; }

 private:
  Result<std::string> of(const std::string& kind, const Name& name);
  Result<std::optional<std::string>> declared_at(const Name& name);
  Result<void> merge(const std::string& old, const std::string& kept);

  sql::Tx& tx_;
  const Call& call_;
  catalog::Service& catalog_;
  Timestamp now_;
  std::map<std::pair<std::string, Name>, std::string> known_;
  std::int64_t made_ = 0;
};

}  // namespace penstock::lineage
