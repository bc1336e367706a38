// One POST to a place outside, over http:// or https://: how this server tells others of what
// happened here. Blocks; call it where waiting is allowed.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace penstock::net {

struct PostLimits {
  Micros time = std::chrono::seconds(10);  // of all of it: name, connection, TLS, request, answer
  std::size_t answer_max = 16 << 10;       // of the body; what is longer is left unread
  bool allow_http = false;
  bool allow_private = false;  // loopback, private and other addresses that are not of the internet
  std::string ca_file;         // PEM of the authorities to trust; empty: the system's
};
struct PostAnswer {
  int status = 0;
  std::string body;
};

// invalid_argument where the address is refused: by its form, its scheme, or because its name
// stands for an address that is not public. Looks the name up.
Result<void> check_post_url(const std::string& url, const PostLimits& limits);

// Any answer with a status is an answer; a redirection is one and is not followed. `unavailable`
// where there is none. The peer's address is checked once more on the connection itself, before
// anything is sent: a name may stand for another address by then.
Result<PostAnswer> post(const std::string& url,
                        const std::vector<std::pair<std::string, std::string>>& headers,
                        const std::string& body, const PostLimits& limits);

// Whether an address ("93.184.216.34", "::1") is one of the internet at large.
bool is_public_address(const std::string& address);

}  // namespace penstock::net
