// Rows that callers send, and results that they fetch.
#include <fstream>

#include "features/entity_rows.h"
#include "policies/service.h"
#include "tests/unit/features/features_fixture.h"

namespace penstock::features {
namespace {

class OfflineRowsTest : public FeaturesTest {
 protected:
  OfflineRowsTest() {
    given({{"007", 1, 0, 0, 1.0, "x"}, {"7", 1, 5, 5, 2.0, "y"}});
    test::must(apply(source() + views() + schema()));
  }
  std::string send(const std::string& bytes, RowsFormat format) {
    auto& uploads = features_.entity_uploads();
    const auto upload = test::must(uploads.begin(ana_, {format})).upload;
    for (std::size_t at = 0; at < bytes.size(); at += 10)
      test::must(uploads.append(ana_, upload, static_cast<std::int64_t>(at),
                                std::string_view(bytes).substr(at, 10)));
    return upload;
  }
  Result<HistoricalOutput> join(const std::string& upload, bool temporary = false) {
    return features_.historical(
        ana_,
        {.features = {"place_heat:place_heat"}, .entity_upload = upload, .temporary = temporary});
  }
  std::string faults(const Result<HistoricalOutput>& out) {
    return out ? "" : out.error().message + "\n" + test::faults_of(out.error());
  }
  std::string text(const HistoricalOutput& out, const std::string& columns) {
    std::string all;
    for (const auto& row :
         rows("SELECT " + columns + " FROM read_parquet(" + olap::quoted_text(out.uri) + ")"))
      for (const Scalar& cell : row) all += json::serialize(to_json(cell)) + " ";
    return all;
  }
};

TEST_F(OfflineRowsTest, ACsvFileKeepsItsKeysAndItsZones) {
  const auto out =
      test::must(join(send("place,event_time,n\n"
                           "007,2020-09-13T14:26:40+02:00,1\n"
                           "7,2020-09-13 12:26:44,2\n"
                           "7,2020-09-13T12:26:45Z,3\n"
                           ",2020-09-13T12:26:45Z,4\n",
                           RowsFormat::csv)));
  EXPECT_EQ(text(out, "n, place, place_heat"),
            "1 \"007\" 1E0 2 \"7\" null 3 \"7\" 2E0 4 null null ");
}

TEST_F(OfflineRowsTest, AnUploadIsUsedOnceAndLeavesNothing) {
  const std::string upload = send("place,event_time\n7,2020-09-14\n", RowsFormat::csv);
  EXPECT_TRUE(join(upload));
  const auto again = join(upload);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::not_found);
  EXPECT_NE(faults(again).find("was used, or is older than an hour"), std::string::npos);
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(folder_ / "scratch/entity-rows"))
    EXPECT_TRUE(entry.is_directory()) << entry.path();
}

TEST_F(OfflineRowsTest, RefusesWhatItCannotUse) {
  auto& uploads = features_.entity_uploads();
  const auto upload = test::must(uploads.begin(ana_, {RowsFormat::parquet})).upload;
  test::must(uploads.append(ana_, upload, 0, "no parquet"));
  const auto twice = uploads.append(ana_, upload, 0, "no parquet");
  ASSERT_FALSE(twice);
  EXPECT_NE(twice.error().message.find("10 bytes are here: go on from there"), std::string::npos);
  Call other = ana_;
  other.project = "other";
  EXPECT_EQ(uploads.append(other, upload, 10, "x").error().code, Code::not_found);
  for (const char* name : {"", "../../x", "01ARZ3NDEKTSV4RRFFQ69G5FAV"})
    EXPECT_EQ(uploads.append(ana_, name, 0, "x").error().code, Code::not_found) << name;
  EXPECT_NE(faults(join(upload)).find("entity_upload"), std::string::npos);
  EXPECT_NE(faults(join(send("town,event_time\na,2020-09-14\n", RowsFormat::csv)))
                .find("entity_upload must give the join key place"),
            std::string::npos);
  EXPECT_NE(
      faults(join(send("place,event_time\na,yesterday\n", RowsFormat::csv))).find("entity_upload"),
      std::string::npos);
  EntityUploads small(folder_ / "small", clock_, 10);
  const auto few = test::must(small.begin(ana_, {}));
  test::must(small.append(ana_, few.upload, 0, "0123456789"));
  const auto more = small.append(ana_, few.upload, 10, "x");
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, Code::resource_exhausted);
  EXPECT_NE(more.error().message.find("limits.source_bytes"), std::string::npos);
  for (int i = 1; i < 100; ++i) test::must(small.begin(ana_, {}));
  EXPECT_EQ(small.begin(ana_, {}).error().code, Code::resource_exhausted);
  EXPECT_TRUE(small.begin(other, {})) << "projects do not wait for each other";
}

TEST_F(OfflineRowsTest, AResultIsFetchedByItsDigestForADay) {
  const auto ask = [&] { return send("place,event_time\n7,2020-09-14\n", RowsFormat::csv); };
  const auto out = test::must(join(ask(), true));
  EXPECT_NE(out.path.find("/temporary/"), std::string::npos);
  const auto reader = test::must(features_.historical_result(ana_, out.digest));
  EXPECT_EQ(reader->size(), out.bytes);
  Call other = ana_;
  other.project = "other";
  EXPECT_EQ(features_.historical_result(other, out.digest).error().code, Code::not_found);
  EXPECT_EQ(features_.historical_result(ana_, std::string(64, '0')).error().code, Code::not_found);
  EXPECT_EQ(features_.historical_result(ana_, "../x").error().code, Code::invalid_argument);

  const auto kept = test::must(
      features_.historical(ana_, {.entity_sql = "SELECT place, seen AS event_time FROM readings",
                                  .features = {"place_heat:place_heat"}}));
  clock_.set(std::chrono::time_point_cast<Micros>(std::chrono::system_clock::now()) +
             std::chrono::hours(25));
  test::must(features_.historical(ana_, {.entity_sql = "SELECT place, seen AS event_time, 1 AS one "
                                                       "FROM readings",
                                         .features = {"place_heat:place_heat"},
                                         .temporary = true}));
  EXPECT_EQ(features_.historical_result(ana_, out.digest).error().code, Code::not_found);
  EXPECT_TRUE(features_.historical_result(ana_, kept.digest));
}

TEST_F(OfflineRowsTest, APolicyIsAskedAgainWhenAResultIsFetched) {
  const auto out = test::must(
      features_.historical(ana_, {.entity_sql = "SELECT place, seen AS event_time FROM readings",
                                  .features = {"place_heat:place_heat"}}));
  EXPECT_TRUE(features_.historical_result(ana_, out.digest));
  policies::Service policies(*db_, resources_, clock_);
  resources_.add(policies.kind());
  test::must(apply(
      "kind: policy\nname: confidential\nowner: o\napplies_to: [read]\nmessage: Confidential data\n"
      "sql: SELECT s.urn AS subject FROM policy_subject AS s CROSS JOIN policy_upstream AS u WHERE "
      "u.class_rank >= 2 AND s.purpose = 'features'\n"));
  const auto refused = features_.historical_result(ana_, out.digest);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::failed_precondition);
}

TEST_F(OfflineRowsTest, ADatasetSaysWhatItWasMadeFromAndWhatItLooksLike) {
  const auto make = [&](const std::string& name) {
    test::must(features_.historical(
        ana_, {.entity_sql = "SELECT place, sensor, seen AS event_time FROM readings",
               .features = {"sensor_heat:heat"},
               .dataset = name}));
    return test::must(catalog_.show_dataset(ana_, {.name = name}));
  };
  const auto first = make("d");
  std::string urns;
  for (const auto& snapshot : first.snapshots) urns += snapshot.urn + " ";
  EXPECT_EQ(urns, "feature_view:sensor_heat@1 source:readings@1 ");
  EXPECT_EQ(first.snapshots[1].digest,
            test::must(catalog::digest_of_file(folder_ / "readings.parquet")));
  ASSERT_EQ(first.profile.size(), 4u);
  EXPECT_EQ(first.profile[3].name, "heat");
  EXPECT_EQ(first.profile[3].mean, 1.5);
  EXPECT_FALSE(first.profile[3].max) << "the view reads a source with a confidential column";
  EXPECT_EQ(make("other").inputs_digest, first.inputs_digest);
  const auto trace = test::must(catalog_.trace(ana_, {.urn = "dataset:d@1#heat"}));
  EXPECT_TRUE(std::ranges::any_of(trace.nodes, [](const catalog::TraceNode& node) {
    return node.urn == "source:readings@1#heat";
  }));

  given({{"007", 1, 0, 0, 3.0, "x"}});
  const auto second = make("d");
  EXPECT_EQ(second.version, 2);
  EXPECT_NE(second.inputs_digest, first.inputs_digest);
}

}  // namespace
}  // namespace penstock::features
