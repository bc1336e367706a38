#include "net/workers.h"

#include "base/log.h"

namespace penstock::net {

bool Workers::post(std::function<void()> work) {
  if (!enter()) return false;
  asio::post(pool_, [this, work = std::move(work)] {
    leave();
    try {
      work();
    } catch (const std::exception& fault) {
      log::error("after_answer_threw", {{"error", fault.what()}});
    }
  });
  return true;
}

}  // namespace penstock::net
