#include "net/origin.h"

#include <algorithm>

#include "net/pool.h"
#include "net/tls.h"

namespace penstock::net {
namespace {

std::string address_of(const http::Endpoint& endpoint) {
  const bool is_v6 = endpoint.host.find(':') != std::string::npos;
  std::string out = is_v6 ? "[" + endpoint.host + "]" : endpoint.host;
  if (endpoint.port != (endpoint.tls ? "443" : "80")) out += ":" + endpoint.port;
  return out;
}

constexpr std::array fault_names = {"refused", "timed_out", "broke", "too_large", "deadline"};

}  // namespace

std::string key_of(const http::Endpoint& endpoint) {
  std::string key;
  for (const std::string* part :
       {&endpoint.name, &endpoint.host, &endpoint.port, &endpoint.ca_file})
    (key += *part) += '\n';
  return key += endpoint.tls ? "tls" : "plain";
}

Origin::Origin(Metrics& metrics, const http::Endpoint& endpoint,
               std::shared_ptr<boost::asio::ssl::context> trusted, std::string trust_fault)
    : name(endpoint.name),
      address(address_of(endpoint)),
      tls(std::move(trusted)),
      tls_fault(std::move(trust_fault)),
      open_gauge_(metrics.gauge("penstock_upstream_connections", "Open connections to an upstream",
                                {{"upstream", name}, {"address", address}})),
      in_use_gauge_(metrics.gauge("penstock_upstream_connections_in_use",
                                  "Connections to an upstream that carry a request",
                                  {{"upstream", name}, {"address", address}})),
      attempts_(metrics.counter("penstock_upstream_attempts_total", "Requests sent to an upstream",
                                {{"upstream", name}, {"address", address}})) {
  for (std::size_t at = 0; at < faults_.size(); ++at)
    faults_[at] = &metrics.counter(
        "penstock_upstream_faults_total", "Requests to an upstream without a whole answer",
        {{"upstream", name}, {"address", address}, {"fault", fault_names[at]}});
}

bool Origin::open(std::size_t most) {
  const bool fits = ++open_ <= most;
  if (!fits) --open_;
  show();
  return fits;
}

void Origin::closed() { --open_, show(); }

std::size_t Origin::unused() const {
  const std::size_t open_now = open_, used = in_use_;
  return open_now > used ? open_now - used : 0;
}

std::shared_ptr<boost::asio::ssl::context> Origins::trusted(const std::string& ca_file,
                                                            std::string& fault) {
  auto& kept = trusted_[ca_file];
  if (kept) return kept;
  auto made = std::make_shared<boost::asio::ssl::context>(boost::asio::ssl::context::tls_client);
  if (const auto broke = trust(*made, ca_file)) {
    fault = "its ca_file " + ca_file + " cannot be read: " + broke.message();
    return nullptr;  // the file may be mended
  }
  return kept = std::move(made);
}

std::shared_ptr<Origin> Origins::find(const http::Endpoint& endpoint) {
  const std::lock_guard lock(turn_);
  std::weak_ptr<Origin>& place = origins_[key_of(endpoint)];
  if (auto kept = place.lock()) return kept;
  std::string fault;
  auto context = endpoint.tls ? trusted(endpoint.ca_file, fault) : nullptr;
  auto made = std::make_shared<Origin>(metrics_, endpoint, std::move(context), std::move(fault));
  place = made;
  std::erase_if(origins_, [](const auto& one) { return one.second.expired(); });
  return made;
}

void Origins::join(Pool& pool) {
  const std::lock_guard lock(turn_);
  pools_.push_back(&pool);
}

void Origins::leave(Pool& pool) {
  const std::lock_guard lock(turn_);
  std::erase(pools_, &pool);
}

void Origins::make_room(const Pool& asking, const std::shared_ptr<Origin>& origin) {
  const std::lock_guard lock(turn_);
  for (Pool* pool : pools_)
    if (pool != &asking) pool->post_drop_unused(origin);
}

}  // namespace penstock::net
