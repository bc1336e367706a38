#include "lineage/layout.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

namespace penstock::lineage {
namespace {

using Edge = std::pair<std::size_t, std::size_t>;
constexpr int sweeps = 12;

// A node, or a place where a long edge passes a layer.
struct Place {
  std::size_t layer = 0;
  double y = 0, height = 0;
  std::vector<std::size_t> left, right;
};

class Plan {
 public:
  Plan(std::size_t nodes, const std::vector<Edge>& edges, const LayoutSizes& sizes)
      : nodes_(nodes), sizes_(sizes), edges_(edges), places_(nodes) {}

  Layout make() {
    turn_back_edges();
    choose_layers();
    split_long_edges();
    order_layers();
    choose_heights();
    return draw();
  }

 private:
  // Depth first, without recursion: a chain may be thousands of nodes long.
  void turn_back_edges() {
    std::vector<std::vector<std::size_t>> out(nodes_);
    for (std::size_t i = 0; i < edges_.size(); ++i) out[edges_[i].first].push_back(i);
    std::vector<int> state(nodes_);
    std::vector<std::size_t> next(nodes_);
    turned_.assign(edges_.size(), false);
    for (std::size_t start = 0; start < nodes_; ++start) {
      std::vector<std::size_t> path;
      if (state[start] == 0) path.push_back(start), state[start] = 1;
      while (!path.empty()) {
        const std::size_t at = path.back();
        if (next[at] == out[at].size()) {
          state[at] = 2;
          path.pop_back();
          continue;
        }
        const std::size_t edge = out[at][next[at]++];
        const std::size_t to = edges_[edge].second;
        if (state[to] == 1)
          turned_[edge] = true;
        else if (state[to] == 0)
          path.push_back(to), state[to] = 1;
      }
    }
    for (std::size_t i = 0; i < edges_.size(); ++i)
      if (turned_[i]) std::swap(edges_[i].first, edges_[i].second);
  }

  void choose_layers() {
    std::vector<std::size_t> missing(nodes_), ready;
    std::vector<std::vector<std::size_t>> out(nodes_);
    for (const auto& [from, to] : edges_) out[from].push_back(to), ++missing[to];
    for (std::size_t i = 0; i < nodes_; ++i)
      if (missing[i] == 0) ready.push_back(i);
    for (std::size_t at = 0; at < ready.size(); ++at)
      for (const std::size_t to : out[ready[at]]) {
        places_[to].layer = std::max(places_[to].layer, places_[ready[at]].layer + 1);
        if (--missing[to] == 0) ready.push_back(to);
      }
    // As far right as what it leads to allows: short edges say more.
    for (auto node = ready.rbegin(); node != ready.rend(); ++node) {
      std::size_t nearest = SIZE_MAX;
      for (const std::size_t to : out[*node]) nearest = std::min(nearest, places_[to].layer);
      if (nearest != SIZE_MAX && nearest > 0) places_[*node].layer = nearest - 1;
    }
    for (Place& place : places_) place.height = sizes_.height;
  }

  void split_long_edges() {
    chains_.resize(edges_.size());
    for (std::size_t i = 0; i < edges_.size(); ++i) {
      std::size_t last = edges_[i].first;
      chains_[i].push_back(last);
      for (std::size_t layer = places_[last].layer + 1; layer < places_[edges_[i].second].layer;
           ++layer) {
        places_.push_back({.layer = layer, .height = 4});
        chains_[i].push_back(places_.size() - 1);
      }
      chains_[i].push_back(edges_[i].second);
      for (std::size_t k = 0; k + 1 < chains_[i].size(); ++k) {
        places_[chains_[i][k]].right.push_back(chains_[i][k + 1]);
        places_[chains_[i][k + 1]].left.push_back(chains_[i][k]);
      }
    }
    for (std::size_t i = 0; i < places_.size(); ++i) {
      if (places_[i].layer >= layers_.size()) layers_.resize(places_[i].layer + 1);
      layers_[places_[i].layer].push_back(i);
    }
  }

  void order_layers() {
    std::vector<double> position(places_.size());
    const auto number = [&](const std::vector<std::size_t>& layer) {
      for (std::size_t i = 0; i < layer.size(); ++i)
        position[layer[i]] = static_cast<double>(i) - static_cast<double>(layer.size()) / 2;
    };
    for (const auto& layer : layers_) number(layer);
    for (int sweep = 0; sweep < sweeps; ++sweep)
      for (std::size_t step = 0; step < layers_.size(); ++step) {
        const bool rightwards = sweep % 2 == 0;
        auto& layer = layers_[rightwards ? step : layers_.size() - 1 - step];
        std::vector<std::pair<double, std::size_t>> keyed;
        for (const std::size_t place : layer) {
          const auto& beside = rightwards ? places_[place].left : places_[place].right;
          double sum = 0;
          for (const std::size_t other : beside) sum += position[other];
          keyed.emplace_back(
              beside.empty() ? position[place] : sum / static_cast<double>(beside.size()), place);
        }
        std::stable_sort(keyed.begin(), keyed.end(),
                         [](const auto& a, const auto& b) { return a.first < b.first; });
        for (std::size_t i = 0; i < layer.size(); ++i) layer[i] = keyed[i].second;
        number(layer);
      }
  }

  // Each place wants to stand beside its neighbours; the order of its layer and the gaps win.
  void choose_heights() {
    for (const auto& layer : layers_) {
      double y = 0;
      for (const std::size_t place : layer) {
        places_[place].y = y;
        y += places_[place].height + sizes_.gap_y;
      }
    }
    for (int sweep = 0; sweep < sweeps; ++sweep)
      for (std::size_t step = 0; step < layers_.size(); ++step)
        settle(layers_[sweep % 2 == 0 ? step : layers_.size() - 1 - step]);
  }

  double middle(std::size_t place) const { return places_[place].y + places_[place].height / 2; }

  // Least squares along one line: neighbours that would overlap move as one block.
  void settle(const std::vector<std::size_t>& layer) {
    struct Block {
      double offset_sum = 0, length = 0;
      std::size_t count = 0, first = 0;
      double start() const { return offset_sum / static_cast<double>(count); }
    };
    std::vector<Block> blocks;
    for (std::size_t i = 0; i < layer.size(); ++i) {
      const Place& place = places_[layer[i]];
      double sum = 0;
      for (const auto* beside : {&place.left, &place.right})
        for (const std::size_t other : *beside) sum += middle(other);
      const std::size_t count = place.left.size() + place.right.size();
      const double wanted =
          (count ? sum / static_cast<double>(count) : middle(layer[i])) - place.height / 2;
      blocks.push_back({wanted, place.height + sizes_.gap_y, 1, i});
      while (blocks.size() > 1) {
        Block& before = blocks[blocks.size() - 2];
        const Block& last = blocks.back();
        if (before.start() + before.length <= last.start()) break;
        before.offset_sum += last.offset_sum - before.length * static_cast<double>(last.count);
        before.length += last.length;
        before.count += last.count;
        blocks.pop_back();
      }
    }
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      double y = blocks[b].start();
      const std::size_t end = b + 1 < blocks.size() ? blocks[b + 1].first : layer.size();
      for (std::size_t i = blocks[b].first; i < end; ++i) {
        places_[layer[i]].y = y;
        y += places_[layer[i]].height + sizes_.gap_y;
      }
    }
  }

  Layout draw() const {
    Layout out;
    double top = 0, bottom = 0;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      top = i ? std::min(top, places_[i].y) : places_[i].y;
      bottom =
          i ? std::max(bottom, places_[i].y + places_[i].height) : places_[i].y + places_[i].height;
    }
    const auto x_of = [&](std::size_t place) {
      return static_cast<double>(places_[place].layer) * (sizes_.width + sizes_.gap_x);
    };
    for (std::size_t i = 0; i < nodes_; ++i) out.boxes.push_back({x_of(i), places_[i].y - top});
    for (std::size_t i = 0; i < edges_.size(); ++i) {
      std::vector<Layout::Point> line;
      const auto& chain = chains_[i];
      for (std::size_t k = 0; k < chain.size(); ++k) {
        const double y = middle(chain[k]) - top;
        if (k > 0) line.push_back({x_of(chain[k]), y});
        if (k + 1 < chain.size()) line.push_back({x_of(chain[k]) + sizes_.width, y});
      }
      if (turned_[i]) std::reverse(line.begin(), line.end());
      out.lines.push_back(std::move(line));
    }
    out.width = static_cast<double>(layers_.size()) * (sizes_.width + sizes_.gap_x) - sizes_.gap_x;
    out.height = bottom - top;
    return out;
  }

  std::size_t nodes_;
  LayoutSizes sizes_;
  std::vector<Edge> edges_;
  std::vector<bool> turned_;
  std::vector<Place> places_;
  std::vector<std::vector<std::size_t>> chains_, layers_;
};

}  // namespace

Layout lay_out(std::size_t nodes, const std::vector<Edge>& edges, const LayoutSizes& sizes) {
  return Plan(nodes, edges, sizes).make();
}

}  // namespace penstock::lineage
