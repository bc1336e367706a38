// A server with routes that show what an edge does.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <charconv>
#include <future>
#include <sstream>
#include <thread>

#include "net/server.h"
#include "tests/support/fixture.h"
#include "tests/support/raw.h"

namespace penstock::net {

inline api::Route route_of(std::string method, std::string path,
                           std::function<api::Response(const Call&, const api::Request&)> handle,
                           bool on_loop = false) {
  return {.method = std::move(method),
          .path = std::move(path),
          .permission = api::Permission::read,
          .handle = std::move(handle),
          .on_loop = on_loop};
}

// A handler waits here until the test lets it go on.
struct Gate {
  std::promise<void> entered, opened;
  std::shared_future<void> open = opened.get_future().share();
  void wait() { entered.set_value(), open.wait(); }
};

class ServerTest : public ::testing::Test {
 protected:
  static std::string get(const std::string& path, const std::string& headers = "") {
    return "GET " + path + " HTTP/1.1\r\nHost: test\r\n" + headers + "\r\n";
  }
  static std::string post(const std::string& path, const std::string& body,
                          const std::string& headers = "") {
    return "POST " + path +
           " HTTP/1.1\r\nHost: test\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
           headers + "\r\n" + body;
  }

  static std::vector<api::Route> routes() {
    const auto echo = [](const Call&, const api::Request& request) {
      return api::Response{.body = request.body, .content_type = "text/plain"};
    };
    const auto path = [](const Call& call, const api::Request& request) {
      return api::Response{.body = *request.path_value("name") + " of " + call.actor};
    };
    const auto thread = [](const Call&, const api::Request&) {
      std::ostringstream out;
      out << std::this_thread::get_id();
      return api::Response{.body = out.str()};
    };
    const auto zeros = [](const Call&, const api::Request& request) {
      // Random bytes reach this handler too: what is no size counts as none.
      std::size_t size = 0;
      if (const std::string* asked = request.query_value("size"))
        std::from_chars(asked->data(), asked->data() + asked->size(), size);
      return api::Response{.body = std::string(std::min(size, std::size_t{1} << 26), '0')};
    };
    const auto breaks = [](const Call&, const api::Request&) -> api::Response {
      throw std::runtime_error("as planned");
    };
    const auto call = [](const Call& made, const api::Request&) {
      return api::Response{.body = made.request_id + " " + made.trace};
    };
    return {
        route_of("POST", "/echo", echo),         route_of("POST", "/echo/loop", echo, true),
        route_of("GET", "/things/{name}", path), route_of("GET", "/things/{name}/loop", path, true),
        route_of("GET", "/thread", thread),      route_of("GET", "/thread/loop", thread, true),
        route_of("GET", "/zeros", zeros),        route_of("GET", "/zeros/loop", zeros, true),
        route_of("GET", "/breaks", breaks),      route_of("GET", "/breaks/loop", breaks, true),
        route_of("GET", "/v2/breaks", breaks),   route_of("POST", "/v2/echo", echo),
        route_of("GET", "/call", call)};
  }

  // "X-Actor: nobody" is refused; everybody else is who they say.
  static Result<void> authorize(const api::Request& request, api::Permission, Call& call) {
    const std::string* actor = request.header("x-actor");
    call.actor = actor ? *actor : "user:ana";
    if (call.actor == "nobody") return Error{Code::unauthenticated, "who are you?"};
    return {};
  }

  void start(ServerOptions options = {}, std::vector<api::Route> more = {},
             std::vector<api::Rpc> rpcs = {}) {
    options.address = "127.0.0.1:0";
    auto all = routes();
    for (api::Route& one : more) all.push_back(std::move(one));
    server_ = std::make_unique<Server>(options, std::move(all), authorize, metrics_, clock_,
                                       nullptr, std::move(rpcs));
    test::must(server_->start());
  }

  test::RawAnswer ask(const std::string& bytes) {
    test::Raw raw(server_->address());
    raw.send(bytes);
    return raw.answer();
  }
  // Every 200 of a test ends with this: the server still lives.
  void expect_alive() { EXPECT_EQ(ask(get("/things/a")).status, 200); }

  Metrics metrics_;
  ManualClock clock_;
  std::unique_ptr<Server> server_;
};

}  // namespace penstock::net
