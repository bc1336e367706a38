#include "adapters/redis/servers.h"

#include <algorithm>
#include <charconv>
#include <thread>

namespace penstock::redis {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr int turns_max = 32;
constexpr milliseconds pause_step{5}, pause_max{200};

constexpr auto crc_table = [] {
  std::array<std::uint16_t, 256> table{};
  for (unsigned at = 0; at < 256; ++at) {
    unsigned crc = at << 8;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
    table[at] = static_cast<std::uint16_t>(crc);
  }
  return table;
}();

// "MOVED 3999 127.0.0.1:6381"; no host means the one that was asked.
std::optional<Server> target_of(std::string_view text, const Server& asked) {
  const std::size_t space = text.rfind(' '), colon = text.rfind(':');
  if (space == std::string_view::npos || colon == std::string_view::npos || colon <= space)
    return {};
  Server out{std::string(text.substr(space + 1, colon - space - 1)), 0};
  if (out.host.empty() || out.host == "?") out.host = asked.host;
  const auto [end, wrong] =
      std::from_chars(text.data() + colon + 1, text.data() + text.size(), out.port);
  if (wrong != std::errc{} || end != text.data() + text.size()) return {};
  return out;
}

// Until it is worth asking again: longer each time, and never past the deadline.
void pause(int turn, Deadline until) {
  const auto end = Steady::now() + std::min(pause_step * (turn + 1), pause_max);
  std::this_thread::sleep_until(std::min(end, until));
}

bool comes_back(std::string_view text) {
  for (const char* word : {"CLUSTERDOWN", "TRYAGAIN", "LOADING", "MASTERDOWN", "READONLY", "BUSY "})
    if (text.starts_with(word)) return true;
  return false;
}

}  // namespace

std::size_t slot_of(std::string_view key) {
  if (const std::size_t open = key.find('{'); open != std::string_view::npos) {
    const std::size_t close = key.find('}', open + 1);
    if (close != std::string_view::npos && close > open + 1)
      key = key.substr(open + 1, close - open - 1);
  }
  unsigned crc = 0;
  for (const char byte : key)
    crc = (crc << 8 & 0xffff) ^ crc_table[(crc >> 8 ^ static_cast<unsigned char>(byte)) & 0xff];
  return crc % slot_count;
}

// What became of the commands that were sent in one turn.
struct Servers::Turn {
  std::vector<Open> again;
  std::optional<Error> why;  // the last reason for `again` that is none of the map's
  bool map_is_old = false, wait = false;
};

Servers::Servers(Options options, Tls tls) : options_(std::move(options)), tls_(std::move(tls)) {}

Patience Servers::reading() const { return {Steady::now() + options_.read_time, false, true}; }
Patience Servers::writing(bool repeats) const {
  return {Steady::now() + options_.write_time, true, repeats};
}

std::shared_ptr<Node> Servers::node(const Server& server) {
  const std::lock_guard hold(turn_);
  auto& found = nodes_[server];
  if (!found) found = std::make_shared<Node>(options_, server, tls_);
  return found;
}

Servers::Map Servers::known() {
  const std::lock_guard hold(turn_);
  return map_;
}

Result<Reply> Servers::ask(const Server& server, std::string_view text, const Patience& patience) {
  for (int turn = 0;; ++turn) {
    Node::Lease lease = TRY(Node::take(node(server), patience));
    auto went = (*lease).send(text, patience.until);
    auto reply = went ? (*lease).receive(patience.until) : Result<Reply>(went.error());
    if (!reply) {
      lease.fail(reply.error(), patience.until);
      if (turn > 0) return reply.error();
      continue;
    }
    lease.keep();
    if ((*reply)->type == REDIS_REPLY_ERROR) return fault(server, text_of(**reply));
    return reply;
  }
}

Result<Servers::Map> Servers::slots_from(const Server& server, const Patience& patience) {
  const auto reply = ask(server, command({"CLUSTER", "SLOTS"}), patience);
  if (!reply) {
    if (reply.error().message.find("cluster support disabled") != std::string::npos)
      return Error{Code::failed_precondition,
                   "Redis at " + server.text() + " is no cluster; write redis:// in online_store"};
    return reply.error();
  }
  auto map = std::make_shared<Slots>();
  map->owner.fill(-1);
  for (std::size_t i = 0; i < (*reply)->elements; ++i) {
    const redisReply& range = *(*reply)->element[i];
    if (range.type != REDIS_REPLY_ARRAY || range.elements < 3) continue;
    const redisReply& master = *range.element[2];
    if (master.type != REDIS_REPLY_ARRAY || master.elements < 2) continue;
    const redisReply& host = *master.element[0];
    Server owner{host.type == REDIS_REPLY_STRING ? std::string(text_of(host)) : "",
                 static_cast<int>(master.element[1]->integer)};
    if (owner.host.empty() || owner.host == "?") owner.host = server.host;
    const auto place = std::find(map->servers.begin(), map->servers.end(), owner);
    const auto at = static_cast<std::int16_t>(place - map->servers.begin());
    if (place == map->servers.end()) map->servers.push_back(owner);
    const std::int64_t first = std::max<std::int64_t>(0, range.element[0]->integer);
    for (auto slot = static_cast<std::size_t>(first);
         slot < slot_count && static_cast<std::int64_t>(slot) <= range.element[1]->integer; ++slot)
      map->owner[slot] = at;
  }
  if (map->servers.empty()) return gone(server, "knows of no server that has keys");
  return Map(std::move(map));
}

// Whoever comes while another asks takes what that one found.
Result<Servers::Map> Servers::refresh(const Map& old, const Patience& patience) {
  const std::lock_guard one(refreshing_);
  if (auto now = known(); now && now != old) return now;
  std::vector<Server> asked;
  if (old) asked = old->servers;
  for (const Server& server : options_.servers)
    if (std::find(asked.begin(), asked.end(), server) == asked.end()) asked.push_back(server);
  std::optional<Error> why;
  Patience share = patience;
  share.waits = false;
  for (std::size_t at = 0; at < asked.size(); ++at) {
    // One that hangs must not take the time of those that do not.
    const auto left = patience.until - Steady::now();
    share.until = Steady::now() + left / static_cast<std::int64_t>(asked.size() - at);
    auto found = slots_from(asked[at], share);
    if (!found) {
      if (!why || found.error().code != Code::unavailable) why = found.error();
      continue;
    }
    Map map = std::move(found).take();
    const std::lock_guard hold(turn_);
    map_ = map;
    std::erase_if(nodes_, [&](const auto& node) {
      return std::find(map->servers.begin(), map->servers.end(), node.first) ==
                 map->servers.end() &&
             std::find(asked.begin(), asked.end(), node.first) == asked.end();
    });
    return map;
  }
  return *why;
}

Result<Servers::Map> Servers::find(const Patience& patience) {
  if (auto map = known()) return map;
  for (int turn = 0;; ++turn) {
    auto found = refresh(nullptr, patience);
    if (found || !patience.waits || found.error().code != Code::unavailable ||
        Steady::now() >= patience.until)
      return found;
    pause(turn, patience.until);
  }
}

Result<Servers::Known> Servers::all(const Patience& patience) {
  if (!options_.cluster) return Known{options_.servers, {}};
  // What was found long ago may be old, and nobody would say so.
  const Map map = TRY(refresh(known(), patience));
  if (std::find(map->owner.begin(), map->owner.end(), -1) != map->owner.end())
    return gone(map->servers.front(), "is of a cluster that has lost slots");
  return Known{map->servers, {map->owner.begin(), map->owner.end()}};
}

Result<Server> Servers::owner(const Open& open, const Command& command, const Patience& patience) {
  if (!options_.cluster) return options_.servers.front();
  if (open.asked) return *open.asked;
  if (open.moved) return *open.moved;
  const Map map = TRY(find(patience));
  const auto at = map->owner[command.slot];
  // Whoever has it not says who has.
  return map->servers[at < 0 ? 0 : static_cast<std::size_t>(at)];
}

void Servers::send(const Server& server, Part& part, const std::vector<Command>& commands,
                   const Patience& patience) {
  auto lease = Node::take(node(server), patience);
  if (!lease) {
    part.failed = lease.error();
    return;
  }
  part.lease.emplace(std::move(lease).take());
  for (const Open& open : part.open) {
    if (open.asked) part.bytes += command({"ASKING"});
    part.bytes += commands[open.command].bytes;
  }
  const auto sent = (**part.lease).send(part.bytes, patience.until);
  if (!sent) part.failed = sent.error();
}

Result<void> Servers::receive(const Server& server, Part& part, Turn& turn,
                              std::vector<Reply>& replies, const Patience& patience) {
  std::size_t at = 0;
  for (; at < part.open.size() && !part.failed; ++at) {
    Open& open = part.open[at];
    auto reply = (**part.lease).receive(patience.until);
    if (reply && open.asked) reply = (**part.lease).receive(patience.until);
    if (!reply) {
      part.failed = reply.error();
      break;
    }
    Reply got = std::move(reply).take();
    if (got->type != REDIS_REPLY_ERROR) {
      replies[open.command] = std::move(got);
      continue;
    }
    const std::string_view text = text_of(*got);
    const bool moved = text.starts_with("MOVED "), asked = text.starts_with("ASK ");
    const auto target =
        options_.cluster && (moved || asked) ? target_of(text, server) : std::nullopt;
    if (target) {
      turn.map_is_old |= moved;
      turn.again.push_back(
          {open.command, moved ? target : std::nullopt, asked ? target : std::nullopt});
    } else if (comes_back(text) && (patience.waits || options_.cluster)) {
      turn.why = fault(server, text);
      turn.wait = true;
      turn.map_is_old |= options_.cluster;
      turn.again.push_back({open.command, {}, open.asked});
    } else {
      replies[open.command] = std::move(got);  // the caller's
    }
  }
  if (!part.failed) {
    part.lease->keep();
    return {};
  }
  const bool sent = part.lease.has_value();
  if (sent) part.lease->fail(*part.failed, patience.until);
  if (part.failed->code != Code::unavailable) return *part.failed;
  if (sent && !patience.repeats)
    return Error{part.failed->code,
                 part.failed->message + "; what was asked of it may have been done or not"};
  turn.why = part.failed;
  turn.map_is_old |= options_.cluster;
  turn.wait |= !sent;
  for (; at < part.open.size(); ++at) turn.again.push_back({part.open[at].command, {}, {}});
  return {};
}

Result<std::vector<Reply>> Servers::run(std::vector<Command> commands, const Patience& patience) {
  std::vector<Reply> replies(commands.size());
  std::vector<Open> open(commands.size());
  for (std::size_t i = 0; i < open.size(); ++i) open[i].command = i;
  for (int turns = 0; !open.empty(); ++turns) {
    std::map<Server, Part> parts;
    for (Open& one : open)
      parts[TRY(owner(one, commands[one.command], patience))].open.push_back(std::move(one));
    for (auto& [server, part] : parts) send(server, part, commands, patience);
    Turn turn;
    std::optional<Error> failed;
    for (auto& [server, part] : parts)
      if (const auto done = receive(server, part, turn, replies, patience); !done)
        failed = done.error();
    if (failed) return *failed;
    if (turn.again.empty()) break;
    const bool over = Steady::now() >= patience.until || (!turn.why && turns >= turns_max);
    // A read goes to a new connection once, where an old one had ended, in a cluster to the server
    // that has the key now, and no further.
    const bool hopeless = turn.why && !patience.waits && turns > (options_.cluster ? 1 : 0);
    if (over || hopeless || (turn.wait && !patience.waits && !options_.cluster))
      return turn.why ? *turn.why
                      : gone(parts.begin()->first, "sends its keys from server to server");
    if (turn.map_is_old) {
      const auto map = refresh(known(), patience);
      if (!map && !patience.waits) return turn.why ? *turn.why : map.error();
    }
    // The order of commands of one slot is kept: what came later goes later.
    std::sort(turn.again.begin(), turn.again.end(),
              [](const Open& a, const Open& b) { return a.command < b.command; });
    open = std::move(turn.again);
    if (!turn.wait) continue;
    const bool many = ++pausing_ > waiting_max;
    if (!many) pause(turns, patience.until);
    --pausing_;
    if (many) return *turn.why;
  }
  for (const Reply& reply : replies)
    if (reply->type == REDIS_REPLY_ERROR && !text_of(*reply).starts_with("NOSCRIPT"))
      return fault(options_.servers.front(), text_of(*reply));
  return replies;
}

}  // namespace penstock::redis
