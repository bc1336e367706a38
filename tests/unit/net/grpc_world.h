// A server whose gRPC methods show what an edge does.
#pragma once

#include "tests/support/grpc_client.h"
#include "tests/unit/net/world.h"

namespace penstock::net {

class TestCall : public api::RpcCall {
 public:
  struct Asked {
    const Call& call;
    const api::Request& head;
    const std::string& message;
    std::function<void()>& after;
  };
  using Work = std::function<Result<std::string>(const Asked&)>;

  explicit TestCall(Work work) : work_(std::move(work)) {}
  Result<void> read(std::string_view message) override {
    if (message == "unreadable") return Error{Code::invalid_argument, "the message is no message"};
    message_ = message;
    return {};
  }
  bool is_brief(const Call&) const override { return true; }
  Result<void> run(const Call& call, const api::Request& head) override {
    answer_ = TRY(work_({call, head, message_, after}));
    return {};
  }
  std::size_t size() const override { return answer_.size(); }
  void tell(const std::string& error) override { answer_ = "error: " + error; }
  void write(char* to) const override { std::copy(answer_.begin(), answer_.end(), to); }

 private:
  const Work work_;
  std::string message_, answer_;
};

class GrpcTest : public ServerTest {
 protected:
  using Client = test::GrpcClient;
  using Place = api::Rpc::Place;

  // Before the gate, at which a worker may still be.
  void TearDown() override { server_.reset(); }

  static api::Rpc rpc_of(std::string path, Place place, TestCall::Work work) {
    return {.path = std::move(path),
            .permission = api::Permission::read,
            .place = place,
            .open = [work = std::move(work)] { return std::make_unique<TestCall>(work); }};
  }

  std::vector<api::Rpc> rpcs() {
    const auto echo = [](const TestCall::Asked& asked) -> Result<std::string> {
      return asked.message;
    };
    const auto zeros = [](const TestCall::Asked& asked) -> Result<std::string> {
      return std::string(std::stoul(asked.message), '0');
    };
    const auto who = [](const TestCall::Asked& asked) -> Result<std::string> {
      const std::string* color = asked.head.header("x-color");
      return asked.call.actor + " " + (color ? *color : "") + " " + asked.call.request_id;
    };
    const auto refuses = [](const TestCall::Asked&) -> Result<std::string> {
      return Error{Code::not_found, "no größe: 100%"};
    };
    const auto breaks = [](const TestCall::Asked&) -> Result<std::string> {
      throw std::runtime_error("as planned");
    };
    const auto wait = [this](const TestCall::Asked& asked) -> Result<std::string> {
      gate_.wait();
      return asked.message;
    };
    const auto count = [this](const TestCall::Asked& asked) -> Result<std::string> {
      if (++counted_ == 1) asked.after = [this] { after_.set_value(); };
      return asked.message;
    };
    // What its message says.
    const auto does = [=](const TestCall::Asked& asked) -> Result<std::string> {
      if (asked.message == "wait") return wait(asked);
      if (asked.message == "refuse") return refuses(asked);
      if (asked.message == "break") return breaks(asked);
      if (asked.message == "count") return count(asked);
      if (asked.message.starts_with("zeros "))
        return std::string(std::stoul(asked.message.substr(6)), '0');
      return asked.message;
    };
    const auto streams = [&](std::string path, Place place) {
      api::Rpc out = rpc_of(std::move(path), place, does);
      out.is_stream = true;
      return out;
    };
    return {streams("/test/Stream", Place::worker),
            streams("/test/StreamBrief", Place::brief),
            streams("/test/StreamLoop", Place::loop),
            rpc_of("/test/Echo", Place::worker, echo),
            rpc_of("/test/EchoLoop", Place::loop, echo),
            rpc_of("/test/EchoBrief", Place::brief, echo),
            rpc_of("/test/Zeros", Place::worker, zeros),
            rpc_of("/test/Who", Place::loop, who),
            rpc_of("/test/Refuses", Place::worker, refuses),
            rpc_of("/test/Breaks", Place::loop, breaks),
            rpc_of("/test/Wait", Place::worker, wait),
            rpc_of("/test/Count", Place::worker, count)};
  }

  void start_grpc(ServerOptions options = {}) {
    options.grpc = "127.0.0.1:0";
    start(options, {}, rpcs());
  }
  void expect_grpc_alive() {
    Client client(server_->grpc_address());
    const auto answer = client.call("/test/Echo", "here");
    EXPECT_EQ(answer.code, 0);
    EXPECT_EQ(answer.message, "here");
  }

  Gate gate_;
  std::atomic<int> counted_{0};
  std::promise<void> after_;
};

}  // namespace penstock::net
