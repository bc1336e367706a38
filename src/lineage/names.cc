#include "lineage/names.h"

#include "base/digest.h"
#include "lineage/store.h"

namespace penstock::lineage {
namespace {

constexpr std::size_t urn_max = 400;
constexpr std::string_view cut_mark = "._h";

bool is_external(std::string_view urn) { return urn.find('/') != urn.npos; }

// "file:///data/x", "/data/x" and "data/x" in namespace file are one place.
std::string place_of(std::string_view text) {
  for (const std::string_view lead : {"file://", "file:"})
    if (text.starts_with(lead)) text.remove_prefix(lead.size());
  while (text.starts_with('/')) text.remove_prefix(1);
  while (text.ends_with('/')) text.remove_suffix(1);
  return std::string(text);
}

}  // namespace

std::string external_urn(std::string_view kind, const Name& name) {
  std::string urn = std::string(kind) + ":" + catalog::escaped(name.space, false) + "/" +
                    catalog::escaped(name.name, true);
  if (urn.size() <= urn_max) return urn;
  const std::string digest = sha256_hex(name.space + "\n" + name.name).substr(0, 32);
  return urn.substr(0, urn_max - cut_mark.size() - digest.size()) + std::string(cut_mark) + digest;
}

std::optional<Name> external_name(std::string_view urn) {
  const std::size_t colon = urn.find(':'), slash = urn.find('/');
  if (colon == urn.npos || slash == urn.npos || slash < colon) return {};
  if (urn.find(cut_mark) != urn.npos) return {};
  return Name{catalog::unescaped(urn.substr(colon + 1, slash - colon - 1)),
              catalog::unescaped(urn.substr(slash + 1))};
}

Result<std::string> Names::dataset(const Name& name) { return of("dataset", name); }
Result<std::string> Names::job(const Name& name) { return of("job", name); }

Result<std::string> Names::of(const std::string& kind, const Name& name) {
  if (const auto found = known_.find({kind, name}); found != known_.end()) return found->second;
  std::optional<std::string> urn = TRY(store::urn_of(tx_, call_.project, kind, name));
  if (!urn) {
    if (kind == "dataset") urn = TRY(declared_at(name));
    if (!urn) urn = external_urn(kind, name);
    TRY(store::put_name(tx_, call_.project, kind, name, *urn, now_));
    ++made_;
  }
  return known_[{kind, name}] = *urn;
}

Result<std::optional<std::string>> Names::declared_at(const Name& name) {
  using None = std::optional<std::string>;
  if (name.space == own_namespace) {
    const auto urn = Urn::parse(name.name);
    return urn && !is_external(name.name) ? None(name.name) : None();
  }
  // Only such a namespace can hold a place that a source of ours names.
  const bool on_disk = name.space == "file" || name.space.starts_with("file:");
  if (!on_disk && name.space.find("://") == std::string::npos) return None();
  const std::string wanted = on_disk ? place_of(name.name) : name.space + "/" + place_of(name.name);
  const auto same = [&](const std::string& place) {
    return on_disk ? place_of(place) == wanted
                   : place == wanted || (place.ends_with('/') && place_of(place) == wanted);
  };
  for (const auto& resource : TRY(resources::list(tx_, call_.project, "source"))) {
    const json::value* path = resource.declaration.if_contains("path");
    if (!path || !path->is_string()) continue;
    std::string place(path->get_string());
    if (on_disk && place.find("://") == std::string::npos) {
      const auto local = catalog_.local_path(place);
      if (!local) continue;
      place = *local;
    }
    if (same(place))
      return None("source:" + resource.name + "@" + std::to_string(resource.version));
  }
  return catalog::dataset_at(tx_, call_.project, on_disk ? "/" + wanted : wanted);
}

Result<std::string> Names::join(const std::string& urn, const Name& other) {
  const auto known = TRY(store::urn_of(tx_, call_.project, "dataset", other));
  const auto declared = known ? known : TRY(declared_at(other));
  std::string kept = urn;
  if (declared && *declared != urn) {
    if (is_external(urn) && !is_external(*declared)) kept = *declared;
    TRY(merge(kept == urn ? *declared : urn, kept));
  }
  if (!known) TRY(store::put_name(tx_, call_.project, "dataset", other, kept, now_));
  known_.clear();
  return kept;
}

Result<void> Names::declared(const std::string& urn, const std::string& path) {
  std::vector<Name> spellings;
  if (const std::size_t scheme = path.find("://"); scheme != path.npos) {
    const std::size_t slash = path.find('/', scheme + 3);
    if (slash == path.npos) return {};
    const std::string space = path.substr(0, slash);
    spellings = {{space, path.substr(slash + 1)}, {space, path.substr(slash)}};
    if (path.ends_with('/'))  // a prefix is written with its slash and without
      for (int i = 0; i < 2; ++i)
        spellings.push_back(
            {space, spellings[static_cast<std::size_t>(i)].name.substr(
                        0, spellings[static_cast<std::size_t>(i)].name.size() - 1)});
  } else if (const auto local = catalog_.local_path(path)) {
    spellings = {{"file", *local}, {"file", local->substr(1)}, {"file://", *local}};
  }
  for (const Name& name : spellings) {
    const auto known = TRY(store::urn_of(tx_, call_.project, "dataset", name));
    if (!known || *known == urn) continue;
    // A version before this one was read as it was; only what comes now is the new one.
    if (is_external(*known)) TRY(merge(*known, urn));
    TRY(store::put_name(tx_, call_.project, "dataset", name, urn, now_));
  }
  return {};
}

// Edges move with their times; the old node keeps none, not even for questions about the past.
Result<void> Names::merge(const std::string& old, const std::string& kept) {
  std::vector<catalog::Edge> moved;
  auto edges = TRY(catalog::edges_touching(tx_, call_.project, old));
  for (catalog::Edge& edge : edges) {
    TRY(catalog::end_edge(tx_, call_, edge.created_at, edge.from_urn, edge.to_urn, edge.relation));
    for (std::string* end : {&edge.from_urn, &edge.to_urn}) {
      const catalog::ColumnUrn parts = catalog::column_urn(*end);
      if (parts.object == old) *end = kept + end->substr(old.size());
    }
    if (edge.from_urn != edge.to_urn) moved.push_back(std::move(edge));
  }
  TRY(catalog::add_edges(tx_, call_, std::move(moved)));
  return store::merge(tx_, call_.project, old, kept);
}

}  // namespace penstock::lineage
