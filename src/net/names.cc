#include "net/names.h"

#include <algorithm>

namespace penstock::net {
namespace {

constexpr std::size_t addresses_max = 16;

std::string key_of(const std::string& host, const std::string& port) { return host + " " + port; }

}  // namespace

const Names::Addresses* Names::known(const std::string& host, const std::string& port) {
  const auto entry = entries_.find(key_of(host, port));
  if (entry == entries_.end() || entry->second.addresses.empty() ||
      entry->second.good_until < std::chrono::steady_clock::now())
    return nullptr;
  return &entry->second.addresses;
}

void Names::make_room() {
  if (entries_.size() < most_) return;
  const Instant now = std::chrono::steady_clock::now();
  std::erase_if(entries_, [&](const auto& one) {
    return one.second.waiting.empty() && one.second.good_until < now;
  });
  for (auto at = entries_.begin(); at != entries_.end() && entries_.size() >= most_;)
    at = at->second.waiting.empty() ? entries_.erase(at) : std::next(at);
}

void Names::ask(const std::string& host, const std::string& port, Found found) {
  const std::string key = key_of(host, port);
  if (entries_.find(key) == entries_.end()) make_room();
  Entry& entry = entries_[key];
  entry.waiting.push_back(std::move(found));
  if (entry.waiting.size() > 1) return;
  resolver_.async_resolve(host, port, [this, key](const auto& fault, const auto& results) {
    Addresses addresses;
    for (const auto& result : results)
      if (addresses.size() < addresses_max) addresses.push_back(result.endpoint());
    answer(key, fault, std::move(addresses));
  });
}

void Names::answer(const std::string& key, boost::system::error_code fault, Addresses addresses) {
  Entry& entry = entries_[key];
  if (fault && !entry.addresses.empty()) {
    fault = {};
    addresses = entry.addresses;
  }
  const std::vector<Found> waiting = std::exchange(entry.waiting, {});
  entry.addresses = addresses;
  entry.good_until = std::chrono::steady_clock::now() + good_for_;
  if (fault) entries_.erase(key);
  for (const Found& found : waiting) found(fault, addresses);
}

}  // namespace penstock::net
