#include "record/packages.h"

#include <algorithm>
#include <sstream>

namespace penstock::record {
namespace {

constexpr std::size_t packages_max = 5'000;

bool is_name_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

// PEP 503: runs of - _ . are one -, letters are small.
std::string normalized(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool separator = c == '-' || c == '_' || c == '.';
    if (separator && !out.empty() && out.back() == '-') continue;
    out += separator ? '-' : static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

}  // namespace

std::vector<Package> packages_in(std::string_view text) {
  std::vector<Package> out;
  std::istringstream lines{std::string(text)};
  for (std::string kept; std::getline(lines, kept) && out.size() < packages_max;) {
    std::string_view line = kept;
    line = trimmed(line.substr(0, line.find_first_of("#;")));
    const std::size_t end = static_cast<std::size_t>(
        std::find_if_not(line.begin(), line.end(), is_name_letter) - line.begin());
    if (end == 0 || line.front() == '-' || line.front() == '.') continue;
    Package package{normalized(line.substr(0, end)), ""};
    std::string_view rest = trimmed(line.substr(end));
    if (rest.starts_with('['))
      rest = trimmed(rest.substr(std::min(rest.find(']'), rest.size() - 1) + 1));
    if (rest.starts_with("==")) {
      rest.remove_prefix(rest.starts_with("===") ? 3 : 2);
      rest = trimmed(rest);
      const std::string_view version = rest.substr(0, rest.find_first_of(" ,\t"));
      if (version.find('*') == std::string_view::npos) package.version = version;
    } else if (!rest.empty() &&
               std::string_view("<>=!~@").find(rest.front()) == std::string_view::npos) {
      continue;  // a sentence, such as the interpreter's own version, and no requirement
    }
    out.push_back(std::move(package));
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end(),
                        [](const Package& a, const Package& b) { return a.name == b.name; }),
            out.end());
  return out;
}

std::string purl_of(const Package& package) {
  std::string version;
  for (const char c : package.version) version += c == '+' ? std::string("%2B") : std::string(1, c);
  return "pkg:pypi/" + package.name + (version.empty() ? "" : "@" + version);
}

}  // namespace penstock::record
