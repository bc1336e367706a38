// The way of one gRPC call: method, who asks, read, run, write. It has no connection.
#pragma once

#include <atomic>
#include <unordered_map>

#include "api/rpc.h"
#include "base/pace.h"
#include "net/rpc_wire.h"
#include "net/server.h"

namespace penstock::net {

// One call on its way. The loop has it until a worker takes it, and again when it is back.
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
  std::atomic<bool> is_gone{false};  // nobody waits for it any more
};

class RpcEdge {
 public:
  RpcEdge(std::vector<api::Rpc> methods, Authorize authorize, const ServerOptions& options,
          const Clock& clock);

  // Finds the method, the deadline and who asks. Never waits.
  RpcStatus admit(RpcJob& job) const;
  // Whether the answer may be made on the event loop; reads the message where that is short. Where
  // that fails the job has its status and is to be answered.
  bool is_short(RpcJob& job) const;
  // Makes the answer or the status. Blocks as the method does; throws nothing.
  void answer(RpcJob& job) const;

 private:
  Result<void> unpack_and_read(RpcJob& job) const;
  Result<void> run(RpcJob& job) const;
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
