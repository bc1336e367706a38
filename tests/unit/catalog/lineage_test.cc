#include "tests/unit/catalog/catalog_fixture.h"

namespace penstock::catalog {
namespace {

class LineageTest : public CatalogTest {
 protected:
  void edge(const std::string& from, const std::string& to, const std::string& relation = "reads") {
    test::must(db_->write(
        ana_, [&](sql::Tx& tx) { return add_edge(tx, ana_, clock_.now(), from, to, relation); }));
  }
  static std::string text_of(const Trace& trace) {
    std::string text;
    for (const TraceNode& node : trace.nodes)
      text += std::to_string(node.depth) + " " + node.urn +
              (node.classification ? " " + std::string(name_of(*node.classification)) : "") + "\n";
    return text;
  }
  NewDataset dataset(char letter = 'a') {
    return {.name = "training",
            .digest = std::string(64, letter),
            .uri = "/data/x.parquet",
            .row_count = 3,
            .query = "SELECT 1",
            .feature_schema = "features_v1@1",
            .sources = {"source:flights@1"}};
  }
};

TEST_F(LineageTest, FollowsEdgesUpAndDown) {
  test::must(apply(flights()));
  edge("feature_view:delay@1", "source:flights@1");
  edge("dataset:d@1", "feature_view:delay@1");
  edge("dataset:d@1", "source:flights@1");
  edge("model:m@v1", "dataset:d@1");
  edge("model:m@v1", "dataset:d@1");
  EXPECT_EQ(test::count(*db_, "lineage_edges"), 4);

  const auto up = test::must(catalog_.trace(ana_, {.urn = "model:m@v1"}));
  EXPECT_EQ(text_of(up),
            "0 model:m@v1 confidential\n1 dataset:d@1 confidential\n"
            "2 feature_view:delay@1 confidential\n2 source:flights@1 confidential\n");
  EXPECT_EQ(up.edges.size(), 4u);
  EXPECT_EQ(up.nodes[3].owner, "data-team");
  EXPECT_EQ(up.nodes[3].summary, "Every departure.");

  const auto down = test::must(
      catalog_.trace(ana_, {.urn = "source:flights@1", .direction = Direction::downstream}));
  EXPECT_EQ(text_of(down),
            "0 source:flights@1 confidential\n1 dataset:d@1 confidential\n"
            "1 feature_view:delay@1 confidential\n2 model:m@v1 confidential\n");
  const auto near = test::must(catalog_.trace(ana_, {.urn = "model:m@v1", .depth = 1}));
  EXPECT_EQ(near.nodes.size(), 2u);
  EXPECT_EQ(near.nodes[1].classification, Classification::confidential);
}

TEST_F(LineageTest, EndsWhereEdgesMakeARing) {
  edge("model:a@v1", "model:b@v1");
  edge("model:b@v1", "model:a@v1");
  const auto trace = test::must(catalog_.trace(ana_, {.urn = "model:a@v1", .depth = 100}));
  EXPECT_EQ(text_of(trace), "0 model:a@v1\n1 model:b@v1\n");
}

TEST_F(LineageTest, SaysWhatOtherComponentsKnow) {
  test::must(apply(flights()));
  catalog_.describe_with("prediction", [](sql::Tx&, const Call&, const Urn& urn) {
    return Result<json::object>(
        json::object{{"owner", "bo"}, {"summary", "0.7"}, {"cost", "0.01"}, {"id", urn.name}});
  });
  catalog_.derive_edges_with("prediction", [](sql::Tx&, const Call& call, const Urn& urn) {
    return Result<std::vector<Edge>>(
        std::vector<Edge>{{call.project, urn.text(), "source:flights@1", "reads", {}}});
  });
  const auto trace = test::must(catalog_.trace(ana_, {.urn = "prediction:p1"}));
  EXPECT_EQ(text_of(trace), "0 prediction:p1 confidential\n1 source:flights@1 confidential\n");
  EXPECT_EQ(trace.nodes[0].owner, "bo");
  EXPECT_EQ(trace.nodes[0].cost, money_from("0.01"));
  EXPECT_EQ(trace.nodes[0].detail.at("id"), "p1");
  ASSERT_EQ(trace.edges.size(), 1u);
}

TEST_F(LineageTest, RefusesWhatIsNoUrnOrUnknown) {
  EXPECT_EQ(catalog_.trace(ana_, {.urn = "flights"}).error().code, Code::invalid_argument);
  EXPECT_EQ(catalog_.trace(ana_, {.urn = "model:none@v1"}).error().code, Code::not_found);
  Call other = ana_;
  other.project = "p2";
  edge("model:a@v1", "model:b@v1");
  EXPECT_EQ(catalog_.trace(other, {.urn = "model:a@v1"}).error().code, Code::not_found);
}

TEST_F(LineageTest, KeepsADatasetOnce) {
  const auto first = test::must(catalog_.add_dataset(ana_, dataset()));
  EXPECT_EQ(first.urn(), "dataset:training@1");
  EXPECT_EQ(test::must(catalog_.add_dataset(ana_, dataset())).version, 1);
  EXPECT_EQ(test::must(catalog_.add_dataset(ana_, dataset('b'))).version, 2);
  EXPECT_EQ(test::count(*db_, "datasets"), 2);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'catalog.dataset.added'"), 2);
  const auto trace = test::must(catalog_.trace(ana_, {.urn = "dataset:training@1"}));
  EXPECT_EQ(trace.nodes.size(), 3u);
  EXPECT_EQ(test::must(catalog_.show_dataset(ana_, {.name = "training"})).version, 2);
  EXPECT_EQ(catalog_.show_dataset(ana_, {.name = "training", .version = "3"}).error().code,
            Code::not_found);
  EXPECT_EQ(catalog_.show_dataset(ana_, {.name = "training", .version = "x"}).error().code,
            Code::invalid_argument);
}

TEST_F(LineageTest, FindsADatasetByTheNamesPeopleUse) {
  test::must(catalog_.add_dataset(ana_, dataset()));
  const auto find = [&](const std::string& reference) {
    return test::must(
        db_->read(ana_, [&](sql::Tx& tx) { return find_dataset(tx, "p1", reference); }));
  };
  for (const char* name : {"training", "training@1", "dataset:training@1"})
    EXPECT_TRUE(find(name)) << name;
  for (const char* name : {"other", "training@2", "training@x", "", "a b"})
    EXPECT_FALSE(find(name)) << name;
}

TEST_F(LineageTest, NamesWhatChangedUpstream) {
  test::must(apply(flights()));
  edge("model:m@v1", "source:flights@1");
  clock_.advance(std::chrono::hours(1));
  std::string changed = flights();
  changed.replace(changed.find("minutes"), 7, "seconds");
  test::must(apply(changed));
  const auto since = [&](Timestamp at) {
    return test::must(
        db_->read(ana_, [&](sql::Tx& tx) { return changes_upstream(tx, ana_, "model:m@v1", at); }));
  };
  ASSERT_EQ(since(clock_.now() - std::chrono::minutes(5)).size(), 1u);
  EXPECT_EQ(since({})[0].what, "column delay: unit minutes -> seconds");
  EXPECT_TRUE(since(clock_.now() + std::chrono::minutes(5)).empty());
}

TEST_F(LineageTest, RefusesKeysWithoutOneSpelling) {
  const std::string entity = "kind: entity\nname: flight\nowner: o\njoin_keys:\n";
  EXPECT_EQ(faults(entity + "  - {name: id, type: bigint}\n"), "");
  EXPECT_NE(faults(entity + "  - {name: id, type: double}\n").find("join_keys[0].type"),
            std::string::npos);
  EXPECT_NE(faults(entity + "  - {name: id, type: text}\n  - {name: id, type: text}\n")
                .find("stands there twice"),
            std::string::npos);
  EXPECT_NE(faults("kind: entity\nname: e\nowner: o\njoin_keys: []\n").find("join_keys"),
            std::string::npos);
}

}  // namespace
}  // namespace penstock::catalog
