// A call that another server answers: what to send, and what to make of what comes back. The edge
// moves the bytes, without holding a worker; a Forward decides, and never waits.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "api/route.h"
#include "ports/http.h"

namespace penstock::api {

// One try at one endpoint.
struct Attempt {
  std::shared_ptr<const http::Endpoint> endpoint;
  http::Request request;
  Timestamp deadline;                   // of this try, its whole answer included
  Micros delay{};                       // to wait before it (a retry's pause)
  std::shared_ptr<Attempt> hedge = {};  // sent as well where no head has come after `hedge_after`
  Micros hedge_after{};                 // the first head wins, the other connection is closed
};
// Blocking work before an attempt, or in its place (a graph, a model in process): runs on a worker.
// What it returns is the answer; nothing: next() is asked again.
using Work = std::function<std::optional<Response>()>;
// Not yet (a queue is full): next() is asked again once `wake` was called, or at `until`. `on` is
// called once, and hands it to whoever will call it: once, on any thread, also before `on` returns,
// and never after ended().
struct Wait {
  Timestamp until;
  std::function<void(std::function<void()> wake)> on;
};
using Step = std::variant<Attempt, Work, Wait, Response>;

// What the answer's head decides.
enum class Reading {
  whole,   // read it all, then whole()
  pieces,  // pass it on piece by piece as it comes: started(), then piece()
  retry,   // this attempt has failed: close it and ask next() again
};
enum class Fault { refused, timed_out, broke, too_large, deadline };
// How the caller's side ended.
enum class Ending { answered, hung_up, cut };

// Used by one thread at a time, the connection's own loop; every function must be short. The order:
// next() ( head() ( whole() | piece()* last() ) | failed() next() )* ended(), exactly one ended().
class Forward {
 public:
  virtual ~Forward() = default;

  // The first attempt, or the next one after a failed one, or the answer to give in the place of
  // any. An attempt that has begun to answer the caller in pieces is never followed by another.
  virtual Step next() = 0;
  // The head of the attempt's answer; `hedged`: it is the hedge's.
  virtual Reading head(int status, const http::Fields& headers, bool hedged) = 0;
  // Asked after head(): whether whole(), piece() and last() may block, as where a model judges what
  // is answered. Then they run on a worker, one after the other.
  virtual bool blocks() const { return false; }
  // The answer to the caller, given all of the attempt's.
  virtual Response whole(http::Answer answer) = 0;
  // Reading::pieces: the head that the caller gets (its body stays empty).
  virtual Response started() = 0;
  // Appends to `out` what the caller gets for these bytes; may keep some back.
  virtual void piece(std::string_view bytes, std::string& out) = 0;
  // Asked after piece(): nothing that may follow is of use. The attempt is closed, so that it costs
  // no more, and last() comes.
  virtual bool over() const { return false; }
  // The stream is at its end, or broke there: appends what is left to say. Where it broke and
  // nothing is appended, the caller's connection ends short of the last chunk.
  virtual void last(bool broke, std::string& out) = 0;
  // No head came, or the answer broke before anything of it went to the caller.
  virtual void failed(Fault fault, std::string_view detail) = 0;
  // The caller has its answer or is gone (then the attempt is closed first). What to do after:
  // calls whose answers no caller sees. Each is driven like this one, alone; where there are too
  // many of them it only hears that it ended, as cut. After a function that threw nothing but this
  // is called.
  virtual std::vector<std::unique_ptr<Forward>> ended(Ending ending) = 0;
};

}  // namespace penstock::api
