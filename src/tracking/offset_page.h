// Pages that begin at a row's place in the whole: what traces and evaluations are searched by.
#pragma once

#include <charconv>
#include <string>
#include <vector>

#include "base/result.h"

namespace penstock::tracking::offset_page {

// Where the page begins that a token stands for; 0 for none.
inline Result<std::int64_t> begin(const std::string& token) {
  std::int64_t offset = 0;
  const auto read = std::from_chars(token.data(), token.data() + token.size(), offset);
  const bool is_whole = read.ec == std::errc() && read.ptr == token.data() + token.size();
  if (!token.empty() && (!is_whole || offset < 0))
    return Error{Code::invalid_argument,
                 "page_token '" + token.substr(0, 50) + "' was not given by this server"};
  return offset;
}

// Cuts the one item off that was asked for beyond the page, and gives the token of the next.
template <class T>
std::string next(std::vector<T>& items, std::int64_t limit, std::int64_t offset) {
  if (static_cast<std::int64_t>(items.size()) <= limit) return "";
  items.resize(static_cast<std::size_t>(limit));
  return std::to_string(offset + limit);
}

}  // namespace penstock::tracking::offset_page
