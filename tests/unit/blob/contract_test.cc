// What every store of files promises, over a local directory and a real S3 server.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>
#include <gtest/gtest.h>

#include "adapters/localfs/localfs.h"
#include "adapters/s3/s3.h"
#include "tests/support/s3_server.h"

namespace penstock {
namespace {

using test::must;

enum class Kind { localfs, s3 };

class BlobTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::localfs) {
      store_ = must(localfs::open(directory_ / "store"));
      return;
    }
    if (!test::S3Server::is_there()) GTEST_SKIP() << "versitygw is not built; run tools/setup.sh";
    server_ = std::make_unique<test::S3Server>();
    server_->make_bucket("artifacts");
    store_ = must(s3::open({.bucket = "artifacts",
                            .prefix = "team/one",
                            .endpoint = server_->endpoint(),
                            .access_key = test::S3Server::access_key,
                            .secret_key = test::S3Server::secret_key,
                            .scratch = directory_ / "scratch"}));
  }

  std::string said(std::string_view prefix = "") {
    std::string out;
    for (const blob::Entry& entry : must(store_->list(prefix)))
      out += entry.path + ":" + std::to_string(entry.size) + " ";
    return out;
  }
  template <class T>
  void refused(Code code, const Result<T>& got) {
    ASSERT_FALSE(got);
    EXPECT_EQ(name_of(got.error().code), name_of(code)) << got.error().message;
  }
  std::string read(blob::Reader& reader, std::int64_t offset, std::size_t most) {
    std::string bytes(most, '\0');
    bytes.resize(must(reader.read(offset, bytes.data(), most)));
    return bytes;
  }
  // Nothing that was on its way is left.
  std::size_t left_over() {
    std::size_t files = 0;
    for (const std::string& folder : {directory_ / "store/.tmp", directory_ / "scratch"}) {
      std::error_code absent;
      for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, absent))
        files += entry.is_regular_file() ? 1 : 0;
    }
    return files;
  }

  const test::TempDir directory_;
  std::unique_ptr<test::S3Server> server_;
  std::unique_ptr<blob::Objects> store_;
};

TEST_P(BlobTest, KeepsFilesByTheirPath) {
  const std::string bytes("\0\xff\n", 3);
  must(store_->put("a/b/c.bin", bytes));
  must(store_->put("a/b.txt", ""));
  must(store_->put("z", "first"));
  must(store_->put("z", "second"));
  must(store_->put("a/\xc3\xa9 =+&%#?", "odd"));
  EXPECT_EQ(must(store_->get("a/b/c.bin")), bytes);
  EXPECT_EQ(must(store_->get("a/b.txt")), "");
  EXPECT_EQ(must(store_->get("z")), "second");
  EXPECT_EQ(must(store_->get("a/\xc3\xa9 =+&%#?")), "odd");
  EXPECT_EQ(said("a/b"), "a/b/c.bin:3 ");
  EXPECT_EQ(said("missing"), "");
  EXPECT_TRUE(must(store_->exists("z")));
  EXPECT_FALSE(must(store_->exists("a/b/c")));
  EXPECT_EQ(left_over(), 0u);
}

TEST_P(BlobTest, ListsNoMoreThanItIsAskedFor) {
  for (const char* path : {"a/1", "a/2", "a/3", "b"}) must(store_->put(path, "x"));
  EXPECT_EQ(must(store_->list("a", 3)).size(), 3u);
  refused(Code::resource_exhausted, store_->list("a", 2));
  refused(Code::resource_exhausted, store_->list("", 3));
  EXPECT_EQ(must(store_->list("none", 0)).size(), 0u);
  EXPECT_EQ(must(store_->open("a/1"))->modified(), must(store_->list("a")).front().modified);
}

TEST_P(BlobTest, SaysWhenAFileWasWritten) {
  const Timestamp before = SystemClock().now();
  must(store_->put("a", "x"));
  const auto entries = must(store_->list(""));
  ASSERT_EQ(entries.size(), 1u);
  // S3 counts in whole seconds.
  EXPECT_GT(entries[0].modified, before - std::chrono::seconds(2));
  EXPECT_LT(entries[0].modified, before + std::chrono::minutes(5));
}

TEST_P(BlobTest, RefusesWhatIsNoPathOrNotThere) {
  for (const std::string& path :
       {std::string(), std::string("/"), std::string("/etc/passwd"), std::string("a//b"),
        std::string("../x"), std::string("a/../b"), std::string(".tmp/x"), std::string("a\nb"),
        std::string(256, 'a')}) {
    SCOPED_TRACE(path);
    refused(Code::invalid_argument, store_->put(path, "x"));
    refused(Code::invalid_argument, store_->get(path));
    refused(Code::invalid_argument, store_->open(path));
    refused(Code::invalid_argument, store_->exists(path));
    refused(Code::invalid_argument, store_->remove(path));
    const auto writer = must(store_->create());
    refused(Code::invalid_argument, writer->commit(path));
  }
  must(store_->put("a/b", "x"));
  refused(Code::not_found, store_->get("missing"));
  refused(Code::not_found, store_->open("a/missing"));
  refused(Code::invalid_argument, store_->open("a"));
  EXPECT_EQ(said(), "a/b:1 ");
  EXPECT_EQ(left_over(), 0u);
}

TEST_P(BlobTest, ShowsAFileOnlyOnceItIsCommitted) {
  {
    const auto writer = must(store_->create());
    must(writer->write("half"));
    EXPECT_EQ(said(), "");
  }
  EXPECT_EQ(said(), "");
  EXPECT_EQ(left_over(), 0u);
  const auto writer = must(store_->create());
  for (int at = 0; at < 100; ++at) must(writer->write(std::string(1000, static_cast<char>(at))));
  EXPECT_EQ(said(), "");
  must(writer->commit("whole"));
  EXPECT_EQ(said(), "whole:100000 ");
  EXPECT_EQ(must(store_->get("whole")).substr(99'000), std::string(1000, '\x63'));
}

TEST_P(BlobTest, ReadsAnyRange) {
  std::string bytes;
  for (int at = 0; at < 3'000'000; ++at) bytes += static_cast<char>(at * 7 + at / 251);
  must(store_->put("big", bytes));
  const auto reader = must(store_->open("big"));
  EXPECT_EQ(reader->size(), 3'000'000);
  for (const auto& [offset, most] : {std::pair<std::int64_t, std::size_t>{0, 10},
                                     {0, 3'000'000},
                                     {2'999'990, 100},
                                     {3'000'000, 5},
                                     {1'234'567, 65'536},
                                     {5, 0}})
    EXPECT_EQ(read(*reader, offset, most), bytes.substr(static_cast<std::size_t>(offset), most));
}

TEST_P(BlobTest, TellsByItsStateThatAFileWasWrittenAnew) {
  must(store_->put("a", "one"));
  const std::string first = must(store_->open("a"))->state();
  EXPECT_EQ(must(store_->open("a"))->state(), first);
  must(store_->put("a", "two"));
  EXPECT_NE(must(store_->open("a"))->state(), first);
}

TEST_P(BlobTest, RemovesFilesAndTrees) {
  for (const char* path : {"a/b/c", "a/b/d", "a/e", "f"}) must(store_->put(path, "x"));
  must(store_->remove("a/b"));
  must(store_->remove("f"));
  must(store_->remove("f"));
  must(store_->remove("never/was"));
  EXPECT_EQ(said(), "a/e:1 ");
  EXPECT_FALSE(must(store_->exists("f")));
}

TEST_P(BlobTest, LetsManyWriteOnePathAtOnce) {
  {
    std::vector<std::jthread> threads;
    for (int at = 0; at < 6; ++at)
      threads.emplace_back(
          [&, at] { must(store_->put("same", std::string(50'000, static_cast<char>('a' + at)))); });
  }
  const std::string got = must(store_->get("same"));
  ASSERT_EQ(got.size(), 50'000u);
  EXPECT_EQ(got, std::string(50'000, got[0]));
  EXPECT_EQ(left_over(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Stores, BlobTest, testing::Values(Kind::localfs, Kind::s3),
                         [](const auto& one) {
                           return one.param == Kind::localfs ? "localfs" : "s3";
                         });

// ---- what only a server can do wrong ----

class S3Test : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::S3Server::is_there()) GTEST_SKIP() << "versitygw is not built; run tools/setup.sh";
    server_ = std::make_unique<test::S3Server>();
    server_->make_bucket("artifacts");
    options_ = {.bucket = "artifacts",
                .endpoint = server_->endpoint(),
                .access_key = test::S3Server::access_key,
                .secret_key = test::S3Server::secret_key,
                .scratch = directory_ / "scratch"};
  }
  Code refused(const s3::Options& options) {
    const auto got = s3::open(options);
    EXPECT_FALSE(got);
    if (got) return Code::internal;
    EXPECT_EQ(got.error().message.find(options.secret_key), std::string::npos);
    return got.error().code;
  }

  const test::TempDir directory_;
  std::unique_ptr<test::S3Server> server_;
  s3::Options options_;
};

TEST_F(S3Test, RefusesAWrongSecretAndAMissingBucket) {
  s3::Options wrong = options_;
  wrong.secret_key = "another-secret-of-mine";
  EXPECT_EQ(name_of(refused(wrong)), name_of(Code::permission_denied));
  s3::Options unknown = options_;
  unknown.access_key = "nobody";
  EXPECT_EQ(name_of(refused(unknown)), name_of(Code::permission_denied));
  s3::Options missing = options_;
  missing.bucket = "not-made";
  EXPECT_EQ(name_of(refused(missing)), name_of(Code::failed_precondition));
  s3::Options half = options_;
  half.secret_key = "";
  EXPECT_EQ(s3::open(half).error().code, Code::invalid_argument);
  s3::Options odd = options_;
  odd.endpoint = "127.0.0.1:9000";
  EXPECT_EQ(name_of(refused(odd)), name_of(Code::invalid_argument));
}

TEST_F(S3Test, ReadsItsUri) {
  s3::Options read;
  must(s3::read_uri("s3://some-bucket/a/b/", read));
  EXPECT_EQ(read.bucket + " " + read.prefix, "some-bucket a/b");
  must(s3::read_uri("s3://some-bucket", read));
  EXPECT_EQ(read.prefix, "");
  for (const char* uri : {"", "s3://", "s3://ab", "gs://bucket", "s3://Bucket/x",
                          "s3://bucket/../x", "s3://user:secret@bucket"})
    EXPECT_FALSE(s3::read_uri(uri, read)) << uri;
}

TEST_F(S3Test, ComesBackWithItsServer) {
  const auto store = must(s3::open(options_));
  must(store->put("a", "before"));
  const auto reader = must(store->open("a"));
  server_->kill();
  const auto writer = must(store->create());
  must(writer->write("meanwhile"));
  const auto failed = writer->commit("b");
  ASSERT_FALSE(failed);
  EXPECT_EQ(name_of(failed.error().code), name_of(Code::unavailable)) << failed.error().message;
  EXPECT_FALSE(store->get("a"));
  server_->start();
  EXPECT_EQ(must(store->get("a")), "before");
  EXPECT_FALSE(must(store->exists("b")));
  // What could not be sent can be sent now.
  must(writer->commit("b"));
  EXPECT_EQ(must(store->get("b")), "meanwhile");
}

TEST_F(S3Test, GivesUpOnAServerThatDoesNotAnswer) {
  const auto store = must(s3::open(options_));
  must(store->put("a", "x"));
  server_->freeze();
  const auto got = store->get("a");
  server_->thaw();
  ASSERT_FALSE(got);
  EXPECT_EQ(name_of(got.error().code), name_of(Code::unavailable)) << got.error().message;
  EXPECT_EQ(must(store->get("a")), "x");
}

TEST_F(S3Test, SendsAFileOfManyPartsAndForgetsHalfOfOne) {
  const auto store = must(s3::open(options_));
  const auto writer = must(store->create());
  const std::string megabyte(1 << 20, 'm');
  for (int at = 0; at < 40; ++at) must(writer->write(megabyte));
  server_->kill();
  EXPECT_FALSE(writer->commit("large"));
  server_->start();
  EXPECT_FALSE(must(store->exists("large")));
  must(writer->commit("large"));
  EXPECT_EQ(must(store->open("large"))->size(), 40 << 20);
}

// The example of the AWS documentation, with its bucket's own host.
TEST(S3PresignTest, SignsAsTheDocumentationDoes) {
  const s3::Options options{.bucket = "examplebucket",
                            .region = "us-east-1",
                            .access_key = "AKIAIOSFODNN7EXAMPLE",
                            .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
  const Timestamp at = *from_rfc3339("2013-05-24T00:00:00Z");
  const std::string url = s3::presigned_get(options, "test.txt", at, std::chrono::seconds(86400));
  // The documentation's host has no region, so its signature (aeeed9bb...) is of another request.
  EXPECT_TRUE(
      url.starts_with("https://examplebucket.s3.us-east-1.amazonaws.com/test.txt?"
                      "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
                      "AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
                      "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
                      "&X-Amz-SignedHeaders=host&X-Amz-Signature="))
      << url;
}

}  // namespace
}  // namespace penstock
