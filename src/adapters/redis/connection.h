// One connection to one server: RESP over a socket, with TLS or without.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <hiredis/hiredis.h>
#include <openssl/ssl.h>

#include "adapters/redis/redis.h"

namespace penstock::redis {

using Deadline = std::chrono::steady_clock::time_point;

template <class T, void (*destroy)(T*)>
struct Destroy {
  void operator()(T* one) const { destroy(one); }
};
struct DestroyReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, DestroyReply>;
using Tls = std::shared_ptr<SSL_CTX>;  // none: without

std::string command(std::span<const std::string_view> words);
std::string command(std::initializer_list<std::string_view> words);

inline std::string_view text_of(const redisReply& reply) { return {reply.str, reply.len}; }

// What a reply of type error is to the caller.
Error fault(const Server& server, std::string_view text);
Error gone(const Server& server, const std::string& what);

Result<Tls> make_tls(const Options& options);

// For one thread at a time. After a failure it is of no more use.
class Connection {
 public:
  // Connected, and known to the server.
  static Result<std::unique_ptr<Connection>> open(const Options& options, const Server& server,
                                                  const Tls& tls, Deadline deadline);
  ~Connection();
  Connection(const Connection&) = delete;

  Result<void> send(std::string_view commands, Deadline deadline);
  // The next reply; one that is an error of the server's is a reply too.
  Result<Reply> receive(Deadline deadline);
  // Of one that lay idle: whether the other end is still there.
  bool usable() const;

 private:
  Connection(const Server& server, const Tls& tls);
  Result<void> connect(Deadline deadline);
  Result<void> shake_hands(Deadline deadline);
  Result<void> introduce(const Options& options, Deadline deadline);
  Result<short> wait(short events, Deadline deadline);
  Result<void> flush(Deadline deadline);
  // Takes what came, without waiting for it.
  Result<void> take();
  Result<void> decrypt();
  void encrypt();

  const Server server_;
  const Tls tls_;
  int socket_ = -1;
  std::unique_ptr<redisReader, Destroy<redisReader, redisReaderFree>> reader_;
  std::unique_ptr<SSL, Destroy<SSL, SSL_free>> ssl_;
  BIO *from_server_ = nullptr, *to_server_ = nullptr;  // ssl_'s
  std::string out_;                                    // not sent yet
  std::size_t sent_ = 0;
};

}  // namespace penstock::redis
