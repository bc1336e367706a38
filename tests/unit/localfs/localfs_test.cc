#include "adapters/localfs/localfs.h"

#include <filesystem>
#include <fstream>
#include <thread>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/fixture.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using test::must;

class LocalFsTest : public testing::Test {
 protected:
  std::string said(std::string_view prefix = "") {
    std::string out;
    for (const blob::Entry& entry : must(store_->list(prefix)))
      out += entry.path + ":" + std::to_string(entry.size) + " ";
    return out;
  }
  // A directory outside the store: a, sub/b.
  std::string tree(const std::string& name) {
    const std::string top = directory_ / name;
    fs::create_directories(top + "/sub/empty");
    std::ofstream(top + "/a") << name;
    std::ofstream(top + "/sub/b") << "b" << name;
    return top;
  }
  template <class T>
  void refused(Code code, const Result<T>& got) {
    ASSERT_FALSE(got);
    EXPECT_EQ(name_of(got.error().code), name_of(code)) << got.error().message;
  }
  // What was staged is gone once it stands, or failed to.
  bool nothing_staged() {
    for (const auto& entry : fs::recursive_directory_iterator(root_ + "/.tmp"))
      if (entry.is_regular_file()) return false;
    return true;
  }

  const test::TempDir directory_;
  const std::string root_ = directory_ / "new/store";
  std::unique_ptr<blob::Store> store_ = must(localfs::open(root_));
};

TEST_F(LocalFsTest, KeepsFilesByTheirPath) {
  const std::string bytes("\0\xff\n", 3);
  must(store_->put("a/b/c.bin", bytes));
  must(store_->put("a/b.txt", ""));
  must(store_->put("z", "first"));
  must(store_->put("z", "second"));
  EXPECT_EQ(must(store_->get("a/b/c.bin")), bytes);
  EXPECT_EQ(must(store_->get("a/b.txt")), "");
  EXPECT_EQ(must(store_->get("z")), "second");
  EXPECT_EQ(said(), "a/b.txt:0 a/b/c.bin:3 z:6 ");
  EXPECT_EQ(said("a/b"), "a/b/c.bin:3 ");
  EXPECT_EQ(said("z"), "");
  EXPECT_EQ(said("missing"), "");
  EXPECT_TRUE(must(store_->exists("a/b")));
  EXPECT_TRUE(must(store_->exists("z")));
  EXPECT_FALSE(must(store_->exists("a/b/c")));
  EXPECT_EQ(store_->uri("a/b.txt"), root_ + "/a/b.txt");
  store_ = must(localfs::open(root_));
  EXPECT_EQ(must(store_->get("z")), "second");
  EXPECT_TRUE(nothing_staged());
}

TEST_F(LocalFsTest, RefusesPathsThatLeadElsewhere) {
  std::ofstream(directory_ / "new/secret") << "outside";
  const std::string bad[] = {
      "",
      "/",
      "/etc/passwd",
      "a/",
      "a//b",
      ".",
      "..",
      "../secret",
      "a/../../b",
      "a/..",
      "./a",
      "a/./b",
      ".tmp/x",
      ".tmpx",
      std::string("a\0b", 3),
      "a\nb",
      "a\x7f",
      std::string(256, 'a'),
      std::string(600, 'a').replace(255, 1, "/").replace(511, 1, "/") + std::string(500, 'b')};
  for (const std::string& path : bad) {
    SCOPED_TRACE(path);
    refused(Code::invalid_argument, store_->put(path, "x"));
    refused(Code::invalid_argument, store_->put_local(path, "/etc/hostname"));
    refused(Code::invalid_argument, store_->get(path));
    refused(Code::invalid_argument, store_->exists(path));
    refused(Code::invalid_argument, store_->remove(path));
    refused(Code::invalid_argument, store_->publish(path, "fine"));
    refused(Code::invalid_argument, store_->publish("fine", path));
    if (!path.empty()) refused(Code::invalid_argument, store_->list(path));
    EXPECT_THROW(store_->uri(path), std::invalid_argument);
  }
  EXPECT_EQ(said(), "");
  for (const std::string& fine : {std::string("..a"), std::string("a/b..c"), std::string(255, 'a'),
                                  std::string("\xc3\xa9 =?%#")}) {
    must(store_->put(fine, fine));
    EXPECT_EQ(must(store_->get(fine)), fine);
  }
}

TEST_F(LocalFsTest, RefusesToReadWhatIsNoFile) {
  must(store_->put("a/b", "x"));
  refused(Code::not_found, store_->get("missing"));
  refused(Code::not_found, store_->get("a/missing"));
  refused(Code::not_found, store_->get("a/b/below"));
  refused(Code::invalid_argument, store_->get("a"));
  refused(Code::failed_precondition, store_->put("a/b/below", "x"));
  refused(Code::failed_precondition, store_->put("a/b/below/deeper", "x"));
  EXPECT_EQ(must(store_->get("a/b")), "x");
  std::ofstream(root_ + "/huge");
  fs::resize_file(root_ + "/huge", (std::uintmax_t{1} << 30) + 1);
  refused(Code::resource_exhausted, store_->get("huge"));
}

TEST_F(LocalFsTest, CopiesFilesAndTreesWhole) {
  must(store_->put_local("one/tree", tree("x")));
  EXPECT_EQ(said(), "one/tree/a:1 one/tree/sub/b:2 ");
  must(store_->put_local("one/file", tree("x") + "/a"));
  EXPECT_EQ(must(store_->get("one/file")), "x");
  // What stood there is replaced whatever it was.
  must(store_->put_local("one/tree", tree("other")));
  EXPECT_EQ(said("one/tree"), "one/tree/a:5 one/tree/sub/b:6 ");
  must(store_->put_local("one/file", tree("x")));
  EXPECT_EQ(said("one/file"), "one/file/a:1 one/file/sub/b:2 ");
  must(store_->put("one/tree", "flat"));
  EXPECT_EQ(must(store_->get("one/tree")), "flat");
  EXPECT_TRUE(nothing_staged());
}

TEST_F(LocalFsTest, CopiesNothingOfATreeThatItRefuses) {
  must(store_->put("kept", "before"));
  const std::string linked = tree("linked"), piped = tree("piped"), shut = tree("loop");
  fs::create_symlink("/etc/hostname", linked + "/sub/link");
  ASSERT_EQ(mkfifo((piped + "/sub/pipe").c_str(), 0644), 0);
  fs::create_directory_symlink(shut, shut + "/sub/self");
  refused(Code::invalid_argument, store_->put_local("kept", linked));
  refused(Code::invalid_argument, store_->put_local("kept", piped));
  refused(Code::invalid_argument, store_->put_local("kept", shut));
  refused(Code::invalid_argument, store_->put_local("kept", "/dev/null"));
  refused(Code::not_found, store_->put_local("kept", directory_ / "missing"));
  EXPECT_EQ(said(), "kept:6 ");
  EXPECT_TRUE(nothing_staged());
}

TEST_F(LocalFsTest, RemovesFilesAndTrees) {
  for (const char* path : {"a/b/c", "a/b/d", "a/e", "f"}) must(store_->put(path, "x"));
  must(store_->remove("a/b"));
  must(store_->remove("f"));
  must(store_->remove("f"));
  must(store_->remove("never/was"));
  must(store_->remove("a/e/below"));
  EXPECT_EQ(said(), "a/e:1 ");
  EXPECT_FALSE(must(store_->exists("a/b")));
  EXPECT_TRUE(nothing_staged());
}

TEST_F(LocalFsTest, PublishesATreeOnce) {
  must(store_->put("staged/1/x", "x"));
  must(store_->put("staged/2/x", "y"));
  must(store_->publish("staged/1", "final/day=1"));
  EXPECT_EQ(said(), "final/day=1/x:1 staged/2/x:1 ");
  refused(Code::already_exists, store_->publish("staged/2", "final/day=1"));
  refused(Code::not_found, store_->publish("staged/1", "final/day=2"));
  refused(Code::failed_precondition, store_->publish("staged/2", "final/day=1/x/below"));
  EXPECT_FALSE(store_->publish("staged/2", "staged/2/itself"));
  EXPECT_EQ(must(store_->get("final/day=1/x")), "x");
  EXPECT_EQ(must(store_->get("staged/2/x")), "y");
}

TEST_F(LocalFsTest, LetsOneOfManyPublishersWin) {
  for (int at = 0; at < 8; ++at)
    must(store_->put("staged/" + std::to_string(at) + "/who", std::to_string(at)));
  std::atomic<int> won = 0;
  std::atomic<int> winner = -1;
  {
    std::vector<std::jthread> threads;
    for (int at = 0; at < 8; ++at)
      threads.emplace_back([&, at] {
        const auto got = store_->publish("staged/" + std::to_string(at), "final");
        if (!got) return refused(Code::already_exists, got);
        ++won;
        winner = at;
      });
  }
  EXPECT_EQ(won, 1);
  EXPECT_EQ(must(store_->get("final/who")), std::to_string(winner));
}

TEST_F(LocalFsTest, ShowsReadersWholeFilesOnly) {
  const std::string one(100'000, '1'), two(150'000, '2');
  must(store_->put("file", one));
  std::jthread writer([&](const std::stop_token& stop) {
    for (int at = 0; !stop.stop_requested(); ++at) must(store_->put("file", at % 2 ? one : two));
  });
  for (int at = 0; at < 1000; ++at) {
    const std::string got = must(store_->get("file"));
    ASSERT_TRUE(got == one || got == two) << got.size();
  }
}

TEST_F(LocalFsTest, ClearsWhatAKilledProcessLeftAndNothingElse) {
  fs::create_directories(root_ + "/.tmp/killed");
  std::ofstream(root_ + "/.tmp/killed/0") << "half";
  const auto second = must(localfs::open(root_));
  EXPECT_FALSE(fs::exists(root_ + "/.tmp/killed"));
  must(store_->put("by/first", "1"));
  must(second->put("by/second", "2"));
  EXPECT_EQ(said(), "by/first:1 by/second:1 ");
}

TEST(LocalFsOpenTest, RefusesARootThatIsNoDirectory) {
  const test::TempDir directory;
  std::ofstream(directory / "file") << "x";
  for (const std::string& root : {std::string(), directory / "file", directory / "file/below",
                                  std::string("/proc/no/such")}) {
    const auto got = localfs::open(root);
    ASSERT_FALSE(got) << root;
    EXPECT_FALSE(got.error().message.empty());
  }
}

}  // namespace
}  // namespace penstock
