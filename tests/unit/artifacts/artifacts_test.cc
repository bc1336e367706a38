// Content-addressed files, artifacts made of them, local copies, and files that come in parts.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>
#include <gtest/gtest.h>

#include "adapters/localfs/localfs.h"
#include "artifacts/collector.h"
#include "registry/artifacts.h"
#include "tests/support/fixture.h"
#include "tracking/part_uploads.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using artifacts::File;
using test::must;

class FilesTest : public ::testing::Test {
 protected:
  std::string stored_at(const std::string& digest) {
    return store_->uri(artifacts::blob_path(digest));
  }
  void damage(const std::string& digest) {
    std::fstream(stored_at(digest), std::ios::in | std::ios::out) << "#";
  }
  std::string read(const std::string& digest, std::int64_t offset, std::int64_t length) {
    const auto download = must(files_.open(digest, offset, length));
    std::string out, buffer(7, '\0');
    while (static_cast<std::int64_t>(out.size()) < download->size())
      out += buffer.substr(0, must(download->read(buffer.data(), buffer.size())));
    return out;
  }
  std::int64_t rows() { return test::count(*db_, "stored_files"); }
  template <class T>
  void refused(Code code, const Result<T>& got, const std::string& word = "") {
    ASSERT_FALSE(got);
    EXPECT_EQ(name_of(got.error().code), name_of(code)) << got.error().message;
    EXPECT_NE(got.error().message.find(word), std::string::npos) << got.error().message;
  }

  const test::TempDir directory_;
  const Call call_ = test::call();
  ManualClock clock_;
  std::unique_ptr<sql::Database> db_ = test::database();
  std::unique_ptr<blob::Store> store_ = must(localfs::open(directory_ / "store"));
  artifacts::Files files_{*db_, *store_, clock_, 1'000'000};
  artifacts::Checkouts checkouts_{
      files_, clock_, {.folder = directory_ / "copies", .size_max = 100, .kept = Micros(0)}};
  registry::Artifacts models_{files_, checkouts_, *store_};
  tracking::Artifacts logged_{*db_, files_, clock_};
  tracking::PartUploads parts_{logged_, *store_, clock_};
};

TEST_F(FilesTest, KeepsTheSameBytesOnce) {
  const File one = must(files_.put("bytes"));
  EXPECT_EQ(one.digest, sha256_hex("bytes"));
  EXPECT_EQ(one.size, 5);
  EXPECT_EQ(must(files_.put("bytes")).digest, one.digest);
  EXPECT_EQ(must(files_.get(one.digest)), "bytes");
  EXPECT_EQ(must(files_.get(must(files_.put("")).digest)), "");
  EXPECT_EQ(must(store_->list("files")).size(), 2u);
  EXPECT_EQ(rows(), 2);
}

TEST_F(FilesTest, LetsManyBringTheSameBytesAtOnce) {
  {
    std::vector<std::jthread> threads;
    for (int at = 0; at < 8; ++at)
      threads.emplace_back([&] { must(files_.put(std::string(100'000, 'x'))); });
  }
  EXPECT_EQ(must(store_->list("files")).size(), 1u);
  EXPECT_EQ(rows(), 1);
}

TEST_F(FilesTest, LeavesNothingOfAnUploadThatWasNotCommitted) {
  { must(must(files_.upload())->write("half")); }
  EXPECT_TRUE(must(store_->list("")).empty());
  EXPECT_EQ(rows(), 0);
  const auto large = must(files_.upload());
  must(large->write(std::string(1'000'000, 'x')));
  refused(Code::resource_exhausted, large->write("x"), "limits.artifact_bytes");
}

TEST_F(FilesTest, ReadsRangesOfWhatItHasVerified) {
  const std::string digest = must(files_.put("0123456789")).digest;
  EXPECT_EQ(read(digest, 0, -1), "0123456789");
  EXPECT_EQ(read(digest, 3, 4), "3456");
  EXPECT_EQ(read(digest, 8, 100), "89");
  EXPECT_EQ(read(digest, 10, 1), "");
  refused(Code::not_found, files_.open(sha256_hex("other")));
  refused(Code::not_found, files_.open("../../etc/passwd"));
}

TEST_F(FilesTest, NeverGivesDamagedBytesAsWhole) {
  const std::string text(100'000, 'x');
  const std::string digest = must(files_.put(text)).digest;
  EXPECT_EQ(read(digest, 5, 2), "xx");
  damage(digest);
  const auto download = must(files_.open(digest));
  std::string buffer(60'000, '\0');
  must(download->read(buffer.data(), buffer.size()));
  refused(Code::data_loss, download->read(buffer.data(), buffer.size()), digest);
  // It was verified before, and was written since.
  refused(Code::data_loss, files_.open(digest, 5, 2));
  refused(Code::data_loss, files_.get(digest));
  EXPECT_EQ(files_.take_damaged(), std::set<std::string>{digest});
  EXPECT_TRUE(files_.take_damaged().empty());
  fs::resize_file(stored_at(digest), 10);
  refused(Code::data_loss, files_.get(digest));
  fs::resize_file(stored_at(digest), 0);
  refused(Code::data_loss, files_.get(digest));
}

TEST_F(FilesTest, RemovesOnlyWhatNobodyHoldsOrBrought) {
  const Timestamp long_ago = clock_.now();
  const std::string held = must(files_.put("held")).digest, gone = must(files_.put("gone")).digest;
  must(logged_.put(call_, "run/file", "held"));
  clock_.set(long_ago + std::chrono::hours(2));
  const std::string fresh = must(files_.put("fresh")).digest;
  const Timestamp before = long_ago + std::chrono::hours(1);
  EXPECT_EQ(must(files_.unused(before, "", 100)).size(), 2u);
  EXPECT_FALSE(must(files_.remove(held, before)));
  EXPECT_FALSE(must(files_.remove(fresh, before)));
  EXPECT_TRUE(must(files_.remove(gone, before)));
  EXPECT_FALSE(must(files_.remove(gone, before)));
  refused(Code::not_found, files_.get(gone));
  EXPECT_EQ(must(files_.get(held)), "held");
  must(logged_.remove(call_, "run"));
  EXPECT_TRUE(must(files_.remove(held, before)));
  // What is brought again is there again.
  EXPECT_EQ(must(files_.get(must(files_.put("gone")).digest)), "gone");
}

TEST_F(FilesTest, KeepsWhatIsBroughtWhileItIsRemoved) {
  for (int at = 0; at < 50; ++at) {
    const std::string bytes = "file " + std::to_string(at);
    const std::string digest = must(files_.put(bytes)).digest;
    clock_.set(clock_.now() + std::chrono::hours(2));
    const Timestamp before = clock_.now() - std::chrono::hours(1);
    std::jthread remover([&] { must(files_.remove(digest, before)); });
    must(files_.put(bytes));
    remover.join();
    EXPECT_EQ(must(files_.get(digest)), bytes);
  }
}

// ---- artifacts of several files ----

class ArtifactTest : public FilesTest {
 protected:
  void stage(const std::string& upload, const std::string& path, const std::string& bytes) {
    const auto file = must(models_.begin(upload, path));
    must(file->write(bytes));
    must(models_.stage(upload, path, *file));
  }
};

TEST_F(ArtifactTest, AreTheirFiles) {
  stage("u1", "model.onnx", "weights");
  stage("u1", "sub/card.md", "# card");
  const auto artifact = must(models_.commit("u1"));
  EXPECT_EQ(artifact.files, (std::vector<std::string>{"model.onnx", "sub/card.md"}));
  stage("other", "sub/card.md", "# card");
  stage("other", "model.onnx", "weights");
  EXPECT_EQ(must(models_.commit("other")).digest, artifact.digest);
  // A directory of this machine with the same files is the same artifact.
  fs::create_directories(directory_ / "local/sub");
  std::ofstream(directory_ / "local/model.onnx") << "weights";
  std::ofstream(directory_ / "local/sub/card.md") << "# card";
  EXPECT_EQ(must(models_.add_local(directory_ / "local")).digest, artifact.digest);
  EXPECT_EQ(must(models_.bytes(artifact.uri, "sub/card.md")), "# card");
  EXPECT_EQ(must(models_.contents(artifact.uri)).at(0).size, 7);
  std::stringstream read;
  read << std::ifstream(must(models_.file(artifact.uri, "model.onnx"))).rdbuf();
  EXPECT_EQ(read.str(), "weights");
  EXPECT_TRUE(must(models_.exists(artifact.uri)));
}

TEST_F(ArtifactTest, RefusesWhatIsNoArtifact) {
  refused(Code::failed_precondition, models_.commit("nothing"));
  refused(Code::invalid_argument, models_.begin("u", "../x"));
  refused(Code::not_found, models_.local_path("penstock://artifacts/" + sha256_hex("no")));
  refused(Code::not_found, models_.local_path("s3://elsewhere/model"));
  EXPECT_FALSE(must(models_.exists("s3://elsewhere/model")));
  fs::create_directories(directory_ / "linked");
  fs::create_symlink("/etc/hostname", directory_ / "linked/name");
  refused(Code::invalid_argument, models_.add_local(directory_ / "linked"));
  // A file that is no manifest is no artifact either.
  refused(Code::data_loss,
          models_.local_path("penstock://artifacts/" + must(files_.put("text")).digest));
}

TEST_F(ArtifactTest, MendsALocalCopyButNotTheStore) {
  stage("u", "model", "weights");
  const auto artifact = must(models_.commit("u"));
  const std::string path = must(models_.local_path(artifact.uri));
  std::ofstream(path) << "changed";
  EXPECT_EQ(must(models_.local_path(artifact.uri)), path);
  std::string text;
  std::ifstream(path) >> text;
  EXPECT_EQ(text, "weights");
  damage(sha256_hex("weights"));
  fs::remove_all(directory_ / "copies");
  refused(Code::data_loss, models_.local_path(artifact.uri));
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(ArtifactTest, KeepsLocalCopiesWithinTheirBound) {
  std::vector<std::string> paths;
  for (int at = 0; at < 5; ++at) {
    const std::string name = "u" + std::to_string(at);
    stage(name, "file", std::string(40, static_cast<char>('a' + at)));
    clock_.set(clock_.now() + std::chrono::seconds(1));
    paths.push_back(must(models_.local_path(must(models_.commit(name)).uri)));
  }
  EXPECT_FALSE(fs::exists(paths[0]));
  EXPECT_FALSE(fs::exists(paths[1]));
  EXPECT_TRUE(fs::exists(paths[3]));
  EXPECT_TRUE(fs::exists(paths[4]));
}

TEST_F(ArtifactTest, HoldsItsFilesAndForgetsUploadsThatNobodyEnds) {
  stage("u", "file", "kept");
  stage("left", "file", "never");
  const auto artifact = must(models_.commit("u"));
  const Timestamp later = clock_.now() + std::chrono::hours(1);
  EXPECT_FALSE(must(files_.remove(sha256_hex("kept"), later)));
  EXPECT_TRUE(must(files_.remove(sha256_hex("never"), later)));
  // Once its list is gone, so is what held them.
  const std::string list =
      must(store_->get("files/" + artifact.digest.substr(0, 2) + "/" + artifact.digest));
  EXPECT_EQ(list, "file\n" + sha256_hex("kept") + "\n");
  EXPECT_TRUE(must(files_.remove(artifact.digest, later)));
  EXPECT_TRUE(must(files_.remove(sha256_hex("kept"), later)));
  const Timestamp now = SystemClock().now();
  EXPECT_EQ(must(models_.clear_uploads(now - std::chrono::hours(1))), 0);
  EXPECT_EQ(must(models_.clear_uploads(now + std::chrono::hours(1))), 1);
  refused(Code::failed_precondition, models_.commit("left"));
}

TEST_F(ArtifactTest, FreesWhatNothingRefersToAndSaysHowMuch) {
  artifacts::Collector collector(*db_, files_, clock_);
  stage("u", "a", "only in the artifact");
  stage("u", "b", "in a run too");
  const auto artifact = must(models_.commit("u"));
  must(logged_.put(call_, "run/b", "in a run too"));
  must(files_.put("of no use"));
  refused(Code::invalid_argument, collector.run(call_, {.unused_for = "1h"}), "at least 48h");
  refused(Code::invalid_argument, collector.run(call_, {.unused_for = "soon"}), "unused_for");
  EXPECT_EQ(must(collector.run(call_, {})).files, 0) << "all of it is new";
  clock_.advance(std::chrono::days(8));
  must(files_.put("fresh"));
  for (const bool dry_run : {true, false}) {
    SCOPED_TRACE(dry_run);
    const auto done = must(collector.run(call_, {.dry_run = dry_run}));
    EXPECT_EQ(done.files, 3) << "the useless one, the list that no version names, and its own file";
    EXPECT_EQ(done.kept, 1);
    EXPECT_FALSE(done.more);
    EXPECT_EQ(rows(), dry_run ? 5 : 2);
  }
  refused(Code::not_found, files_.get(artifact.digest));
  EXPECT_EQ(must(files_.get(sha256_hex("in a run too"))), "in a run too");
  EXPECT_EQ(must(files_.get(sha256_hex("fresh"))), "fresh");
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'artifacts.collected'"), 1);
  EXPECT_EQ(must(collector.run(call_, {})).files, 0);
  EXPECT_EQ(test::count(*db_, "audit_events"), 1) << "nothing went, nothing is told";
}

TEST_F(ArtifactTest, CollectsPastWhatIsInUseInSmallSteps) {
  artifacts::Collector collector(*db_, files_, clock_);
  for (int at = 0; at < 6; ++at) {
    must(logged_.put(call_, "run/" + std::to_string(at), "in use " + std::to_string(at)));
    must(files_.put("useless " + std::to_string(at)));
  }
  clock_.advance(std::chrono::days(8));
  Call late = call_;
  late.deadline = clock_.now() - std::chrono::seconds(1);
  const auto none = must(collector.run(late, {}));
  EXPECT_TRUE(none.more && none.files == 0 && none.next.empty()) << "it had no time at all";
  artifacts::CollectInput input{.limit = 2};
  std::int64_t files = 0, kept = 0, calls = 0;
  for (bool more = true; more && calls < 20; ++calls) {
    const auto part = must(collector.run(call_, input));
    files += part.files;
    kept += part.kept;
    input.after = part.next;
    more = part.more;
  }
  EXPECT_EQ(files, 6) << "also those behind files that stay";
  EXPECT_EQ(kept, 6);
  EXPECT_EQ(rows(), 6);
}

TEST_F(ArtifactTest, TellsWhatWentAlsoWhereAnErrorEndedIt) {
  std::set<std::string> digests;
  for (const char* bytes : {"a", "b", "c"}) digests.insert(must(files_.put(bytes)).digest);
  files_.held_by("nobody knows", [&](sql::Tx&, const std::string& digest) -> Result<bool> {
    if (digest == *digests.rbegin()) return Error{Code::unavailable, "away"};
    return false;
  });
  clock_.advance(std::chrono::days(8));
  artifacts::Collector collector(*db_, files_, clock_);
  refused(Code::unavailable, collector.run(call_, {}), "away");
  EXPECT_EQ(rows(), 1);
  EXPECT_EQ(test::count(*db_,
                        "audit_events WHERE action = 'artifacts.collected' AND detail LIKE "
                        "'%\"files\":2%'"),
            1);
}

TEST_F(ArtifactTest, IsNotMadeOfFilesThatWereCollected) {
  const std::string digest = must(files_.put("here for a week")).digest;
  clock_.advance(std::chrono::days(8));
  EXPECT_EQ(must(artifacts::Collector(*db_, files_, clock_).run(call_, {})).files, 1);
  refused(Code::failed_precondition, models_.adopt({{"file", digest, 15}}), "send the files");
  EXPECT_EQ(test::count(*db_, "artifact_parts"), 0);
}

// ---- uploads in parts ----

class PartsTest : public FilesTest {
 protected:
  std::string send(const std::string& id, std::int64_t number, const std::string& bytes) {
    const auto part = must(parts_.begin(call_, id, path_, number));
    must(part->write(bytes));
    return must(part->commit());
  }
  const std::string path_ = "1/run/artifacts/model.bin";
};

TEST_F(PartsTest, AreJoinedInTheirOrder) {
  const std::string id = must(parts_.create(call_, path_));
  const std::string third = send(id, 3, "gh"), first = send(id, 1, "abc");
  send(id, 2, "wrong");
  const std::string second = send(id, 2, "def");
  EXPECT_TRUE(must(logged_.list(call_, "1/run/artifacts")).empty());
  must(parts_.complete(call_, id, path_, {{1, first}, {2, second}, {3, third}}));
  EXPECT_EQ(must(files_.get(must(logged_.find(call_, path_)).digest)), "abcdefgh");
  EXPECT_TRUE(must(store_->list("parts")).empty());
  refused(Code::not_found, parts_.complete(call_, id, path_, {{1, first}}));
}

TEST_F(PartsTest, AreRefusedWhereTheyDoNotFit) {
  const std::string id = must(parts_.create(call_, path_));
  const std::string etag = send(id, 1, "abc");
  Call other = call_;
  other.project = "p2";
  refused(Code::not_found, parts_.begin(other, id, path_, 1));
  refused(Code::not_found, parts_.begin(call_, id, "another/path", 1));
  refused(Code::not_found, parts_.begin(call_, "01ARZ3NDEKTSV4RRFFQ69G5FAV", path_, 1));
  refused(Code::not_found, parts_.begin(call_, "../../staged", path_, 1));
  refused(Code::invalid_argument, parts_.begin(call_, id, path_, 0), "part_number");
  refused(Code::invalid_argument, parts_.begin(call_, id, path_, 10'001), "part_number");
  refused(Code::invalid_argument, parts_.create(call_, "../up"));
  using Parts = std::vector<tracking::UploadedPart>;
  for (const Parts& bad : {Parts{}, Parts{{2, etag}}, Parts{{1, sha256_hex("other")}},
                           Parts{{1, "x"}}, Parts{{1, etag}, {1, etag}}, Parts{{0, etag}}})
    refused(Code::invalid_argument, parts_.complete(call_, id, path_, bad));
  EXPECT_FALSE(logged_.find(call_, path_));
  must(parts_.abort(call_, id, path_));
  EXPECT_TRUE(must(store_->list("parts")).empty());
  must(parts_.create(call_, path_));
  EXPECT_EQ(must(parts_.clear(SystemClock().now() + std::chrono::hours(1))), 1);
}

}  // namespace
}  // namespace penstock
