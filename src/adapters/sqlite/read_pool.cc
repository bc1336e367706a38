#include "adapters/sqlite/read_pool.h"

namespace penstock::sqlite {

Result<std::unique_ptr<Connection>> ReadPool::take(Timestamp deadline) {
  {
    std::unique_lock lock(mutex_);
    const auto free = [&] { return in_use_ < connections_max_; };
    if (deadline == Timestamp::max())
      returned_.wait(lock, free);
    else if (!returned_.wait_until(lock, deadline, free))
      return Error{Code::deadline_exceeded, "the deadline passed while other reads went first"};
    ++in_use_;
    if (!idle_.empty()) {
      auto connection = std::move(idle_.back());
      idle_.pop_back();
      return connection;
    }
  }
  auto opened = Connection::open(path_, Connection::Use::read);
  if (!opened) give_back(nullptr);
  return opened;
}

void ReadPool::give_back(std::unique_ptr<Connection> connection) {
  {
    const std::scoped_lock lock(mutex_);
    --in_use_;
    if (connection) idle_.push_back(std::move(connection));
  }
  returned_.notify_one();
}

}  // namespace penstock::sqlite
