// One line of a configuration into where Redis is.
#include <algorithm>
#include <charconv>

#include "adapters/redis/redis.h"

namespace penstock::redis {
namespace {

Error wrong(const std::string& what) {
  return {
      Code::invalid_argument,
      what + "; write redis://HOST:PORT/0, rediss:// for TLS, or redis+cluster://HOST:PORT,..."};
}

bool number_from(std::string_view text, int most, int& out) {
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), out);
  return fault == std::errc{} && end == text.data() + text.size() && out >= 0 && out <= most;
}

Result<std::string> decoded(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += text[at];
      continue;
    }
    int byte = 0;
    const std::string_view digits = text.substr(at + 1, 2);
    const auto [end, fault] =
        std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() != 2 || fault != std::errc{} || end != digits.data() + 2)
      return wrong("a % must stand before two hexadecimal digits");
    out += static_cast<char>(byte);
    at += 2;
  }
  return out;
}

Result<Server> server_from(std::string_view text) {
  Server out;
  std::size_t colon = text.rfind(':');
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return wrong("an address of IPv6 must stand in [ ]");
    out.host = text.substr(1, close - 1);
    colon = close + 1 < text.size() && text[close + 1] == ':' ? close + 1 : std::string_view::npos;
    if (colon == std::string_view::npos && close + 1 != text.size())
      return wrong("after ] there may only be :PORT");
  } else {
    out.host = text.substr(0, colon);
  }
  const std::string_view strange = text.starts_with('[') ? "/ " : ":/ ";
  if (out.host.empty() || out.host.find_first_of(strange) != std::string::npos)
    return wrong("\"" + std::string(text) + "\" names no host");
  if (colon != std::string_view::npos &&
      (!number_from(text.substr(colon + 1), 65'535, out.port) || out.port == 0))
    return wrong("the port of " + out.host + " must be a number from 1 to 65535");
  return out;
}

Result<void> take_user(std::string_view text, Options& options) {
  const std::size_t colon = text.find(':');
  options.user = TRY(decoded(text.substr(0, colon)));
  if (colon == std::string_view::npos) return {};
  const std::string_view password = text.substr(colon + 1);
  // The name of a secret, which is looked up later.
  const bool named = password.starts_with("${ENV:") || password.starts_with("file:");
  options.password = named ? std::string(password) : TRY(decoded(password));
  return {};
}

Result<void> take_setting(std::string_view text, Options& options) {
  const std::size_t equals = text.find('=');
  const std::string name(text.substr(0, equals));
  const std::string value =
      equals == std::string_view::npos ? "" : TRY(decoded(text.substr(equals + 1)));
  const auto time = [&](Micros& to) -> Result<void> {
    const auto span = duration_from(value);
    if (!span || *span < std::chrono::milliseconds(10) || *span > std::chrono::minutes(5))
      return wrong(name + " must be a time from 10ms to 5m, such as 500ms");
    to = *span;
    return {};
  };
  if (name == "read_time") return time(options.read_time);
  if (name == "write_time") return time(options.write_time);
  if (name == "ca_file") {
    options.ca_file = value;
    return {};
  }
  if (name == "prefix") {
    const bool good = !value.empty() && value.size() <= 100 &&
                      std::all_of(value.begin(), value.end(), [](unsigned char c) {
                        return std::isalnum(c) || c == '.' || c == '_' || c == '-';
                      });
    if (!good)
      return wrong("prefix must be 1 to 100 letters, digits, dots, underscores or hyphens");
    options.prefix = value;
    return {};
  }
  if (name == "connections") {
    int count = 0;
    if (!number_from(value, 1'000, count) || count == 0)
      return wrong("connections must be a number from 1 to 1000");
    options.connections = static_cast<std::size_t>(count);
    return {};
  }
  return wrong("there is no setting " + name +
               ": it may be prefix, ca_file, connections, read_time or write_time");
}

template <class Take>
Result<void> for_each_part(std::string_view text, char between, Take take) {
  for (;;) {
    const std::size_t end = text.find(between);
    TRY(take(text.substr(0, end)));
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
}

}  // namespace

std::string Server::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Options> read_url(std::string_view url) {
  const std::size_t scheme_end = url.find("://");
  const std::string_view scheme = url.substr(0, scheme_end);
  Options options;
  options.tls = scheme.starts_with("rediss");
  options.cluster = scheme.ends_with("+cluster");
  if (scheme_end == std::string_view::npos ||
      (scheme != "redis" && scheme != "rediss" && scheme != "redis+cluster" &&
       scheme != "rediss+cluster"))
    return wrong("it must begin with redis://, rediss://, redis+cluster:// or rediss+cluster://");
  std::string_view rest = url.substr(scheme_end + 3);
  // A password may hold anything, if it is the name of a file: the last @ is the one that counts.
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    TRY(take_user(rest.substr(0, at), options));
    rest.remove_prefix(at + 1);
  }
  if (const std::size_t query = rest.find('?'); query != std::string_view::npos) {
    TRY(for_each_part(rest.substr(query + 1), '&',
                      [&](std::string_view part) { return take_setting(part, options); }));
    rest = rest.substr(0, query);
  }
  if (const std::size_t slash = rest.find('/'); slash != std::string_view::npos) {
    const std::string_view number = rest.substr(slash + 1);
    if (!number.empty() && !number_from(number, 1'000'000, options.database))
      return wrong("the database after / must be a number");
    rest = rest.substr(0, slash);
  }
  TRY(for_each_part(rest, ',', [&](std::string_view part) -> Result<void> {
    options.servers.push_back(TRY(server_from(part)));
    return {};
  }));
  if (!options.cluster && options.servers.size() > 1)
    return wrong("several hosts are for redis+cluster://");
  if (options.cluster && options.database != 0) return wrong("a cluster has only database 0");
  if (!options.user.empty() && options.password.empty())
    return wrong("a user needs a password: redis://USER:${ENV:NAME}@HOST");
  if (!options.ca_file.empty() && !options.tls) return wrong("ca_file is for rediss://");
  return options;
}

}  // namespace penstock::redis
