#include "net/drive.h"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/log.h"
#include "net/exchange.h"
#include "net/wire.h"

namespace penstock::net {
namespace {

constexpr int asks_max = 64;  // attempts of one call; a Forward has less patience
// What a slow caller has not taken yet; the upstream waits from here on.
constexpr std::size_t bytes_max = 256 << 10;
constexpr std::size_t reserve_max = 1 << 20;
// What an answer that is under way waits before it asks for a worker again.
constexpr Micros worker_pause = std::chrono::milliseconds(2);

template <class Handler>
class WaiterOf final : public Waiter {
 public:
  explicit WaiterOf(Handler handler) : handler_(std::move(handler)) {}
  // The coroutine is of this loop: its handler's own executor, which would be asked in between,
  // leads nowhere else.
  void go_on(asio::io_context& loop) override {
    asio::post(loop, [handler = std::move(handler_)]() mutable { handler(); });
  }

 private:
  Handler handler_;
};

}  // namespace

Forwards::Forwards(asio::io_context& its_loop, Edge& its_edge, Workers& its_workers,
                   Origins& origins, std::function<std::shared_ptr<void>()> keep_open)
    : loop(its_loop), edge(its_edge), workers(its_workers), keep_open_(std::move(keep_open)) {
  pool.emplace(its_loop, origins);
}

// A caller that waits holds its call, and the call holds the one that waits.
void Forwards::close() {
  std::vector<std::unique_ptr<Waiter>> waiting;
  for (Drive* drive : all_) waiting.push_back(std::move(drive->waiter_));
  waiting.clear();
  detached_.clear();
  pool.reset();
}

void Forwards::detach(std::vector<std::unique_ptr<api::Forward>> calls) {
  for (auto& call : calls)
    if (call) begin(std::move(call));
}

void Forwards::begin(std::unique_ptr<api::Forward> call) {
  auto drive = std::make_shared<Drive>(*this, std::move(call), "", "");
  if (++edge.detached > edge.options.detached_max) {
    --edge.detached;
    edge.measures.detached_dropped();
    // It ends where it has not begun; what it would have done after is dropped with it.
    drive->ending_ = api::Ending::cut;
    return;
  }
  drive->detached_ = true;
  drive->open_ = keep_open_();
  detached_.insert(drive);
  drive->begin();
}

void Forwards::cut() {
  const auto all = std::exchange(detached_, {});
  for (const auto& drive : all) drive->end(api::Ending::cut);
}

Drive::Drive(Forwards& forwards, std::shared_ptr<api::Forward> forward, std::string path,
             std::string request_id)
    : forwards_(forwards),
      forward_(std::move(forward)),
      path_(std::move(path)),
      request_id_(std::move(request_id)) {
  place_ = forwards_.all_.insert(forwards_.all_.end(), this);
  for (Try& one : tries_) one.drive = this;
  tries_[1].hedged = true;
}

// The one place that a call gets to whose connection went with its server.
Drive::~Drive() {
  forwards_.all_.erase(place_);
  if (detached_) --forwards_.edge.detached;
  if (ended_) return;
  close_tries();
  try {
    forward_->ended(ending_.value_or(api::Ending::cut));
  } catch (const std::exception& fault) {
    log::error("forward_threw", {{"request_id", request_id_}, {"error", fault.what()}});
  }
}

// What a Forward throws ends its own call and nothing else.
template <class Call>
bool Drive::guarded(Call call) {
  try {
    call();
    return true;
  } catch (const std::exception& fault) {
    threw(fault.what());
  } catch (...) {
    threw("no std::exception");
  }
  return false;
}

void Drive::threw(const char* what) {
  log::error("forward_threw", {{"request_id", request_id_}, {"path", path_}, {"error", what}});
  close_tries();
  if (is_streaming()) {
    stage_ = Stage::streamed;
    cut_short_ = true;
    return tell();
  }
  answer(error_response(
      path_,
      {Code::internal, "something broke inside; the log has it under request " + request_id_}));
}

void Drive::close_tries() {
  ++waits_;  // a wait that is under way is for nothing
  for (Try& one : tries_)
    if (const auto exchange = std::exchange(one.exchange, nullptr)) exchange->close();
}

void Drive::begin() { ask(); }

void Drive::ask() {
  stage_ = Stage::trying;
  if (++asked_ > asks_max) return threw("it asks for more attempts than one call may have");
  api::Step step;
  if (!guarded([&] { step = forward_->next(); })) return;
  if (auto* given = std::get_if<api::Response>(&step)) return answer(std::move(*given));
  if (auto* blocking = std::get_if<api::Work>(&step)) return work(std::move(*blocking));
  if (auto* pending = std::get_if<api::Wait>(&step)) return sleep(std::move(*pending));
  attempt_ = std::move(std::get<api::Attempt>(step));
  if (!attempt_.endpoint || (attempt_.hedge && !attempt_.hedge->endpoint))
    return threw("an attempt has no endpoint");
  if (attempt_.delay > Micros(0)) return wait(attempt_.delay, &Drive::launch);
  launch();
}

void Drive::launch() {
  send(tries_[0], attempt_);
  if (attempt_.hedge) wait(attempt_.hedge_after, &Drive::hedge);
}

void Drive::hedge() {
  if (stage_ == Stage::trying && tries_[0].exchange) send(tries_[1], *attempt_.hedge);
}

void Drive::send(Try& one, api::Attempt& attempt) {
  const Instant by =
      std::chrono::steady_clock::now() + (attempt.deadline - forwards_.edge.clock.now());
  one.exchange =
      forwards_.pool->send(std::move(attempt.endpoint), std::move(attempt.request), by, one);
}

void Drive::wait(Micros time, void (Drive::*then)()) {
  if (!timer_) timer_.emplace(forwards_.loop);
  timer_->expires_after(time);
  timer_->async_wait([weak = weak_from_this(), then, turn = ++waits_](const auto& fault) {
    const auto self = weak.lock();
    if (fault || !self || self->waits_ != turn || self->ended_) return;
    ((*self).*then)();
  });
}

// The one who wakes it may be on any thread, so all that it does is to post.
void Drive::sleep(api::Wait pending) {
  wait(pending.until - forwards_.edge.clock.now(), &Drive::woken);
  auto wake = [weak = weak_from_this(), &loop = forwards_.loop, turn = waits_] {
    asio::post(loop, [weak, turn] {
      const auto self = weak.lock();
      if (self && self->waits_ == turn && !self->ended_) self->woken();
    });
  };
  (void)guarded([&] { pending.on(std::move(wake)); });
}

void Drive::woken() {
  ++waits_;  // whoever else would have woken it comes too late
  ask();
}

void Drive::work(api::Work work) {
  if (!forwards_.workers.enter()) return answer(forwards_.edge.busy(path_));
  stage_ = Stage::working;
  const auto made = std::make_shared<std::optional<api::Response>>();
  auto job = [made, work = std::move(work)]() mutable {
    const api::Work once = std::move(work);
    *made = once();
  };
  on_worker(std::move(job), [made](Drive& self) {
    self.stage_ = Stage::trying;
    if (*made)
      self.answer(std::move(**made));
    else if (!self.ending_)  // else nobody waits for more of it
      self.ask();
  });
}

// Whoever calls this has entered the workers' queue. `then` runs on the loop, but not where the job
// threw.
void Drive::on_worker(std::function<void()> job, std::function<void(Drive&)> then) {
  busy_ = true;
  auto run = [self = shared_from_this(), job = std::move(job), then = std::move(then)]() mutable {
    self->forwards_.workers.leave();
    std::optional<std::string> fault;
    try {
      job();
    } catch (const std::exception& thrown) {
      fault = thrown.what();
    } catch (...) {
      fault = "no std::exception";
    }
    job = nullptr;
    asio::io_context& loop = self->forwards_.loop;
    auto back = [self = std::move(self), then = std::move(then), fault = std::move(fault)] {
      self->busy_ = false;
      if (fault)
        self->threw(fault->c_str());
      else
        then(*self);
      if (self->ending_ && !self->ended_) self->end(*self->ending_);
    };
    asio::post(loop, std::move(back));
  };
  forwards_.workers.submit(std::move(run));
}

// What has come of an answer whose Forward may block on it.
void Drive::handle() {
  if (busy_ || ended_ || is_answered() || is_streamed() || (later_.empty() && !finished_)) return;
  if (!forwards_.workers.enter()) return wait(worker_pause, &Drive::handle);
  if (stage_ == Stage::whole) {
    const auto made = std::make_shared<api::Response>();
    return on_worker(
        [forward = forward_, made, answer = std::make_shared<http::Answer>(std::move(answer_))] {
          *made = forward->whole(std::move(*answer));
        },
        [made](Drive& self) { self.answer(std::move(*made)); });
  }
  struct Handled {
    std::string in, out;
    bool cut_short = false, over = false;
  };
  const auto part = std::make_shared<Handled>(Handled{.in = std::exchange(later_, {})});
  auto job = [forward = forward_, part, finished = finished_] {
    if (!part->in.empty()) forward->piece(part->in, part->out);
    part->over = !part->in.empty() && forward->over();
    if (!finished) return;
    const std::size_t before = part->out.size();
    forward->last(*finished, part->out);
    part->cut_short = *finished && part->out.size() == before;
  };
  on_worker(std::move(job), [part, last = finished_.has_value()](Drive& self) {
    if (!self.detached_) self.bytes_ += part->out;
    if (last) {
      self.stage_ = Stage::streamed;
      self.cut_short_ = part->cut_short;
      return self.tell();
    }
    if (part->over) return self.stop();
    self.pace();
    if (!self.bytes_.empty()) self.tell();
    self.handle();
  });
}

// The upstream waits while there is too much of its answer here.
void Drive::pace() {
  const bool full = bytes_.size() + later_.size() > bytes_max;
  if (full == paused_) return;
  paused_ = full;
  for (Try& one : tries_) {
    if (!one.exchange) continue;
    if (full)
      one.exchange->pause();
    else
      one.exchange->resume();
  }
}

void Drive::Try::head(int status, http::Fields& headers, std::size_t promised) {
  Drive& own = *drive;
  ++own.waits_;
  if (const auto other = std::exchange(own.tries_[hedged ? 0 : 1].exchange, nullptr))
    other->close();
  api::Reading reading{};
  if (!own.guarded([&] { reading = own.forward_->head(status, headers, hedged); })) return;
  own.slow_ = reading != api::Reading::retry && own.forward_->blocks();
  if (reading == api::Reading::whole) {
    own.stage_ = Stage::whole;
    own.answer_ = {.status = status, .headers = std::move(headers)};
    own.answer_.body.reserve(std::min(promised, reserve_max));
  } else if (reading == api::Reading::retry) {
    own.close_tries();
    own.ask();
  } else if (own.guarded([&] { own.response_ = own.forward_->started(); })) {
    own.stage_ = Stage::streaming;
    own.tell();
  }
}

void Drive::Try::body(std::string_view bytes) {
  Drive& own = *drive;
  if (own.stage_ == Stage::whole) {
    own.answer_.body.append(bytes);
    return;
  }
  if (own.slow_) {
    own.later_.append(bytes);
    own.pace();
    return own.handle();
  }
  bool over = false;
  if (!own.guarded([&] {
        own.forward_->piece(bytes, own.bytes_);
        over = own.forward_->over();
      }))
    return;
  if (over) return own.stop();
  if (own.detached_) own.bytes_.clear();
  if (own.bytes_.empty()) return;
  own.pace();
  own.tell();
}

// The Forward wants no more of a stream.
void Drive::stop() {
  close_tries();
  later_.clear();
  if (!guarded([&] { forward_->last(false, bytes_); })) return;
  stage_ = Stage::streamed;
  tell();
}

void Drive::Try::end() {
  Drive& own = *drive;
  exchange.reset();
  if (own.slow_) {
    own.finished_ = false;
    return own.handle();
  }
  if (own.stage_ == Stage::whole) {
    api::Response response;
    if (own.guarded([&] { response = own.forward_->whole(std::move(own.answer_)); }))
      own.answer(std::move(response));
    return;
  }
  if (!own.guarded([&] { own.forward_->last(false, own.bytes_); })) return;
  own.stage_ = Stage::streamed;
  own.tell();
}

void Drive::Try::fault(Broken broken) {
  Drive& own = *drive;
  exchange.reset();
  if (own.stage_ == Stage::streaming && own.slow_) {
    own.finished_ = true;
    return own.handle();
  }
  if (own.stage_ == Stage::streaming) {
    const std::size_t before = own.bytes_.size();
    if (!own.guarded([&] { own.forward_->last(true, own.bytes_); })) return;
    own.stage_ = Stage::streamed;
    own.cut_short_ = own.bytes_.size() == before;
    return own.tell();
  }
  if (own.tries_[hedged ? 0 : 1].exchange) return;  // the other one may still answer
  own.close_tries();
  if (own.guarded([&] { own.forward_->failed(broken.fault, broken.detail); })) own.ask();
}

void Drive::answer(api::Response response) {
  response_ = std::move(response);
  stage_ = Stage::answered;
  tell();
}

std::string Drive::take() {
  std::string taken = std::exchange(bytes_, {});
  pace();
  return taken;
}

// Says that there is something new, later and once: who is told may let go of this.
void Drive::tell() {
  if (detached_) {
    if (stage_ != Stage::answered && stage_ != Stage::streamed) return;
    asio::post(forwards_.loop, [self = shared_from_this()] { self->finish_detached(); });
    return;
  }
  news_ = true;
  if (const auto waiter = std::exchange(waiter_, nullptr)) waiter->go_on(forwards_.loop);
}

void Drive::finish_detached() {
  end(api::Ending::answered);
  forwards_.detached_.erase(shared_from_this());
  open_.reset();
}

asio::awaitable<void> Drive::changed() {
  if (!news_) {
    auto start = [this]<class Handler>(Handler handler) {
      waiter_ = std::make_unique<WaiterOf<Handler>>(std::move(handler));
    };
    auto waiting =
        asio::async_initiate<const asio::use_awaitable_t<>&, void()>(start, asio::use_awaitable);
    co_await std::move(waiting);
  }
  news_ = false;
}

void Drive::end(api::Ending ending) {
  if (ended_) return;
  if (!ending_) ending_ = ending;
  if (busy_) return;
  ended_ = true;
  close_tries();
  std::vector<std::unique_ptr<api::Forward>> after;
  try {
    after = forward_->ended(*ending_);
  } catch (const std::exception& fault) {
    log::error("forward_threw", {{"request_id", request_id_}, {"error", fault.what()}});
  }
  news_ = true;
  if (const auto waiter = std::exchange(waiter_, nullptr)) waiter->go_on(forwards_.loop);
  if (!forwards_.edge.draining || ending_ != api::Ending::cut) forwards_.detach(std::move(after));
}

}  // namespace penstock::net
