#include "ports/blob.h"

#include <algorithm>

namespace penstock::blob {
namespace {

constexpr std::int64_t get_max = 1 << 30;
constexpr std::string_view reserved = ".tmp";

}  // namespace

Result<void> Objects::put(std::string_view path, std::string_view bytes) {
  TRY(check_path(path));
  const auto writer = TRY(create());
  TRY(writer->write(bytes));
  return writer->commit(path);
}

Result<std::string> Objects::get(std::string_view path) {
  const auto reader = TRY(open(path));
  if (reader->size() > get_max)
    return Error{Code::resource_exhausted,
                 std::string(path) + " has more than 1 GB: read it in parts"};
  std::string bytes(static_cast<std::size_t>(reader->size()), '\0');
  if (TRY(reader->read(0, bytes.data(), bytes.size())) == bytes.size()) return bytes;
  return Error{Code::data_loss, std::string(path) + " is shorter than it was when it was opened"};
}

Result<void> check_path(std::string_view path) {
  const auto refused = [&](std::string_view why) {
    return Error{Code::invalid_argument, "\"" + std::string(path.substr(0, 200)) +
                                             "\" is no path of the store: " + std::string(why)};
  };
  if (path.empty() || path.size() > 1000) return refused("it needs 1 to 1000 bytes");
  if (std::ranges::any_of(path, [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    return refused("it holds a control character");
  if (path.starts_with(reserved))
    return refused("names that begin with .tmp are kept for the store");
  for (std::string_view rest = path;;) {
    const std::size_t end = rest.find('/');
    const std::string_view part = rest.substr(0, end);
    if (part.empty() || part.size() > 255) return refused("each part needs 1 to 255 bytes");
    if (part == "." || part == "..") return refused("it must not hold . or ..");
    if (end == std::string_view::npos) return {};
    rest.remove_prefix(end + 1);
  }
}

Error too_many(std::string_view prefix, std::size_t most) {
  return {Code::resource_exhausted,
          "\"" + std::string(prefix) + "\" holds more than " + std::to_string(most) + " files"};
}

}  // namespace penstock::blob
