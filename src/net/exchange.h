// One request to another server and its answer.
#pragma once

#include "net/answer_reader.h"
#include "net/pool.h"

namespace penstock::net {

class Exchange final : public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(Pool& pool, Kept& kept, std::shared_ptr<const http::Endpoint> endpoint,
           http::Request request, Instant deadline, Receiver& receiver);
  ~Exchange() { close(); }
  Exchange(const Exchange&) = delete;

  // Nobody waits for it any more. Its connection is closed if the answer is not whole.
  void close();
  // Stops to read the answer's body, and goes on.
  void pause();
  void resume();

  // For the pool.
  void start();
  void readable();
  void writable();
  void look_at(Instant now);  // whether it is late
  void fail(api::Fault fault, std::string_view what, bool busy = false);

 private:
  enum class Phase { waiting, resolving, connecting, handshake, sending, head, body, over };

  void fail_later(api::Fault fault, std::string what, bool busy = false);
  std::string checked_head() const;
  void open();
  void resolve();
  void connect(std::vector<asio::ip::tcp::endpoint> addresses);
  void connect_next();
  void connected(const boost::system::error_code& fault);
  void shake_hands();
  void use(std::shared_ptr<Connection> connection);
  void write();
  bool take(std::string_view bytes);
  void ended(Connection::Io how);
  void done(bool reusable);
  void replace();
  void leave();
  void enter(Phase phase, Micros limit);
  std::string_view late_text() const;

  Pool* pool_;
  Kept* kept_;
  const std::shared_ptr<const http::Endpoint> endpoint_;
  http::Request request_;
  std::string head_;
  Receiver* receiver_;
  std::shared_ptr<Connection> connection_;
  std::vector<asio::ip::tcp::endpoint> addresses_;
  std::size_t address_at_ = 0;
  AnswerReader reader_;
  const Instant deadline_;
  Instant limit_, connect_by_;
  std::list<Exchange*>::iterator place_;
  std::size_t sent_ = 0;
  Phase phase_ = Phase::waiting;
  bool reused_ = false, replaced_ = false, got_any_ = false, all_sent_ = false, paused_ = false;
};

}  // namespace penstock::net
