#include "net/upstream.h"

#include <condition_variable>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include "base/log.h"
#include "net/exchange.h"

namespace penstock::net {
namespace {

// A caller that waits on its own thread for what comes on the loop's.
class Waiting final : public Receiver {
 public:
  void head(int status, http::Fields& headers, std::size_t promised) override {
    answer_.status = status;
    answer_.headers = std::move(headers);
    answer_.body.reserve(std::min(promised, std::size_t{1} << 20));
  }
  void body(std::string_view bytes) override { answer_.body += bytes; }
  void end() override { settle(std::nullopt); }
  void fault(Broken broken) override { settle(std::move(broken)); }

  Result<http::Answer> wait() {
    std::unique_lock lock(turn_);
    settled_.wait(lock, [this] { return done_; });
    if (!broken_) return std::move(answer_);
    const Code code =
        broken_->busy || broken_->fault == api::Fault::too_large ? Code::resource_exhausted
        : broken_->fault == api::Fault::timed_out || broken_->fault == api::Fault::deadline
            ? Code::deadline_exceeded
            : Code::unavailable;
    return Error{code, std::move(broken_->detail)};
  }

  std::shared_ptr<Exchange> exchange;  // of the loop

 private:
  void settle(std::optional<Broken> broken) {
    const std::lock_guard lock(turn_);
    broken_ = std::move(broken);
    done_ = true;
    settled_.notify_all();
  }

  http::Answer answer_;
  std::optional<Broken> broken_;
  bool done_ = false;
  std::mutex turn_;
  std::condition_variable settled_;
};

}  // namespace

struct Upstreams::Own {
  asio::io_context loop{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{loop.get_executor()};
  Pool pool;
  std::jthread thread;

  explicit Own(Origins& origins) : pool(loop, origins) {
    thread = std::jthread([this] { run(); });
  }
  ~Own() {
    asio::post(loop, [this] {
      pool.stop();
      loop.stop();
    });
    thread.join();
  }
  void run() {
    while (true) try {
        loop.run();
        return;
      } catch (const std::exception& fault) {
        log::error("loop_broke", {{"error", fault.what()}});
      }
  }
};

Upstreams::Upstreams(Metrics& metrics, const Clock& clock, UpstreamOptions options)
    : clock_(clock), origins_(std::make_unique<Origins>(metrics, options)) {}

Upstreams::~Upstreams() = default;

Upstreams::Own& Upstreams::own() {
  std::call_once(begun_, [this] { own_ = std::make_unique<Own>(*origins_); });
  return *own_;
}

Result<http::Answer> Upstreams::send(const std::shared_ptr<const http::Endpoint>& endpoint,
                                     const http::Request& request, Timestamp deadline) {
  Own& mine = own();
  const Instant by = std::chrono::steady_clock::now() + (deadline - clock_.now());
  const auto waiting = std::make_shared<Waiting>();
  // What is posted outlives this call only if the loop ends; what it refers to is its own.
  asio::post(mine.loop, [&pool = mine.pool, waiting, endpoint, request, by]() mutable {
    waiting->exchange = pool.send(endpoint, std::move(request), by, *waiting);
  });
  auto answer = waiting->wait();
  // The exchange belongs to the loop, so it ends there.
  asio::post(mine.loop, [waiting] { waiting->exchange.reset(); });
  return answer;
}

}  // namespace penstock::net
