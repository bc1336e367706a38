// What requests and answers look like on the wire: the parts of the edge that need no connection.
#pragma once

#include <string>
#include <string_view>

#include "api/route.h"

namespace penstock::net {

// Whether a text has what would end its line, or is nothing that a line may have.
inline bool has_break(std::string_view text) {
  // A search for each is far quicker than one for any of them, which is a search at each letter.
  return text.find('\r') != text.npos || text.find('\n') != text.npos ||
         text.find('\0') != text.npos;
}

// A problem document, or what the protocol has that the path belongs to: {"error": ...} under /v2,
// OpenAI's under /v1.
api::Response error_response(std::string_view path, const Error& error, int status = 0);

// Fills path and query from "/path?query" or "http://host/path?query". invalid_argument where that
// cannot be read. The path stays a view into `target`.
Result<void> read_target(std::string_view target, api::Request& request);

// The body as the handler sees it: decoded from its Content-Encoding. The answer to give instead
// where that cannot be done: 400, 413 or 415.
std::optional<api::Response> decode_body(api::Request& request, std::size_t body_max);

// Whether an Accept-Encoding takes gzip.
bool accepts_gzip(std::string_view accepted);
// Compresses a text where the caller takes gzip and it pays.
void encode_body(const api::Request& request, api::Response& response);

// When "X-Request-Timeout: 2s" or, without one, `otherwise` is over; at most `longest` from now.
Result<Timestamp> deadline_of(const api::Request& request, const Clock& clock, Micros otherwise,
                              Micros longest);

// "Tue, 24 Nov 2026 00:06:46 GMT"; made anew once a second on each thread.
std::string_view http_date(Timestamp at);

struct HeadOptions {
  bool http_1_0 = false;
  bool keep_alive = true;
  Timestamp date;
  bool chunked = false;     // the body follows in pieces
  bool open_ended = false;  // it ends with the connection
};
// The status line and headers of an answer. A header of a handler that would break the message
// apart (a line break in it) is left out.
void append_head(std::string& out, const api::Response& response, const HeadOptions& options);

}  // namespace penstock::net
