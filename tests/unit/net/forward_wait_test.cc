// Forwarded calls that have to wait for their turn, and those whose answers are judged on workers.
#include "tests/unit/net/forward_world.h"

namespace penstock::net {
namespace {

using api::Response;
using test::Raw;
using test::RawAnswer;

constexpr const char* stream_head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

// Keeps what wakes a call.
class Bell {
 public:
  void keep(std::function<void()> wake) {
    const std::lock_guard lock(turn_);
    wake_ = std::move(wake);
    changed_.notify_all();
  }
  std::function<void()> take() {
    std::unique_lock lock(turn_);
    if (!changed_.wait_for(lock, std::chrono::seconds(30), [&] { return wake_ != nullptr; }))
      throw std::runtime_error("nobody waits");
    return std::exchange(wake_, nullptr);
  }

 private:
  std::mutex turn_;
  std::condition_variable changed_;
  std::function<void()> wake_;
};

class ForwardWaitTest : public ForwardTest {
 protected:
  // Waits once, until it is woken or `time` has passed, and is then answered.
  Plan waits(Micros time) {
    Plan plan;
    plan.next = [this, time](int asked) -> Plan::Step {
      if (asked > 0) return Response{.body = "its turn"};
      return api::Wait{.until = clock_.now() + time,
                       .on = [this](std::function<void()> wake) { bell_.keep(std::move(wake)); }};
    };
    return plan;
  }
  Bell bell_;
};

TEST_F(ForwardWaitTest, AsksAgainWhenItIsWokenByAnotherThread) {
  serve(waits(std::chrono::hours(1)));
  Raw raw(server_->address());
  raw.send(call_text());
  const auto wake = bell_.take();
  EXPECT_EQ(told_->all(), "next");
  std::thread([&] { wake(); }).join();
  EXPECT_EQ(raw.answer().body, "its turn");
  wake();  // a second time is for nothing
  raw.send(get("/things/a"));
  EXPECT_EQ(raw.answer().body, "a of user:ana");
  EXPECT_EQ(told_->count("next"), 2);
}

TEST_F(ForwardWaitTest, AsksAgainAtOnceWhereItsTurnHasComeAlready) {
  Plan plan = waits(std::chrono::hours(1));
  plan.next = [this](int asked) -> Plan::Step {
    if (asked > 20) return Response{.body = "at last"};
    return api::Wait{.until = clock_.now() + std::chrono::hours(1),
                     .on = [](const std::function<void()>& wake) { wake(); }};
  };
  serve(plan);
  EXPECT_EQ(ask(call_text()).body, "at last");
}

TEST_F(ForwardWaitTest, AsksAgainWhenItsTimeIsOver) {
  serve(waits(std::chrono::milliseconds(20)));
  EXPECT_EQ(ask(call_text()).body, "its turn");
  bell_.take()();  // too late
  expect_alive();
  EXPECT_EQ(told_->count("next"), 2);
}

TEST_F(ForwardWaitTest, NoticesACallerThatGoesWhileItWaits) {
  serve(waits(std::chrono::hours(1)));
  std::function<void()> wake;
  {
    Raw raw(server_->address());
    raw.send(call_text());
    wake = bell_.take();
  }
  told_->wait_for("destroyed");
  EXPECT_EQ(told_->all(), "next ended:hung_up destroyed");
  wake();
  expect_alive();
}

TEST_F(ForwardWaitTest, EndsOneCallWhoseWaitThrows) {
  Plan plan;
  plan.next = [this](int) -> Plan::Step {
    return api::Wait{.until = clock_.now() + std::chrono::hours(1),
                     .on = [](const auto&) { throw std::runtime_error("no bell"); }};
  };
  serve(plan);
  EXPECT_EQ(ask(call_text()).status, 500);
  expect_alive();
}

TEST_F(ForwardWaitTest, OthersGoOnWhileAnAnswerIsJudged) {
  upstream(always("model"));
  Plan plan = once();
  plan.blocks = true;
  std::promise<void> judged;
  plan.whole = [done = judged.get_future().share()] { done.wait(); };
  serve(plan);
  Raw raw(server_->address());
  raw.send(call_text());
  told_->wait_for("whole");
  EXPECT_EQ(ask(get("/things/a/loop")).body, "a of user:ana");  // the loop is free
  judged.set_value();
  EXPECT_EQ(raw.answer().body, "model");
}

TEST_F(ForwardWaitTest, PiecesThatAreJudgedKeepTheirOrder) {
  std::string all;
  upstream([&](Peer& peer, int) {
    peer.request();
    std::string sent = stream_head;
    for (int at = 0; at < 200; ++at) {
      const std::string text = std::to_string(at) + ",";
      sent += std::to_string(text.size()) + "\r\n" + text + "\r\n";
      if (at % 7 == 0) peer.send(std::exchange(sent, {}));
    }
    peer.send(sent + "0\r\n\r\n");
    peer.wait_for_end();
  });
  for (int at = 0; at < 200; ++at) all += std::to_string(at) + ",";
  Plan plan = streamed(once());
  plan.blocks = true;
  auto within = std::make_shared<std::atomic<int>>(0);
  auto most = std::make_shared<std::atomic<int>>(0);
  plan.piece = [within, most](std::string_view bytes, std::string& out) {
    *most = std::max(most->load(), ++*within);
    std::this_thread::yield();
    out += bytes;
    --*within;
  };
  plan.last = [](bool broke, std::string& out) { out += broke ? "broke" : "done"; };
  serve(plan);
  Raw raw(server_->address());
  raw.send(call_text());
  std::string seen;
  while (seen.find("0\r\n\r\n") == seen.npos) seen += raw.some();
  std::string body;
  for (std::size_t at = seen.find("\r\n\r\n") + 4; at < seen.size();) {
    const std::size_t size = std::stoul(seen.substr(at), nullptr, 16);
    at = seen.find("\r\n", at) + 2;
    body += seen.substr(at, size);
    at += size + 2;
  }
  EXPECT_EQ(body, all + "done");
  EXPECT_EQ(*most, 1);
  told_->wait_for("destroyed");  // the caller has the last piece before the call is over
  EXPECT_EQ(told_->all(), "next head:200 started last ended:answered destroyed");
}

TEST_F(ForwardWaitTest, ACallerThatGoesWhileAPieceIsJudgedEndsItAfterThat) {
  upstream([](Peer& peer, int) {
    peer.request();
    peer.send(std::string(stream_head) + "3\r\none\r\n");
    peer.wait_for_end();
  });
  Plan plan = streamed(once());
  plan.blocks = true;
  std::promise<void> judged;
  auto told = told_;
  plan.piece = [told, done = judged.get_future().share()](std::string_view, std::string&) {
    told->add("piece");
    done.wait();
    told->add("judged");
  };
  serve(plan);
  {
    Raw raw(server_->address());
    raw.send(call_text());
    told_->wait_for("piece");
  }
  expect_alive();
  judged.set_value();
  told_->wait_for("destroyed");
  EXPECT_EQ(told_->all(), "next head:200 started piece judged ended:hung_up destroyed");
}

TEST_F(ForwardWaitTest, WhatIsThrownOnAWorkerEndsOneCall) {
  upstream(always("model"));
  Plan plan = once();
  plan.blocks = true;
  plan.whole = [] { throw std::runtime_error("no judge"); };
  serve(plan);
  EXPECT_EQ(ask(call_text()).status, 500);
  expect_alive();
}

TEST_F(ForwardWaitTest, ABrokenStreamIsToldBehindItsLastPiece) {
  upstream([](Peer& peer, int) {
    peer.request();
    peer.send(std::string(stream_head) + "3\r\none\r\n");
    peer.reset();
  });
  Plan plan = streamed(once());
  plan.blocks = true;
  plan.last = [](bool broke, std::string& out) { out += broke ? "broke" : "done"; };
  serve(plan);
  Raw raw(server_->address());
  raw.send(call_text());
  std::string seen;
  while (seen.find("broke") == seen.npos) seen += raw.some();
  EXPECT_EQ(told_->count("last:broke"), 1);
}

}  // namespace
}  // namespace penstock::net
