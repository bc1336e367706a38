// A page of facts, written once and rendered as Markdown and as one HTML file.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace penstock::record {

// What somebody wrote or what is known: text that no renderer takes for markup.
struct Cell {
  std::string text;
  bool code = false;  // digests, SQL, URNs
  Cell(std::string plain) : text(std::move(plain)) {}
  Cell(const char* plain) : text(plain) {}
  Cell(std::string plain, bool is_code) : text(std::move(plain)), code(is_code) {}
};
inline Cell code(std::string text) { return {std::move(text), true}; }

struct Block {
  enum class Kind { text, warning, fields, table, list, source, figure };
  Kind kind = Kind::text;
  std::vector<std::string> headings;    // of a table
  std::set<std::size_t> numbers;        // its columns that are set to the right
  std::vector<std::vector<Cell>> rows;  // fields: name and value; list, text, warning, source: one
  std::string svg;                      // of a figure: only HTML shows it
};

struct Section {
  std::string title;
  std::vector<Block> blocks;
};

struct Document {
  std::string title, subtitle;
  std::vector<Section> sections;
};

std::string to_markdown(const Document& document);
// Self-contained: its own style, no scripts, nothing fetched; light, dark and on paper.
std::string to_html(const Document& document);

std::string html_escaped(const std::string& text);

}  // namespace penstock::record
