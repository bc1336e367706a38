// Where the nodes and edges of a directed graph are drawn: layers from left to right, with few
// crossings (Sugiyama, Tagawa, Toda 1981: layers by longest path, order by barycentres).
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace penstock::lineage {

struct LayoutSizes {
  double width = 230, height = 58;  // of a box
  double gap_x = 70, gap_y = 22;    // between layers, between boxes of a layer
};

struct Layout {
  struct Point {
    double x = 0, y = 0;
  };
  std::vector<Point> boxes;               // the upper left corner of each node
  std::vector<std::vector<Point>> lines;  // of each edge: where it leaves, passes and arrives
  double width = 0, height = 0;
};

// `edges` go from left to right, by positions of nodes. Rings are allowed: an edge that closes one
// is drawn against the direction.
Layout lay_out(std::size_t nodes, const std::vector<std::pair<std::size_t, std::size_t>>& edges,
               const LayoutSizes& sizes);

}  // namespace penstock::lineage
