#include "adapters/redis/node.h"

#include <algorithm>

namespace penstock::redis {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds pause_min{25}, pause_max{1'000};

}  // namespace

Result<Node::Place> Node::place(const Patience& patience) {
  std::unique_lock hold(turn_);
  for (;;) {
    const auto now = std::chrono::steady_clock::now();
    if (trouble_ && (now < down_until_ || probing_)) {
      if (!patience.waits || now >= patience.until || waiting_ >= waiting_max) return *trouble_;
      ++waiting_;
      changed_.wait_until(hold, probing_ ? patience.until : std::min(down_until_, patience.until));
      --waiting_;
      continue;
    }
    if (!idle_.empty()) {
      Place out{std::move(idle_.back())};
      idle_.pop_back();
      if (out.connection->usable()) return out;
      --open_;
      continue;
    }
    if (open_ < options_.connections) {
      ++open_;
      probing_ = trouble_.has_value();
      return Place{};
    }
    if (now >= patience.until)
      return gone(server_,
                  "has all its " + std::to_string(options_.connections) + " connections in use");
    changed_.wait_until(hold, patience.until);
  }
}

Result<Node::Lease> Node::take(const std::shared_ptr<Node>& node, const Patience& patience) {
  Place place = TRY(node->place(patience));
  if (place.connection) return Lease(node, std::move(place.connection), true);
  auto made = Connection::open(node->options_, node->server_, node->tls_, patience.until);
  if (made) return Lease(node, std::move(made).take(), false);
  node->fail(made.error(), false);
  node->end(nullptr);
  return made.error();
}

void Node::keep(std::unique_ptr<Connection> connection) {
  {
    const std::lock_guard hold(turn_);
    trouble_.reset();
    pause_ = milliseconds(0);
    probing_ = false;
    idle_.push_back(std::move(connection));
  }
  changed_.notify_one();
}

void Node::end(std::unique_ptr<Connection> connection) {
  connection.reset();  // closes outside the lock
  {
    const std::lock_guard hold(turn_);
    --open_;
    probing_ = false;
  }
  changed_.notify_all();
}

void Node::fail(const Error& error, bool used) {
  std::vector<std::unique_ptr<Connection>> ended;
  const std::lock_guard hold(turn_);
  ended.swap(idle_);  // they lead to the same server
  open_ -= ended.size();
  if (used) return;
  trouble_ = error;
  pause_ = std::clamp(pause_ * 2, pause_min, pause_max);
  down_until_ = std::chrono::steady_clock::now() + pause_;
}

}  // namespace penstock::redis
