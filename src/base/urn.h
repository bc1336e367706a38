// kind:name@version, the name that every object has.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock {

struct Urn {
  std::string kind;     // "model"
  std::string name;     // "ticket-escalation"
  std::string version;  // "v4"; empty for things without versions

  std::string text() const { return kind + ":" + name + (version.empty() ? "" : "@" + version); }

  // Nothing where kind or name is missing or holds other than letters, digits and "._-/~".
  static std::optional<Urn> parse(std::string_view text) {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos) return {};
    const std::size_t at = std::min(text.find('@', colon), text.size());
    Urn urn{std::string(text.substr(0, colon)), std::string(text.substr(colon + 1, at - colon - 1)),
            at < text.size() ? std::string(text.substr(at + 1)) : ""};
    for (const std::string* part : {&urn.kind, &urn.name, &urn.version})
      for (const char letter : *part)
        if (!is_name_letter(letter)) return {};
    if (urn.kind.empty() || urn.name.empty() || (at < text.size() && urn.version.empty()))
      return {};
    return urn;
  }

  static bool is_name_letter(char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9') || std::string_view("._-/~").find(letter) < 5;
  }
};

// A name of any letters as URNs write it: what is no letter, digit, ".", "_" or "-" becomes "~" and
// two hex digits for each of its bytes, and so does the "-" of a name that ends like a version
// ("a-v2"). No two names are written alike; plain_name is its inverse.
std::string urn_name(std::string_view name);
std::string plain_name(std::string_view urn_name);

}  // namespace penstock
