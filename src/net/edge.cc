#include "net/edge.h"

#include "base/log.h"
#include "net/gzip.h"

namespace penstock::net {
namespace {

constexpr std::size_t gzip_pays = 1'024;

}  // namespace

api::Response error_response(std::string_view path, const Error& error) {
  api::Response response = api::problem(error);
  if (path != "/v2" && !path.starts_with("/v2/")) return response;
  response.body = json::serialize(json::object{{"error", error.message}});
  response.content_type = "application/json";
  return response;
}

Result<void> read_target(std::string_view target, api::Request& request) {
  const std::size_t mark = std::min(target.find('?'), target.size());
  request.path = target.substr(0, mark);
  std::string_view query = mark < target.size() ? target.substr(mark + 1) : "";
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, std::min(query.find('&'), query.size()));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const auto name = percent_decoded(pair.substr(0, equals), true);
    const auto value =
        percent_decoded(equals < pair.size() ? pair.substr(equals + 1) : "", true);
    if (!name || !value)
      return Error{Code::invalid_argument, "the query has a broken percent escape"};
    request.query.emplace_back(*name, *value);
  }
  return {};
}

Result<void> decode_body(api::Request& request, std::size_t body_max) {
  const std::string* encoding = request.header("content-encoding");
  if (!encoding || *encoding == "identity" || request.body.empty()) return {};
  if (*encoding != "gzip" && *encoding != "deflate")
    return Error{Code::invalid_argument,
                 "Content-Encoding " + *encoding + " is not known; send gzip, deflate or none"};
  request.body = TRY(inflated(request.body, body_max));
  return {};
}

Timestamp deadline_of(const api::Request& request, const Clock& clock, Micros otherwise) {
  const std::string* asked = request.header("x-request-timeout");
  const auto span = asked ? duration_from(*asked) : std::nullopt;
  return clock.now() + (span && *span < otherwise ? *span : otherwise);
}

void encode_body(const api::Request& request, api::Response& response) {
  const std::string* accepted = request.header("accept-encoding");
  if (!accepted || accepted->find("gzip") == std::string::npos ||
      response.body.size() < gzip_pays)
    return;
  response.body = gzipped(response.body);
  response.headers.emplace_back("Content-Encoding", "gzip");
}

api::Response handle(const api::Route& route, const Call& call, const api::Request& request) {
  try {
    return route.handle(call, request);
  } catch (const std::exception& fault) {
    log::error("handler_threw", {{"request_id", call.request_id},
                                 {"path", request.path},
                                 {"error", fault.what()}});
    return error_response(request.path,
                          {Code::internal, "something broke inside; the log has it under request " +
                                               call.request_id});
  }
}

}  // namespace penstock::net
