// Cards, bills of materials and diffs of versions whose facts are known to the last digit.
#include <gtest/gtest.h>

#include "base/yaml.h"
#include "record/bom.h"
#include "record/card.h"
#include "record/diff.h"
#include "record/packages.h"
#include "tests/support/fixture.h"

namespace penstock::record {
namespace {

training::SliceMetrics slice(const std::string& name, double brier, bool judged = true) {
  return {.slice = name,
          .rows = judged ? 1'234 : 7,
          .positive_rate = 0.25,
          .brier = brier,
          .baseline_brier = 0.2,
          .log_loss = 0.5,
          .accuracy = 0.8,
          .improvement = 0.2 - brier,
          .lower = 0.19 - brier,
          .upper = 0.21 - brier,
          .judged = judged};
}

Facts some_facts(std::int64_t number = 1) {
  Facts facts;
  facts.version = {.project = "p1",
                   .model = "late",
                   .version = number,
                   .record = {.model_id = "late-v" + std::to_string(number),
                              .artifact_uri = "penstock://artifacts/" + std::string(64, 'a'),
                              .training_data = "flights@" + std::to_string(number),
                              .owner = "desk",
                              .run = "r" + std::to_string(number),
                              .runtime = "onnx",
                              .licence = "Apache-2.0"},
                   .digest = std::string(64, 'd'),
                   .created_by = "user:ana"};
  facts.version.record.metrics = {{"brier", 0.15}};
  facts.metrics = facts.version.record.metrics;
  facts.training_data = catalog::Dataset{.name = "flights",
                                         .version = number,
                                         .digest = std::string(64, 'e'),
                                         .row_count = 1'000 * number,
                                         .columns = {{"delay", "double"}},
                                         .created_by = "user:ana",
                                         .query = "SELECT *\nFROM flights\nWHERE month < 7"};
  facts.evaluation = training::Evaluation{
      .name = "eval_1",
      .run = "r1",
      .passed = true,
      .slices = {slice("all", 0.15), slice("carrier=AA", 0.16), slice("carrier=HA", 0.1, false)},
      .predictions_uri = "penstock://artifacts/p"};
  facts.views = {{"carrier_delay", "data-team", 1, {"flights"}, "SELECT a\nFROM flights"}};
  facts.features = {{.name = "delay",
                     .view = "carrier_delay@1",
                     .entity = "carrier",
                     .owner = "data-team",
                     .unit = "minutes"}};
  facts.feature_schema = "feature_schema:features_v1@1";
  facts.code = CodeFact{.pipeline = "late@1", .git_commit = "abc123"};
  facts.environment = EnvironmentFact{.source = "run:r1",
                                      .python = "3.11.2",
                                      .packages = {{"numpy", "2.4.6"}, {"pandas", "3.1.1"}}};
  facts.upstream = {
      {"source:flights@1", "source", "data-team", "flights of a year",
       catalog::Classification::confidential},
      {"dataset:flights@" + std::to_string(number), "dataset", "", "", std::nullopt},
      {"feature_view:carrier_delay@1", "feature_view", "data-team", "", std::nullopt}};
  facts.lineage = {{facts.version.urn(), "dataset:flights@" + std::to_string(number), "trained_on"},
                   {"dataset:flights@" + std::to_string(number), "source:flights@1", "made_from"}};
  facts.parameters = {{"depth", 3}};
  facts.seed = 7;
  return facts;
}

const Difference* find(const Diff& diff, const std::string& part, const std::string& name) {
  for (const Part& one : diff.parts)
    if (one.name == part)
      for (const Difference& difference : one.differences)
        if (difference.name == name) return &difference;
  return nullptr;
}

TEST(CardTest, SaysWhatIsKnownAndThatTheRestIsNotRecorded) {
  const std::string card = markdown_card(some_facts());
  for (const char* text : {"## Model details",
                           "## Intended use",
                           "## Factors",
                           "## Metrics",
                           "## Evaluation data",
                           "## Training data",
                           "## Features",
                           "## Quantitative analyses",
                           "## Ethical considerations",
                           "## Caveats and recommendations",
                           "## Approvals",
                           "## Releases and incidents",
                           "## Cost of training",
                           "## Provenance",
                           "| **Intended use** | *not recorded* |",
                           "| carrier | 2 | 1 |",
                           "0.04 to 0.06",
                           "too few rows",
                           "`dataset:flights@1`",
                           "1,000",
                           "source:flights@1 (confidential)",
                           "| **Git commit** | `abc123` |",
                           "numpy 2.4.6"})
    EXPECT_NE(card.find(text), std::string::npos) << text << "\n" << card;
}

TEST(CardTest, HasAFrontMatterThatYamlReads) {
  const std::string card = markdown_card(some_facts());
  const std::size_t end = card.find("\n---\n", 4);
  const auto matter = test::must(yaml::parse(card.substr(4, end - 3))).at(0).value.as_object();
  EXPECT_EQ(matter.at("license"), "Apache-2.0");
  EXPECT_EQ(matter.at("datasets"), json::array{json::value("flights")});
  const auto& result = matter.at("model-index").as_array()[0].at("results").as_array()[0];
  EXPECT_EQ(result.at("metrics").as_array()[0].at("value").to_number<double>(), 0.15);
}

TEST(CardTest, TakesNothingThatPeopleWroteForMarkup) {
  Facts facts = some_facts();
  facts.version.record.description = "<script>alert(1)</script> & | *bold* `x`\n# Heading";
  facts.model.owner = "\"><img src=x>";
  facts.evaluation->slices[1].slice = "carrier=<b>|";
  facts.version.record.run = "a`b|c";
  const std::string html = html_card(facts), markdown = markdown_card(facts);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_EQ(html.find("<img"), std::string::npos);
  EXPECT_EQ(html.find("<b>|"), std::string::npos);
  EXPECT_NE(html.find("&lt;script&gt;alert(1)"), std::string::npos);
  EXPECT_NE(markdown.find("&lt;script>alert(1)&lt;/script> &amp; \\| \\*bold\\* \\`x\\`"),
            std::string::npos)
      << markdown;
  EXPECT_NE(markdown.find("\n\\# Heading"), std::string::npos);
  EXPECT_NE(markdown.find("| carrier=&lt;b>\\| |"), std::string::npos);
  EXPECT_NE(markdown.find("`a'b\\|c`"), std::string::npos);
}

TEST(CardTest, NeedsNothingFromElsewhere) {
  const std::string html = html_card(some_facts());
  for (const char* text : {"http://", "https://", "src=", "@import", "url(", "<link"})
    EXPECT_EQ(html.find(text), std::string::npos) << text;
}

TEST(BomTest, IsTheSameForTheSameFactsAndAnotherForOthers) {
  const auto one = bom_of(some_facts()), again = bom_of(some_facts());
  EXPECT_EQ(canonical(one), canonical(again));
  Facts other = some_facts();
  other.parameters["depth"] = 4;
  EXPECT_NE(one.at("serialNumber"), bom_of(other).at("serialNumber"));
}

TEST(BomTest, NamesTheModelItsDataItsFeaturesAndItsPackages) {
  const auto bom = bom_of(some_facts());
  std::map<std::string, json::object> by_ref;
  for (const json::value& component : bom.at("components").as_array())
    by_ref[component.at("bom-ref").as_string().c_str()] = component.as_object();
  const json::object& model = by_ref.at("model:late@v1");
  EXPECT_EQ(model.at("type"), "machine-learning-model");
  EXPECT_EQ(model.at("licenses").as_array()[0].at("license").at("id"), "Apache-2.0");
  EXPECT_EQ(model.at("pedigree").at("commits").as_array()[0].at("uid"), "abc123");
  EXPECT_EQ(by_ref.at("source:flights@1").at("data").as_array()[0].at("classification"),
            "confidential");
  EXPECT_EQ(by_ref.at("dataset:flights@1").at("hashes").as_array()[0].at("content").as_string(),
            std::string(64, 'e'));
  EXPECT_TRUE(by_ref.contains("feature_view:carrier_delay@1"));
  EXPECT_EQ(by_ref.at("pkg:pypi/numpy@2.4.6").at("purl"), "pkg:pypi/numpy@2.4.6");
  for (const json::value& dependency : bom.at("dependencies").as_array())
    for (const json::value& on : dependency.at("dependsOn").as_array())
      EXPECT_TRUE(by_ref.contains(on.as_string().c_str())) << on;
}

TEST(PackagesTest, ReadsWhatPipWrites) {
  const auto packages = packages_in(
      "3.11.2 (main, Apr 28 2025, 14:11:48) [GCC 12.2.0]\nScikit_Learn==1.9.1\n# a comment\n"
      "-r other.txt\nnumpy>=2,<3\ntorch==2.1.0+cpu ; python_version > '3'\nuvicorn[standard]==0.1 "
      "\\\n"
      "  --hash=sha256:0\nnumpy==2.4.6\nx[broken\n\n");
  std::string text;
  for (const Package& package : packages) text += purl_of(package) + "\n";
  EXPECT_EQ(text,
            "pkg:pypi/numpy\npkg:pypi/scikit-learn@1.9.1\npkg:pypi/torch@2.1.0%2Bcpu\n"
            "pkg:pypi/uvicorn@0.1\npkg:pypi/x\n");
}

TEST(DiffTest, FindsNothingBetweenAVersionAndItself) {
  const Diff diff = diff_of(some_facts(), some_facts());
  EXPECT_TRUE(diff.same) << json::serialize(encode(diff));
}

TEST(DiffTest, FindsEveryKindOfDifference) {
  const Facts before = some_facts(1);
  Facts after = some_facts(2);
  after.training_data->query = "SELECT *\nFROM flights\nWHERE month < 8";
  after.upstream[0].urn = "source:flights@3";
  after.source_changes = {{.source = "flights",
                           .version = 3,
                           .what = "column a: unit minutes -> hours",
                           .compatible = false},
                          {.source = "flights", .version = 1, .what = "before"}};
  after.views[0].sql = "SELECT b\nFROM flights";
  after.features[0].unit = "hours";
  after.code->git_commit = "def456";
  after.environment->packages = {{"numpy", "2.5.0"}, {"polars", "1.0"}};
  after.parameters["depth"] = 4;
  after.metrics["brier"] = 0.14;
  after.metrics["auc"] = 0.7;
  after.evaluation->slices[1] = slice("carrier=AA", 0.12);
  after.approvals = {{.scope = "production", .approver = "user:bo"}};
  after.classification = catalog::Classification::restricted;
  const Diff diff = diff_of(before, after);
  struct Case {
    const char *part, *name;
    std::optional<std::string> was, is;
  };
  for (const Case& c : {Case{"training data", "rows", "1,000", "2,000"},
                        {"sources", "flights", "1", "3"},
                        {"features", "feature delay", "double in minutes of carrier_delay@1",
                         "double in hours of carrier_delay@1"},
                        {"code", "git commit", "abc123", "def456"},
                        {"environment", "numpy", "2.4.6", "2.5.0"},
                        {"environment", "pandas", "3.1.1", {}},
                        {"environment", "polars", {}, "1.0"},
                        {"parameters", "depth", "3", "4"},
                        {"metrics", "brier", "0.15", "0.14"},
                        {"metrics", "auc", {}, "0.7"},
                        {"approvals", "production", {}, "user:bo"},
                        {"classification", "classification", {}, "restricted"}}) {
    SCOPED_TRACE(std::string(c.part) + " " + c.name);
    const Difference* found = find(diff, c.part, c.name);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->before, c.was);
    EXPECT_EQ(found->after, c.is);
  }
  EXPECT_EQ(find(diff, "sources", "flights")->note,
            "version 3: column a: unit minutes -> hours (readers may break)");
  EXPECT_NEAR(*find(diff, "metrics", "brier")->delta, -0.01, 1e-12);
  EXPECT_EQ(find(diff, "slices", "carrier=AA")->note, "improvement is higher");
  EXPECT_EQ(find(diff, "slices", "all"), nullptr);
  EXPECT_EQ(find(diff, "features", "SQL of view carrier_delay")->lines,
            (std::vector<std::string>{"-SELECT a", "+SELECT b", " FROM flights"}));
}

TEST(DiffTest, ShowsTheLinesAroundAChangeOnly) {
  std::string before, after;
  for (int i = 0; i < 40; ++i) {
    before += std::to_string(i) + "\n";
    after += (i == 20 ? std::string("twenty") : std::to_string(i)) + "\n";
  }
  EXPECT_EQ(line_diff(before, after),
            (std::vector<std::string>{" ...", " 17", " 18", " 19", "-20", "+twenty", " 21", " 22",
                                      " 23", " ..."}));
}

}  // namespace
}  // namespace penstock::record
