#include "tests/support/online_store.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "adapters/redis/redis.h"

namespace penstock::test {

// The times are long: nothing that is tested on it is to depend on how busy this machine is.
std::unique_ptr<kv::Store> redis_store(const std::string& url, const std::string& settings) {
  static std::atomic<int> made = 0;
  const std::string prefix = "t" + std::to_string(getpid()) + "_" + std::to_string(++made);
  return must(redis::open(must(
      redis::read_url(url + "?prefix=" + prefix +
                      (settings.empty() ? "&read_time=30s&write_time=30s" : "&" + settings)))));
}

OnlineStore::OnlineStore(const std::string& directory) {
  if (const char* url = std::getenv("PENSTOCK_TEST_REDIS"))
    redis_ = redis_store(url);
  else
    rocks_ = must(rocksdb::open(directory));
}

}  // namespace penstock::test
