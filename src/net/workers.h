// The threads on which handlers run, and the way there and back.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace penstock::net {

namespace asio = boost::asio;

// A pool whose queue has an end. A place in the queue is taken by enter() and given back by
// leave(), once a thread has begun the work.
class Workers {
 public:
  Workers(int threads, std::size_t queue_max)
      : pool_(static_cast<std::size_t>(threads)), queue_max_(queue_max) {}

  bool enter() {
    if (queued_.fetch_add(1) < queue_max_) return true;
    leave();
    return false;
  }
  void leave() { --queued_; }
  // Runs `work` some time; false where the queue is full. What it throws is logged.
  bool post(std::function<void()> work);

  asio::thread_pool& pool() { return pool_; }

 private:
  asio::thread_pool pool_;
  const std::size_t queue_max_;
  std::atomic<std::size_t> queued_{0};
};

// Runs a blocking function on a pool and resumes the caller's coroutine on the executor it left.
// `work` must not throw. Where the pool ends first, the caller never resumes and is destroyed.
template <class Work>
asio::awaitable<std::invoke_result_t<Work>> run_on(asio::thread_pool& pool, Work work) {
  std::optional<std::invoke_result_t<Work>> out;
  const auto executor = co_await asio::this_coro::executor;
  // `work` and `out` live in this frame, which stays until the handler resumes it.
  auto start = [&pool, &work, &out, executor](auto handler) {
    asio::post(pool, [&work, &out, executor, handler = std::move(handler)]() mutable {
      out.emplace(work());
      asio::post(executor, std::move(handler));
    });
  };
  auto hop =
      asio::async_initiate<const asio::use_awaitable_t<>&, void()>(start, asio::use_awaitable);
  co_await std::move(hop);
  co_return std::move(*out);
}

}  // namespace penstock::net
