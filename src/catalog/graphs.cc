#include "catalog/graphs.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/urn.h"
#include "catalog/classes.h"
#include "resources/service.h"

namespace penstock::catalog {
namespace {

constexpr std::int64_t rows_at_once = 20'000;

struct PastEdge {
  Edge edge;
  Timestamp removed_at;
};

std::vector<PastEdge> past_edges(const std::vector<sql::Row>& rows) {
  std::vector<PastEdge> out;
  for (const sql::Row& row : rows) {
    PastEdge& past = out.emplace_back();
    past.edge = sql::read_row<Edge>(row);
    sql::from_sql(row.back(), past.removed_at);
  }
  return out;
}

// In pages along the key, all in one snapshot: a million rows at once would take a gigabyte.
Result<void> load(sql::Tx& tx, const std::string& project, Graph& graph) {
  static const std::string text = "SELECT " + columns<Edge>() +
                                  " FROM lineage_edges WHERE project = $1 AND (from_urn, to_urn, "
                                  "relation) > ($2, $3, $4) ORDER BY from_urn, to_urn, relation "
                                  "LIMIT $5";
  static const std::string past_text =
      "SELECT " + columns<Edge>() +
      ", removed_at FROM lineage_past_edges WHERE project = $1 AND (change, from_urn, to_urn, "
      "relation) > ($2, $3, $4, $5) ORDER BY change, from_urn, to_urn, relation LIMIT $6";
  Edge last;
  for (;;) {
    const auto page = TRY(sql::select<Edge>(
        tx, text, {project, last.from_urn, last.to_urn, last.relation, rows_at_once}));
    for (const Edge& edge : page) graph.add(edge, true);
    if (page.size() < rows_at_once) break;
    last = page.back();
  }
  last = {.change = -1};
  for (;;) {
    const auto page =
        past_edges(TRY(tx.run(past_text, {project, last.change, last.from_urn, last.to_urn,
                                          last.relation, rows_at_once})));
    for (const PastEdge& past : page) graph.add_past(past.edge, past.removed_at, true);
    if (page.size() < rows_at_once) return {};
    last = page.back().edge;
  }
}

Result<void> load_changes(sql::Tx& tx, const std::string& project, std::int64_t since,
                          Graph& graph) {
  static const std::string past_text =
      "SELECT " + columns<Edge>() +
      ", removed_at FROM lineage_past_edges WHERE project = $1 AND change > $2 ORDER BY change";
  static const std::string text = "SELECT " + columns<Edge>() +
                                  " FROM lineage_edges WHERE project = $1 AND change > $2 ORDER BY "
                                  "change";
  // What ended first: an edge that ended and holds again stands in both.
  for (const PastEdge& past : past_edges(TRY(tx.run(past_text, {project, since}))))
    graph.add_past(past.edge, past.removed_at, false);
  for (const Edge& edge : TRY(sql::select<Edge>(tx, text, {project, since})))
    graph.add(edge, false);
  return {};
}

// A source's own class is that of its strictest column; its columns have their own.
Result<void> classify(sql::Tx& tx, const std::string& project, Graph& graph, NodeId object) {
  const auto urn = Urn::parse(graph.node(object).urn);
  if (!urn || urn->kind != "source") return {};
  std::int64_t version = 0;
  std::from_chars(urn->version.data(), urn->version.data() + urn->version.size(), version);
  const auto source = resources::declared<Source>(tx, project, "source", urn->name, version);
  if (!source) return {};
  Classification strictest = Classification::open;
  std::vector<std::string> tags;
  std::map<std::string, ColumnClass> by_name;
  for (ColumnClass& column : TRY(column_classes(tx, project, *source))) {
    strictest = std::max(strictest, column.classification);
    tags.insert(tags.end(), column.tags.begin(), column.tags.end());
    by_name[column.column] = std::move(column);
  }
  graph.set_own(object, strictest, std::move(tags));
  for (const NodeId node : graph.columns_of(object)) {
    const auto column = by_name.find(column_urn(graph.node(node).urn).column);
    if (column != by_name.end())
      graph.set_own(node, column->second.classification, column->second.tags);
  }
  return {};
}

Result<void> classify_new(sql::Tx& tx, const std::string& project, std::int64_t since,
                          Graph& graph) {
  std::set<NodeId> objects;
  for (const NodeId id : graph.take_added())
    if (graph.node(id).urn.starts_with("source:")) objects.insert(graph.object_of(id));
  const auto rows = TRY(tx.run("SELECT urn FROM lineage_touched WHERE project = $1 AND change > $2",
                               {project, since}));
  for (const sql::Row& row : rows) {
    const NodeId id = graph.find(std::get<std::string>(row.at(0)));
    if (id != no_node) objects.insert(graph.object_of(id));
  }
  for (const NodeId object : objects) TRY(classify(tx, project, graph, object));
  return {};
}

}  // namespace

std::shared_ptr<Graphs::One> Graphs::of(const std::string& project) {
  const std::lock_guard hold(turn_);
  auto& one = graphs_[project];
  if (!one) one = std::make_shared<One>();
  one->used = ++uses_;
  const auto kept = one;
  if (graphs_.size() > projects_max)
    graphs_.erase(std::min_element(
        graphs_.begin(), graphs_.end(),
        [](const auto& a, const auto& b) { return a.second->used < b.second->used; }));
  return kept;
}

Result<void> Graphs::catch_up(sql::Tx& tx, const std::string& project, One& one,
                              std::int64_t change) {
  const auto done = [&]() -> Result<void> {
    if (one.change < 0)
      TRY(load(tx, project, one.graph));
    else
      TRY(load_changes(tx, project, one.change, one.graph));
    return classify_new(tx, project, one.change, one.graph);
  }();
  if (!done) {
    // Half of a change is in it: the next question begins anew.
    one.graph = Graph();
    one.change = -1;
    return done.error();
  }
  one.graph.settle();
  one.change = change;
  return {};
}

Result<void> Graphs::ask(sql::Tx& tx, const std::string& project,
                         const std::function<Result<void>(const Graph&)>& ask) {
  const auto rows =
      TRY(tx.run("SELECT change FROM lineage_counters WHERE project = $1", {project}));
  std::int64_t change = 0;
  if (!rows.empty()) sql::from_sql(rows.front().at(0), change);
  const auto one = of(project);
  {
    const std::shared_lock hold(one->turn);
    if (one->change >= change) return ask(one->graph);
  }
  {
    const std::unique_lock hold(one->turn);
    if (one->change < change) TRY(catch_up(tx, project, *one, change));
  }
  const std::shared_lock hold(one->turn);
  return ask(one->graph);
}

Result<void> Graphs::keep_up(sql::Tx& tx) {
  const auto rows = TRY(tx.run("SELECT project FROM lineage_counters ORDER BY change DESC LIMIT $1",
                               {static_cast<std::int64_t>(projects_kept)}));
  for (const sql::Row& row : rows)
    TRY(ask(tx, std::get<std::string>(row.at(0)), [](const Graph&) -> Result<void> { return {}; }));
  return {};
}

}  // namespace penstock::catalog
