// The archive has one form: any other byte is seen, and what others may hide in a ZIP is refused.
#include "evidence/archive.h"

#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace penstock::evidence {
namespace {

using test::must;

std::string packed() {
  return must(pack({{"b/two.txt", "second"}, {"a.json", "{}"}, {"b/empty", ""}}));
}
std::string fault_of(const std::string& archive) {
  const auto got = unpack(archive);
  return got ? "" : got.error().message;
}
// Where a central header stands, by its place.
std::size_t central(const std::string& archive, int place) {
  std::size_t at = archive.find("PK\1\2");
  while (place-- > 0) at = archive.find("PK\1\2", at + 1);
  return at;
}
void put(std::string& in, std::size_t at, std::uint32_t number, int bytes) {
  for (int i = 0; i < bytes; ++i)
    in[at + static_cast<std::size_t>(i)] = static_cast<char>(number >> (8 * i) & 0xff);
}
void replace_all(std::string& in, const std::string& from, const std::string& to) {
  ASSERT_EQ(from.size(), to.size());
  for (std::size_t at = in.find(from); at != in.npos; at = in.find(from, at + 1))
    in.replace(at, from.size(), to);
}

TEST(ArchiveTest, GivesBackWhatWasPutIntoItInTheOrderOfPaths) {
  const auto files = must(unpack(packed()));
  ASSERT_EQ(files.size(), 3u);
  EXPECT_EQ(files[0].path, "a.json");
  EXPECT_EQ(files[1].path, "b/empty");
  EXPECT_EQ(files[2].path, "b/two.txt");
  EXPECT_EQ(files[2].bytes, "second");
  EXPECT_TRUE(must(unpack(must(pack({})))).empty());
}

TEST(ArchiveTest, TheSameFilesAreTheSameBytes) {
  EXPECT_EQ(packed(), must(pack({{"b/empty", ""}, {"b/two.txt", "second"}, {"a.json", "{}"}})));
}

TEST(ArchiveTest, SeesEveryChangedByteAndEveryCut) {
  const std::string whole = packed();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int bit : {0, 3, 7}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ 1 << bit);
      const auto got = unpack(changed);
      // What a file holds is for the manifest to know, but its checksum knows as well.
      EXPECT_FALSE(got) << "byte " << at << " bit " << bit;
    }
    EXPECT_FALSE(unpack(whole.substr(0, at))) << at;
    EXPECT_FALSE(unpack(whole.substr(0, at) + whole.substr(at + 1))) << at;
  }
  EXPECT_FALSE(unpack(whole + "x"));
  EXPECT_FALSE(unpack("x" + whole));
  EXPECT_FALSE(unpack(whole + whole));
}

TEST(ArchiveTest, RefusesPathsThatLeadElsewhere) {
  for (const std::string path : {"", "/a", "a/", "../a", "a/../b", "./a", "a//b", "a\\b", "C:a",
                                 "a b", "caf\xc3\xa9", "a\nb"})
    EXPECT_FALSE(pack({{path, ""}})) << path;
  EXPECT_FALSE(pack({{std::string(201, 'a'), ""}}));
  std::string archive = must(pack({{"aa/aa", "x"}}));
  replace_all(archive, "aa/aa", "../aa");
  EXPECT_NE(fault_of(archive).find("\"../aa\" is no path"), std::string::npos);
}

TEST(ArchiveTest, RefusesAPathThatStandsTwice) {
  EXPECT_FALSE(pack({{"a", "1"}, {"a", "2"}}));
  std::string archive = must(pack({{"a1", "1"}, {"a2", "2"}}));
  replace_all(archive, "a2", "a1");
  EXPECT_NE(fault_of(archive).find("\"a1\" stands twice"), std::string::npos);
  archive = must(pack({{"a1", "1"}, {"a2", "2"}}));
  replace_all(archive, "a1", "a3");
  EXPECT_NE(fault_of(archive).find("not in order"), std::string::npos);
}

TEST(ArchiveTest, UnpacksNothingThatIsCompressedEncryptedOrLargerThanItself) {
  struct Case {
    std::size_t field;
    std::uint32_t value;
    int bytes;
    std::string fault;
  };
  for (const Case& c : {Case{10, 8, 2, "is compressed"},
                        {24, 0xffffffff, 4, "is compressed"},
                        {8, 1, 2, "is encrypted"},
                        {42, 0xfffffff0, 4, "does not lie inside"},
                        {42, 40, 4, "was changed"}}) {
    std::string archive = packed();
    put(archive, central(archive, 2) + c.field, c.value, c.bytes);
    EXPECT_NE(fault_of(archive).find(c.fault), std::string::npos) << fault_of(archive);
  }
  std::string archive = packed();
  put(archive, central(archive, 2) + 20, 0xffffffff, 4);
  put(archive, central(archive, 2) + 24, 0xffffffff, 4);
  EXPECT_NE(fault_of(archive).find("does not lie inside"), std::string::npos);
}

TEST(ArchiveTest, HasLimits) {
  std::vector<File> many;
  for (std::size_t i = 0; i <= files_max; ++i) many.push_back({"f" + std::to_string(i), ""});
  EXPECT_EQ(pack(many).error().code, Code::resource_exhausted);
  EXPECT_EQ(pack({{"big", std::string(archive_max, 'x')}}).error().code, Code::resource_exhausted);
  EXPECT_NE(fault_of(std::string(archive_max + 1, 'x')).find("larger than 64 MiB"),
            std::string::npos);
  std::string archive = packed();
  put(archive, archive.size() - 12, 60'000, 2);
  EXPECT_NE(fault_of(archive).find("more than 1000 files"), std::string::npos);
}

}  // namespace
}  // namespace penstock::evidence
