// How forwarded calls end: callers that go, are slow or many, and servers that stop.
#include "tests/unit/net/forward_world.h"

namespace penstock::net {
namespace {

using api::Attempt;
using api::Response;
using test::Raw;
using test::RawAnswer;

constexpr const char* stream_head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

class ForwardEndTest : public ForwardTest {
 protected:
  void expect_upstream_let_go() {
    for (int at = 0; at < 3'000 && upstream_->open() > 0; ++at)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(upstream_->open(), 0);
  }
  static void read_until(Raw& raw, const std::string& what) {
    std::string seen;
    while (seen.find(what) == seen.npos) seen += raw.some();
  }
  // Streams one piece and then says nothing more.
  static void one_piece(Peer& peer, int) {
    peer.request();
    peer.send(std::string(stream_head) + "3\r\none\r\n");
    peer.wait_for_end();
  }
};

TEST_F(ForwardEndTest, NoticesACallerThatGoesWhileItWaits) {
  upstream([](Peer& peer, int) { peer.wait_for_end(); });
  serve(once());
  for (const bool pipelined : {false, true}) {
    told_ = std::make_shared<Told>();
    {
      Raw raw(server_->address());
      raw.send(call_text() + (pipelined ? call_text() : ""));
      told_->wait_for("next");
    }
    told_->wait_for("ended:hung_up");
    expect_upstream_let_go();
  }
  expect_alive();
}

TEST_F(ForwardEndTest, NoticesACallerThatGoesDuringAPause) {
  upstream(always("never asked"));
  Plan plan;
  plan.next = [this](int) -> Plan::Step {
    Attempt made = attempt();
    made.delay = std::chrono::hours(1);
    return made;
  };
  serve(plan);
  {
    Raw raw(server_->address());
    raw.send(call_text());
    told_->wait_for("next");
  }
  told_->wait_for("destroyed");
  EXPECT_EQ(told_->all(), "next ended:hung_up destroyed");
  EXPECT_EQ(upstream_->connections(), 0);
}

TEST_F(ForwardEndTest, NoticesACallerThatGoesWhileNothingIsWritten) {
  upstream(one_piece);
  serve(streamed(once()));
  {
    Raw raw(server_->address());
    raw.send(call_text());
    read_until(raw, "one");
  }
  told_->wait_for("destroyed");
  EXPECT_EQ(told_->all(), "next head:200 started ended:hung_up destroyed");
  expect_upstream_let_go();
}

TEST_F(ForwardEndTest, EndsAnEndlessStreamWithItsCaller) {
  upstream([](Peer& peer, int) {
    peer.request();
    peer.send(stream_head);
    while (peer.send("4\r\nmore\r\n")) continue;
  });
  serve(streamed(once()));
  {
    Raw raw(server_->address());
    raw.send(call_text());
    for (int i = 0; i < 20; ++i) raw.some();
  }
  told_->wait_for("ended:hung_up");
  expect_upstream_let_go();
}

TEST_F(ForwardEndTest, EndsAnEndlessStreamAtItsLimit) {
  upstream([](Peer& peer, int) {
    peer.request();
    peer.send(stream_head);
    while (peer.send("4\r\nmore\r\n")) continue;
  });
  Plan plan = streamed(once());
  plan.next = [this](int) -> Plan::Step {
    return attempt(endpoint([](auto& e) { e.answer_max = 100'000; }));
  };
  serve(plan);
  Raw raw(server_->address());
  raw.send(call_text());
  EXPECT_LT(raw.rest().size(), 2'000'000u);
  told_->wait_for("last:broke");
  expect_upstream_let_go();
}

TEST_F(ForwardEndTest, WaitsForWorkWhoseCallerIsGone) {
  auto gate = std::make_shared<Gate>();
  Plan plan;
  plan.next = [gate](int) -> Plan::Step {
    return api::Work([gate] {
      gate->wait();
      return Response{.body = "nobody reads this"};
    });
  };
  serve(plan);
  {
    Raw raw(server_->address());
    raw.send(call_text());
    gate->entered.get_future().wait();
  }
  ask(get("/things/a"));
  gate->opened.set_value();
  told_->wait_for("destroyed");
  EXPECT_TRUE(told_->count("ended:hung_up") + told_->count("ended:answered") == 1) << told_->all();
}

TEST_F(ForwardEndTest, ReadsNoFasterThanItsCaller) {
  constexpr std::size_t pieces = 1'600, piece_size = 64 << 10;  // 100 MB
  std::atomic<std::size_t> sent = 0;
  upstream([&](Peer& peer, int) {
    peer.request();
    peer.send(stream_head);
    const std::string piece = "10000\r\n" + std::string(piece_size, 'x') + "\r\n";
    for (std::size_t at = 0; at < pieces && peer.send(piece); ++at) ++sent;
    peer.send("0\r\n\r\n");
    peer.wait_for_end();
  });
  std::atomic<std::size_t> passed = 0;
  Plan plan = streamed(once());
  plan.piece = [&](std::string_view bytes, std::string& out) {
    passed += bytes.size();
    out += bytes;
  };
  plan.next = [this](int) -> Plan::Step {
    return attempt(endpoint([](auto& e) { e.answer_max = std::size_t{1} << 30; }));
  };
  serve(plan);
  Raw raw(server_->address());
  raw.send(call_text());
  for (std::size_t before = SIZE_MAX; before != sent || sent == 0;) {
    before = sent;
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
  EXPECT_LT(sent, pieces / 2);  // what sockets hold
  std::string all;
  while (!all.ends_with("0\r\n\r\n")) all += raw.some();
  EXPECT_EQ(passed, pieces * piece_size);
  all.erase(0, all.find("\r\n\r\n"));
  EXPECT_EQ(static_cast<std::size_t>(std::count(all.begin(), all.end(), 'x')), pieces * piece_size);
}

TEST_F(ForwardEndTest, GivesStreamsTheDrainTimeAndThenCutsThem) {
  std::promise<void> stopping;
  std::atomic<int> requests = 0;
  upstream([&, stop = stopping.get_future().share()](Peer& peer, int) {
    const bool ends = peer.request().find("ends") != std::string::npos;
    ++requests;
    peer.send(std::string(stream_head) + "3\r\none\r\n");
    stop.wait();
    if (ends) peer.send("3\r\ntwo\r\n0\r\n\r\n");
    peer.wait_for_end();
  });
  Plan plan = streamed(once());
  plan.next = [this](int) -> Plan::Step {
    Attempt made = attempt();
    made.request.body = body_;
    return made;
  };
  serve(plan, {.drain_time = std::chrono::seconds(1)});
  Raw ends(server_->address()), hangs(server_->address());
  ends.send(post("/forward", "ends"));
  read_until(ends, "one");
  hangs.send(post("/forward", "hangs"));
  read_until(hangs, "one");
  std::jthread stop([&] { server_->stop(); });
  stopping.set_value();
  EXPECT_TRUE(ends.rest().ends_with("two\r\n0\r\n\r\n"));
  EXPECT_EQ(hangs.rest(), "");
  stop.join();
  EXPECT_EQ(told_->count("ended:answered"), 1);
  EXPECT_EQ(told_->count("ended:cut"), 1);
  EXPECT_EQ(requests, 2);
}

TEST_F(ForwardEndTest, EndsEveryCallWhenItStops) {
  auto gate = std::make_shared<Gate>();
  upstream([](Peer& peer, int) { peer.wait_for_end(); });
  Plan waits = once();
  waits.next = [this](int) -> Plan::Step { return attempt(); };
  Plan plan;
  plan.next = [&, gate](int) -> Plan::Step {
    if (body_ == "waits") return attempt();
    if (body_ == "shadow") return Response{.body = "answered"};
    return api::Work([gate] {
      gate->wait();
      return Response{.body = "late"};
    });
  };
  plan.ended = [&] {
    std::vector<std::unique_ptr<api::Forward>> after;
    if (body_ == "shadow") after.push_back(std::make_unique<Planned>(waits, told_, "s:"));
    return after;
  };
  serve(plan, {.drain_time = std::chrono::milliseconds(50)});
  Raw shadow(server_->address()), waiting(server_->address()), working(server_->address());
  shadow.send(post("/forward", "shadow"));
  EXPECT_EQ(shadow.answer().body, "answered");
  told_->wait_for("s:next");
  waiting.send(post("/forward", "waits"));
  told_->wait_for("next", 2);
  working.send(post("/forward", "works"));
  gate->entered.get_future().wait();
  std::jthread stop([&] { server_->stop(); });
  EXPECT_EQ(waiting.answer().status, 0);
  told_->wait_for("s:ended:cut");
  gate->opened.set_value();
  stop.join();
  EXPECT_EQ(told_->count("ended:cut"), 2) << told_->all();
  EXPECT_EQ(told_->count("ended:answered"), 1) << told_->all();
}

TEST_F(ForwardEndTest, ForwardsAThousandCallsAtOnce) {
  constexpr int calls = 1'000;
  std::atomic<int> arrived = 0;
  std::promise<void> all;
  upstream([&, all_there = all.get_future().share()](Peer& peer, int) {
    while (true) {
      const std::string request = peer.request();
      if (request.empty()) return;
      if (++arrived == calls) all.set_value();
      all_there.wait();
      peer.answer(request.substr(request.find("\r\n\r\n") + 4));
    }
  });
  Plan plan;
  plan.next = [this](int asked) -> Plan::Step {
    if (asked > 0) return Response{.status = 502};
    Attempt made = attempt(endpoint([](auto& e) { e.connections_max = calls; }));
    made.request.body = body_;
    return made;
  };
  serve(plan);
  std::vector<std::unique_ptr<Raw>> callers;
  for (int at = 0; at < calls; ++at) {
    callers.push_back(std::make_unique<Raw>(server_->address()));
    callers.back()->send(post("/forward", "call " + std::to_string(at)));
  }
  for (int at = 0; at < calls; ++at) {
    const RawAnswer answer = callers[static_cast<std::size_t>(at)]->answer();
    ASSERT_EQ(answer.status, 200) << at;
    EXPECT_EQ(answer.body, "call " + std::to_string(at));
  }
  told_->wait_for("ended:answered", calls);
  EXPECT_EQ(told_->count("failed:refused"), 0);
}

}  // namespace
}  // namespace penstock::net
