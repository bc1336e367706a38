#pragma once

#include <optional>
#include <type_traits>
#include <utility>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace penstock::net {

namespace asio = boost::asio;

// Runs a blocking function on a pool and resumes the caller's coroutine on the executor it left.
template <class Work>
asio::awaitable<std::invoke_result_t<Work>> run_on(asio::thread_pool& pool, Work work) {
  using Out = std::optional<std::invoke_result_t<Work>>;  // Asio wants a default-constructible type
  auto job = [](Work body) -> asio::awaitable<Out> { co_return body(); };
  auto running = job(std::move(work));
  Out out = co_await asio::co_spawn(pool, std::move(running), asio::use_awaitable);
  co_return std::move(*out);
}

}  // namespace penstock::net
