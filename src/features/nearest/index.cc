#include "features/nearest/index.h"

#include <algorithm>

#include "features/values.h"

namespace penstock::features {
namespace {

constexpr std::size_t changed_max = 100'000;
constexpr std::size_t read_rows = 1'000;
constexpr std::size_t claim_rows = 1'000;  // rows between two looks at the memory
constexpr std::size_t grow_rows = 4;       // while no one may search: a few milliseconds
constexpr std::size_t dead_max = 1'000;
// How an effort is chosen: the least that finds this share of the ten nearest of some rows that
// were held back. What it asks for lies above the 0.95 that is promised, as it is only a sample.
constexpr std::size_t measured_rows = 30, measured_neighbours = 10;
constexpr double measured_share = 0.98;
constexpr std::int64_t effort_least = 32;
// So many rows are looked at one after the other in the time that a graph takes for one of its
// effort: it jumps through memory. Where it takes longer than to look at all, all are looked at.
constexpr std::int64_t rows_for_effort = 128;
// Candidates that are kept beside the k that are asked for: floats may misjudge the last of them.
constexpr std::size_t margin = 32;

}  // namespace

bool VectorMemory::resize(std::size_t before, std::size_t now) {
  if (now <= before) {
    used_ -= before - now;
    return true;
  }
  std::size_t used = used_;
  do
    if (used + (now - before) > limit_) return false;
  while (!used_.compare_exchange_weak(used, used + (now - before)));
  return true;
}

void ChangedRows::add(const std::string& key) {
  const std::lock_guard hold(turn_);
  if (!lost_) keys_.insert(key);
  if (keys_.size() > changed_max) {
    lost_ = true;
    keys_.clear();
  }
  any_.store(true, std::memory_order_release);
}

ChangedRows::Taken ChangedRows::take() {
  const std::lock_guard hold(turn_);
  Taken out{{keys_.begin(), keys_.end()}, lost_};
  keys_.clear();
  lost_ = false;
  any_ = false;
  return out;
}

VectorIndex::VectorIndex(std::shared_ptr<const ViewHandle> view, std::size_t feature, kv::Store& kv,
                         VectorMemory& memory, Limits limits)
    : view_(std::move(view)),
      feature_(feature),
      kv_(kv),
      memory_(memory),
      limits_(limits),
      vectors_(static_cast<std::size_t>(view_->view.features[feature].dimension.value_or(1))) {}

VectorIndex::~VectorIndex() { memory_.resize(claimed_, 0); }

void VectorIndex::forget() {
  const std::lock_guard hold(turn_);
  clear();
}

void VectorIndex::clear() {
  vectors_ = Vectors(vectors_.dimension());
  for (MetricGraph& one : graphs_) {
    one.reset();
    one.no_room = false;
  }
  memory_.resize(claimed_, 0);
  claimed_ = 0;
  read_ = false;
}

Result<void> VectorIndex::claim() {
  std::size_t wanted = vectors_.bytes();
  for (const MetricGraph& one : graphs_)
    if (one.graph) wanted += Graph::bytes_for(vectors_.dimension(), one.graph->capacity());
  if (memory_.resize(claimed_, wanted)) {
    claimed_ = wanted;
    return {};
  }
  return Error{Code::resource_exhausted,
               "the vectors of " + view_->reference() + ":" + view_->view.features[feature_].name +
                   " do not fit into the " + std::to_string(memory_.limit()) +
                   " bytes that vectors may take: raise limits.vector_bytes, or ask a view of "
                   "fewer rows"};
}

Result<void> VectorIndex::put(std::string_view key, std::string_view stored) {
  const Scalar value = is_erased(stored) ? Scalar() : TRY(decode_value(*view_, stored, feature_));
  const auto* bytes = std::get_if<std::string>(&value);
  if (!bytes) {
    vectors_.remove(key);
    return {};
  }
  const RowTimes times = TRY(times_of(stored));
  vectors_.put(key, times.event_time, embedding_of(*bytes));
  return {};
}

Result<void> VectorIndex::read_all() {
  clear();
  Result<void> outcome;
  std::size_t rows = 0;
  TRY(kv_.scan(view_->prefix + "r", view_->prefix + "s",
               [&](std::string_view key, std::string_view stored) {
                 outcome = put(key, stored);
                 if (outcome && ++rows % claim_rows == 0) outcome = claim();
                 return static_cast<bool>(outcome);
               }));
  TRY(std::move(outcome));
  TRY(claim());
  read_ = true;
  return {};
}

Result<void> VectorIndex::read_changed(const std::vector<std::string>& keys) {
  for (std::size_t begin = 0; begin < keys.size(); begin += read_rows) {
    const std::size_t end = std::min(begin + read_rows, keys.size());
    const std::vector<std::string> some(keys.begin() + static_cast<std::ptrdiff_t>(begin),
                                        keys.begin() + static_cast<std::ptrdiff_t>(end));
    const auto rows = TRY(kv_.multi_get(some));
    for (std::size_t i = 0; i < some.size(); ++i) {
      if (rows[i])
        TRY(put(some[i], *rows[i]));
      else
        vectors_.remove(some[i]);
    }
    TRY(claim());
  }
  const std::size_t dead = vectors_.size() - vectors_.live();
  if (dead <= std::max(dead_max, vectors_.live())) return {};
  vectors_ = vectors_.compacted();
  for (MetricGraph& one : graphs_) one.reset();
  return claim();
}

// Brings the index to where the store is. Whoever wrote before the question was asked is seen.
Result<void> VectorIndex::refresh(Timestamp now) {
  const auto old = [&] { return limits_.age_max.count() > 0 && now - read_at_ > limits_.age_max; };
  {
    const std::shared_lock hold(turn_);
    if (read_ && !changed_.any() && !old()) return {};
  }
  const std::lock_guard hold(turn_);
  // Taken first: what is written while the store is read is told again.
  const ChangedRows::Taken taken = changed_.take();
  const bool goes_on = read_ && !taken.lost && !old();
  if (!goes_on) read_at_ = now;
  auto outcome = goes_on ? read_changed(taken.keys) : read_all();
  if (!outcome) clear();
  return outcome;
}

Result<std::vector<float>> VectorIndex::vector_of(const NearestInput& input, Timestamp now,
                                                  std::optional<Spot>& own) const {
  const Feature& feature = view_->view.features[feature_];
  if (input.entity.empty()) {
    json::array elements(input.vector.begin(), input.vector.end());
    const auto value = value_of(feature, elements);
    if (!value)
      return Error{Code::invalid_argument,
                   "vector " + value.error().message,
                   {{"vector", value.error().message}}};
    return embedding_of(std::get<std::string>(*value));
  }
  std::vector<std::string> keys;
  std::string entity = view_->view.entity;
  for (const catalog::JoinKey& key : view_->keys) {
    const auto given = input.entity.find(key.name);
    const auto text = given == input.entity.end() ? std::nullopt : spelt(key, given->second);
    const std::string problem = given == input.entity.end()
                                    ? "is missing"
                                    : "must be of type " + std::string(name_of(key.type));
    if (!text)
      return Error{Code::invalid_argument,
                   "entity key " + key.name + " " + problem,
                   {{"entity." + key.name, problem}}};
    keys.push_back(*text);
    entity += " " + key.name + "=" + *text;
  }
  own = vectors_.find(row_key(*view_, keys));
  const Micros ttl = view_->view.ttl.value_or(Micros(0));
  if (own && vectors_.event_time(*own) <= now &&
      (ttl.count() == 0 || now - vectors_.event_time(*own) <= ttl)) {
    const auto vector = vectors_.vector(*own);
    return std::vector<float>(vector.begin(), vector.end());
  }
  return Error{Code::not_found,
               entity + " has no " + feature.name + " in view " + view_->reference() +
                   (own ? " that is of now: it is older than the view's ttl, or of the future"
                        : ": it was never written, or is null"),
               {{"entity", "has no vector"}}};
}

// Of `sorted` those whose filter holds, until there are k.
Result<std::vector<Spot>> VectorIndex::matching(const NearestInput& input,
                                                const std::vector<Candidate>& sorted) const {
  std::vector<Spot> out;
  const auto wanted = static_cast<std::size_t>(input.k) + margin;
  if (!input.filter) {
    for (const Candidate& candidate : sorted) out.push_back(candidate.spot);
    return out;
  }
  const auto& features = view_->view.features;
  const auto feature = std::find_if(features.begin(), features.end(), [&](const Feature& one) {
    return one.name == input.filter->feature;
  });
  if (feature == features.end())
    return Error{Code::not_found,
                 "feature view " + view_->reference() + " has no feature " + input.filter->feature,
                 {{"filter.feature", "is not a feature of " + view_->reference()}}};
  const auto equals = value_of(*feature, input.filter->equals);
  if (!equals)
    return Error{Code::invalid_argument,
                 "filter.equals " + equals.error().message,
                 {{"filter.equals", equals.error().message}}};
  for (std::size_t begin = 0; begin < sorted.size() && out.size() < wanted; begin += read_rows) {
    const std::size_t end = std::min(begin + read_rows, sorted.size());
    std::vector<std::string> keys;
    for (std::size_t i = begin; i < end; ++i) keys.push_back(vectors_.key(sorted[i].spot));
    const auto rows = TRY(kv_.multi_get(keys));
    for (std::size_t i = 0; i < rows.size() && out.size() < wanted; ++i) {
      if (!rows[i] || is_erased(*rows[i])) continue;
      const Scalar value =
          TRY(decode_value(*view_, *rows[i], static_cast<std::size_t>(feature - features.begin())));
      if (value == *equals) out.push_back(sorted[begin + i].spot);
    }
  }
  return out;
}

Result<std::vector<Spot>> VectorIndex::exactly(const NearestInput& input,
                                               const Target& target) const {
  if (!input.filter) {
    Best best(static_cast<std::size_t>(input.k) + margin);
    vectors_.scan(target, 0, vectors_.size(), [&](Candidate one) { best.offer(one); });
    return matching(input, std::move(best).sorted());
  }
  std::vector<Candidate> all;
  vectors_.scan(target, 0, vectors_.size(), [&](Candidate one) { all.push_back(one); });
  std::sort(all.begin(), all.end());
  return matching(input, all);
}

std::optional<std::size_t> VectorIndex::effort_of(const NearestInput& input) const {
  const std::int64_t known = graphs_[static_cast<std::size_t>(input.metric)].effort;
  if (!input.effort && known == 0) return {};
  // What finds ten finds more with as much for each.
  const std::int64_t effort =
      input.effort.value_or(known * std::max<std::int64_t>(10, input.k) / 10);
  const std::size_t live = std::max<std::size_t>(1, vectors_.live());
  return static_cast<std::size_t>(std::max(effort, input.k)) * vectors_.size() / live;  // the dead
}

Result<std::optional<std::vector<Spot>>> VectorIndex::roughly(const NearestInput& input,
                                                              const Target& target) const {
  const auto none = std::optional<std::vector<Spot>>();
  const MetricGraph& mine = graphs_[static_cast<std::size_t>(input.metric)];
  const auto wanted = effort_of(input);
  // A long tail is looked at row by row: then it is better to look at all.
  if (!mine.graph || !wanted || mine.until < vectors_.size() / 2) return none;
  const auto k = static_cast<std::size_t>(input.k);
  const std::size_t effort = *wanted;
  Best best(input.filter ? effort : k + margin);
  const auto look = [&](Spot spot) {
    if (vectors_.counts(target, spot)) best.offer({vectors_.distance(target, spot), spot});
  };
  for (const Spot spot : mine.graph->near(target, effort)) look(spot);
  for (const Spot spot : mine.held) look(spot);
  vectors_.scan(target, mine.until, vectors_.size(), [&](Candidate one) { best.offer(one); });
  auto found = TRY(matching(input, std::move(best).sorted()));
  if (found.size() < std::min(k, vectors_.live())) return none;
  return std::optional(std::move(found));
}

Neighbour VectorIndex::neighbour(const Target& target, Spot spot, Timestamp now) const {
  Neighbour out{.distance = vectors_.exact_distance(target, spot),
                .event_time = vectors_.event_time(spot)};
  out.age_seconds = static_cast<double>((now - out.event_time).count()) * 1e-6;
  const auto keys = keys_in(*view_, vectors_.key(spot));
  for (std::size_t i = 0; i < keys.size() && i < view_->keys.size(); ++i)
    out.entity[view_->keys[i].name] = keys[i];
  return out;
}

Result<NearestOutput> VectorIndex::ask(const NearestInput& input, Timestamp now) {
  MetricGraph& mine = graphs_[static_cast<std::size_t>(input.metric)];
  if (!input.exact) mine.wanted.store(true, std::memory_order_relaxed);
  std::shared_lock hold(turn_, std::defer_lock);
  do {  // once, unless its memory is taken for another index right now
    if (hold.owns_lock()) hold.unlock();
    TRY(refresh(now));
    hold.lock();
  } while (!read_);
  Target target{.metric = input.metric, .until = now};
  const auto vector = TRY(vector_of(input, now, target.left_out));
  target.vector = vector;
  target.inverse_length = inverse_length(vector);
  if (input.metric == Metric::cosine && target.inverse_length == 0)
    return Error{Code::invalid_argument,
                 "a vector of zeros has no direction: ask by euclidean distance",
                 {{"vector", "must not be all zeros where the metric is cosine"}}};
  const Micros ttl = view_->view.ttl.value_or(Micros(0));
  target.from = ttl.count() > 0 ? now - ttl : Timestamp::min();

  NearestOutput out{.view = view_->reference(), .rows = static_cast<std::int64_t>(vectors_.live())};
  std::vector<Spot> found;
  auto rough = input.exact ? std::optional<std::vector<Spot>>() : TRY(roughly(input, target));
  out.exact = !rough;
  found = rough ? std::move(*rough) : TRY(exactly(input, target));
  for (const Spot spot : found) out.neighbours.push_back(neighbour(target, spot, now));
  std::sort(out.neighbours.begin(), out.neighbours.end(), [](const auto& a, const auto& b) {
    return a.distance < b.distance || (a.distance == b.distance && a.entity < b.entity);
  });
  out.neighbours.resize(std::min(out.neighbours.size(), static_cast<std::size_t>(input.k)));
  return out;
}

void VectorIndex::MetricGraph::reset() {
  graph.reset();
  held.clear();
  until = measured = 0;
  effort = 0;
}

// The next spots, in order; some are held back where the graph is to be measured.
void VectorIndex::take(MetricGraph& one) {
  const bool holds = one.measured == 0 || one.until >= 2 * one.measured;
  const std::size_t step =
      one.measured == 0 ? std::max<std::size_t>(1, vectors_.size() / measured_rows) : 1;
  for (std::size_t i = 0; i < grow_rows && one.until < vectors_.size(); ++i) {
    const auto spot = static_cast<Spot>(one.until++);
    if (!vectors_.is_live(spot)) continue;
    if (holds && spot % step == 0 && one.held.size() < measured_rows)
      one.held.push_back(spot);
    else
      one.graph->take(vectors_, spot);
  }
}

bool VectorIndex::is_due(const MetricGraph& one) const {
  return one.graph && !one.held.empty() &&
         (one.held.size() == measured_rows || one.measured == 0) && one.until == vectors_.size();
}

bool VectorIndex::grow(MetricGraph& one) {
  if (!one.wanted.load(std::memory_order_relaxed) || one.no_room || one.until == vectors_.size())
    return false;
  try {
    if (!one.graph || one.graph->capacity() < vectors_.size()) {
      const std::size_t room = vectors_.size() + vectors_.size() / 4;
      const std::size_t before =
          one.graph ? Graph::bytes_for(vectors_.dimension(), one.graph->capacity()) : 0;
      const std::size_t after = Graph::bytes_for(vectors_.dimension(), room);
      if (!memory_.resize(claimed_, claimed_ - before + after)) throw std::bad_alloc();
      claimed_ += after - before;
      if (one.graph)
        one.graph->reserve(room);
      else
        one.graph = std::make_unique<Graph>(static_cast<Metric>(&one - graphs_.data()),
                                            vectors_.dimension(), room);
    }
    take(one);
  } catch (const std::exception&) {
    // Without a graph every answer is exact, and slower.
    one.reset();
    one.no_room = true;
    [[maybe_unused]] const auto smaller = claim();
  }
  return true;
}

void VectorIndex::measure(MetricGraph& one) const {
  Target target{.metric = static_cast<Metric>(&one - graphs_.data()), .until = Timestamp::max()};
  target.from = Timestamp::min();
  std::vector<std::pair<Spot, std::vector<Candidate>>> samples;
  const auto aim_at = [&](Spot spot) {
    target.vector = vectors_.vector(spot);
    target.inverse_length = vectors_.inverse_length(spot);
  };
  for (const Spot spot : one.held) {
    if (!vectors_.is_live(spot)) continue;
    aim_at(spot);
    Best best(measured_neighbours);
    vectors_.scan(target, 0, one.until, [&](Candidate near) {
      if (std::find(one.held.begin(), one.held.end(), near.spot) == one.held.end())
        best.offer(near);
    });
    samples.emplace_back(spot, std::move(best).sorted());
  }
  std::int64_t enough = 0;
  for (std::int64_t effort = effort_least;
       enough == 0 && effort * rows_for_effort < static_cast<std::int64_t>(vectors_.live());
       effort *= 2) {
    std::size_t wanted = 0, found = 0;
    for (const auto& [spot, truth] : samples) {
      aim_at(spot);
      const auto near = one.graph->near(target, static_cast<std::size_t>(effort));
      for (const Candidate& candidate : truth)
        found += std::find(near.begin(), near.end(), candidate.spot) != near.end() ? 1 : 0;
      wanted += truth.size();
    }
    if (wanted > 0 && static_cast<double>(found) >= measured_share * static_cast<double>(wanted))
      enough = effort;
  }
  one.effort = enough;
}

bool VectorIndex::grow() {
  MetricGraph* due = nullptr;
  {
    const std::lock_guard hold(turn_);
    if (!read_ || vectors_.live() < limits_.graph_rows_min) return false;
    for (MetricGraph& one : graphs_) {
      if (grow(one)) return true;
      if (is_due(one)) due = &one;
    }
  }
  if (!due) return false;
  {
    const std::shared_lock hold(turn_);
    if (is_due(*due)) measure(*due);
  }
  const std::lock_guard hold(turn_);
  if (!is_due(*due) || !due->graph) return true;
  for (const Spot spot : due->held)
    if (vectors_.is_live(spot)) due->graph->take(vectors_, spot);
  due->held.clear();
  due->measured = due->until;
  return true;
}

}  // namespace penstock::features
