// Calls that another server answers: whole, in pieces, in its place, and not at all.
#include "tests/unit/net/forward_world.h"

namespace penstock::net {
namespace {

using api::Attempt;
using api::Reading;
using api::Response;
using test::Raw;
using test::RawAnswer;

TEST_F(ForwardTest, SendsTheRequestAndAnswersWithTheAnswer) {
  std::string seen;
  upstream([&](Peer& peer, int) {
    while (true) {
      std::string request = peer.request();
      if (request.empty()) return;
      seen = std::move(request);
      peer.answer("from the model", "X-Model: 1\r\n");
    }
  });
  serve(once());
  Raw raw(server_->address());
  for (int i = 0; i < 5; ++i) {
    raw.send(call_text());
    RawAnswer answer = raw.answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "from the model");
    EXPECT_EQ(answer.headers["content-length"], "14");
    EXPECT_EQ(answer.headers.count("x-request-id"), 1u);
    EXPECT_EQ(body_, "{}");
  }
  EXPECT_EQ(upstream_->connections(), 1);
  EXPECT_EQ(seen, "POST /v1/chat HTTP/1.1\r\nhost: 127.0.0.1:" + upstream_->port() +
                      "\r\nauthorization: Bearer s3cret\r\ncontent-type: application/json\r\n"
                      "user-agent: penstock\r\ncontent-length: 7\r\n\r\n{\"a\":1}");
  told_->wait_for("ended:answered", 5);
  EXPECT_TRUE(told_->all().starts_with("next head:200 whole ended:answered destroyed"))
      << told_->all();
  EXPECT_EQ(metric("penstock_upstream_attempts_total"), 5);
  EXPECT_EQ(metric("penstock_upstream_connections{"), 1);
  EXPECT_EQ(metric("penstock_upstream_faults_total"), 0);
}

TEST_F(ForwardTest, AnswersPipelinedCallsInTheirOrder) {
  upstream(always("model"));
  serve(once());
  Raw raw(server_->address());
  raw.send(call_text() + get("/things/a") + call_text() + get("/things/b/loop") + call_text());
  for (const char* body : {"model", "a of user:ana", "model", "b of user:ana", "model"})
    EXPECT_EQ(raw.answer().body, body);
}

TEST_F(ForwardTest, PassesAStreamOnPieceByPiece) {
  std::promise<void> first_seen, second_seen;
  upstream([&](Peer& peer, int) {
    peer.request();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    first_seen.get_future().wait();
    peer.send("3\r\ntwo\r\n5\r\nthree\r\n");
    second_seen.get_future().wait();
    peer.send("0\r\n\r\n");
    peer.wait_for_end();
  });
  Plan plan = streamed(once());
  plan.last = [](bool, std::string& out) { out += "done"; };
  serve(plan);
  Raw raw(server_->address());
  raw.send(call_text());
  std::string seen;
  const auto until = [&](const std::string& what) {
    while (seen.find(what) == seen.npos) seen += raw.some();
  };
  until("one");
  EXPECT_NE(seen.find("Transfer-Encoding: chunked"), seen.npos);
  EXPECT_NE(seen.find("Content-Type: text/event-stream"), seen.npos);
  EXPECT_EQ(seen.find("Content-Length"), seen.npos);
  first_seen.set_value();
  until("three");
  second_seen.set_value();
  until("0\r\n\r\n");
  EXPECT_TRUE(seen.ends_with("4\r\ndone\r\n0\r\n\r\n")) << seen;
  raw.send(get("/things/a"));  // the connection goes on
  EXPECT_EQ(raw.answer().body, "a of user:ana");
  EXPECT_EQ(told_->all(), "next head:200 started last ended:answered destroyed");
}

TEST_F(ForwardTest, StreamsToOldCallersUntilTheEnd) {
  upstream([&](Peer& peer, int) {
    peer.request();
    peer.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
  });
  serve(streamed(once()));
  Raw raw(server_->address());
  raw.send("POST /forward HTTP/1.0\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
  const std::string all = raw.rest();
  EXPECT_TRUE(all.starts_with("HTTP/1.0 200")) << all;
  EXPECT_EQ(all.find("Transfer-Encoding"), all.npos);
  EXPECT_TRUE(all.ends_with("\r\n\r\nuntil the end")) << all;
}

TEST_F(ForwardTest, AnswersHeadAndBodilessStatusesWithoutABody) {
  upstream([&](Peer& peer, int) {
    while (!peer.request().empty()) peer.send("HTTP/1.1 204 No Content\r\n\r\n");
  });
  Plan plan = streamed(once());
  plan.started.status = 204;
  serve(plan);
  Raw raw(server_->address());
  raw.send(call_text() + get("/things/a"));
  EXPECT_EQ(raw.answer(true).status, 204);
  EXPECT_EQ(raw.answer().body, "a of user:ana");
  raw.send("HEAD /forward HTTP/1.1\r\nHost: t\r\n\r\n" + get("/things/a"));
  EXPECT_EQ(raw.answer(true).status, 204);
  EXPECT_EQ(raw.answer().body, "a of user:ana");
}

TEST_F(ForwardTest, AnswersInThePlaceOfAnyAttempt) {
  Plan plan;
  plan.next = [](int) -> Plan::Step {
    return Response{.status = 429, .body = "slow down", .headers = {{"Retry-After", "7"}}};
  };
  serve(plan);
  RawAnswer answer = ask(call_text());
  EXPECT_EQ(answer.status, 429);
  EXPECT_EQ(answer.headers["retry-after"], "7");
}

TEST_F(ForwardTest, RunsWorkOnAWorker) {
  auto loop = std::make_shared<std::thread::id>();
  Plan plan;
  plan.next = [loop](int) -> Plan::Step {
    *loop = std::this_thread::get_id();
    return api::Work([loop] {
      return Response{.body = *loop == std::this_thread::get_id() ? "loop" : "worker"};
    });
  };
  serve(plan);
  EXPECT_EQ(ask(call_text()).body, "worker");
}

TEST_F(ForwardTest, AsksAgainAfterWorkThatGaveNoAnswer) {
  auto worked = std::make_shared<int>(0);
  Plan plan;
  plan.next = [worked](int) -> Plan::Step {
    if (*worked == 2) return Response{.body = "worked twice"};
    return api::Work([worked]() -> std::optional<Response> {
      ++*worked;
      return {};
    });
  };
  serve(plan);
  EXPECT_EQ(ask(call_text()).body, "worked twice");
}

TEST_F(ForwardTest, TellsEveryFaultAndAsksAgain) {
  struct Case {
    std::string fault;
    Scripted::Script script;
    std::function<void(http::Endpoint&)> change = [](http::Endpoint&) {};
    Micros deadline = std::chrono::seconds(20);
  };
  using std::chrono::milliseconds;
  const auto hang = [](Peer& peer, int) { peer.wait_for_end(); };
  const auto say = [](const std::string& text) {
    return [text](Peer& peer, int) {
      peer.request();
      peer.send(text);
    };
  };
  const auto say_and_hang = [](const std::string& text) {
    return [text](Peer& peer, int) {
      peer.request();
      peer.send(text);
      peer.wait_for_end();
    };
  };
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const Case cases[] = {
      {"refused", hang, [](http::Endpoint& e) { e.port = "1"; }},
      {"refused", hang, [](http::Endpoint& e) { e.port = "no"; }},
      {"refused", hang, [](http::Endpoint& e) { e.host = "no.such.host.invalid"; }},
      {"refused", hang, [](http::Endpoint& e) { e.base_path = "/a b"; }},
      {"refused", hang, [](http::Endpoint& e) { e.authorization = "a\r\nb: c"; }},
      {"refused", hang, [](http::Endpoint& e) { e.connections_max = 0; }},
      {"timed_out", hang, [](http::Endpoint& e) { e.first_byte_time = milliseconds(30); }},
      {"timed_out", say_and_hang("HTTP/1.1 200 O"),
       [](http::Endpoint& e) { e.first_byte_time = milliseconds(30); }},
      {"timed_out", say_and_hang(ok + "Content-Length: 9\r\n\r\nhalf"),
       [](http::Endpoint& e) { e.idle_time = milliseconds(30); }},
      {"deadline", hang, [](http::Endpoint&) {}, milliseconds(30)},
      {"deadline", hang, [](http::Endpoint&) {}, milliseconds(-1)},
      {"deadline", say_and_hang(ok + "Content-Length: 9\r\n\r\nhalf"), [](http::Endpoint&) {},
       milliseconds(30)},
      {"broke", say("")},
      {"broke", say("not at all HTTP\r\n\r\n")},
      {"broke", say(ok + "Content-Length: 9\r\n\r\nhalf")},
      {"broke", say(ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n")},
      {"broke",
       [](Peer& peer, int) {
         peer.request();
         peer.reset();
       }},
      {"too_large", say(ok + "Content-Length: 1001\r\n\r\n"),
       [](http::Endpoint& e) { e.answer_max = 1'000; }},
      {"too_large", say(ok + "\r\n" + std::string(1'001, 'x')),
       [](http::Endpoint& e) { e.answer_max = 1'000; }},
      {"too_large", say(ok + "a: " + std::string(70'000, 'x'))},
  };
  const Case* now = nullptr;
  Plan plan;
  std::shared_ptr<http::Endpoint> faulty;
  plan.next = [&](int asked) -> Plan::Step {
    if (asked > 0) return Response{.status = 502, .body = "gave up"};
    Attempt made = attempt(faulty);
    made.deadline = clock_.now() + now->deadline;
    return made;
  };
  serve(plan);
  int number = 0;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.fault + " " + std::to_string(number++));
    now = &c;
    upstream(c.script);
    faulty = endpoint(c.change);
    told_ = std::make_shared<Told>();
    const RawAnswer answer = ask(call_text());
    EXPECT_EQ(answer.status, 502);
    EXPECT_EQ(answer.body, "gave up");
    EXPECT_EQ(told_->count("failed:" + c.fault), 1) << told_->all();
    told_->wait_for("ended:answered");
    EXPECT_EQ(metric("penstock_upstream_connections_in_use{"), 0);
  }
  EXPECT_EQ(metric("penstock_upstream_faults_total"), number);
}

TEST_F(ForwardTest, RetriesAfterAPause) {
  std::atomic<int> requests = 0;
  upstream([&](Peer& peer, int) {
    while (!peer.request().empty())
      ++requests < 3 ? peer.send("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno")
                     : peer.answer("yes");
  });
  Plan plan;
  plan.head = [](int status, bool) { return status == 200 ? Reading::whole : Reading::retry; };
  plan.next = [this](int asked) -> Plan::Step {
    Attempt made = attempt();
    made.delay = std::chrono::milliseconds(asked * 5);
    return made;
  };
  serve(plan);
  EXPECT_EQ(ask(call_text()).body, "yes");
  told_->wait_for("destroyed");
  EXPECT_EQ(told_->all(),
            "next head:503 next head:503 next head:200 whole ended:answered destroyed");
}

TEST_F(ForwardTest, HedgesASlowAttemptAndTakesTheFirstHead) {
  Scripted slow([](Peer& peer, int) { peer.wait_for_end(); });
  upstream(always("quick"));
  Plan plan;
  plan.next = [&](int) -> Plan::Step {
    Attempt made = attempt(endpoint_of(slow.port()));
    made.hedge = std::make_shared<Attempt>(attempt());
    made.hedge_after = std::chrono::milliseconds(10);
    return made;
  };
  serve(plan);
  EXPECT_EQ(ask(call_text()).body, "quick");
  told_->wait_for("destroyed");
  EXPECT_EQ(told_->all(), "next hedged:200 whole ended:answered destroyed");
  while (slow.open() > 0) std::this_thread::yield();  // the other one is closed
}

TEST_F(ForwardTest, SendsNoHedgeWhereTheFirstAnswersOrFailsInTime) {
  Scripted never(always("hedge"));
  upstream(always("first"));
  Plan plan;
  plan.next = [&](int asked) -> Plan::Step {
    if (asked == 1) return Response{.status = 502, .body = "gave up"};
    Attempt made =
        attempt(body_ == "refused" ? endpoint([](auto& e) { e.port = "1"; }) : endpoint_);
    made.hedge = std::make_shared<Attempt>(attempt(endpoint_of(never.port())));
    made.hedge_after = std::chrono::seconds(10);
    return made;
  };
  serve(plan);
  EXPECT_EQ(ask(call_text()).body, "first");
  EXPECT_EQ(ask(post("/forward", "refused")).body, "gave up");
  EXPECT_EQ(never.connections(), 0);
}

TEST_F(ForwardTest, FailsOnceWhereBothFail) {
  Scripted other([](Peer& peer, int) {
    peer.request();
    peer.close();
  });
  upstream([](Peer& peer, int) { peer.wait_for_end(); });
  Plan plan;
  plan.next = [&](int asked) -> Plan::Step {
    if (asked == 1) return Response{.status = 502, .body = "gave up"};
    Attempt made =
        attempt(endpoint([](auto& e) { e.first_byte_time = std::chrono::milliseconds(60); }));
    made.hedge = std::make_shared<Attempt>(attempt(endpoint_of(other.port())));
    made.hedge_after = std::chrono::milliseconds(5);
    return made;
  };
  serve(plan);
  EXPECT_EQ(ask(call_text()).body, "gave up");
  EXPECT_EQ(other.connections(), 1);
  told_->wait_for("destroyed");
  EXPECT_EQ(told_->all(), "next failed:timed_out next ended:answered destroyed");
}

TEST_F(ForwardTest, SaysWhatIsLeftWhereAStreamBreaks) {
  upstream([](Peer& peer, int) {
    peer.request();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
  });
  Plan plan = streamed(once());
  plan.last = [](bool broke, std::string& out) { out += broke ? "it broke" : "it did not"; };
  serve(plan);
  Raw raw(server_->address());
  raw.send(call_text() + get("/things/a"));
  std::string seen;
  while (seen.find("a of user:ana") == seen.npos) seen += raw.some();
  EXPECT_NE(seen.find("8\r\nit broke\r\n0\r\n\r\nHTTP/1.1 200"), seen.npos) << seen;
}

TEST_F(ForwardTest, CutsABrokenStreamShortWhereNothingIsLeftToSay) {
  upstream([](Peer& peer, int) {
    peer.request();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
  });
  serve(streamed(once()));
  Raw raw(server_->address());
  raw.send(call_text());
  const std::string all = raw.rest();
  EXPECT_TRUE(all.ends_with("3\r\none\r\n")) << all;
  told_->wait_for("ended:answered");
}

TEST_F(ForwardTest, EndsOneCallWhereAForwardThrows) {
  struct Case {
    const char* where;
    std::function<void(Plan&)> change;
    bool streams = false;
  };
  const auto broken = [](auto&&...) -> Reading { throw std::runtime_error("as planned"); };
  const Case cases[] = {
      {"next", [](Plan& plan) { plan.next = [](int) -> Plan::Step { throw 7; }; }},
      {"head", [&](Plan& plan) { plan.head = broken; }},
      {"work",
       [](Plan& plan) {
         plan.next = [](int) -> Plan::Step {
           return api::Work([]() -> Response { throw std::runtime_error("as planned"); });
         };
       }},
      {"endless attempts",
       [this](Plan& plan) {
         plan.next = [this](int) -> Plan::Step { return attempt(); };
         plan.head = [](int, bool) { return Reading::retry; };
       }},
      {"no endpoint", [](Plan& plan) { plan.next = [](int) -> Plan::Step { return Attempt{}; }; }},
      {"piece",
       [](Plan& plan) {
         plan.head = [](int, bool) { return Reading::pieces; };
         plan.piece = [](std::string_view, std::string&) {
           throw std::runtime_error("as planned");
         };
       },
       true},
      {"last",
       [](Plan& plan) {
         plan.head = [](int, bool) { return Reading::pieces; };
         plan.last = [](bool, std::string&) { throw std::runtime_error("as planned"); };
       },
       true},
  };
  upstream(always("model"));
  serve(once());
  for (const Case& c : cases) {
    SCOPED_TRACE(c.where);
    plan_ = once();
    c.change(plan_);
    told_ = std::make_shared<Told>();
    Raw raw(server_->address());
    raw.send(call_text());
    if (c.streams) {
      EXPECT_FALSE(raw.rest().ends_with("0\r\n\r\n"));
    } else {
      const RawAnswer answer = raw.answer();
      EXPECT_EQ(answer.status, 500);
      EXPECT_NE(answer.body.find("something broke inside"), answer.body.npos);
      EXPECT_EQ(answer.body.find("planned"), answer.body.npos);
    }
    told_->wait_for("ended:answered");
    expect_alive();
  }
  plan_ = once();
  plan_.ended = []() -> std::vector<std::unique_ptr<api::Forward>> {
    throw std::runtime_error("as planned");
  };
  told_ = std::make_shared<Told>();
  EXPECT_EQ(ask(call_text()).body, "model");
  told_->wait_for("destroyed");
  EXPECT_EQ(told_->count("ended:answered"), 1);
}

TEST_F(ForwardTest, DrivesWhatComesAfterAloneAndBounded) {
  upstream(always("model"));
  Plan shadow = once();
  Plan plan = once();
  plan.ended = [&] {
    std::vector<std::unique_ptr<api::Forward>> after;
    for (int i = 0; i < 3; ++i) after.push_back(std::make_unique<Planned>(shadow, told_, "s:"));
    return after;
  };
  serve(plan, {.detached_max = 2});
  EXPECT_EQ(ask(call_text()).body, "model");
  told_->wait_for("s:destroyed", 3);
  EXPECT_EQ(told_->count("s:ended:answered"), 2);
  EXPECT_EQ(told_->count("s:ended:cut"), 1);
  EXPECT_EQ(metric("penstock_forward_detached_dropped_total"), 1);
  EXPECT_EQ(ask(call_text()).body, "model");
  told_->wait_for("s:ended:answered", 4);
}

}  // namespace
}  // namespace penstock::net
