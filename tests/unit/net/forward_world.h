// A server with routes whose calls another server answers, and a Forward that a test plans.
#pragma once

#include <condition_variable>
#include <deque>

#include "api/forward.h"
#include "tests/unit/net/scripted.h"
#include "tests/unit/net/world.h"

namespace penstock::net {

// What a Forward was told, in order, and how often it ended.
class Told {
 public:
  void add(std::string what) {
    const std::lock_guard lock(turn_);
    events_.push_back(std::move(what));
    changed_.notify_all();
  }
  std::string all() const {
    const std::lock_guard lock(turn_);
    std::string out;
    for (const std::string& event : events_) (out += out.empty() ? "" : " ") += event;
    return out;
  }
  int count(const std::string& what) const {
    const std::lock_guard lock(turn_);
    return static_cast<int>(std::count(events_.begin(), events_.end(), what));
  }
  // A test that waits for 30 s is broken.
  void wait_for(const std::string& what, int times = 1) {
    std::unique_lock lock(turn_);
    if (!changed_.wait_for(lock, std::chrono::seconds(30), [&] {
          return std::count(events_.begin(), events_.end(), what) >= times;
        }))
      throw std::runtime_error("never told: " + what);
  }

 private:
  mutable std::mutex turn_;
  std::condition_variable changed_;
  std::vector<std::string> events_;
};

inline std::shared_ptr<http::Endpoint> endpoint_of(const std::string& port) {
  auto endpoint = std::make_shared<http::Endpoint>();
  endpoint->name = "model";
  endpoint->host = "127.0.0.1";
  endpoint->port = port;
  endpoint->base_path = "/v1";
  endpoint->authorization = "Bearer s3cret";
  return endpoint;
}

// Each member is one function of a Forward; what is not planned is the simplest.
struct Plan {
  using Step = api::Step;
  std::function<Step(int asked)> next;
  std::function<api::Reading(int status, bool hedged)> head = [](int, bool) {
    return api::Reading::whole;
  };
  std::function<void(bool broke, std::string& out)> last = [](bool, std::string&) {};
  std::function<void(std::string_view bytes, std::string& out)> piece =
      [](std::string_view bytes, std::string& out) { out += bytes; };
  std::function<std::vector<std::unique_ptr<api::Forward>>()> ended = [] {
    return std::vector<std::unique_ptr<api::Forward>>();
  };
  std::function<void()> whole = [] {};
  bool blocks = false;
  api::Response started{.content_type = "text/event-stream"};
};

class Planned final : public api::Forward {
 public:
  Planned(Plan plan, std::shared_ptr<Told> told, std::string prefix = "")
      : plan_(std::move(plan)), told_(std::move(told)), prefix_(std::move(prefix)) {}
  ~Planned() override { told_->add(prefix_ + "destroyed"); }

  api::Step next() override {
    told_->add(prefix_ + "next");
    return plan_.next(asked_++);
  }
  api::Reading head(int status, const http::Fields&, bool hedged) override {
    told_->add(prefix_ + (hedged ? "hedged:" : "head:") + std::to_string(status));
    return plan_.head(status, hedged);
  }
  bool blocks() const override { return plan_.blocks; }
  api::Response whole(http::Answer answer) override {
    told_->add(prefix_ + "whole");
    plan_.whole();
    return {.status = answer.status, .body = std::move(answer.body), .content_type = "text/plain"};
  }
  api::Response started() override {
    told_->add(prefix_ + "started");
    return plan_.started;
  }
  void piece(std::string_view bytes, std::string& out) override { plan_.piece(bytes, out); }
  void last(bool broke, std::string& out) override {
    told_->add(prefix_ + (broke ? "last:broke" : "last"));
    plan_.last(broke, out);
  }
  void failed(api::Fault fault, std::string_view detail) override {
    constexpr std::array names = {"refused", "timed_out", "broke", "too_large", "deadline"};
    told_->add(prefix_ + "failed:" + names[static_cast<std::size_t>(fault)]);
    EXPECT_EQ(detail.find("s3cret"), detail.npos);
    EXPECT_NE(detail.find("upstream model"), detail.npos);
  }
  std::vector<std::unique_ptr<api::Forward>> ended(api::Ending ending) override {
    constexpr std::array names = {"answered", "hung_up", "cut"};
    told_->add(prefix_ + "ended:" + names[static_cast<std::size_t>(ending)]);
    return plan_.ended();
  }

 private:
  const Plan plan_;
  const std::shared_ptr<Told> told_;
  const std::string prefix_;
  int asked_ = 0;
};

class ForwardTest : public ServerTest {
 protected:
  // POST /forward goes the planned way; GET and HEAD as well.
  void serve(Plan plan, ServerOptions options = {}) {
    plan_ = std::move(plan);
    std::vector<api::Route> routes;
    for (const char* method : {"POST", "GET", "HEAD"}) {
      api::Route route{.method = method, .path = "/forward", .permission = api::Permission::infer};
      route.forward = [this](const Call&, api::Request& request) {
        body_ = std::move(request.body);
        return std::make_shared<Planned>(plan_, told_);
      };
      routes.push_back(std::move(route));
    }
    start(std::move(options), std::move(routes));
  }
  void TearDown() override {
    if (server_) server_->stop();
    server_.reset();
    EXPECT_EQ(
        told_->count("destroyed"),
        told_->count("ended:answered") + told_->count("ended:hung_up") + told_->count("ended:cut"))
        << told_->all();
    EXPECT_EQ(metric("penstock_upstream_connections_in_use{"), 0);
  }

  void upstream(Scripted::Script script) {
    upstream_ = std::make_unique<Scripted>(std::move(script));
    endpoint_ = endpoint_of(upstream_->port());
  }
  // One that changes nothing else.
  std::shared_ptr<http::Endpoint> endpoint(std::function<void(http::Endpoint&)> change) {
    auto changed = std::make_shared<http::Endpoint>(*endpoint_);
    change(*changed);
    return changed;
  }
  api::Attempt attempt(std::shared_ptr<const http::Endpoint> endpoint = nullptr) {
    api::Attempt made;
    made.endpoint = endpoint ? std::move(endpoint) : endpoint_;
    made.request.target = "/chat";
    made.request.headers = {{"content-type", "application/json"}, {"host", "evil"}};
    made.request.body = "{\"a\":1}";
    made.deadline = clock_.now() + std::chrono::seconds(20);
    return made;
  }
  // One attempt, and then this.
  Plan once(std::string otherwise = "none") {
    Plan plan;
    plan.next = [this, otherwise](int asked) -> Plan::Step {
      if (asked == 0) return attempt();
      return api::Response{.status = 502, .body = otherwise};
    };
    return plan;
  }
  static Plan streamed(Plan plan) {
    plan.head = [](int, bool) { return api::Reading::pieces; };
    return plan;
  }
  double metric(const std::string& begins) const {
    double sum = 0;
    std::istringstream lines(metrics_.expose());
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with(begins)) sum += std::stod(line.substr(line.rfind(' ')));
    return sum;
  }
  // Once it has that value.
  void wait_for_metric(const std::string& begins, double value) {
    for (int at = 0; at < 3'000 && metric(begins) != value; ++at)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(metric(begins), value);
  }
  std::string call_text() const { return post("/forward", "{}"); }

  std::shared_ptr<Told> told_ = std::make_shared<Told>();
  std::unique_ptr<Scripted> upstream_;
  std::shared_ptr<http::Endpoint> endpoint_;
  Plan plan_;
  std::string body_;
};

}  // namespace penstock::net
