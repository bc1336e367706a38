#include "features/nearest/nearest.h"

#include <algorithm>

namespace penstock::features {
namespace {

constexpr std::size_t indexes_max = 100;
constexpr auto grow_time = std::chrono::milliseconds(50);

// "features/<project> 0 <view>@<version> 0 r" of a row's key; empty where it is none.
std::string_view rows_prefix(std::string_view key) {
  const std::size_t first = key.find('\0');
  const std::size_t second = first == key.npos ? key.npos : key.find('\0', first + 1);
  if (second == key.npos || second + 1 >= key.size() || key[second + 1] != 'r') return {};
  return key.substr(0, second + 2);
}

Result<std::size_t> feature_of(const ViewHandle& view, const NearestInput& input) {
  const auto fault = [](Code code, const std::string& field, const std::string& problem) {
    return Error{code, field + " " + problem, {{field, problem}}};
  };
  const auto& features = view.view.features;
  const auto found = std::find_if(features.begin(), features.end(), [&](const Feature& feature) {
    return feature.name == input.feature;
  });
  if (found == features.end())
    return fault(Code::not_found, "feature",
                 input.feature + " is not a feature of " + view.reference());
  if (found->type != FeatureType::embedding)
    return fault(Code::invalid_argument, "feature",
                 input.feature + " of " + view.reference() + " is of type " +
                     std::string(name_of(found->type)) + ", not an embedding");
  if (!view.view.online)
    return fault(Code::failed_precondition, "view",
                 view.reference() + " is not online: only offline rows are there");
  if (input.vector.empty() == input.entity.empty())
    return fault(Code::invalid_argument, "vector",
                 "must be given where entity is not, and only there");
  return static_cast<std::size_t>(found - features.begin());
}

}  // namespace

std::shared_ptr<VectorIndex> Nearest::index_of(std::shared_ptr<const ViewHandle> view,
                                               std::size_t feature) {
  std::shared_ptr<VectorIndex> gone;  // after the lock: it may be large
  const std::lock_guard hold(turn_);
  const std::pair key(view->prefix + "r", feature);
  auto found = indexes_.find(key);
  if (found == indexes_.end()) {
    if (indexes_.size() >= indexes_max) {
      const auto oldest = std::min_element(
          indexes_.begin(), indexes_.end(),
          [](const auto& a, const auto& b) { return a.second.asked < b.second.asked; });
      gone = oldest->second.index;
      indexes_.erase(oldest);
    }
    found = indexes_
                .emplace(key, Held{std::make_shared<VectorIndex>(
                                  std::move(view), feature, kv_, memory_,
                                  VectorIndex::Limits{options_.graph_rows_min, options_.age_max})})
                .first;
    count_ = indexes_.size();
  }
  found->second.asked = ++asked_;
  return found->second.index;
}

std::shared_ptr<VectorIndex> Nearest::give_up_one(const VectorIndex* index) {
  const std::lock_guard hold(turn_);
  auto oldest = indexes_.end();
  for (auto one = indexes_.begin(); one != indexes_.end(); ++one)
    if (one->second.index.get() != index &&
        (oldest == indexes_.end() || one->second.asked < oldest->second.asked))
      oldest = one;
  if (oldest == indexes_.end()) return nullptr;
  auto gone = std::move(oldest->second.index);
  indexes_.erase(oldest);
  count_ = indexes_.size();
  return gone;
}

Result<NearestOutput> Nearest::ask(std::shared_ptr<const ViewHandle> view,
                                   const NearestInput& input, Timestamp now) {
  const std::size_t feature = TRY(feature_of(*view, input));
  const auto index = index_of(std::move(view), feature);
  for (;;) {
    auto answer = index->ask(input, now);
    if (answer || answer.error().code != Code::resource_exhausted) return answer;
    const auto other = give_up_one(index.get());
    if (!other) return answer;
    other->forget();
  }
}

bool Nearest::grow() {
  if (count_ == 0) return false;
  std::vector<std::shared_ptr<VectorIndex>> all;
  {
    const std::lock_guard hold(turn_);
    for (const auto& [key, held] : indexes_) all.push_back(held.index);
  }
  const auto until = std::chrono::steady_clock::now() + grow_time;
  bool more = false;
  for (const auto& index : all)
    while ((more = index->grow()))
      if (std::chrono::steady_clock::now() >= until) return true;
  return more;
}

void Nearest::tell(const std::string& key) {
  const std::string_view prefix = rows_prefix(key);
  if (prefix.empty()) return;
  for (auto held = indexes_.lower_bound({std::string(prefix), 0});
       held != indexes_.end() && held->first.first == prefix; ++held)
    held->second.index->changed().add(key);
}

}  // namespace penstock::features
