#include "net/pool.h"

#include <algorithm>

#include <boost/asio/post.hpp>

#include "net/exchange.h"
#include "net/ticks.h"

namespace penstock::net {
namespace {

constexpr std::size_t read_step = 64 << 10;
constexpr Micros tick_time = std::chrono::milliseconds(10);
constexpr Micros sweep_time = std::chrono::seconds(1);
// With nothing under way, the tick goes on for a while: it is dearer to start it for each request.
constexpr int quiet_ticks_max = 200;

}  // namespace

Pool::Pool(asio::io_context& loop, Origins& origins)
    : loop_(loop),
      origins_(origins),
      names_(loop, origins.options.names_max, origins.options.name_time),
      timer_(loop),
      buffer_(read_step) {
  origins_.join(*this);
}

Pool::~Pool() {
  origins_.leave(*this);
  while (!live_.empty()) live_.front()->close();
  for (const auto& [key, kept] : kept_)
    for (const auto& connection : kept->unused) connection->close();
}

Kept& Pool::kept_of(const std::shared_ptr<const http::Endpoint>& endpoint) {
  if (const auto known = known_.find(endpoint); known != known_.end()) return *known->second;
  std::unique_ptr<Kept>& place = kept_[key_of(*endpoint)];
  if (!place) place = std::make_unique<Kept>(Kept{.origin = origins_.find(*endpoint)});
  known_.emplace(endpoint, place.get());
  return *place;
}

std::shared_ptr<Exchange> Pool::send(std::shared_ptr<const http::Endpoint> endpoint,
                                     http::Request request, Instant deadline, Receiver& receiver) {
  Kept& kept = kept_of(endpoint);
  auto exchange = std::make_shared<Exchange>(*this, kept, std::move(endpoint), std::move(request),
                                             deadline, receiver);
  quiet_ticks_ = 0;
  tick_in(tick_time);
  exchange->start();
  return exchange;
}

void Pool::stop() {
  late_.clear();
  for (Exchange* exchange : live_) late_.push_back(exchange->shared_from_this());
  for (const auto& exchange : late_) exchange->fail(api::Fault::refused, "this server stops");
  late_.clear();
}

std::shared_ptr<Connection> Pool::take_unused(Kept& kept) {
  while (!kept.unused.empty()) {
    auto connection = std::move(kept.unused.back());
    kept.unused.pop_back();
    // What is sent on a connection that is closed already is lost, and what came on it unasked
    // would be taken for an answer.
    if (connection->is_open() && connection->is_quiet()) return connection;
    connection->close();
  }
  return nullptr;
}

void Pool::keep(Kept& kept, const std::shared_ptr<Connection>& connection) {
  connection->unused_since = about_now();
  kept.unused.push_back(connection);
  wait_read(connection);
}

// One wait at a time, and one is always under way on an unused connection, to see it closed.
void Pool::wait_read(const std::shared_ptr<Connection>& connection) {
  if (connection->reading) return;
  connection->reading = true;
  connection->socket.async_wait(asio::socket_base::wait_read,
                                [this, connection](const boost::system::error_code&) {
                                  connection->reading = false;
                                  if (!connection->is_open()) return;
                                  if (connection->user)
                                    connection->user->readable();
                                  else
                                    unused_readable(connection);
                                });
}

void Pool::wait_write(const std::shared_ptr<Connection>& connection) {
  if (connection->writing) return;
  connection->writing = true;
  connection->socket.async_wait(asio::socket_base::wait_write,
                                [connection](const boost::system::error_code&) {
                                  connection->writing = false;
                                  if (connection->is_open() && connection->user)
                                    connection->user->writable();
                                });
}

void Pool::unused_readable(const std::shared_ptr<Connection>& connection) {
  if (connection->is_quiet()) return wait_read(connection);
  connection->close();
  for (const auto& [key, kept] : kept_)
    if (kept->origin == connection->origin()) std::erase(kept->unused, connection);
}

void Pool::post_drop_unused(const std::shared_ptr<Origin>& origin) {
  asio::post(loop_, [this, origin] { drop_unused(*origin); });
}

void Pool::drop_unused(const Origin& origin) {
  for (const auto& [key, kept] : kept_) {
    if (kept->origin.get() != &origin || kept->unused.empty()) continue;
    kept->unused.front()->close();
    kept->unused.erase(kept->unused.begin());
  }
}

void Pool::tick_in(Micros step) {
  if (step >= ticks_in_) return;
  ticks_in_ = step;
  timer_.expires_after(step);  // ends a slower wait
  timer_.async_wait([this](const boost::system::error_code& fault) {
    if (fault) return;
    ticks_in_ = Micros::max();
    tick();
  });
}

// All time limits in one timer.
void Pool::tick() {
  const Instant now = std::chrono::steady_clock::now();
  late_.clear();
  for (Exchange* exchange : live_) late_.push_back(exchange->shared_from_this());
  for (const auto& exchange : late_) exchange->look_at(now);
  late_.clear();
  if (now >= next_sweep_) sweep(now);
  if (!live_.empty() || ++quiet_ticks_ < quiet_ticks_max)
    tick_in(tick_time);
  else if (!kept_.empty() || !known_.empty())
    tick_in(sweep_time);
}

// Closes what was not used for long, and forgets endpoints that nobody else knows.
void Pool::sweep(Instant now) {
  next_sweep_ = now + sweep_time;
  for (const auto& [key, kept] : kept_) {
    kept->origin->show();
    auto& unused = kept->unused;
    std::erase_if(unused, [&](const auto& connection) {
      if (connection->unused_since + origins_.options.keep_time > now) return false;
      connection->close();
      return true;
    });
  }
  std::erase_if(known_, [](const auto& one) { return one.first.use_count() == 1; });
  std::erase_if(kept_, [&](const auto& one) {
    const Kept& kept = *one.second;
    return kept.unused.empty() && kept.users == 0 &&
           std::none_of(known_.begin(), known_.end(),
                        [&](const auto& pair) { return pair.second == &kept; });
  });
}

}  // namespace penstock::net
