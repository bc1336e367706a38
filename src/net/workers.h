// The threads on which handlers run, and the way there and back.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace penstock::net {

namespace asio = boost::asio;

// A pool whose queue has an end. A place in the queue is taken by enter() and given back by
// leave(), once a thread has begun the work. Of the threads that wait, the one that worked last is
// woken: a few whose caches are warm do what there is. Threads begin when there is work for them,
// since each takes some 50 KB of its own: a stack, and what libraries keep for each thread.
class Workers {
 public:
  Workers(int threads, std::size_t queue_max);  // so many threads at most, one at least
  // Work that nobody has begun is let go of.
  ~Workers();

  bool enter() {
    if (queued_.fetch_add(1) < queue_max_) return true;
    leave();
    return false;
  }
  void leave() { --queued_; }
  // Runs `work` some time; false where the queue is full. What it throws is logged.
  bool post(std::function<void()> work);

  // Runs `work`, which must not throw, some time; after stop() never.
  template <class Work>
  void submit(Work work) {
    submit(std::unique_ptr<Job>(std::make_unique<JobOf<Work>>(std::move(work))));
  }

  // What is under way ends, what waits does not begin.
  void stop();
  // Until all that was submitted is done, or what was under way at stop(). Nothing may be submitted
  // from outside meanwhile.
  void join();

 private:
  struct Job {
    virtual ~Job() = default;
    virtual void run() = 0;
  };
  template <class Work>
  struct JobOf final : Job {
    explicit JobOf(Work given) : work(std::move(given)) {}
    void run() override { work(); }
    Work work;
  };
  struct Place {
    std::condition_variable woken;
    bool is_wanted = false;
  };

  void submit(std::unique_ptr<Job> job);
  void begin_thread();
  void tend(Place& place);
  void wake_all();

  std::mutex turn_;
  std::deque<std::unique_ptr<Job>> jobs_;
  std::vector<Place*> waiting_;  // who waited last is the last
  bool stopped_ = false, closing_ = false;
  const std::size_t threads_max_, queue_max_;
  std::atomic<std::size_t> queued_{0};
  std::vector<std::unique_ptr<Place>> places_;
  std::vector<std::jthread> threads_;
};

// Runs a blocking function on a pool and resumes the caller's coroutine on the executor it left.
// `work` must not throw. Where the pool ends first, the caller never resumes and is destroyed.
template <class Work>
asio::awaitable<std::invoke_result_t<Work>> run_on(Workers& workers, Work work) {
  std::optional<std::invoke_result_t<Work>> out;
  const auto executor = co_await asio::this_coro::executor;
  // `work` and `out` live in this frame, which stays until the handler resumes it.
  auto start = [&workers, &work, &out, executor](auto handler) {
    workers.submit([&work, &out, executor, handler = std::move(handler)]() mutable {
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
