// A log over another one, that tests change where it matters to them.
#pragma once

#include "ports/log.h"

namespace penstock::test {

class LogOver : public events::Log {
 public:
  explicit LogOver(events::Log& real) : real_(real) {}

  Result<std::vector<std::int64_t>> append(const std::vector<events::Append>& records,
                                           kv::Durability durability) override {
    return real_.append(records, durability);
  }
  Result<std::vector<std::int64_t>> commit(const events::Step& step, std::int64_t from,
                                           kv::Durability durability) override {
    return real_.commit(step, from, durability);
  }
  Result<std::vector<events::Record>> read(std::string_view topic, std::int64_t offset,
                                           std::size_t count) override {
    return real_.read(topic, offset, count);
  }
  Result<std::int64_t> end(std::string_view topic) override { return real_.end(topic); }
  bool wait(std::string_view topic, std::int64_t offset, Micros limit) override {
    return real_.wait(topic, offset, limit);
  }
  Result<std::int64_t> position(std::string_view group, std::string_view topic) override {
    return real_.position(group, topic);
  }
  Result<std::optional<std::string>> state(std::string_view group, std::string_view key) override {
    return real_.state(group, key);
  }
  Result<void> truncate(std::string_view topic, std::int64_t offset) override {
    return real_.truncate(topic, offset);
  }
  Result<events::Extent> extent(std::string_view topic) override { return real_.extent(topic); }
  Result<std::int64_t> bytes(std::string_view topic, std::int64_t from, std::int64_t to) override {
    return real_.bytes(topic, from, to);
  }
  Result<bool> reclaim(std::string_view topic) override { return real_.reclaim(topic); }

 private:
  events::Log& real_;
};

}  // namespace penstock::test
