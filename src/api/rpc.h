// A method of a gRPC service without its wire: services declare them, the edge finds, reads, runs
// and answers them.
#pragma once

#include "api/route.h"

namespace penstock::api {

// One call: its two messages and what is done between them. Used by one thread at a time.
class RpcCall {
 public:
  virtual ~RpcCall() = default;

  // Takes the request; invalid_argument where the bytes are no such message.
  virtual Result<void> read(std::string_view message) = 0;
  // Whether a method that is mostly brief may be so for this request.
  virtual bool is_brief(const Call& call) const = 0;
  // Makes the answer. `head` has the caller's metadata as its headers, and no body.
  virtual Result<void> run(const Call& call, const Request& head) = 0;
  virtual std::size_t size() const = 0;    // of the answer
  virtual void write(char* to) const = 0;  // so many bytes
  // Of a method with many messages: the answer that says the error, whether or not it was read.
  virtual void tell(const std::string&) {}

  // Runs on a worker after the answer was written: shadows, whose cost no caller may feel.
  std::function<void()> after;
};

struct Rpc {
  // Where it runs: what never waits on the event loop, what may wait on a worker. What is mostly
  // brief runs on the loop while it is seen to be.
  enum class Place { loop, brief, worker };

  std::string path;  // "/inference.GRPCInferenceService/ModelInfer"
  Permission permission = Permission::read;
  Place place = Place::worker;
  std::function<std::unique_ptr<RpcCall>()> open = {};
  // Messages both ways for as long as the caller likes: each is a call of its own, answered in its
  // turn, and its error is its answer.
  bool is_stream = false;
};

}  // namespace penstock::api
