// The way of one gRPC call: method, who asks, read, run, write. It has no connection.
#pragma once

#include <atomic>
#include <unordered_map>

#include "api/rpc.h"
#include "base/pace.h"
#include "net/rpc_wire.h"
#include "net/server.h"

namespace penstock::net {

// One call on its way, or one message of a call that has many. The loop has it until a worker takes
// it, and again when it is back.
struct RpcJob {
  std::size_t method = 0;  // among the edge's, once it is admitted
  std::string path;
  api::Request head;
  std::string encoding;  // of packed messages
  Call call;
  bool is_packed = false;
  std::string message;
  std::unique_ptr<api::RpcCall> work;
  RpcStatus status;
  std::unique_ptr<char[]> answer;  // with its prefix
  std::size_t answer_size = 0;
  std::size_t held = 0;              // bytes of it that its connection counts
  bool is_done = false;              // its answer is there
  std::atomic<bool> is_gone{false};  // nobody waits for it any more
};

class RpcEdge {
 public:
  RpcEdge(std::vector<api::Rpc> methods, Authorize authorize, const ServerOptions& options,
          const Clock& clock);

  // Finds the method, the deadline and who asks. Never waits.
  RpcStatus admit(RpcJob& job) const;
  // Of an admitted call: whether each of its messages is a call of its own.
  bool is_stream(const RpcJob& job) const { return methods_[job.method].is_stream; }
  // One message of such a call: with an id and a deadline of its own, and asked again who asks.
  RpcStatus admit_message(const RpcJob& whole, RpcJob& job) const;
  // Whether the answer may be made on the event loop; reads the message where that is short. Where
  // that fails the job has its status and is to be answered.
  bool is_short(RpcJob& job) const;
  // Makes the answer or the status, which is the answer of a stream's message. Blocks as the method
  // does; throws nothing.
  void answer(RpcJob& job) const;

 private:
  Result<void> unpack_and_read(RpcJob& job) const;
  Result<void> run(RpcJob& job) const;
  Result<void> write(RpcJob& job) const;
  Result<void> tell(RpcJob& job) const;
  void note(const RpcJob& job) const;
  template <class Work>
  RpcStatus guarded(const RpcJob& job, Work work) const;

  const std::vector<api::Rpc> methods_;
  const std::unique_ptr<Pace[]> paces_;  // as the methods
  std::unordered_map<std::string_view, std::size_t> by_path_;
  const Authorize authorize_;
  const ServerOptions& options_;
  const Clock& clock_;
};

}  // namespace penstock::net
