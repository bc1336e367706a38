// What every store does is in tests/unit/kv.
#include <gtest/gtest.h>

#include "adapters/rocksdb/rocksdb.h"
#include "tests/support/fixture.h"

namespace penstock {
namespace {

using test::must;

TEST(RocksDbTest, RefusesADirectoryThatItCannotHave) {
  const test::TempDir directory;
  const auto first = must(rocksdb::open(directory / "one/two"));
  const auto second = rocksdb::open(directory / "one/two");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::unavailable);
  for (const std::string bad : {"/proc/no/such", "/dev/null/x"}) {
    const auto got = rocksdb::open(bad);
    ASSERT_FALSE(got) << bad;
    EXPECT_EQ(got.error().code, Code::unavailable);
  }
}

}  // namespace
}  // namespace penstock
