// What webhooks are signed with, kept so that whoever reads the database alone cannot sign.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace penstock::tracking {

// Seals secrets (XSalsa20-Poly1305). Held apart from the database, in one line of text.
class WebhookKey {
 public:
  static WebhookKey generate();
  // invalid_argument, which never holds the text, where it is no key.
  static Result<WebhookKey> parse(std::string_view text);
  const std::string& text() const { return text_; }

  std::string seal(std::string_view secret) const;
  // failed_precondition where another key sealed it.
  Result<std::string> open(std::string_view sealed) const;

 private:
  explicit WebhookKey(std::string bytes);
  std::string bytes_, text_;
};

// "v1,BASE64": HMAC-SHA256 of "DELIVERY.TIMESTAMP.BODY".
std::string webhook_signature(std::string_view secret, std::string_view delivery,
                              std::string_view timestamp, std::string_view body);
std::string new_uuid();  // of random bits

}  // namespace penstock::tracking
