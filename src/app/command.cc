#include "app/command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace penstock::app {
namespace {

// How wide a UTF-8 text is on a terminal, near enough: continuation bytes take no room.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789.,-+%e") == std::string::npos;
}

std::string row_text(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths,
                     const std::vector<bool>& right) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(widths[i] - width_of(cells[i]), ' ');
    line += (i ? "  " : "") + (right[i] ? padding + cells[i] : cells[i] + padding);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

}  // namespace

net::Client Globals::client(Micros time_limit) const {
  return net::Client({.url = server, .token = token, .time_limit = time_limit});
}

std::optional<json::value> Globals::ask(std::string_view method, std::string_view target,
                                        const json::value& body) {
  auto answer = client().call(method, target, body);
  if (answer) return std::move(answer).take();
  fail(answer.error());
  return {};
}

void Globals::fail(const Error& error) {
  const bool colour = isatty(STDERR_FILENO);
  std::cerr << (colour ? "\033[31merror:\033[0m " : "error: ") << error.message << "\n";
  // A single fault is the message already.
  if (error.violations.size() > 1 ||
      (error.violations.size() == 1 &&
       error.message.find(error.violations[0].problem) == std::string::npos))
    for (const Violation& violation : error.violations)
      std::cerr << "  " << violation.field << " " << violation.problem << "\n";
  exit = error.code == Code::unavailable        ? Exit::unreachable
         : error.code == Code::invalid_argument ? Exit::usage
                                                : Exit::failed;
}

void Globals::show(const json::value& value, const std::function<void()>& print_text) const {
  if (json)
    std::cout << json::serialize(value) << "\n";
  else
    print_text();
}

std::string table_text(const std::vector<std::string>& headings,
                       const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const std::string& heading : headings) widths.push_back(width_of(heading));
  std::vector<bool> right(headings.size(), !rows.empty());
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], width_of(row[i]));
      if (!row[i].empty() && !is_number(row[i])) right[i] = false;
    }
  std::string text = row_text(headings, widths, right);
  for (const auto& row : rows) text += row_text(row, widths, right);
  return text;
}

void print_table(const std::vector<std::string>& headings,
                 const std::vector<std::vector<std::string>>& rows) {
  std::cout << table_text(headings, rows);
}

Result<std::pair<std::string, std::string>> pair_of(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    return Error{Code::invalid_argument, "\"" + text + "\" is no KEY=VALUE"};
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

std::string text_of(const json::value& object, std::string_view field) {
  const json::value* value = object.is_object() ? object.get_object().if_contains(field) : nullptr;
  if (!value || value->is_null()) return "";
  if (value->is_string()) return std::string(value->get_string());
  if (value->is_double()) {
    char text[40];
    std::snprintf(text, sizeof text, "%.6g", value->get_double());
    return text;
  }
  return json::serialize(*value);
}

}  // namespace penstock::app
