// The right to erasure: one service function, one audit event, and what it cannot reach.
#include <algorithm>
#include <cstring>
#include <set>

#include "audit/audit.h"
#include "base/id.h"
#include "features/erased_marks.h"
#include "features/online.h"
#include "features/pushed_rows.h"

namespace penstock::features {
namespace {

constexpr std::size_t files_max = 1'000, rows_max = 1'000'000;
constexpr std::int64_t erasures_max = 1'000'000;

using Values = std::map<std::string, std::string>;

// An entity as it was asked for, spelt, with the instant up to which its rows are gone.
struct Target {
  Values values;
  Timestamp until;
};

struct Scope {
  std::vector<std::shared_ptr<const ViewHandle>> views;
  std::vector<std::string> names;  // of the keys, sorted
};

bool has_keys(const ViewHandle& view, const std::vector<std::string>& names) {
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return std::any_of(view.keys.begin(), view.keys.end(),
                       [&](const catalog::JoinKey& key) { return key.name == name; });
  });
}

std::string listed(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

// Every version of every view that has these keys.
Result<Scope> scope_of(sql::Tx& tx, const Call& call, const EraseInput& input) {
  Scope out;
  for (const auto& [name, value] : input.entities.front()) out.names.push_back(name);
  for (std::size_t i = 0; i < input.entities.size(); ++i) {
    const Values& entity = input.entities[i];
    const bool same = entity.size() == out.names.size() &&
                      std::all_of(out.names.begin(), out.names.end(),
                                  [&](const std::string& name) { return entity.contains(name); });
    const std::string field = "entities[" + std::to_string(i) + "]";
    if (entity.empty())
      return Error{Code::invalid_argument, field + " names no join key", {{field, "is empty"}}};
    if (!same)
      return Error{Code::invalid_argument,
                   field + " must have the join keys of the first: " + listed(out.names),
                   {{field, "must have the join keys " + listed(out.names)}}};
  }
  bool found = false;
  for (const auto& resource : TRY(resources::list(tx, call.project, "feature_view"))) {
    if (!input.view.empty() && resource.name != input.view) continue;
    found = true;
    for (std::int64_t version = resource.version; version > 0; --version) {
      auto view = TRY(open_view(tx, call.project, resource.name, version));
      if (has_keys(*view, out.names)) out.views.push_back(std::move(view));
    }
  }
  if (!found && !input.view.empty())
    return Error{Code::not_found,
                 "there is no feature view " + input.view + " in project " + call.project,
                 {{"view", "is no feature view"}}};
  if (out.views.empty())
    return Error{Code::not_found,
                 (input.view.empty() ? "no feature view" : "feature view " + input.view) +
                     std::string(input.view.empty() ? " has" : " has not") + " the join keys " +
                     listed(out.names),
                 {{"entities[0]", "names join keys that the views do not have"}}};
  return out;
}

Result<std::vector<Target>> targets_of(const Scope& scope, const EraseInput& input, Timestamp now) {
  std::vector<Target> out;
  for (std::size_t i = 0; i < input.entities.size(); ++i) {
    Target& target = out.emplace_back(Target{.until = now});
    for (const catalog::JoinKey& key : scope.views.front()->keys) {
      const auto given = input.entities[i].find(key.name);
      if (given == input.entities[i].end()) continue;
      const auto text = spelt(key, given->second);
      const std::string field = "entities[" + std::to_string(i) + "]." + key.name;
      if (!text)
        return Error{Code::invalid_argument,
                     field + " must be of type " + std::string(name_of(key.type)),
                     {{field, "must be of type " + std::string(name_of(key.type))}}};
      target.values[key.name] = *text;
    }
  }
  return out;
}

// A row of the online store, and whose it is.
struct Row {
  std::string key;
  std::size_t target = 0;
};

Result<std::vector<Row>> rows_of(Online& online, const ViewHandle& view,
                                 const std::vector<Target>& targets) {
  std::vector<Row> out;
  if (view.keys.size() == targets.front().values.size()) {
    for (std::size_t t = 0; t < targets.size(); ++t) {
      std::vector<std::string> keys;
      for (const catalog::JoinKey& key : view.keys) keys.push_back(targets[t].values.at(key.name));
      out.push_back({row_key(view, keys), t});
    }
    return out;
  }
  // Some of its keys: all its rows are looked at.
  std::map<std::vector<std::string>, std::size_t> wanted;
  std::vector<std::size_t> places;  // of the given keys among the view's
  for (std::size_t k = 0; k < view.keys.size(); ++k)
    if (targets.front().values.contains(view.keys[k].name)) places.push_back(k);
  for (std::size_t t = 0; t < targets.size(); ++t) {
    std::vector<std::string> some;
    for (const std::size_t k : places) some.push_back(targets[t].values.at(view.keys[k].name));
    wanted.emplace(std::move(some), t);
  }
  TRY(online.for_each_key(view, [&](std::string_view key) {
    const auto all = keys_in(view, key);
    if (all.size() != view.keys.size()) return true;
    std::vector<std::string> some;
    for (const std::size_t k : places) some.push_back(all[k]);
    if (const auto found = wanted.find(some); found != wanted.end())
      out.push_back({std::string(key), found->second});
    return out.size() <= rows_max;
  }));
  if (out.size() > rows_max)
    return Error{Code::resource_exhausted,
                 "these entities have more than 1,000,000 rows in " + view.reference() +
                     "; erase them by all its join keys, a part at a time"};
  return out;
}

// First how late their rows are, then the rows: no row of theirs may be left for being later.
Result<std::vector<ErasedView>> erase_online(Online& online, const Scope& scope,
                                             std::vector<Target>& targets) {
  std::vector<std::vector<Row>> rows;
  for (const auto& view : scope.views) {
    auto& some = rows.emplace_back(TRY(rows_of(online, *view, targets)));
    std::vector<std::string> keys;
    for (const Row& row : some) keys.push_back(row.key);
    const auto times = TRY(online.event_times(*view, keys));
    for (std::size_t i = 0; i < some.size(); ++i)
      if (times[i])
        targets[some[i].target].until = std::max(targets[some[i].target].until, *times[i]);
  }
  std::vector<ErasedView> out;
  for (std::size_t v = 0; v < scope.views.size(); ++v) {
    std::vector<Online::Gone> gone;
    for (const Row& row : rows[v]) gone.push_back({row.key, targets[row.target].until});
    const std::int64_t count = TRY(online.erase(*scope.views[v], gone));
    out.push_back({scope.views[v]->reference(), count});
  }
  return out;
}

// What was pushed to the offline side is ours: it goes.
Result<void> forget_pushed(sql::Tx& tx, const Call& call, const Scope& scope,
                           const std::vector<Target>& targets) {
  std::set<std::string> names;
  for (const auto& view : scope.views) names.insert(view->view.name);
  std::map<std::map<std::string, std::string>, Timestamp> gone;
  for (const Target& target : targets) {
    Timestamp& until = gone.try_emplace(target.values, Timestamp::min()).first->second;
    until = std::max(until, target.until);
  }
  const auto until =
      [&](const std::map<std::string, std::string>& keys) -> std::optional<Timestamp> {
    std::map<std::string, std::string> some;
    for (const std::string& name : scope.names)
      if (const auto found = keys.find(name); found != keys.end()) some.insert(*found);
    const auto found = gone.find(some);
    return found == gone.end() ? std::nullopt : std::optional(found->second);
  };
  for (const std::string& view : names) TRY(forget_pushed_rows(tx, call.project, view, until));
  return {};
}

// Writes the erasures, takes the tables away and tells the audit log.
Result<std::vector<Erasure>> record(sql::Tx& tx, const Call& call, const EraseInput& input,
                                    const Scope& scope, const std::vector<Target>& targets,
                                    Timestamp now, const EraseOutput& out) {
  const auto known = TRY(tx.run(
      "SELECT coalesce(max(number), 0), count(*), min(salt) FROM feature_erasures WHERE project = "
      "$1",
      {call.project}));
  auto number = std::get<std::int64_t>(known.at(0).at(0));
  if (std::get<std::int64_t>(known.at(0).at(1)) >= erasures_max)
    return Error{Code::resource_exhausted,
                 "project " + call.project + " has 1,000,000 erasures, which is the limit"};
  const auto* salt = std::get_if<std::string>(&known.at(0).at(2));
  Erasure one{.project = call.project,
              .view = input.view,
              .keys = scope.names,
              .salt = salt ? *salt : new_ulid(now),
              .reason = input.reason,
              .erased_by = call.actor};
  std::vector<Erasure> erasures;
  std::vector<std::string> hashes;
  for (const Target& target : targets) {
    one.entity = entity_hash(one.salt, target.values);
    one.erased_at = target.until;
    one.number = ++number;
    TRY(sql::insert(tx, "feature_erasures", one,
                    "ON CONFLICT (project, view, keys, entity) DO UPDATE SET erased_at = "
                    "excluded.erased_at, reason = excluded.reason, erased_by = excluded.erased_by, "
                    "number = excluded.number"));
    hashes.push_back(one.entity);
    erasures.push_back(one);
  }
  TRY(forget_pushed(tx, call, scope, targets));
  json::array views;
  for (const auto& view : scope.views) {
    TRY(tx.run("DELETE FROM feature_tables WHERE project = $1 AND view = $2 AND version = $3",
               {call.project, view->view.name, view->version}));
    views.push_back(json::value(view->reference()));
  }
  TRY(audit::record(tx, call, now,
                    {"features.entity.erased",
                     "entity:" + scope.views.front()->view.entity,
                     {{"keys", encode(scope.names)},
                      {"entities", encode(hashes)},
                      {"views", std::move(views)},
                      {"online_rows", out.rows},
                      {"reason", input.reason}}}));
  return erasures;
}

// Looks for the entities where nothing can be taken out.
class Holders {
 public:
  Holders(olap::Session& session, const std::vector<Target>& targets, EraseOutput& out)
      : session_(session), out_(out) {
    for (const auto& [name, value] : targets.front().values) names_.push_back(name);
    for (const Target& target : targets) {
      std::string one;
      for (const auto& [name, value] : target.values)
        one += (one.empty() ? "(" : " AND ") + ("CAST(" + olap::quoted_name(name)) +
               " AS VARCHAR) = " + olap::quoted_text(value);
      condition_ += (condition_.empty() ? "" : " OR ") + one + ")";
    }
  }

  // `sure`: its rows came from what holds the entities, so it may have them under other names.
  void look(const std::string& what, const std::string& uri, bool sure) {
    if (!seen_.insert(uri).second) return;
    if (seen_.size() > files_max) {
      ++out_.not_examined;
      return;
    }
    const std::string file = "read_parquet(" + olap::quoted_text(uri) + ")";
    const auto columns = session_.describe("SELECT * FROM " + file);
    const bool named = columns && std::all_of(names_.begin(), names_.end(), [&](const auto& name) {
                         return std::any_of(columns->begin(), columns->end(),
                                            [&](const auto& c) { return c.name == name; });
                       });
    if (named) {
      const auto found = session_.query("SELECT count(*) FROM " + file + " WHERE " + condition_);
      if (found) {
        const auto rows = std::get<std::int64_t>(found->rows.at(0).at(0));
        if (rows > 0) out_.still_held.push_back({what, rows});
        return;
      }
    }
    if (sure) out_.still_held.push_back({what, {}});
  }

 private:
  olap::Session& session_;
  EraseOutput& out_;
  std::vector<std::string> names_;
  std::string condition_;
  std::set<std::string> seen_;
};

}  // namespace

Result<EraseOutput> Service::erase(const Call& call, const EraseInput& input) {
  const auto scope = db_.read(call, [&](sql::Tx& tx) { return scope_of(tx, call, input); });
  if (!scope) return scope.error();
  EraseOutput out{.erased_at = clock_.now()};
  auto targets = TRY(targets_of(*scope, input, out.erased_at));
  // Online first: what is recorded is done. Whoever is stopped in between asks again.
  out.views = TRY(erase_online(*online_, *scope, targets));
  for (const ErasedView& view : out.views) out.rows += view.rows;
  const auto erasures = TRY(db_.write(call, [&](sql::Tx& tx) {
    return record(tx, call, input, *scope, targets, out.erased_at, out);
  }));
  for (const Erasure& one : erasures) out.entities.push_back(one.entity);
  TRY(offline_->forget(call.project, scope->views));
  // From here on nobody writes their rows; what came in between, of rows that nobody had seen
  // before, goes now.
  TRY(erased_->put(call.project, erasures));
  for (std::size_t v = 0; v < scope->views.size(); ++v) {
    std::vector<std::string> keys;
    for (Row& row : TRY(rows_of(*online_, *scope->views[v], targets)))
      keys.push_back(std::move(row.key));
    out.views[v].rows += TRY(online_->erase_again(call, *scope->views[v], keys));
  }
  out.rows = 0;
  for (const ErasedView& view : out.views) out.rows += view.rows;

  std::set<std::string> urns, sources;
  for (const auto& view : scope->views) {
    urns.insert(view->urn());
    for (const std::string& source : view->view.sources) sources.insert("source:" + source);
  }
  const auto session = TRY(olap_.session());
  Holders holders(*session, targets, out);
  for (const auto& dataset : TRY(catalog_.list_datasets(call, {.limit = 10'000})).datasets) {
    const bool theirs =
        std::any_of(dataset.sources.begin(), dataset.sources.end(), [&](const std::string& urn) {
          return urns.contains(urn) || sources.contains(urn.substr(0, urn.find('@')));
        });
    if (theirs) holders.look(dataset.urn(), dataset.uri, true);
  }
  for (const blob::Entry& file : TRY(offline_->blobs().list("historical/" + call.project)))
    holders.look(file.path, offline_->blobs().uri(file.path), false);
  for (const std::string& source : sources) out.still_held.push_back({source, {}});
  return out;
}

}  // namespace penstock::features
