#include "net/wire.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include "api/mlflow/protocol.h"
#include "api/openai/errors.h"
#include "net/gzip.h"
#include "net/router.h"

namespace penstock::net {
namespace {

constexpr std::size_t gzip_pays = 1'024;

bool same_letters(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Cuts the part before `mark` off; the mark goes with it.
std::string_view take_until(std::string_view& text, char mark) {
  const std::string_view part = text.substr(0, std::min(text.find(mark), text.size()));
  text.remove_prefix(std::min(part.size() + 1, text.size()));
  return part;
}

// Packed data only grows; so do most bytes that are no text.
bool is_text(std::string_view type) {
  for (const std::string_view word : {"text/", "json", "yaml", "xml", "javascript"})
    if (type.find(word) != std::string_view::npos) return true;
  return false;
}

std::string_view reason_of(int status) {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 507: return "Insufficient Storage";
    default: return "-";
  }
}

void append_number(std::string& out, std::size_t number) {
  std::array<char, 20> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), end);
}

}  // namespace

api::Response error_response(std::string_view path, const Error& error, int status) {
  if (api::mlflow::owns(path)) return api::mlflow::error_response(error, status);
  if (api::openai::owns(path)) return api::openai::error_response(error, status);
  api::Response response = api::problem(error, status);
  if (path != "/v2" && !path.starts_with("/v2/")) return response;
  response.body = json::serialize(json::object{{"error", error.message}});
  response.content_type = "application/json";
  return response;
}

Result<void> read_target(std::string_view target, api::Request& request) {
  for (const std::string_view scheme : {"http://", "https://"})
    if (target.starts_with(scheme)) {
      target.remove_prefix(scheme.size());
      target.remove_prefix(std::min(target.find_first_of("/?"), target.size()));
      break;
    }
  std::string_view query = target;
  request.path = take_until(query, '?');
  if (request.path.empty()) request.path = "/";
  while (!query.empty()) {
    std::string_view value = take_until(query, '&');
    if (value.empty()) continue;
    const std::string_view name = take_until(value, '=');
    auto plain_name = percent_decoded(name, true);
    auto plain_value = percent_decoded(value, true);
    if (!plain_name || !plain_value)
      return Error{Code::invalid_argument, "the query has a broken percent escape at \"" +
                                               std::string(name) + "\"; write % as %25"};
    request.query.emplace_back(std::move(*plain_name), std::move(*plain_value));
  }
  return {};
}

std::optional<api::Response> decode_body(api::Request& request, std::size_t body_max) {
  const std::string* encoding = request.header("content-encoding");
  if (!encoding || request.body.empty() || same_letters(*encoding, "identity")) return {};
  if (!same_letters(*encoding, "gzip") && !same_letters(*encoding, "x-gzip") &&
      !same_letters(*encoding, "deflate"))
    return error_response(request.path,
                          {Code::invalid_argument, "Content-Encoding " + *encoding +
                                                       " is not known; send gzip, deflate or none"},
                          415);
  auto plain = inflated(request.body, body_max);
  if (!plain)
    return error_response(request.path, plain.error(),
                          plain.error().code == Code::resource_exhausted ? 413 : 0);
  request.body = std::move(plain).take();
  return {};
}

bool accepts_gzip(std::string_view accepted) {
  while (!accepted.empty()) {
    std::string_view choice = take_until(accepted, ',');
    const std::string_view name = trimmed(take_until(choice, ';'));
    if (!same_letters(name, "gzip") && name != "*") continue;
    const std::string_view weight = trimmed(choice);
    return !weight.starts_with("q=0") ||
           weight.find_first_of("123456789") != std::string_view::npos;
  }
  return false;
}

void encode_body(const api::Request& request, api::Response& response) {
  if (response.body.size() < gzip_pays || !is_text(response.content_type)) return;
  for (const auto& [name, value] : response.headers)
    if (same_letters(name, "content-encoding")) return;
  response.headers.emplace_back("Vary", "Accept-Encoding");
  const std::string* accepted = request.header("accept-encoding");
  if (!accepted || !accepts_gzip(*accepted)) return;
  response.body = gzipped(response.body);
  response.headers.emplace_back("Content-Encoding", "gzip");
}

Result<Timestamp> deadline_of(const api::Request& request, const Clock& clock, Micros otherwise,
                              Micros longest) {
  const std::string* asked = request.header("x-request-timeout");
  if (!asked) return clock.now() + otherwise;
  const auto span = duration_from(*asked);
  if (!span || *span <= Micros(0))
    return Error{Code::invalid_argument,
                 "X-Request-Timeout: \"" + *asked + "\" is no duration; write 250ms, 2s or 5m"};
  return clock.now() + std::min(*span, longest);
}

std::string_view http_date(Timestamp at) {
  thread_local std::time_t made = -1;
  thread_local std::array<char, 40> text{};
  const std::time_t second =
      std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count();
  if (second != made) {
    std::tm parts{};
    gmtime_r(&second, &parts);
    std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    made = second;
  }
  return text.data();
}

void append_head(std::string& out, const api::Response& response, const HeadOptions& options) {
  out += options.http_1_0 ? "HTTP/1.0 " : "HTTP/1.1 ";
  append_number(out, static_cast<std::size_t>(response.status));
  ((out += ' ') += reason_of(response.status)) += "\r\nServer: penstock\r\nDate: ";
  out += http_date(options.date);
  if (!options.keep_alive)
    out += "\r\nConnection: close";
  else if (options.http_1_0)
    out += "\r\nConnection: keep-alive";
  const std::size_t size =
      response.source ? static_cast<std::size_t>(response.source->size()) : response.body.size();
  const bool streamed = options.chunked || options.open_ended;
  if (!response.content_type.empty() && (size > 0 || streamed) && !has_break(response.content_type))
    (out += "\r\nContent-Type: ") += response.content_type;
  for (const auto& [name, value] : response.headers)
    if (!has_break(name) && !has_break(value)) (((out += "\r\n") += name) += ": ") += value;
  if (options.chunked) {
    out += "\r\nTransfer-Encoding: chunked";
  } else if (!options.open_ended && response.status != 204 && response.status != 304) {
    out += "\r\nContent-Length: ";
    append_number(out, size);
  }
  out += "\r\n\r\n";
}

}  // namespace penstock::net
