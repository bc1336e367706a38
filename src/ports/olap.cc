#include "ports/olap.h"

namespace penstock::olap {
namespace {

std::string quoted(std::string_view text, char quote) {
  std::string out(1, quote);
  for (const char letter : text) {
    if (letter == quote) out += quote;
    out += letter;
  }
  return out + quote;
}

}  // namespace

std::string quoted_text(std::string_view text) { return quoted(text, '\''); }
std::string quoted_name(std::string_view name) { return quoted(name, '"'); }

}  // namespace penstock::olap
