// A route joins one HTTP method and path to one service function, and says both in OpenAPI.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/call.h"
#include "base/described.h"

namespace penstock::api {

// What a caller must be allowed to do. access/token.h says which role may.
enum class Permission { open, read, write, infer, approve, operate, administer };
BOOST_DESCRIBE_ENUM(Permission, open, read, write, infer, approve, operate, administer)

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string_view method;
  std::string_view path;  // without the query
  Fields path_values;     // {"version", "v4"}, percent-decoded
  Fields query;           // percent-decoded
  Fields headers;         // names in lower case
  std::string body;       // after content decoding

  const std::string* header(std::string_view name) const { return find(headers, name); }
  const std::string* query_value(std::string_view name) const { return find(query, name); }
  const std::string* path_value(std::string_view name) const { return find(path_values, name); }

 private:
  static const std::string* find(const Fields& fields, std::string_view name) {
    for (const auto& [key, value] : fields)
      if (key == name) return &value;
    return nullptr;
  }
};

// Of the request's headers; valid as long as it.
inline std::function<std::string_view(std::string_view)> lookup_of(const Request& request) {
  return [&request](std::string_view name) {
    const std::string* value = request.header(name);
    return value ? std::string_view(*value) : std::string_view();
  };
}

// A body that is read while it is sent, for those too long for memory. Used on workers, by one at a
// time.
class Source {
 public:
  virtual ~Source() = default;
  virtual std::int64_t size() const = 0;
  // The next bytes, at most `most`; fewer only at the end. An error ends the connection short of
  // the promised size, so that nobody takes what came for the whole.
  virtual Result<std::size_t> read(char* to, std::size_t most) = 0;
};

struct Response {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  Fields headers = {};
  // Runs on a worker after the answer was written: shadows, whose cost no caller may feel.
  std::function<void()> after = {};
  std::shared_ptr<Source> source = {};  // in the place of `body`
};

// A body that is taken while it arrives. Used on workers, by one at a time. Destroyed without
// finish(), the rest never came, and nothing of it may stay.
class Intake {
 public:
  virtual ~Intake() = default;
  virtual Result<void> take(std::string_view bytes) = 0;
  // The answer, once all has come. `call` is the request's, with a deadline that begins now.
  virtual Response finish(const Call& call) = 0;
};

class Forward;  // api/forward.h

struct Route {
  std::string method;
  std::string path;  // "/api/v1/models/{name}/versions/{version}"; "{rest*}" takes what is left
  std::string summary;
  Permission permission = Permission::read;
  std::function<Response(const Call&, const Request&)> handle;
  // Instead of `handle`, where a body may be too long for memory. The request has none yet.
  std::function<Result<std::unique_ptr<Intake>>(const Call&, const Request&)> receive = {};
  // Instead of `handle`, where another server answers: on the event loop, so it must not wait. It
  // may take the body. Never null; what is wrong with a request is said by the first next().
  std::function<std::shared_ptr<Forward>(const Call&, Request&)> forward = {};
  // Short work that never waits (no disk, no lock held long) may run on the event loop; all else on
  // a worker.
  bool on_loop = false;
  // Mostly short, as a small model in process is: on the loop while it is seen to be.
  bool brief = false;
  // Which calls of a brief route may run there at all: what waits for another process or server may
  // not, however quick it was so far. None: all may.
  std::function<bool(const Call&, const Request&)> brief_for = {};
  std::function<json::value()> input_schema = {}, output_schema = {};  // none: not JSON of ours
};

int http_status(Code code);
// RFC 9457: type, title, status, detail, violations. `status` where the code's own does not say it
// (405, 413).
Response problem(const Error& error, int status = 0);
Response json_response(const json::value& body, int status = 200);

// The body as JSON (an empty one is {}), with path and query values put in as the fields of their
// names; whole numbers and true or false in the query are read as such, but for the fields in
// `texts`.
Result<json::value> request_value(const Request& request,
                                  const std::vector<std::string_view>& texts = {});

// The fields of T that JSON writes as text: "2013" stays a name there, also in a query.
template <Struct T>
std::vector<std::string_view> text_fields() {
  std::vector<std::string_view> names;
  for_each_member(T{}, [&]<class M>(std::string_view name, const M& member, const Rule&) {
    if constexpr (is_optional<M>) {
      if constexpr (requires { Kind<typename M::value_type>::type; })
        if (Kind<typename M::value_type>::type == "string") names.push_back(name);
    } else if constexpr (requires { Kind<M>::type; }) {
      static_cast<void>(member);
      if (Kind<M>::type == "string") names.push_back(name);
    }
  });
  return names;
}

// Decodes In, calls, encodes Out: the whole of what a handler does. A value in the path or query
// fills the field of its name, so a service never learns which part of a request a value came from.
template <Struct In, class Out>
Route route(std::string method, std::string path, std::string summary, Permission permission,
            std::function<Result<Out>(const Call&, const In&)> serve) {
  auto handle = [serve = std::move(serve), texts = text_fields<In>()](
                    const Call& call, const Request& request) -> Response {
    const auto value = request_value(request, texts);
    if (!value) return problem(value.error());
    const auto in = decode<In>(*value);
    if (!in) return problem(in.error());
    const auto out = serve(call, *in);
    if (!out) return problem(out.error());
    return json_response(encode(*out));
  };
  return {.method = std::move(method),
          .path = std::move(path),
          .summary = std::move(summary),
          .permission = permission,
          .handle = std::move(handle),
          .input_schema = [] { return json::value(schema<In>()); },
          .output_schema = [] { return json::value(schema<Out>()); }};
}

struct Empty {};
BOOST_DESCRIBE_STRUCT(Empty, (), ())

}  // namespace penstock::api
