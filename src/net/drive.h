// Drives one api::Forward: its attempts, their retries and hedges, what comes of them, and its end.
#pragma once

#include <functional>
#include <list>
#include <optional>
#include <unordered_set>
#include <variant>

#include <boost/asio/awaitable.hpp>

#include "net/edge.h"
#include "net/pool.h"
#include "net/workers.h"

namespace penstock::net {

class Drive;
class Exchange;

// A coroutine that waits. Destroyed before it goes on, it never does.
class Waiter {
 public:
  virtual ~Waiter() = default;
  virtual void go_on(asio::io_context& loop) = 0;
};

// What the forwarded calls of one loop share.
class Forwards {
 public:
  Forwards(asio::io_context& loop, Edge& edge, Workers& workers, Origins& origins,
           std::function<std::shared_ptr<void>()> keep_open);
  // Before its loop goes: lets go of all that waits. What is destroyed with the loop, and it with
  // calls of its own, still finds this.
  void close();

  // Calls that no caller waits for: at most detached_max of a server, what is more is counted and
  // dropped.
  void detach(std::vector<std::unique_ptr<api::Forward>> calls);
  // Ends the detached ones.
  void cut();

  asio::io_context& loop;
  Edge& edge;
  Workers& workers;
  std::optional<Pool> pool;

 private:
  friend class Drive;
  void begin(std::unique_ptr<api::Forward> call);

  const std::function<std::shared_ptr<void>()> keep_open_;  // a server waits for who holds it
  std::list<Drive*> all_;
  std::unordered_set<std::shared_ptr<Drive>> detached_;
};

// Lives on its loop; only blocking work of its Forward runs elsewhere, and nothing else meanwhile.
class Drive final : public std::enable_shared_from_this<Drive> {
 public:
  Drive(Forwards& forwards, std::shared_ptr<api::Forward> forward, std::string path,
        std::string request_id);
  ~Drive();

  void begin();
  // Waits for news, where there are none.
  asio::awaitable<void> changed();
  bool has_news() const { return news_; }

  bool is_answered() const { return stage_ == Stage::answered; }
  bool is_streaming() const { return stage_ == Stage::streaming || stage_ == Stage::streamed; }
  bool is_over() const { return ended_; }
  // The whole answer; of a stream its head.
  api::Response& response() { return response_; }
  // What has come of a stream since the last time. Reading goes on.
  std::string take();
  // Whether that was all. `cut_short`: it broke, and its Forward had nothing to say to it.
  bool is_streamed() const { return stage_ == Stage::streamed; }
  bool is_cut_short() const { return cut_short_; }

  // Once the caller has its answer or is gone: ends what is under way. The first time counts; where
  // work is on a worker, when that returns.
  void end(api::Ending ending);

 private:
  friend class Forwards;
  enum class Stage { trying, working, whole, streaming, streamed, answered };

  // One of the two requests of an attempt.
  struct Try final : Receiver {
    Drive* drive = nullptr;
    bool hedged = false;
    std::shared_ptr<Exchange> exchange;
    void head(int status, http::Fields& headers, std::size_t promised) override;
    void body(std::string_view bytes) override;
    void end() override;
    void fault(Broken broken) override;
  };

  template <class Call>
  bool guarded(Call call);
  void threw(const char* what);
  void ask();
  void launch();
  void send(Try& one, api::Attempt& attempt);
  void work(api::Work work);
  void sleep(api::Wait pending);
  void woken();
  void on_worker(std::function<void()> job, std::function<void(Drive&)> then);
  void handle();
  void pace();
  void wait(Micros time, void (Drive::*then)());
  void hedge();
  void stop();
  void answer(api::Response response);
  void tell();
  void close_tries();
  void finish_detached();

  Forwards& forwards_;
  std::shared_ptr<api::Forward> forward_;
  const std::string path_, request_id_;
  api::Attempt attempt_;
  Try tries_[2];
  Stage stage_ = Stage::trying;
  http::Answer answer_;
  api::Response response_;
  std::string bytes_;             // of a stream, not yet taken
  std::string later_;             // of the upstream's, where pieces are handled on a worker
  std::optional<bool> finished_;  // then: all of it has come, or (true) it broke
  std::optional<asio::steady_timer> timer_;
  std::unique_ptr<Waiter> waiter_;
  std::shared_ptr<void> open_;  // while it is detached
  std::optional<api::Ending> ending_;
  int asked_ = 0;
  unsigned waits_ = 0;
  std::list<Drive*>::iterator place_;
  bool news_ = false, ended_ = false, detached_ = false, paused_ = false, cut_short_ = false;
  bool slow_ = false;  // whole(), piece() and last() run on a worker
  bool busy_ = false;  // its Forward is in use there
};

}  // namespace penstock::net
