// Which server has a key, and asking it: one server, or those of a cluster.
#pragma once

#include <array>
#include <atomic>
#include <map>

#include "adapters/redis/node.h"

namespace penstock::redis {

inline constexpr std::size_t slot_count = 16'384;

// Of a key in a cluster: CRC16 of what stands in its first pair of braces, else of all of it.
std::size_t slot_of(std::string_view key);

struct Command {
  std::string bytes;     // as command() makes them
  std::size_t slot = 0;  // of its keys; a single server has them all
};

class Servers {
 public:
  Servers(Options options, Tls tls);

  // Each command's reply, in their order; none of them is an error. Commands that lie on one server
  // go to it together and in their order, those on several to all at once.
  Result<std::vector<Reply>> run(std::vector<Command> commands, const Patience& patience);
  Result<Reply> ask(const Server& server, std::string_view command, const Patience& patience);
  // All that have keys. `state` tells which of them has which.
  struct Known {
    std::vector<Server> servers;
    std::vector<std::int16_t> state;
  };
  Result<Known> all(const Patience& patience);

  const Options& options() const { return options_; }
  Patience reading() const;
  Patience writing(bool repeats) const;

 private:
  struct Slots {
    std::array<std::int16_t, slot_count> owner;  // in `servers`; below 0: nobody
    std::vector<Server> servers;
  };
  using Map = std::shared_ptr<const Slots>;
  // A command that is still to be answered, and where its last reply sent it.
  struct Open {
    std::size_t command = 0;
    std::optional<Server> moved, asked;
  };
  struct Part {
    std::vector<Open> open;
    std::string bytes;
    std::optional<Node::Lease> lease;
    std::optional<Error> failed;
  };
  struct Turn;

  std::shared_ptr<Node> node(const Server& server);
  Map known();
  Result<Map> find(const Patience& patience);
  Result<Map> refresh(const Map& old, const Patience& patience);
  Result<Map> slots_from(const Server& server, const Patience& patience);
  Result<Server> owner(const Open& open, const Command& command, const Patience& patience);
  void send(const Server& server, Part& part, const std::vector<Command>& commands,
            const Patience& patience);
  // What is left open after it.
  Result<void> receive(const Server& server, Part& part, Turn& turn, std::vector<Reply>& replies,
                       const Patience& patience);

  const Options options_;
  const Tls tls_;
  std::mutex turn_;
  std::map<Server, std::shared_ptr<Node>> nodes_;
  Map map_;
  std::mutex refreshing_;
  std::atomic<int> pausing_ = 0;
};

}  // namespace penstock::redis
