#include "catalog/search.h"

#include "tests/unit/catalog/catalog_fixture.h"

namespace penstock::catalog {
namespace {

class SearchTest : public CatalogTest {
 protected:
  SearchTest() {
    test::must(apply(flights("tags: [aviation]\n")));
    test::must(apply(replaced(replaced(replaced(flights(), "name: flights", "name: late_flights"),
                                       "Every departure.", "Delayed departures in bad weather."),
                              "classification: public}",
                              "classification: restricted, tags: [pii.name]}")));
    test::must(
        apply("kind: entity\nname: carrier\nowner: airlines\ndescription: Who flies.\n"
              "join_keys: [{name: carrier, type: text}]\n"));
    catch_up();
  }
  void catch_up() {
    while (test::must(search_.run_once())) {
    }
  }
  std::string found(const SearchQuery& query) {
    std::string out;
    for (const SearchHit& hit : test::must(search_.find(ana_, query)).hits)
      out += (out.empty() ? "" : " ") + hit.urn;
    return out;
  }
  Search search_{*db_, catalog_, clock_};
};

TEST_F(SearchTest, FindsByWordsAndTheirBeginnings) {
  EXPECT_EQ(found({.text = "weather"}), "source:late_flights");
  EXPECT_EQ(found({.text = "WEATH, delayed"}), "source:late_flights");
  EXPECT_EQ(found({.text = "delay", .kind = "column"}),
            "source:flights#delay source:late_flights#delay");
  EXPECT_EQ(found({.text = "weather nowhere"}), "");
  EXPECT_EQ(found({.text = "we"}), "");
  // A name says more than a text, and a whole word more than a beginning.
  EXPECT_EQ(found({.text = "carrier", .kind = "entity,source"}),
            "entity:carrier source:flights source:late_flights");
}

TEST_F(SearchTest, NarrowsByFacetsAndCountsThem) {
  const auto all = test::must(search_.find(ana_, {.limit = 2}));
  EXPECT_EQ(all.total, 11);  // two sources, their eight columns, one entity
  EXPECT_EQ(all.hits.size(), 2u);
  EXPECT_EQ(all.next_offset, 2);
  EXPECT_EQ(all.facets.at("kind").front().value, "column");
  EXPECT_EQ(all.facets.at("kind").front().count, 8);
  EXPECT_EQ(found({.kind = "source", .tag = "aviation"}), "source:flights");
  EXPECT_EQ(found({.kind = "source", .classification = "restricted"}), "source:late_flights");
  EXPECT_EQ(found({.owner = "airlines"}), "entity:carrier");
  const auto sources = test::must(search_.find(ana_, {.kind = "source", .tag = "pii.name"}));
  EXPECT_EQ(sources.total, 1);
  // A facet counts what its own filter leaves out: that is what one may choose instead.
  EXPECT_EQ(sources.facets.at("kind").size(), 2u);
}

TEST_F(SearchTest, FollowsChangesAndKeepsProjectsApart) {
  test::must(apply(replaced(flights(), "Every departure.", "Every landing.")));
  EXPECT_EQ(found({.text = "landing"}), "");
  catch_up();
  EXPECT_EQ(found({.text = "landing"}), "source:flights");
  EXPECT_EQ(found({.text = "aviation"}), "");
  Call other = ana_;
  other.project = "p2";
  EXPECT_EQ(test::must(search_.find(other, {})).total, 0);
  EXPECT_FALSE(test::must(search_.run_once()));
}

TEST_F(SearchTest, FindsDatasetsByVersion) {
  test::must(catalog_.add_dataset(ana_, {.name = "dataset_2026_05_01",
                                         .digest = std::string(64, 'a'),
                                         .uri = "/d.parquet",
                                         .row_count = 3}));
  catch_up();
  EXPECT_EQ(found({.text = "dataset_2026_05_01"}), "dataset:dataset_2026_05_01@1");
}

TEST_F(SearchTest, RefusesWhatHasNoWordsOrTooMany) {
  EXPECT_EQ(search_.find(ana_, {.text = "?!"}).error().code, Code::invalid_argument);
  EXPECT_EQ(search_.find(ana_, {.text = "a b c d e f g h i"}).error().code, Code::invalid_argument);
  EXPECT_EQ(found({.text = "%' OR 1=1 --"}), "");
}

TEST(Words, AreLettersAndDigitsOfAnyAlphabet) {
  EXPECT_EQ(words_of("Arr_Delay-2 (Größe)"),
            (std::vector<std::string>{"arr", "delay", "2", "größe"}));
  EXPECT_TRUE(words_of("-- ,,").empty());
  EXPECT_TRUE(words_of(std::string(1000, 'x')).empty());
}

}  // namespace
}  // namespace penstock::catalog
