#include <algorithm>
#include <cctype>

#include "tracking/tracking.h"

namespace penstock::tracking {
namespace {

constexpr std::size_t key_max = 250, param_max = 6'000, tag_max = 8'000, name_max = 500;
constexpr std::size_t experiment_tag_max = 20'000, model_tag_max = 100'000, model_name_max = 256;
constexpr std::size_t alias_max = 255;
constexpr std::size_t metrics_max = 1'000, pairs_max = 100, batch_max = 1'000;

Error faulty(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

// Names become paths of files in other tools, so they hold no "..", "//" or leading "/".
bool is_path_like(const std::string& key) {
  if (key.front() == '/' || key.back() == '/' || key.find("//") != std::string::npos) return false;
  for (std::size_t at = 0; at <= key.size();) {
    const std::size_t end = std::min(key.find('/', at), key.size());
    const std::string part = key.substr(at, end - at);
    if (part == "." || part == "..") return false;
    at = end + 1;
  }
  return true;
}

Result<void> check_key(const std::string& key, const std::string& field) {
  if (key.empty()) return faulty(field, "is missing");
  if (key.size() > key_max)
    return faulty(field, "'" + key.substr(0, 50) + "...' has " + std::to_string(key.size()) +
                             " bytes, and may have " + std::to_string(key_max));
  const auto allowed = [](unsigned char letter) {
    return std::isalnum(letter) || letter >= 0x80 ||
           std::string_view("_-. /:").find(static_cast<char>(letter)) != std::string_view::npos;
  };
  if (!std::all_of(key.begin(), key.end(), allowed))
    return faulty(field, "'" + key +
                             "' is no name: names may hold letters, digits, _, -, ., /, : and "
                             "spaces");
  if (!is_path_like(key))
    return faulty(field, "'" + key + "' is no name: it must not start or end with /, or hold ..");
  return {};
}

Result<void> check_value(const Pair& pair, const std::string& field, std::size_t max) {
  if (pair.value.size() > max)
    return faulty(field, "'" + pair.key + "' has a value of " + std::to_string(pair.value.size()) +
                             " bytes, and may have " + std::to_string(max));
  return {};
}

std::string at(const char* list, std::size_t index, const char* field) {
  return std::string(list) + "[" + std::to_string(index) + "]." + field;
}

}  // namespace

Result<void> check_tag(const Pair& tag, const std::string& field) {
  TRY(check_key(tag.key, field + "key"));
  return check_value(tag, field + "value", tag_max);
}

Result<void> check_experiment_tag(const Pair& tag) {
  TRY(check_key(tag.key, "key"));
  return check_value(tag, "value", experiment_tag_max);
}

Result<void> check_model_tag(const Pair& tag) {
  TRY(check_key(tag.key, "key"));
  return check_value(tag, "value", model_tag_max);
}

Result<void> check_model_name(const std::string& name, const std::string& field) {
  if (name.find_first_not_of(" \t\r\n") == std::string::npos) return faulty(field, "is missing");
  if (name.size() > model_name_max)
    return faulty(field, "has " + std::to_string(name.size()) + " bytes, and may have " +
                             std::to_string(model_name_max));
  const bool is_wrong = name.find_first_of("/:") != std::string::npos || name == "." ||
                        name.starts_with("..") || name.find('\0') != std::string::npos;
  if (!is_wrong) return {};
  return faulty(field,
                "'" + name + "' is no model name: it must not hold / or :, or begin with ..");
}

Result<void> check_alias(const std::string& alias) {
  if (alias.empty()) return faulty("alias", "is missing");
  if (alias.size() > alias_max)
    return faulty("alias", "has " + std::to_string(alias.size()) + " bytes, and may have " +
                               std::to_string(alias_max));
  const auto allowed = [](unsigned char letter) {
    return std::isalnum(letter) || letter >= 0x80 || letter == '_' || letter == '-';
  };
  if (!std::all_of(alias.begin(), alias.end(), allowed))
    return faulty("alias", "'" + alias + "' may hold letters, digits, _ and - only");
  std::string small;
  for (const unsigned char letter : alias) small += static_cast<char>(std::tolower(letter));
  const bool is_version = small.size() > 1 && small.front() == 'v' &&
                          small.find_first_not_of("0123456789", 1) == std::string::npos;
  if (small == "latest" || is_version)
    return faulty("alias", "'" + alias + "' is reserved: latest and v1, v2, ... name versions");
  return {};
}

Result<void> check_experiment_name(const std::string& name) {
  if (name.empty()) return faulty("name", "is missing");
  if (name.size() > name_max)
    return faulty("name", "has " + std::to_string(name.size()) + " bytes, and may have " +
                              std::to_string(name_max));
  return {};
}

Result<void> check(const Batch& batch) {
  const auto limit = [](const char* field, std::size_t size, std::size_t max) -> Result<void> {
    if (size <= max) return {};
    return faulty(field, "has " + std::to_string(size) + " entries, and may have " +
                             std::to_string(max) + "; send several batches");
  };
  TRY(limit("metrics", batch.metrics.size(), metrics_max));
  TRY(limit("params", batch.params.size(), pairs_max));
  TRY(limit("tags", batch.tags.size(), pairs_max));
  TRY(limit("batch", batch.metrics.size() + batch.params.size() + batch.tags.size(), batch_max));
  for (std::size_t i = 0; i < batch.metrics.size(); ++i)
    TRY(check_key(batch.metrics[i].key, at("metrics", i, "key")));
  for (std::size_t i = 0; i < batch.params.size(); ++i) {
    TRY(check_key(batch.params[i].key, at("params", i, "key")));
    TRY(check_value(batch.params[i], at("params", i, "value"), param_max));
  }
  for (std::size_t i = 0; i < batch.tags.size(); ++i)
    TRY(check_tag(batch.tags[i], at("tags", i, "")));
  return {};
}

}  // namespace penstock::tracking
