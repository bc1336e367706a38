// Sources in a bucket of a real S3 server.
#include "catalog/objects.h"

#include <fstream>
#include <thread>

#include "adapters/localfs/localfs.h"
#include "adapters/s3/s3.h"
#include "catalog/dataset_builder.h"
#include "catalog/discovery.h"
#include "tests/support/s3_server.h"
#include "tests/unit/catalog/catalog_fixture.h"

namespace penstock::catalog {
namespace {

namespace fs = std::filesystem;

// A real bucket that tells of each object that is opened, after it was.
class Watched final : public blob::Objects {
 public:
  Watched(std::shared_ptr<blob::Objects> real, std::function<void()> opened)
      : real_(std::move(real)), opened_(std::move(opened)) {}
  Result<std::unique_ptr<blob::Writer>> create() override { return real_->create(); }
  Result<std::unique_ptr<blob::Reader>> open(std::string_view path) override {
    auto reader = real_->open(path);
    opened_();
    return reader;
  }
  Result<bool> exists(std::string_view path) override { return real_->exists(path); }
  Result<std::vector<blob::Entry>> list(std::string_view prefix, std::size_t most) override {
    return real_->list(prefix, most);
  }
  Result<void> remove(std::string_view path) override { return real_->remove(path); }

 private:
  const std::shared_ptr<blob::Objects> real_;
  const std::function<void()> opened_;
};

// The bucket `lake` holds trips/year=2025|2026/part.parquet, of three rows each.
class ObjectsTest : public CatalogTest {
 protected:
  void SetUp() override {
    if (!test::S3Server::is_there()) GTEST_SKIP() << "versitygw is not built; run tools/setup.sh";
    server_.emplace();
    server_->make_bucket("lake");
    put_trips(2025, 0);
    put_trips(2026, 3);
    options_.bucket = [this](const std::string& connection,
                             const std::string& bucket) -> Result<std::shared_ptr<blob::Objects>> {
      auto real = TRY(s3::open(
          {.bucket = bucket,
           .endpoint = server_->endpoint(),
           .access_key = test::S3Server::access_key,
           .secret_key = connection == "wrong" ? "geheim-geheim" : test::S3Server::secret_key}));
      return std::shared_ptr<blob::Objects>(std::make_shared<Watched>(std::move(real), [this] {
        const std::lock_guard hold(turn_);
        ++opened_;
        if (replaced_ < replace_max_) put_trips(2025, 50 + replaced_++);
      }));
    };
    options_.buckets_of = {"lake", "wrong"};
    options_.together = [](std::size_t threads, const std::function<void()>& work) {
      std::vector<std::jthread> all;
      for (std::size_t i = 0; i < threads; ++i) all.emplace_back(work);
    };
    options_.data_directory = folder_.path();
    options_.scratch = folder_ / "copies";
    remake();
  }

  void remake() {
    objects_quality_.reset();
    resources_of_objects_.reset();
    objects_.reset();
    objects_ = std::make_unique<Service>(*db_, *olap_, clock_, options_);
    resources_of_objects_ = std::make_unique<resources::Service>(*db_, clock_);
    objects_->register_kinds(*resources_of_objects_);
    objects_quality_ = std::make_unique<Quality>(*db_, *olap_, *objects_, clock_);
  }

  static std::string rows(int from) {
    return "SELECT " + std::to_string(from) +
           " + range AS id, CASE WHEN range = 1 THEN 'Oslo' ELSE 'Bergen' END AS city FROM "
           "range(3)";
  }
  std::string path(const std::string& key) { return server_->folder("lake") + "/" + key; }
  void put_trips(int year, int from) {
    const std::string key = "trips/year=" + std::to_string(year) + "/part.parquet";
    put(key, rows(from));
  }
  // An object as another program puts it: whole, in one step.
  void put(const std::string& key, const std::string& sql) {
    fs::create_directories(fs::path(path(key)).parent_path());
    const std::string made = folder_ / "made.parquet";
    run("COPY (" + sql + ") TO '" + made + "' (FORMAT parquet)");
    test::must(writer().put(key, bytes_of(made)));
  }
  blob::Objects& writer() {
    if (!writer_)
      writer_ = test::must(s3::open({.bucket = "lake",
                                     .endpoint = server_->endpoint(),
                                     .access_key = test::S3Server::access_key,
                                     .secret_key = test::S3Server::secret_key,
                                     .scratch = folder_ / "sent"}));
    return *writer_;
  }
  static std::string bytes_of(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  static std::string trips(const std::string& with = "") {
    return R"(kind: source
name: trips
owner: rides
path: s3://lake/trips/
connection: lake
columns:
  - {name: id, type: bigint, classification: public}
  - {name: city, type: text, classification: internal}
  - {name: year, type: bigint, classification: public}
)" + with;
  }
  Result<resources::ApplyOutput> apply_objects(const std::string& yaml) {
    resources::ApplyInput input;
    for (const auto& document : test::must(yaml::parse(yaml)))
      input.documents.push_back({.declaration = document.value.as_object()});
    return resources_of_objects_->apply(ana_, input);
  }
  std::string faults_of(const std::string& yaml) {
    const auto out = apply_objects(yaml);
    return out ? "" : test::faults_of(out.error());
  }
  Source source() {
    return test::must(
               db_->read(ana_, [&](sql::Tx& tx) { return sources_named(tx, "p1", {"trips"}); }))
        .front()
        .source;
  }
  std::size_t copies() {
    std::size_t count = 0;
    std::error_code absent;
    for (const auto& entry : fs::recursive_directory_iterator(folder_ / "copies", absent))
      count += entry.is_regular_file() ? 1 : 0;
    return count;
  }

  std::optional<test::S3Server> server_;
  std::unique_ptr<blob::Objects> writer_;
  std::mutex turn_;
  int opened_ = 0, replaced_ = 0, replace_max_ = 0;
  Options options_;
  std::unique_ptr<Service> objects_;
  std::unique_ptr<resources::Service> resources_of_objects_;
  std::unique_ptr<Quality> objects_quality_;
};

TEST_F(ObjectsTest, AreASourceLikeFiles) {
  test::must(apply_objects(trips("primary_key: [id]\nfreshness: {max_age: 1h}\n")));
  clock_.set(SystemClock().now());
  const auto measure = test::must(objects_quality_->refresh(ana_, {"trips"}));
  EXPECT_TRUE(measure.passed) << measure.fault;
  EXPECT_EQ(measure.row_count, 6);
  EXPECT_TRUE(measure.fresh);
  const auto profile = test::must(objects_quality_->profile(ana_, {"trips"}));
  EXPECT_EQ(profile.columns[2].min, "2025");
  clock_.advance(std::chrono::hours(2));
  EXPECT_FALSE(test::must(objects_quality_->check(ana_, {"trips"})).fresh);
}

TEST_F(ObjectsTest, HaveTheDigestOfTheSameFilesOnDisk) {
  test::must(apply_objects(trips()));
  const std::string digest = test::must(objects_->snapshot_digest(source()));
  fs::copy(server_->folder("lake") + "/trips", folder_ / "trips", fs::copy_options::recursive);
  const Source local{.name = "local", .path = "trips"};
  EXPECT_EQ(test::must(objects_->snapshot_digest(local)), digest);
  const Source one{
      .name = "one", .path = "s3://lake/trips/year=2025/part.parquet", .connection = "lake"};
  const Source one_local{.name = "one", .path = "trips/year=2025/part.parquet"};
  EXPECT_EQ(test::must(objects_->snapshot_digest(one)),
            test::must(objects_->snapshot_digest(one_local)));
}

TEST_F(ObjectsTest, AreReadAgainOnlyWhereTheyChanged) {
  test::must(apply_objects(trips()));
  const std::string before = test::must(objects_->snapshot_digest(source()));
  EXPECT_EQ(copies(), 2u);
  put_trips(2026, 7);
  // At most once a minute.
  EXPECT_EQ(test::must(objects_->snapshot_digest(source())), before);
  clock_.advance(std::chrono::minutes(2));
  const std::string after = test::must(objects_->snapshot_digest(source()));
  EXPECT_NE(after, before);
  EXPECT_EQ(copies(), 3u);  // views may still read the one that was replaced
  clock_.advance(std::chrono::hours(2));
  EXPECT_EQ(test::must(objects_->snapshot_digest(source())), after);
  EXPECT_EQ(copies(), 2u);
  put_trips(2026, 3);
  clock_.advance(std::chrono::minutes(2));
  EXPECT_EQ(test::must(objects_->snapshot_digest(source())), before);
  // Long after they changed they are known by time and size alone.
  clock_.set(SystemClock().now() + std::chrono::hours(1));
  EXPECT_EQ(test::must(objects_->snapshot_digest(source())), before);
  opened_ = 0;
  clock_.advance(std::chrono::minutes(2));
  EXPECT_EQ(test::must(objects_->snapshot_digest(source())), before);
  EXPECT_EQ(opened_, 0);
  put_trips(2027, 9);
  clock_.advance(std::chrono::minutes(2));
  EXPECT_NE(test::must(objects_->snapshot_digest(source())), before);
  EXPECT_EQ(opened_, 2);  // the new one, before and after it was read
}

TEST_F(ObjectsTest, GiveADatasetWhatItsSnapshotNamesWhateverHappensMeanwhile) {
  test::must(apply_objects(trips()));
  const auto blobs = test::must(localfs::open(folder_ / "blobs"));
  DatasetBuilder datasets(*db_, *olap_, *blobs, *objects_, clock_, folder_.path());
  const DatasetRequest request{"d1", "SELECT city, count(*) AS trips FROM trips GROUP BY city"};
  const auto made = test::must(datasets.create(ana_, request));
  EXPECT_EQ(made.row_count, 2);
  EXPECT_EQ(test::must(datasets.create(ana_, request)).version, 1);

  // A session that is bound goes on reading what it was bound to.
  const auto session = test::must(olap_->session());
  const auto read = test::must(objects_->snapshots().bind(*session, {source()}));
  EXPECT_EQ(read.at(0), made.snapshots.at(0).digest);
  put_trips(2025, 100);
  fs::remove_all(path("trips/year=2026"));
  clock_.advance(std::chrono::minutes(20));
  EXPECT_NE(test::must(objects_->snapshot_digest(source())), made.snapshots.at(0).digest);
  const auto sum = test::must(session->query("SELECT sum(id)::BIGINT FROM trips"));
  EXPECT_EQ(std::get<std::int64_t>(sum.rows.at(0).at(0)), 0 + 1 + 2 + 3 + 4 + 5);

  const auto other = test::must(datasets.create(ana_, request));
  EXPECT_EQ(other.version, 2);
  put_trips(2025, 0);
  put_trips(2026, 3);
  clock_.advance(std::chrono::minutes(20));
  const auto again = test::must(datasets.create(ana_, request));
  EXPECT_EQ(again.digest, made.digest);
}

TEST_F(ObjectsTest, AreNeverHalfOfOneStateAndHalfOfAnother) {
  test::must(apply_objects(trips()));
  put_trips(2025, 40);
  replace_max_ = 1;
  clock_.advance(std::chrono::minutes(20));
  const auto measure = test::must(objects_quality_->check(ana_, {"trips"}));
  EXPECT_EQ(measure.row_count, 6) << measure.fault;
  EXPECT_EQ(replaced_, 1);
  const auto session = test::must(olap_->session());
  test::must(objects_->snapshots().bind(*session, {source()}));
  const auto sum = test::must(session->query("SELECT sum(id)::BIGINT FROM trips"));
  EXPECT_EQ(std::get<std::int64_t>(sum.rows.at(0).at(0)), 50 + 51 + 52 + 3 + 4 + 5);

  // Always replaced: said, and nothing is kept of it.
  const std::size_t before = copies();
  put_trips(2025, 40);
  replace_max_ = 1'000'000;
  clock_.advance(std::chrono::minutes(20));
  const auto digest = objects_->snapshot_digest(source());
  ASSERT_FALSE(digest);
  EXPECT_EQ(digest.error().code, Code::unavailable);
  EXPECT_NE(digest.error().message.find("replaced while they are read"), std::string::npos);
  EXPECT_EQ(copies(), before);
  replace_max_ = 0;
  test::must(objects_->snapshot_digest(source()));
}

TEST_F(ObjectsTest, ThatCannotBeReadAreRefusedWithTheReason) {
  server_->make_bucket("void");
  put("odd/_delta_log/0.parquet", "SELECT 1 AS x");
  struct Case {
    std::string what, yaml, fault;
  };
  const std::string good = trips();
  const Case cases[] = {
      {"no connection", replaced(good, "connection: lake\n", ""),
       "connection must name an S3 connection of penstock.yaml: lake, wrong"},
      {"an unknown connection", replaced(good, "connection: lake", "connection: sea"),
       "connection must name an S3 connection of penstock.yaml: lake, wrong"},
      {"a wrong secret", replaced(good, "connection: lake", "connection: wrong"),
       "connection wrong may not read s3://lake/trips/"},
      {"a missing bucket", replaced(good, "s3://lake/", "s3://no-such-bucket/"),
       "path s3://no-such-bucket/trips/: there is no bucket no-such-bucket"},
      {"an empty bucket", replaced(good, "s3://lake/trips/", "s3://void"),
       "path s3://void holds no parquet object"},
      {"an empty prefix", replaced(good, "s3://lake/trips/", "s3://lake/none/"),
       "path s3://lake/none/ holds no parquet object"},
      {"another format", good + "format: csv\n", "path s3://lake/trips/ holds no csv object"},
      {"hidden objects", replaced(good, "s3://lake/trips/", "s3://lake/odd/"),
       "path s3://lake/odd/ holds no parquet object"},
      {"a pattern", replaced(good, "s3://lake/trips/", "s3://lake/trips/*.parquet"),
       "path must be one object or prefix"},
      {"a way out", replaced(good, "s3://lake/trips/", "s3://lake/../x/"), "must not hold . or .."},
      {"no bucket", replaced(good, "s3://lake/trips/", "s3://"), "path must name a bucket"},
      {"a connection of a file", replaced(flights(), "path:", "connection: lake\npath:"),
       "connection is only for paths that begin with s3://"},
      {"a missing column", replaced(good, "name: city", "name: town"),
       "columns[1].name town is not a column of s3://lake/trips/"},
      {"another type", replaced(good, "city, type: text", "city, type: bigint"),
       "columns[1].type city is VARCHAR in s3://lake/trips/, not bigint"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const std::string faults = faults_of(c.yaml);
    EXPECT_NE(faults.find(c.fault), std::string::npos) << faults;
    EXPECT_EQ(faults.find("geheim"), std::string::npos) << faults;
  }
  EXPECT_EQ(test::count(*db_, "resources"), 0);
  test::must(apply_objects(good));
}

TEST_F(ObjectsTest, HaveLimitsOnTheirNumberAndBytes) {
  fs::create_directories(path("many"));
  const std::string bytes = bytes_of(path("trips/year=2025/part.parquet"));
  for (int i = 0; i < 10'001; ++i)
    std::ofstream(path("many/" + std::to_string(i) + ".parquet"), std::ios::binary) << "x";
  EXPECT_NE(faults_of(replaced(trips(), "s3://lake/trips/", "s3://lake/many/"))
                .find("path holds 10001 objects, and at most 10000 are read; name a prefix below"),
            std::string::npos);
  EXPECT_EQ(copies(), 0u);
  options_.copy_bytes_max = static_cast<std::int64_t>(bytes.size());
  remake();
  EXPECT_NE(faults_of(trips()).find("are copied (limits.source_bytes); name a prefix below it"),
            std::string::npos);
  EXPECT_EQ(copies(), 0u);
  const std::string one =
      replaced(trips(), "  - {name: year, type: bigint, classification: public}\n", "");
  test::must(
      apply_objects(replaced(one, "s3://lake/trips/", "s3://lake/trips/year=2025/part.parquet")));
}

TEST_F(ObjectsTest, AreAllLookedAtByACheckAndSomeOfThemByAnApply) {
  for (int year = 1900; year < 1950; ++year) put_trips(year, year);
  const std::string odd = rows(0).replace(0, 6, "SELECT 'x' AS gate,");
  put("trips/year=1901/part.parquet", odd);
  test::must(apply_objects(trips()));
  EXPECT_LE(copies(), 16u);
  const auto measure = test::must(objects_quality_->check(ana_, {"trips"}));
  EXPECT_EQ(measure.row_count, 52 * 3) << measure.fault;
  ASSERT_EQ(measure.drift.size(), 1u);
  EXPECT_NE(measure.drift[0].find("columns must declare gate"), std::string::npos);
}

TEST_F(ObjectsTest, OfAServerThatIsGoneAreAFaultOfTheMeasureAndComeBack) {
  test::must(apply_objects(trips()));
  test::must(objects_quality_->check(ana_, {"trips"}));
  server_->kill();
  clock_.advance(std::chrono::minutes(20));
  const auto measure = test::must(objects_quality_->check(ana_, {"trips"}));
  EXPECT_FALSE(measure.passed);
  EXPECT_NE(measure.fault.find("does not answer as it should"), std::string::npos) << measure.fault;
  const auto refused = apply_objects(trips("tags: [x]\n"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::unavailable);
  server_->start();
  clock_.advance(std::chrono::minutes(20));
  EXPECT_TRUE(test::must(objects_quality_->check(ana_, {"trips"})).passed);
}

TEST_F(ObjectsTest, AreDiscoveredAsFilesAre) {
  const auto find = [&](const DiscoverInput& input) {
    return discover(*olap_, objects_->snapshots(), ana_, input);
  };
  const auto found = test::must(find({.path = "s3://lake/trips/", .connection = "lake"}));
  EXPECT_EQ(found.source.name, "trips");
  EXPECT_EQ(found.row_count, 6);
  EXPECT_EQ(found.source.primary_key, std::vector<std::string>{"id"});
  json::object declaration = encode(found.source).as_object();
  declaration["kind"] = "source";
  test::must(apply_objects(yaml::print(declaration)));
  test::must(writer().put("logs/a.csv", "id,name\n1,x\n"));
  EXPECT_EQ(test::must(find({.path = "s3://lake/logs", .connection = "lake"})).source.format,
            Format::csv);
  EXPECT_NE(
      test::faults_of(find({.path = "s3://lake/trips/"}).error()).find("connection must name"),
      std::string::npos);
  EXPECT_NE(test::faults_of(find({.path = "s3://lake/none/", .connection = "lake"}).error())
                .find("path names nothing that is there"),
            std::string::npos);
  options_.buckets_of = {"lake"};
  remake();
  EXPECT_EQ(test::must(find({.path = "s3://lake/trips/"})).source.connection, "lake");
}

}  // namespace
}  // namespace penstock::catalog
