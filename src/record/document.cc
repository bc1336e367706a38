#include "record/document.h"

#include <algorithm>

namespace penstock::record {
namespace {

constexpr const char* style = R"(
:root{color-scheme:light dark;--ink:#1c2128;--soft:#59636e;--line:#d6dbe1;--back:#fff;--pane:#f6f8fa;--mark:#0b6bcb;
--warn:#9a5b00;--warnback:#fff6e5}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#9aa5b1;--line:#39414b;--back:#14181d;--pane:#1b2027;
--mark:#6cb6ff;--warn:#f0b65a;--warnback:#2b2415}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif}
main{max-width:62rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .25rem}
.sub{color:var(--soft);margin:0 0 1rem}
nav{border:1px solid var(--line);border-radius:8px;background:var(--pane);padding:.6rem .9rem;margin:0 0 1.5rem;
font-size:.9rem;line-height:1.9}
nav a{color:var(--mark);text-decoration:none;margin-right:.9rem;white-space:nowrap}
nav a:hover{text-decoration:underline}
h2{font-size:1.2rem;margin:2.2rem 0 .7rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}
p{margin:.6rem 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem;margin:.6rem 0}
th,td{text-align:left;vertical-align:top;padding:.38rem .65rem;border-bottom:1px solid var(--line)}
thead th{color:var(--soft);font-weight:600;border-bottom:2px solid var(--line);white-space:nowrap}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.fields th{width:13rem;font-weight:600;color:var(--soft)}
code,pre{font:.88em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
pre{background:var(--pane);border:1px solid var(--line);border-radius:8px;padding:.7rem .9rem;overflow-x:auto;
white-space:pre-wrap}
.none{color:var(--soft);font-style:italic}
.warn{border-left:4px solid var(--warn);background:var(--warnback);padding:.5rem .9rem;border-radius:0 6px 6px 0}
svg{max-width:100%;height:auto;display:block;margin:.6rem 0}
svg text{fill:var(--ink);font:12px system-ui,sans-serif}
svg .soft{fill:var(--soft)}svg .axis{stroke:var(--line)}svg .zero{stroke:var(--soft);stroke-dasharray:3 3}
svg .ci{stroke:var(--mark);stroke-width:2}svg .dot{fill:var(--mark)}
svg .bad .ci{stroke:var(--warn)}svg .bad .dot{fill:var(--warn)}svg .unjudged{opacity:.45}
@media print{:root{--ink:#000;--soft:#444;--line:#bbb;--back:#fff;--pane:#fff;--mark:#0b6bcb;--warn:#7a4800;
--warnback:#fff}body{font-size:11px}main{max-width:none;padding:0}nav{display:none}
h2{break-after:avoid}tr,svg,.warn{break-inside:avoid}a{color:inherit}}
)";

const std::string not_recorded = "not recorded";

std::string markdown_escaped(const std::string& text) {
  std::string out;
  bool start = true;  // of a line, where # - + and digits with a point would mean something
  for (const char c : text) {
    if (c == '\n') {
      out += "  \n";
      start = true;
      continue;
    }
    if (c == '\r') continue;
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      const bool marks = std::string_view("\\`*_[]|~").find(c) != std::string_view::npos;
      const bool begins = start && std::string_view("#-+>=:").find(c) != std::string_view::npos;
      if (marks || begins) out += '\\';
      out += c;
    }
    start = start && c == ' ';
  }
  return out;
}

std::string one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  return text;
}

std::string markdown_cell(const Cell& cell, bool in_table) {
  if (cell.text.empty()) return "";
  if (cell.text == not_recorded) return "*not recorded*";
  if (!cell.code) return markdown_escaped(in_table ? one_line(cell.text) : cell.text);
  std::string text = one_line(cell.text);
  std::replace(text.begin(), text.end(), '`', '\'');
  std::string out;
  for (const char c : text) out += c == '|' && in_table ? std::string("\\|") : std::string(1, c);
  return "`" + out + "`";
}

std::string markdown_row(const std::vector<std::string>& cells) {
  std::string out = "|";
  for (const std::string& cell : cells) out += " " + cell + " |";
  return out + "\n";
}

std::string fenced(const std::string& text) {
  std::string fence = "```";
  while (text.find(fence) != std::string::npos) fence += "`";
  return fence + "\n" + text + "\n" + fence + "\n";
}

std::string markdown_table(const Block& block) {
  const bool fields = block.kind == Block::Kind::fields;
  const std::vector<std::string> headings =
      fields ? std::vector<std::string>{"", ""} : block.headings;
  std::vector<std::string> rule;
  for (std::size_t i = 0; i < headings.size(); ++i)
    rule.emplace_back(block.numbers.contains(i) ? "---:" : "---");
  std::string out = markdown_row(headings) + markdown_row(rule);
  for (const auto& row : block.rows) {
    std::vector<std::string> cells;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string cell = markdown_cell(row[i], true);
      cells.push_back(fields && i == 0 ? "**" + cell + "**" : cell);
    }
    out += markdown_row(cells);
  }
  return out;
}

std::string markdown_block(const Block& block) {
  switch (block.kind) {
    case Block::Kind::text: return markdown_cell(block.rows.at(0).at(0), false) + "\n";
    case Block::Kind::warning:
      return "> **Note:** " + markdown_cell(block.rows.at(0).at(0), true) + "\n";
    case Block::Kind::source: return fenced(block.rows.at(0).at(0).text);
    case Block::Kind::figure: return "";
    case Block::Kind::fields:
    case Block::Kind::table: return markdown_table(block);
    case Block::Kind::list: break;
  }
  std::string out;
  for (const auto& row : block.rows) out += "- " + markdown_cell(row.at(0), true) + "\n";
  return out;
}

std::string html_cell(const Cell& cell) {
  if (cell.text == not_recorded) return "<span class=\"none\">not recorded</span>";
  std::string text = html_escaped(cell.text);
  if (cell.code) return text.empty() ? "" : "<code>" + text + "</code>";
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 5)
    text.replace(at, 1, "<br>\n");
  return text;
}

std::string html_table(const Block& block) {
  const bool fields = block.kind == Block::Kind::fields;
  const auto number = [&](std::size_t column) {
    return std::string(block.numbers.contains(column) ? " class=\"n\"" : "");
  };
  std::string out = fields ? "<div class=\"scroll\"><table class=\"fields\">\n"
                           : "<div class=\"scroll\"><table>\n<thead><tr>";
  if (!fields) {
    for (std::size_t i = 0; i < block.headings.size(); ++i)
      out += "<th scope=\"col\"" + number(i) + ">" + html_escaped(block.headings[i]) + "</th>";
    out += "</tr></thead>\n";
  }
  out += "<tbody>\n";
  for (const auto& row : block.rows) {
    out += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i)
      out += fields && i == 0 ? "<th scope=\"row\">" + html_cell(row[i]) + "</th>"
                              : "<td" + number(i) + ">" + html_cell(row[i]) + "</td>";
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string html_block(const Block& block) {
  switch (block.kind) {
    case Block::Kind::text: return "<p>" + html_cell(block.rows.at(0).at(0)) + "</p>\n";
    case Block::Kind::warning:
      return "<p class=\"warn\">" + html_cell(block.rows.at(0).at(0)) + "</p>\n";
    case Block::Kind::source:
      return "<pre>" + html_escaped(block.rows.at(0).at(0).text) + "</pre>\n";
    case Block::Kind::figure: return block.svg;
    case Block::Kind::fields:
    case Block::Kind::table: return html_table(block);
    case Block::Kind::list: break;
  }
  std::string out = "<ul>\n";
  for (const auto& row : block.rows) out += "<li>" + html_cell(row.at(0)) + "</li>\n";
  return out + "</ul>\n";
}

std::string anchor_of(const std::string& title) {
  std::string out;
  for (const char c : title)
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c >= 'a' && c <= 'z' ? c : '-';
  return out;
}

}  // namespace

std::string html_escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string to_markdown(const Document& document) {
  std::string out = "# " + markdown_escaped(one_line(document.title)) + "\n\n" +
                    markdown_escaped(one_line(document.subtitle)) + "\n";
  for (const Section& section : document.sections) {
    out += "\n## " + section.title + "\n";
    for (const Block& block : section.blocks)
      if (const std::string text = markdown_block(block); !text.empty()) out += "\n" + text;
  }
  return out;
}

std::string to_html(const Document& document) {
  const std::string title = html_escaped(document.title);
  std::string out =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
      "name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta "
      "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\">\n<title>" +
      title + "</title>\n<style>" + style + "</style>\n</head>\n<body>\n<main>\n<h1>" + title +
      "</h1>\n<p class=\"sub\">" + html_escaped(document.subtitle) + "</p>\n<nav>";
  for (const Section& section : document.sections)
    out += "<a href=\"#" + anchor_of(section.title) + "\">" + html_escaped(section.title) + "</a> ";
  out += "</nav>\n";
  for (const Section& section : document.sections) {
    out += "<section id=\"" + anchor_of(section.title) + "\">\n<h2>" + html_escaped(section.title) +
           "</h2>\n";
    for (const Block& block : section.blocks) out += html_block(block);
    out += "</section>\n";
  }
  return out + "</main>\n</body>\n</html>\n";
}

}  // namespace penstock::record
