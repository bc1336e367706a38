#include "lineage/picture.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

#include "lineage/layout.h"

namespace penstock::lineage {
namespace {

constexpr double margin = 24, head = 64, foot = 56;

// Kinds that mean the same share a colour; all are readable with black and with white beside them.
constexpr std::array<std::pair<std::string_view, std::string_view>, 14> kind_colours{{
    {"source", "#2b7a4b"},
    {"column", "#4f8f6a"},
    {"entity", "#7a6a2b"},
    {"feature_view", "#1f7a8c"},
    {"feature_schema", "#17606f"},
    {"dataset", "#2563a8"},
    {"job", "#5b5f97"},
    {"run", "#5b5f97"},
    {"pipeline", "#4b4f87"},
    {"evaluation", "#8a5a00"},
    {"model", "#7b3fa0"},
    {"route", "#b0413e"},
    {"release", "#a0522d"},
    {"prediction", "#a23b72"},
}};
constexpr std::string_view other_colour = "#5f6b76";
constexpr std::array class_colours = {"#4c8c4a", "#3f6fb5", "#c27c0e", "#b3261e"};

std::string_view colour_of(std::string_view kind) {
  for (const auto& [name, colour] : kind_colours)
    if (name == kind) return colour;
  return other_colour;
}

// Also without what XML 1.0 cannot hold at all.
std::string in_xml(std::string_view text) {
  std::string out;
  for (const char letter : text) {
    switch (letter) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default:
        if (static_cast<unsigned char>(letter) >= 0x20) out += letter;
    }
  }
  return out;
}

// Of a letter, in shares of the font's size: what the widest of the fonts named below needs. Fonts
// differ, and a text that leaves its box cannot be read.
double width_of(char first_byte) {
  const auto byte = static_cast<unsigned char>(first_byte);
  if ((byte & 0xc0) == 0x80) return 0;
  if (byte >= 0x80 || byte == 'm' || byte == 'w' || byte == 'M' || byte == 'W' || byte == '@')
    return 1.0;
  if (std::isupper(byte)) return 0.8;
  if (byte == 'i' || byte == 'j' || byte == 'l' || byte == '.' || byte == ':' || byte == ' ')
    return 0.4;
  return 0.7;
}
double width_of(std::string_view text) {
  double width = 0;
  for (const char letter : text) width += width_of(letter);
  return width;
}

// The end of a long name says more than its middle. `max`: in shares of the font's size.
std::string shortened(const std::string& text, double max) {
  if (width_of(text) <= max) return text;
  const auto is_within = [&](std::size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;
  };
  std::size_t before = 0, after = text.size();
  for (double width = 0; before < text.size() && width < max / 3 - 0.5;)
    width += width_of(text[before++]);
  while (is_within(before)) ++before;
  for (double width = width_of(std::string_view(text).substr(0, before)) + 1; after > before;) {
    width += width_of(text[after - 1]);
    if (width > max) break;
    --after;
  }
  while (is_within(after)) ++after;
  return text.substr(0, before) + "…" + text.substr(after);
}

std::string number(double value) {
  std::string text = std::to_string(std::round(value * 10) / 10);
  while (text.ends_with('0')) text.pop_back();
  if (text.ends_with('.')) text.pop_back();
  return text;
}

std::string text_at(double x, double y, std::string_view style, const std::string& text) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" class=\"" + std::string(style) +
         "\">" + in_xml(text) + "</text>\n";
}

struct Label {
  std::string name, below;
};

Label label_of(const catalog::TraceNode& node) {
  const catalog::ColumnUrn parts = catalog::column_urn(node.urn);
  const std::size_t colon = parts.object.find(':');
  std::string name = colon == std::string::npos ? parts.object : parts.object.substr(colon + 1);
  std::string below = node.owner;
  if (const json::value* said = node.detail.if_contains("name"); said && said->is_string()) {
    name = std::string(said->get_string());
    if (const json::value* space = node.detail.if_contains("namespace");
        below.empty() && space && space->is_string())
      below = std::string(space->get_string());
  }
  if (!parts.column.empty()) return {parts.column, parts.object};
  return {name, below};
}

std::string box(const catalog::TraceNode& node, Layout::Point at, const LayoutSizes& sizes,
                bool is_root) {
  const std::string_view colour = colour_of(node.kind);
  const Label label = label_of(node);
  std::string out = "<g><title>" + in_xml(node.urn) +
                    (node.summary.empty() ? "" : "&#10;" + in_xml(node.summary)) + "</title>\n";
  out += "<rect x=\"" + number(at.x) + "\" y=\"" + number(at.y) + "\" width=\"" +
         number(sizes.width) + "\" height=\"" + number(sizes.height) +
         "\" rx=\"7\" fill=\"#ffffff\" stroke=\"" + std::string(is_root ? "#111827" : colour) +
         "\" stroke-width=\"" + (is_root ? "2.6" : "1.2") + "\"/>\n";
  out += "<path d=\"M" + number(at.x + 7) + " " + number(at.y) + "h-0.1a7 7 0 0 0 -7 7v" +
         number(sizes.height - 14) + "a7 7 0 0 0 7 7h0.1z\" fill=\"" + std::string(colour) +
         "\"/>\n";
  out += text_at(at.x + 16, at.y + 17, "kind", node.kind);
  out += text_at(at.x + 16, at.y + 34, "name", shortened(label.name, (sizes.width - 22) / 13));
  out += text_at(at.x + 16, at.y + 50, "below", shortened(label.below, (sizes.width - 22) / 11));
  if (node.classification) {
    const std::string text(name_of(*node.classification));
    const double width = 6.1 * static_cast<double>(text.size()) + 12;
    const double x = at.x + sizes.width - width - 7;
    out += "<rect x=\"" + number(x) + "\" y=\"" + number(at.y + 6) + "\" width=\"" + number(width) +
           "\" height=\"15\" rx=\"7.5\" fill=\"" +
           class_colours[static_cast<std::size_t>(*node.classification)] + "\"/>\n";
    out += "<text x=\"" + number(x + width / 2) + "\" y=\"" + number(at.y + 17) +
           "\" class=\"badge\">" + text + "</text>\n";
  }
  return out + "</g>\n";
}

std::string line(const std::vector<Layout::Point>& points, const std::string& relation) {
  std::string path = "M" + number(points[0].x) + " " + number(points[0].y);
  for (std::size_t i = 1; i < points.size(); ++i) {
    const Layout::Point &from = points[i - 1], &to = points[i];
    const double half = (to.x - from.x) / 2;
    path += from.y == to.y ? "L"
                           : "C" + number(from.x + half) + " " + number(from.y) + " " +
                                 number(to.x - half) + " " + number(to.y) + " ";
    path += number(to.x) + " " + number(to.y);
  }
  return "<path d=\"" + path + "\" class=\"edge\" marker-end=\"url(#tip)\"><title>" +
         in_xml(relation) + "</title></path>\n";
}

std::string legend(const std::vector<catalog::TraceNode>& nodes, double y) {
  std::vector<std::string> kinds;
  std::vector<bool> classes(class_colours.size());
  for (const catalog::TraceNode& node : nodes) {
    if (std::find(kinds.begin(), kinds.end(), node.kind) == kinds.end()) kinds.push_back(node.kind);
    if (node.classification) classes[static_cast<std::size_t>(*node.classification)] = true;
  }
  std::string out;
  double x = margin;
  const auto entry = [&](std::string_view colour, const std::string& text, double radius) {
    out += "<rect x=\"" + number(x) + "\" y=\"" + number(y) +
           "\" width=\"12\" height=\"12\" rx=\"" + number(radius) + "\" fill=\"" +
           std::string(colour) + "\"/>\n";
    out += text_at(x + 17, y + 10, "below", text);
    x += 34 + 6.4 * static_cast<double>(text.size());
  };
  for (const std::string& kind : kinds) entry(colour_of(kind), kind.empty() ? "other" : kind, 2);
  x = margin;
  y += 20;
  for (std::size_t i = 0; i < classes.size(); ++i)
    if (classes[i])
      entry(class_colours[i], std::string(name_of(static_cast<catalog::Classification>(i))), 6);
  return out;
}

double legend_width(const std::vector<catalog::TraceNode>& nodes) {
  std::vector<std::string> kinds;
  double width = 0;
  for (const catalog::TraceNode& node : nodes)
    if (std::find(kinds.begin(), kinds.end(), node.kind) == kinds.end()) {
      kinds.push_back(node.kind);
      width += 34 + 6.4 * static_cast<double>(node.kind.size());
    }
  return width;
}

std::string draw(const std::string& title, std::string under, const std::string& root,
                 std::vector<catalog::TraceNode> nodes,
                 const std::vector<catalog::TraceEdge>& edges, std::int64_t total) {
  if (nodes.size() > picture_nodes_max) nodes.resize(picture_nodes_max);
  if (total > std::ssize(nodes))
    under += " · the nearest " + std::to_string(nodes.size()) + " of " + std::to_string(total);
  std::map<std::string, std::size_t> places;
  for (const catalog::TraceNode& node : nodes) places.emplace(node.urn, places.size());
  std::vector<std::pair<std::size_t, std::size_t>> lines;
  std::vector<std::string> relations;
  for (const catalog::TraceEdge& edge : edges) {
    const auto from = places.find(edge.to_urn), to = places.find(edge.from_urn);
    if (from == places.end() || to == places.end() || from == to) continue;
    lines.emplace_back(from->second, to->second);
    relations.push_back(edge.relation);
  }
  const LayoutSizes sizes;
  const Layout layout = lay_out(nodes.size(), lines, sizes);
  const double width =
      std::max({layout.width, legend_width(nodes), 9.2 * static_cast<double>(title.size())}) +
      2 * margin;
  const double height = layout.height + head + foot + 2 * margin;
  std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + number(width) +
                    "\" height=\"" + number(height) + "\" viewBox=\"0 0 " + number(width) + " " +
                    number(height) + "\">\n<title>" + in_xml(title) + "</title>\n";
  out +=
      "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7.5\" refY=\"4\" markerWidth=\"8\" "
      "markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0.6L8 4L0 7.4z\" "
      "fill=\"#64748b\"/></marker></defs>\n"
      "<style>text{font-family:Inter,\"Helvetica Neue\",Arial,\"DejaVu Sans\",sans-serif;"
      "fill:#111827}.title{font-size:17px;font-weight:600}.under{font-size:12px;fill:#475569}"
      ".kind{font-size:10px;fill:#64748b;letter-spacing:.4px}.name{font-size:13px;font-weight:600}"
      ".below{font-size:11px;fill:#475569}.badge{font-size:10px;fill:#ffffff;font-weight:600;"
      "text-anchor:middle}.edge{fill:none;stroke:#94a3b8;stroke-width:1.4}</style>\n";
  out += "<rect width=\"100%\" height=\"100%\" fill=\"#f8fafc\"/>\n";
  out +=
      text_at(margin, margin + 14, "title", title) + text_at(margin, margin + 34, "under", under);
  out += "<g transform=\"translate(" + number(margin) + " " + number(margin + head) + ")\">\n";
  for (std::size_t i = 0; i < lines.size(); ++i) out += line(layout.lines[i], relations[i]);
  for (std::size_t i = 0; i < nodes.size(); ++i)
    out += box(nodes[i], layout.boxes[i], sizes, nodes[i].urn == root);
  out += "</g>\n" + legend(nodes, margin + head + layout.height + 26);
  return out + "</svg>\n";
}

std::string as_of_text(const std::optional<Timestamp>& as_of) {
  return as_of ? "as of " + to_rfc3339(*as_of) : "as it is now";
}

// Who asks for every version of a thing sees one box for it.
std::vector<catalog::TraceEdge> with_one_root(const catalog::Impact& impact) {
  const catalog::ColumnUrn root = catalog::column_urn(impact.urn);
  const auto merge = [&](std::string& urn) {
    const catalog::ColumnUrn one = catalog::column_urn(urn);
    if (one.column == root.column && one.object.starts_with(root.object + "@")) urn = impact.urn;
  };
  std::vector<catalog::TraceEdge> edges = impact.edges;
  if (root.object.find('@') != std::string::npos) return edges;
  for (catalog::TraceEdge& edge : edges) {
    merge(edge.from_urn);
    merge(edge.to_urn);
  }
  return edges;
}

}  // namespace

std::string picture_of(const catalog::Trace& trace) {
  const bool up = trace.direction == catalog::Direction::upstream;
  return draw((up ? "What made " : "What was made from ") + trace.urn, as_of_text(trace.as_of),
              trace.urn, trace.nodes, trace.edges, trace.total);
}

std::string picture_of(const catalog::Impact& impact) {
  std::vector<catalog::TraceNode> nodes{
      {.urn = impact.urn,
       .kind = impact.urn.find('#') == std::string::npos
                   ? impact.urn.substr(0, std::min(impact.urn.find(':'), impact.urn.size()))
                   : "column"}};
  for (const catalog::TraceNode& node : impact.nodes)
    if (node.urn != impact.urn) nodes.push_back(node);
  return draw("What a change of " + impact.urn + " concerns",
              as_of_text(impact.as_of) + " · " + std::to_string(impact.total) + " things of " +
                  std::to_string(impact.owners.size()) + " owners",
              impact.urn, std::move(nodes), with_one_root(impact), impact.total + 1);
}

}  // namespace penstock::lineage
