// The key-value port: a script, or SET, for what is written, GET and MGET for what is read.
#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <openssl/sha.h>

#include "adapters/redis/servers.h"

namespace penstock::redis {
namespace {

constexpr std::size_t keys_at_once = 500, page = 2'000;
constexpr std::size_t scan_keys_max = 10'000'000, scan_bytes_max = std::size_t{1} << 30;
constexpr int scan_tries = 3;

// Of one key alone. A script that writes twice is a transaction in Redis's log, and a Redis whose
// default user is off refuses transactions when it reads that log again (7.0 does): what it had
// acknowledged would be gone.
constexpr std::string_view swap_script =
    R"(if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('DEL', KEYS[1]) end
return 1)";
// Of keys that are written together: two words for each.
constexpr std::string_view write_script = R"(for i = 1, #KEYS do
  if ARGV[2 * i - 1] == 's' then redis.call('SET', KEYS[i], ARGV[2 * i])
  else redis.call('DEL', KEYS[i]) end
end
return 1)";

// Of a key in glob patterns: itself and nothing else.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '*' || c == '?' || c == '[' || c == ']' || c == '\\' || c == '^' || c == '-')
      out += '\\';
    out += c;
  }
  return out;
}

// What all keys of [begin, end) begin with.
std::string shared_prefix(std::string_view begin, std::string_view end) {
  if (end.empty()) return "";
  const auto [at, other] = std::mismatch(begin.begin(), begin.end(), end.begin(), end.end());
  std::string out(begin.begin(), at);
  // "ab" to "ac" holds what begins with "ab".
  if (at != begin.end() && other != end.end() && other + 1 == end.end() &&
      static_cast<unsigned char>(*at) + 1 == static_cast<unsigned char>(*other))
    out += *at;
  return out;
}

// How Redis names a script that it knows.
std::string name_of_script(std::string_view script) {
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
  SHA1(reinterpret_cast<const unsigned char*>(script.data()), script.size(), digest.data());
  std::string out;
  for (const unsigned char byte : digest)
    for (const int half : {byte >> 4, byte & 15}) out += "0123456789abcdef"[half];
  return out;
}

std::optional<std::string> value_of(const redisReply& reply) {
  if (reply.type != REDIS_REPLY_STRING) return {};
  return std::string(text_of(reply));
}

class Store final : public kv::Store {
 public:
  Store(const Options& options, Tls tls)
      : servers_(options, std::move(tls)), prefix_(options.prefix + "{}:") {}

  Result<std::optional<std::string>> get(std::string_view key) override {
    auto values = TRY(multi_get({std::string(key)}));
    return std::move(values.front());
  }

  Result<std::vector<std::optional<std::string>>> multi_get(
      const std::vector<std::string>& keys) override {
    std::vector<std::optional<std::string>> out;
    out.reserve(keys.size());
    for (std::size_t begin = 0; begin < keys.size(); begin += page)
      TRY(get_page(std::span(keys).subspan(begin, std::min(page, keys.size() - begin)), out));
    return out;
  }

  Result<void> write(const kv::Batch& batch, kv::Durability) override {
    TRY(kv::check_limits(batch));
    std::map<std::size_t, std::vector<const kv::Batch::Write*>> slots;
    for (const kv::Batch::Write& write : batch.writes)
      slots[slot(stored(write.key))].push_back(&write);
    std::vector<Command> commands;
    for (const auto& [slot, writes] : slots) commands.push_back({write_of(writes), slot});
    for (const Reply& reply : TRY(servers_.run(std::move(commands), servers_.writing(true))))
      if (reply->type == REDIS_REPLY_ERROR)
        return gone(servers_.options().servers.front(), "lost a script that it was sent");
    return {};
  }

  Result<std::vector<std::size_t>> swap(const std::vector<kv::Swap>& swaps,
                                        kv::Durability) override {
    TRY(kv::check_limits(swaps));
    std::vector<std::size_t> open(swaps.size()), lost;
    for (std::size_t i = 0; i < open.size(); ++i) open[i] = i;
    for (const bool by_name : {true, false}) {
      if (open.empty()) break;
      std::vector<Command> commands;
      commands.reserve(open.size());
      for (const std::size_t at : open) commands.push_back(swap_of(swaps[at], by_name));
      const auto replies = TRY(servers_.run(std::move(commands), servers_.writing(false)));
      std::vector<std::size_t> unknown;  // where the script was not known
      for (std::size_t i = 0; i < open.size(); ++i) {
        if (replies[i]->type == REDIS_REPLY_ERROR)
          unknown.push_back(open[i]);
        else if (!is_done(swaps[open[i]], *replies[i]))
          lost.push_back(open[i]);
      }
      open = std::move(unknown);
    }
    std::sort(lost.begin(), lost.end());
    return lost;
  }

  Result<void> scan(std::string_view begin, std::string_view end,
                    const std::function<bool(std::string_view, std::string_view)>& visit) override {
    if (!end.empty() && end <= begin) return {};
    const auto keys = TRY(keys_in(begin, end));
    for (std::size_t at = 0; at < keys.size(); at += page) {
      const auto some = std::span(keys).subspan(at, std::min(page, keys.size() - at));
      std::vector<std::optional<std::string>> values;
      TRY(get_page(some, values));
      for (std::size_t i = 0; i < some.size(); ++i)
        if (values[i] && !visit(some[i], *values[i])) return {};
    }
    return {};
  }

 private:
  bool cluster() const { return servers_.options().cluster; }
  std::size_t slot(std::string_view stored) const { return cluster() ? slot_of(stored) : 0; }
  std::string stored(std::string_view key) const { return prefix_ + std::string(key); }

  Result<void> get_page(std::span<const std::string> keys,
                        std::vector<std::optional<std::string>>& out) {
    const bool single = cluster() || keys.size() == 1;
    std::vector<Command> commands;
    for (std::size_t at = 0; at < keys.size(); at += single ? 1 : keys_at_once) {
      std::vector<std::string> names;
      for (std::size_t i = at; i < std::min(keys.size(), single ? at + 1 : at + keys_at_once); ++i)
        names.push_back(stored(keys[i]));
      std::vector<std::string_view> words{single ? "GET" : "MGET"};
      words.insert(words.end(), names.begin(), names.end());
      commands.push_back({command(words), slot(names.front())});
    }
    for (const Reply& reply : TRY(servers_.run(std::move(commands), servers_.reading()))) {
      if (single)
        out.push_back(value_of(*reply));
      else
        for (std::size_t i = 0; i < reply->elements; ++i)
          out.push_back(value_of(*reply->element[i]));
    }
    return {};
  }

  std::string write_of(const std::vector<const kv::Batch::Write*>& writes) const {
    if (writes.size() == 1) {
      const kv::Batch::Write& one = *writes.front();
      return one.value ? command({"SET", stored(one.key), *one.value})
                       : command({"DEL", stored(one.key)});
    }
    std::vector<std::string> keys;
    for (const kv::Batch::Write* one : writes) keys.push_back(stored(one->key));
    const std::string count = std::to_string(keys.size());
    std::vector<std::string_view> words = {"EVAL", write_script, count};
    words.insert(words.end(), keys.begin(), keys.end());
    for (const kv::Batch::Write* one : writes) {
      words.push_back(one->value ? "s" : "d");
      words.push_back(one->value ? std::string_view(*one->value) : std::string_view());
    }
    return command(words);
  }

  Command swap_of(const kv::Swap& swap, bool by_name) const {
    const std::string key = stored(swap.key);
    const std::size_t at = slot(key);
    if (!swap.expected && swap.value) return {command({"SET", key, *swap.value, "NX"}), at};
    if (!swap.expected) return {command({"EXISTS", key}), at};
    std::vector<std::string_view> words = {by_name ? "EVALSHA" : "EVAL",
                                           by_name ? std::string_view(swap_name_) : swap_script,
                                           "1", key, *swap.expected};
    if (swap.value) words.push_back(*swap.value);
    return {command(words), at};
  }
  static bool is_done(const kv::Swap& swap, const redisReply& reply) {
    if (!swap.expected && swap.value) return reply.type == REDIS_REPLY_STATUS;
    return reply.integer == (swap.expected ? 1 : 0);
  }

  // Sorted; done anew where slots changed their server meanwhile. Keys that are just on their way
  // from one server to another may be missed.
  Result<std::vector<std::string>> keys_in(std::string_view begin, std::string_view end) {
    const std::string pattern = escaped(prefix_ + shared_prefix(begin, end)) + "*";
    for (int turn = 0; turn < scan_tries; ++turn) {
      const auto known = TRY(servers_.all(servers_.reading()));
      std::set<std::string> keys;
      std::size_t bytes = 0;
      for (const Server& server : known.servers) {
        std::string cursor = "0";
        do {
          const Reply reply =
              TRY(servers_.ask(server, command({"SCAN", cursor, "MATCH", pattern, "COUNT", "1000"}),
                               servers_.reading()));
          if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
            return gone(server, "gives no keys to SCAN");
          cursor = text_of(*reply->element[0]);
          const redisReply& found = *reply->element[1];
          for (std::size_t i = 0; i < found.elements; ++i) {
            std::string_view key = text_of(*found.element[i]);
            key.remove_prefix(std::min(prefix_.size(), key.size()));
            if (key >= begin && (end.empty() || key < end) && keys.emplace(key).second)
              bytes += key.size();
          }
          if (keys.size() > scan_keys_max || bytes > scan_bytes_max)
            return Error{Code::resource_exhausted,
                         "the online store holds more than 10,000,000 keys or 1 GB of them in what "
                         "was to be scanned"};
        } while (cursor != "0");
      }
      const auto after = TRY(servers_.all(servers_.reading()));
      if (after.state == known.state)
        return std::vector<std::string>(std::make_move_iterator(keys.begin()),
                                        std::make_move_iterator(keys.end()));
    }
    return Error{Code::unavailable,
                 "the cluster's servers changed while its keys were listed; ask again"};
  }

  Servers servers_;
  const std::string prefix_;
  const std::string swap_name_ = name_of_script(swap_script);
};

}  // namespace

Result<std::unique_ptr<kv::Store>> open(const Options& options) {
  if (options.servers.empty())
    return Error{Code::invalid_argument, "online_store must name at least one host"};
  Tls tls;
  if (options.tls) tls = TRY(make_tls(options));
  return std::unique_ptr<kv::Store>(std::make_unique<Store>(options, std::move(tls)));
}

}  // namespace penstock::redis
