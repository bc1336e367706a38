#include "serving/table.h"

#include <algorithm>
#include <cmath>
#include <xxhash.h>

namespace penstock::serving {

std::string route_key(std::string_view project, std::string_view route) {
  std::string key;
  key.reserve(project.size() + 1 + route.size());
  return key.append(project).append("/").append(route);
}

bool takes_tensors(const LiveRoute& route) {
  return std::all_of(route.targets.begin(), route.targets.end(), [](const LiveTarget& target) {
    return target.deployment->runtime != nullptr;
  });
}

std::uint64_t seed_of(std::string_view route, std::string_view salt, std::string_view model,
                      std::int64_t version) {
  const std::string text = std::string(route) + "\n" + std::string(salt) + "\n" +
                           std::string(model) + "\n" + std::to_string(version);
  return XXH3_64bits(text.data(), text.size());
}

double hash_share(std::string_view text, std::uint64_t seed) {
  const std::uint64_t hash = XXH3_64bits_withSeed(text.data(), text.size(), seed);
  return (static_cast<double>(hash >> 11) + 0.5) * 0x1p-53;
}

const LiveTarget* choose(const LiveRoute& route, std::string_view unit) {
  const LiveTarget* best = nullptr;
  double best_key = 0;
  for (const LiveTarget& target : route.targets) {
    if (target.arm == Arm::shadow || target.weight == 0) continue;
    if (target.weight == weight_total) return &target;
    // The target whose exponential clock of rate `weight` rings first wins with chance weight /
    // total, and a clock that got slower can only lose units, one that got faster only win them.
    const double key =
        -std::log(hash_share(unit, target.seed)) / static_cast<double>(target.weight);
    if (!best || key < best_key) {
      best = &target;
      best_key = key;
    }
  }
  return best;
}

}  // namespace penstock::serving
