// What label schemas and review queues share: texts counted in characters, and their refusals.
#pragma once

#include <algorithm>
#include <string>

#include "ports/sql.h"
#include "tracking/store.h"

namespace penstock::tracking::review_text {

inline Error faulty(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, "`" + field + "` " + problem, {{field, problem}}};
}

// Characters of UTF-8, as MLflow counts them.
inline std::size_t characters(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xc0) != 0x80; }));
}

inline Result<void> check_length(const std::string& field, const std::string& text,
                                 std::size_t most) {
  if (text.empty()) return faulty(field, "must be a non-empty string; got ''");
  if (const std::size_t count = characters(text); count > most)
    return faulty(field, "must be at most " + std::to_string(most) + " characters; got " +
                             std::to_string(count));
  return {};
}

inline std::string stripped(const std::string& text) {
  constexpr const char* blank = " \t\r\n\f\v";
  const std::size_t from = text.find_first_not_of(blank);
  if (from == std::string::npos) return "";
  return text.substr(from, text.find_last_not_of(blank) - from + 1);
}

inline std::string lower(std::string text) {
  for (char& letter : text)
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  return text;
}

inline Result<void> check_experiment(sql::Tx& tx, const Call& call, std::int64_t experiment) {
  const auto found = TRY(store::experiment(tx, call.project, experiment));
  if (!found.empty() && found.front().lifecycle == Lifecycle::active) return {};
  return Error{Code::not_found,
               "No active Experiment with id=" + std::to_string(experiment) + " exists"};
}

}  // namespace penstock::tracking::review_text
