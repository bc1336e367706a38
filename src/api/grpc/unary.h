// Joins a method of a service to the function that answers it, as route<In, Out> does for HTTP.
#pragma once

#include <google/protobuf/arena.h>

#include "api/rpc.h"

namespace penstock::api::grpc {

// What a method may ask of its call beside the messages.
struct Asked {
  const Call& call;
  const Request& head;           // metadata as headers
  std::size_t bytes = 0;         // of the request
  std::function<void()>& after;  // what to do when the answer is out
};

// `In` may be taken apart: nobody reads it after this.
template <class In, class Out>
using Serve = std::function<Result<void>(const Asked& asked, In& in, Out& out)>;
// Whether a call of a mostly brief method may be so.
template <class In>
using IsBrief = std::function<bool(const Call& call, const In& in)>;

// Of a stream: how an answer says an error.
template <class In, class Out>
using Tell = std::function<void(const In& in, const std::string& error, Out& out)>;

template <class In, class Out>
struct Method {
  Serve<In, Out> serve;
  IsBrief<In> is_brief;
  Tell<In, Out> tell;
};

// A call of it. Both messages live in one arena, whose first block is in the object.
template <class In, class Out>
class Unary final : public RpcCall {
 public:
  explicit Unary(std::shared_ptr<const Method<In, Out>> method) : method_(std::move(method)) {}

  Result<void> read(std::string_view message) override {
    bytes_ = message.size();
    if (in_.ParseFromArray(message.data(), static_cast<int>(message.size()))) return {};
    return Error{Code::invalid_argument, "the message is no " + in_.GetTypeName()};
  }
  bool is_brief(const Call& call) const override {
    return !method_->is_brief || method_->is_brief(call, in_);
  }
  Result<void> run(const Call& call, const Request& head) override {
    return method_->serve({call, head, bytes_, after}, in_, out_);
  }
  void tell(const std::string& error) override { method_->tell(in_, error, out_); }
  std::size_t size() const override { return out_.ByteSizeLong(); }
  void write(char* to) const override {
    out_.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(to));
  }

 private:
  static google::protobuf::ArenaOptions options(char* block, std::size_t size) {
    google::protobuf::ArenaOptions out;
    out.initial_block = block;
    out.initial_block_size = size;
    return out;
  }

  const std::shared_ptr<const Method<In, Out>> method_;
  std::size_t bytes_ = 0;
  alignas(8) char block_[2'048];
  google::protobuf::Arena arena_{options(block_, sizeof block_)};
  In& in_ = *google::protobuf::Arena::CreateMessage<In>(&arena_);
  Out& out_ = *google::protobuf::Arena::CreateMessage<Out>(&arena_);
};

template <class In, class Out>
Rpc rpc(std::string path, Permission permission, Rpc::Place place, Serve<In, Out> serve,
        IsBrief<In> is_brief = {}) {
  auto method = std::make_shared<const Method<In, Out>>(
      Method<In, Out>{std::move(serve), std::move(is_brief), {}});
  return {std::move(path), permission, place,
          [method = std::move(method)] { return std::make_unique<Unary<In, Out>>(method); }};
}

// A stream of such calls.
template <class In, class Out>
Rpc stream(std::string path, Permission permission, Rpc::Place place, Serve<In, Out> serve,
           IsBrief<In> is_brief, Tell<In, Out> tell) {
  auto method = std::make_shared<const Method<In, Out>>(
      Method<In, Out>{std::move(serve), std::move(is_brief), std::move(tell)});
  return {std::move(path), permission, place,
          [method = std::move(method)] { return std::make_unique<Unary<In, Out>>(method); }, true};
}

}  // namespace penstock::api::grpc
