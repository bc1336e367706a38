#include <cctype>
#include <sstream>

#include "costs/reconcile.h"

namespace penstock::costs {
namespace {

constexpr std::size_t rows_max = 10'000;

Error at_line(std::size_t line, const std::string& problem) {
  return {Code::invalid_argument, "line " + std::to_string(line) + ": " + problem};
}

// One record of CSV as RFC 4180 has it, but for line breaks inside of quotes.
Result<std::vector<std::string>> cells_of(const std::string& text, std::size_t line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char letter = text[at];
    if (quoted && letter == '"' && at + 1 < text.size() && text[at + 1] == '"')
      cells.back() += text[++at];
    else if (letter == '"')
      quoted = !quoted;
    else if (letter == ',' && !quoted)
      cells.emplace_back();
    else
      cells.back() += letter;
  }
  if (quoted) return at_line(line, "a quote is not closed");
  return cells;
}

// The column that a heading names, or nothing.
std::string column_of(std::string heading) {
  for (char& letter : heading)
    letter =
        letter == ' ' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  if (heading == "date") return "day";
  if (heading == "usage_type") return "meter";
  if (heading == "cost") return "amount";
  for (const char* known : {"day", "model", "meter", "quantity", "amount"})
    if (heading == known) return heading;
  return "";
}

Result<ReportedUsage> row_of(const std::vector<std::string>& columns,
                             const std::vector<std::string>& cells, std::size_t line) {
  if (cells.size() != columns.size())
    return at_line(line, "has " + std::to_string(cells.size()) + " columns, and the heading " +
                             std::to_string(columns.size()));
  ReportedUsage row;
  for (std::size_t at = 0; at < cells.size(); ++at) {
    const std::string &column = columns[at], &cell = cells[at];
    if (column == "day") row.day = cell.substr(0, 10);
    if (column == "model") row.model = cell;
    if (cell.empty()) continue;
    const auto number = money_from(cell);
    if (column == "meter" && !Kind<Meter>::hear(cell, row.meter.emplace()))
      return at_line(line,
                     "\"" + cell + "\" is no meter: as prompt_tokens, output_tokens, requests");
    if (column == "quantity") {
      if (!number || number->units % Money::per_whole != 0 || *number < Money{} ||
          *number > Money::whole(1'000'000'000'000'000'000))
        return at_line(line, "the quantity \"" + cell + "\" is no whole number from 0 to 10^18");
      row.quantity = static_cast<std::int64_t>(number->units / Money::per_whole);
    }
    if (column == "amount") {
      if (!number) return at_line(line, "the amount \"" + cell + "\" is no decimal number");
      row.amount = *number;
    }
  }
  return row;
}

Result<std::vector<ReportedUsage>> read_csv(std::string_view text) {
  std::istringstream lines{std::string(text)};
  std::vector<std::string> columns;
  std::vector<ReportedUsage> out;
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    const auto cells = TRY(cells_of(line, number));
    if (!columns.empty()) {
      if (out.size() == rows_max) return at_line(number, "a report has at most 10000 rows");
      out.push_back(TRY(row_of(columns, cells, number)));
      continue;
    }
    bool day = false, model = false;
    for (const std::string& heading : cells) {
      columns.push_back(column_of(heading));
      day |= columns.back() == "day";
      model |= columns.back() == "model";
    }
    if (!day || !model)
      return at_line(number,
                     "the heading must name day and model, and quantity (with meter), "
                     "amount or both");
  }
  return out;
}

}  // namespace

Result<std::vector<ReportedUsage>> read_report(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == text.npos) return Error{Code::invalid_argument, "the report is empty"};
  if (text[first] != '[') return read_csv(text);
  boost::system::error_code failed;
  const json::value parsed = json::parse(text, failed);
  if (failed) return Error{Code::invalid_argument, "the report is no JSON: " + failed.message()};
  std::vector<ReportedUsage> out;
  for (const json::value& row : parsed.get_array()) {
    auto read = decode<ReportedUsage>(row);
    if (!read)
      return Error{Code::invalid_argument,
                   "row " + std::to_string(out.size() + 1) + ": " + read.error().message,
                   read.error().violations};
    out.push_back(std::move(*read));
  }
  return out;
}

}  // namespace penstock::costs
