#include "lineage/picture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "lineage/layout.h"

namespace penstock::lineage {
namespace {

TEST(LayoutTest, PutsWhatIsReadLeftOfWhatIsMade) {
  std::mt19937 random(5);
  for (int round = 0; round < 40; ++round) {
    const std::size_t nodes = 2 + random() % 30;
    std::vector<std::pair<std::size_t, std::size_t>> edges;
    for (std::size_t i = 0; i < nodes * 2; ++i) {
      const std::size_t a = random() % nodes, b = random() % nodes;
      if (a < b) edges.emplace_back(a, b);
    }
    const Layout layout = lay_out(nodes, edges, {});
    for (const auto& [from, to] : edges) EXPECT_LT(layout.boxes[from].x, layout.boxes[to].x);
    for (std::size_t a = 0; a < nodes; ++a)
      for (std::size_t b = 0; b < a; ++b)
        if (layout.boxes[a].x == layout.boxes[b].x) {
          EXPECT_GE(std::abs(layout.boxes[a].y - layout.boxes[b].y), LayoutSizes{}.height);
        }
    for (const auto& box : layout.boxes) {
      EXPECT_GE(box.y, 0);
      EXPECT_LE(box.x + LayoutSizes{}.width, layout.width + 0.1);
      EXPECT_LE(box.y + LayoutSizes{}.height, layout.height + 0.1);
    }
  }
}

TEST(LayoutTest, DrawsRingsAndNothing) {
  EXPECT_EQ(lay_out(3, {{0, 1}, {1, 2}, {2, 0}}, {}).lines.size(), 3u);
  EXPECT_EQ(lay_out(1, {}, {}).boxes.size(), 1u);
}

TEST(PictureTest, HoldsNoMarkupOfOthers) {
  catalog::Trace trace{.urn = "dataset:x/<script>"};
  trace.nodes.push_back({.urn = trace.urn,
                         .kind = "dataset",
                         .owner = "\"><script>alert(1)</script>&",
                         .classification = catalog::Classification::restricted,
                         .summary = "a\x01<b>"});
  const std::string svg = picture_of(trace);
  EXPECT_EQ(svg.find("<script"), std::string::npos);
  EXPECT_EQ(svg.find('\x01'), std::string::npos);
  EXPECT_NE(svg.find("restricted"), std::string::npos);
}

TEST(PictureTest, SaysHowManyItLeavesOut) {
  catalog::Trace trace{.urn = "dataset:d@1", .total = 900};
  for (int i = 0; i < 900; ++i)
    trace.nodes.push_back({.urn = "dataset:d@" + std::to_string(i + 1)});
  EXPECT_NE(picture_of(trace).find("the nearest 400 of 900"), std::string::npos);
}

TEST(PictureTest, ShortensNamesByTheRoomTheirLettersTake) {
  catalog::Trace trace{.urn = "run:01M8AZY94X2SAVY19WCRJGAB5X"};
  trace.nodes.push_back({.urn = trace.urn, .kind = "run"});
  trace.nodes.push_back({.urn = "feature_view:little_flights_till_it@1", .kind = "feature_view"});
  trace.nodes.push_back({.urn = "dataset:" + std::string(40, 'a') + "ü", .kind = "dataset"});
  const std::string svg = picture_of(trace);
  EXPECT_EQ(svg.find(">01M8AZY94X2SAVY19WCRJGAB5X<"), std::string::npos) << "wide letters";
  EXPECT_NE(svg.find("JGAB5X<"), std::string::npos) << "the end is kept";
  EXPECT_NE(svg.find(">little_flights_till_it@1<"), std::string::npos) << "narrow letters";
  EXPECT_NE(svg.find("aü<"), std::string::npos) << "no letter is cut in two";
}

TEST(PictureTest, DrawsEveryVersionOfWhatChangesAsOneBox) {
  catalog::Impact impact{.urn = "source:flights"};
  impact.nodes.push_back({.urn = "feature_view:delay@1", .kind = "feature_view", .depth = 1});
  impact.edges = {{"source:flights@2", "source:flights", "version_of"},
                  {"feature_view:delay@1", "source:flights@2", "reads"}};
  const std::string svg = picture_of(impact);
  EXPECT_NE(svg.find("class=\"edge\""), std::string::npos) << "the view hangs on the source";
}

}  // namespace
}  // namespace penstock::lineage
