// Columns, instants, classes and tags in the graph, on the real catalog; and the graph against an
// obvious walk over random edges.
#include <random>
#include <set>

#include "tests/unit/catalog/catalog_fixture.h"

namespace penstock::catalog {
namespace {

class GraphTest : public CatalogTest {
 protected:
  void edge(const std::string& from, const std::string& to, const std::string& relation = "reads") {
    test::must(db_->write(
        ana_, [&](sql::Tx& tx) { return add_edge(tx, ana_, clock_.now(), from, to, relation); }));
  }
  void column_edge(const std::string& from, const std::string& to, bool masking = false) {
    test::must(db_->write(ana_, [&](sql::Tx& tx) {
      return add_edges(tx, ana_,
                       {Edge{.from_urn = from,
                             .to_urn = to,
                             .relation = "derived_from",
                             .created_at = clock_.now(),
                             .masking = masking}});
    }));
  }
  void end(const std::string& from, const std::string& to, const std::string& relation = "reads") {
    test::must(db_->write(
        ana_, [&](sql::Tx& tx) { return end_edge(tx, ana_, clock_.now(), from, to, relation); }));
  }
  std::string up(const std::string& urn, std::optional<Timestamp> as_of = {}) {
    return text_of(catalog_.trace(ana_, {.urn = urn, .as_of = as_of}));
  }
  std::string down(const std::string& urn, std::optional<Timestamp> as_of = {}) {
    return text_of(
        catalog_.trace(ana_, {.urn = urn, .direction = Direction::downstream, .as_of = as_of}));
  }
  std::string class_of(const std::string& urn, std::optional<Timestamp> as_of = {}) {
    const auto trace = test::must(catalog_.trace(ana_, {.urn = urn, .as_of = as_of}));
    const auto& found = trace.nodes.front().classification;
    return found ? std::string(name_of(*found)) : "none";
  }
  static std::string text_of(const Result<Trace>& trace) {
    if (!trace) return trace.error().message;
    std::string text;
    for (const TraceNode& node : trace->nodes)
      text += (text.empty() ? "" : " ") + std::to_string(node.depth) + "=" + node.urn;
    return text;
  }
  static std::string with_secret() {
    return flights(
        "  - {name: email, type: text, classification: restricted, tags: [pii.email]}\n");
  }
  void secret_source() {
    run("COPY (SELECT 'AA' AS carrier, now()::TIMESTAMP AS left_at, 1.0 AS delay, 1 AS distance, "
        "'a@b.c' AS email) TO '" +
        folder_ / "flights.parquet" + "' (FORMAT parquet)");
    test::must(apply(with_secret()));
  }
};

TEST_F(GraphTest, AnswersWhatHeldAtAnInstant) {
  const Timestamp before = clock_.now() - std::chrono::minutes(1), first = clock_.now();
  edge("model:m@v1", "dataset:a@1");
  clock_.advance(std::chrono::hours(1));
  end("model:m@v1", "dataset:a@1");
  edge("model:m@v1", "dataset:b@1");
  const Timestamp second = clock_.now();
  EXPECT_EQ(up("model:m@v1"), "0=model:m@v1 1=dataset:b@1");
  EXPECT_EQ(up("model:m@v1", first), "0=model:m@v1 1=dataset:a@1");
  EXPECT_EQ(up("model:m@v1", second), "0=model:m@v1 1=dataset:b@1");
  EXPECT_EQ(up("model:m@v1", second - Micros(1)), "0=model:m@v1 1=dataset:a@1");
  EXPECT_NE(up("model:m@v1", before).find("nothing is known"), std::string::npos);
  EXPECT_EQ(down("dataset:a@1", first), "0=dataset:a@1 1=model:m@v1");

  clock_.advance(std::chrono::hours(1));
  edge("model:m@v1", "dataset:a@1");
  EXPECT_EQ(up("model:m@v1"), "0=model:m@v1 1=dataset:a@1 1=dataset:b@1");
  EXPECT_EQ(up("model:m@v1", second), "0=model:m@v1 1=dataset:b@1");
}

TEST_F(GraphTest, ReadsTheSameFromTheDatabaseAsItKeptInMemory) {
  edge("model:m@v1", "dataset:a@1");
  EXPECT_EQ(up("model:m@v1"), "0=model:m@v1 1=dataset:a@1");
  const Timestamp first = clock_.now();
  clock_.advance(std::chrono::hours(1));
  end("model:m@v1", "dataset:a@1");
  edge("model:m@v1", "dataset:b@1");
  edge("model:m@v1", "dataset:a@1");
  end("model:m@v1", "dataset:b@1");
  Service other(*db_, *olap_, clock_, {.data_directory = folder_.path()});
  for (Service* service : {&catalog_, &other}) {
    EXPECT_EQ(text_of(service->trace(ana_, {.urn = "model:m@v1"})), "0=model:m@v1 1=dataset:a@1");
    EXPECT_EQ(text_of(service->trace(ana_, {.urn = "model:m@v1", .as_of = first})),
              "0=model:m@v1 1=dataset:a@1");
  }
}

TEST_F(GraphTest, KeepsWhatWasRolledBackOutOfTheGraph) {
  edge("model:m@v1", "dataset:a@1");
  EXPECT_FALSE(db_->write(ana_, [&](sql::Tx& tx) -> Result<void> {
    TRY(add_edge(tx, ana_, clock_.now(), "model:m@v1", "dataset:b@1", "reads"));
    return Error{Code::failed_precondition, "no"};
  }));
  EXPECT_EQ(up("model:m@v1"), "0=model:m@v1 1=dataset:a@1");
  edge("model:m@v1", "dataset:c@1");
  EXPECT_EQ(up("model:m@v1"), "0=model:m@v1 1=dataset:a@1 1=dataset:c@1");
}

TEST_F(GraphTest, NamesWhatBreaksWhenAColumnChanges) {
  edge("feature_view:v@1", "source:flights@1");
  column_edge("feature_view:v@1#late", "source:flights@1#delay");
  column_edge("feature_view:v@1#far", "source:flights@1#distance");
  edge("feature_schema:s@1", "feature_view:v@1");
  column_edge("feature_schema:s@1#far", "feature_view:v@1#far");
  edge("feature_schema:t@1", "feature_view:v@1");
  column_edge("feature_schema:t@1#late", "feature_view:v@1#late");
  edge("model:far@v1", "feature_schema:s@1");
  edge("model:late@v1", "feature_schema:t@1");
  edge("route:r", "model:late@v1");
  edge("dataset:whole@1", "source:flights@1");

  const std::string late = down("source:flights@1#delay");
  for (const char* broken : {"feature_view:v@1#late", "feature_view:v@1", "feature_schema:t@1#late",
                             "model:late@v1", "route:r", "dataset:whole@1"})
    EXPECT_NE(late.find(std::string("=") + broken), std::string::npos) << broken << " in " << late;
  for (const char* whole : {"model:far@v1", "feature_schema:s@1"})
    EXPECT_EQ(late.find(whole), std::string::npos) << late;
  // No version means every version, and a column that no edge names still has readers of the whole.
  EXPECT_NE(down("source:flights#delay").find("model:late@v1"), std::string::npos);
  EXPECT_EQ(down("source:flights#carrier"), "0=source:flights#carrier 1=dataset:whole@1");
  EXPECT_EQ(up("feature_schema:t@1#late"),
            "0=feature_schema:t@1#late 1=feature_view:v@1#late 2=source:flights@1#delay "
            "3=source:flights@1");
}

TEST_F(GraphTest, FollowsAColumnThroughTheVersionsOfItsSource) {
  edge("source:flights@2", "source:flights@1", "follows");
  edge("feature_view:v@1", "source:flights@1");
  column_edge("feature_view:v@1#x", "source:flights@1#delay");
  edge("feature_view:w@1", "source:flights@2");
  column_edge("feature_view:w@1#x", "source:flights@2#delay");
  edge("feature_view:u@1", "source:flights@2");
  column_edge("feature_view:u@1#x", "source:flights@2#carrier");
  const std::string reached = down("source:flights@1#delay");
  EXPECT_NE(reached.find("feature_view:w@1#x"), std::string::npos) << reached;
  EXPECT_EQ(reached.find("feature_view:u@1"), std::string::npos) << reached;
}

TEST_F(GraphTest, StopsAClassOnlyWhereMaskingIsDeclared) {
  secret_source();
  edge("dataset:clear@1", "source:flights@1");
  column_edge("dataset:clear@1#who", "source:flights@1#email");
  edge("dataset:masked@1", "source:flights@1");
  column_edge("dataset:masked@1#who", "source:flights@1#email", true);
  column_edge("dataset:masked@1#far", "source:flights@1#distance");
  edge("dataset:whole@1", "source:flights@1");
  edge("model:m@v1", "dataset:masked@1");
  EXPECT_EQ(class_of("dataset:clear@1"), "restricted");
  EXPECT_EQ(class_of("dataset:clear@1#who"), "restricted");
  EXPECT_EQ(class_of("dataset:masked@1"), "internal");
  EXPECT_EQ(class_of("model:m@v1"), "internal");
  EXPECT_EQ(class_of("dataset:whole@1"), "restricted");
  // One way in that does not mask lets the class through.
  column_edge("dataset:masked@1#far", "source:flights@1#email");
  EXPECT_EQ(class_of("model:m@v1"), "restricted");
  const auto trace = test::must(catalog_.trace(ana_, {.urn = "model:m@v1"}));
  EXPECT_EQ(trace.nodes.front().tags, std::vector<std::string>{"pii.email"});
}

TEST_F(GraphTest, LetsClassesFlowThroughJobsByColumn) {
  secret_source();
  edge("job:x/etl", "source:flights@1");
  edge("dataset:x/out", "job:x/etl", "made_by");
  EXPECT_EQ(class_of("dataset:x/out"), "restricted");
  column_edge("dataset:x/out#far", "source:flights@1#distance");
  EXPECT_EQ(class_of("dataset:x/out"), "internal");
  EXPECT_EQ(class_of("job:x/etl"), "restricted");
  // What the job reads beside it, nobody told by columns.
  edge("dataset:x/more", "source:flights@1");
  edge("job:x/etl", "dataset:x/more");
  EXPECT_EQ(class_of("dataset:x/out"), "restricted");
  const std::string breaks = down("source:flights@1#delay");
  EXPECT_EQ(breaks.find("job:x/etl 2"), std::string::npos) << breaks;
}

TEST_F(GraphTest, LowersAClassWhereItsEdgeEndsOrItIsDeclaredLower) {
  secret_source();
  edge("dataset:d@1", "source:flights@1");
  edge("model:m@v1", "dataset:d@1");
  EXPECT_EQ(class_of("model:m@v1"), "restricted");
  const Timestamp then = clock_.now();
  clock_.advance(std::chrono::minutes(1));
  end("dataset:d@1", "source:flights@1");
  EXPECT_EQ(class_of("model:m@v1"), "none");
  EXPECT_EQ(class_of("model:m@v1", then), "restricted");
}

TEST_F(GraphTest, TellsHowMuchOfABigAnswerIsLeftOut) {
  for (int i = 0; i < 30; ++i) edge("job:x/" + std::to_string(i), "dataset:x/hub");
  const auto part = test::must(catalog_.trace(
      ana_, {.urn = "dataset:x/hub", .direction = Direction::downstream, .limit = 10}));
  EXPECT_EQ(part.nodes.size(), 10u);
  EXPECT_EQ(part.total, 31);
  EXPECT_TRUE(part.truncated);
  EXPECT_EQ(part.edges.size(), 9u);
  const auto impact = test::must(catalog_.impact(ana_, {.urn = "dataset:x/hub"}));
  EXPECT_EQ(impact.total, 30);
  EXPECT_FALSE(impact.truncated);
}

TEST_F(GraphTest, WritesAnyNameAsAUrnAndBack) {
  for (const std::string text : {"postgres://host:5432", "s3://bucket", "a._b", "._", "._.",
                                 "über/tab\tx", "#@:%", "a.b_c", "://://", ".", "._2E"})
    for (const bool slash : {false, true}) {
      const std::string urn = escaped(text, slash);
      EXPECT_EQ(unescaped(urn), text) << urn;
      EXPECT_TRUE(Urn::parse("dataset:" + urn)) << urn;
    }
  EXPECT_EQ(escaped("postgres://host:5432", false), "postgres._.host._3A5432");
  EXPECT_EQ(column_urn("source:f@1", "a b"), "source:f@1#a._20b");
  EXPECT_EQ(column_urn("source:f@1#a._20b").column, "a b");
}

// The slow and obvious answer: every node by its distance, over a list of pairs.
std::map<std::string, std::int64_t> distances(
    const std::set<std::pair<std::string, std::string>>& edges, const std::string& start) {
  std::map<std::string, std::int64_t> found{{start, 0}};
  for (bool more = true; more;) {
    more = false;
    for (const auto& [from, to] : edges) {
      if (!found.contains(from)) continue;
      const auto [place, fresh] = found.emplace(to, found[from] + 1);
      if (fresh || place->second > found[from] + 1) {
        place->second = std::min(place->second, found[from] + 1);
        more = true;
      }
    }
  }
  return found;
}

TEST_F(GraphTest, AgreesWithAnObviousWalkWhileEdgesComeAndGo) {
  std::mt19937 random(7);
  std::set<std::pair<std::string, std::string>> edges;
  const auto name = [&] { return "dataset:n" + std::to_string(random() % 12) + "@1"; };
  for (int round = 0; round < 60; ++round) {
    for (int change = 0; change < 3; ++change) {
      const auto pair = std::pair(name(), name());
      if (random() % 3 == 0 && edges.erase(pair))
        end(pair.first, pair.second);
      else if (pair.first != pair.second && edges.insert(pair).second)
        edge(pair.first, pair.second);
    }
    const std::string start = name();
    std::map<std::string, std::int64_t> got;
    const auto trace = catalog_.trace(ana_, {.urn = start});
    if (trace)
      for (const TraceNode& node : trace->nodes) got[node.urn] = node.depth;
    else
      got[start] = 0;
    EXPECT_EQ(got, distances(edges, start)) << "round " << round << " from " << start;
  }
}

}  // namespace
}  // namespace penstock::catalog
