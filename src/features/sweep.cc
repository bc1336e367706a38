#include "features/sweep.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <boost/unordered/unordered_flat_map.hpp>

#include "features/codec.h"
#include "features/values.h"

namespace penstock::features {
namespace {

constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>()(text);
  }
};

bool is_finite(std::int64_t micros) {
  constexpr std::int64_t infinite = std::numeric_limits<std::int64_t>::max();
  return micros != infinite && micros != -infinite;
}

// As the SQL of a join says it: what is not finite has no age.
bool within(std::int64_t ttl, std::int64_t at, std::int64_t event) {
  __extension__ using Wide = __int128;
  return ttl == 0 || (is_finite(at) && is_finite(event) && Wide{at} - Wide{event} <= Wide{ttl});
}

}  // namespace

// The different values of some join keys, numbered as they come, and that of each entity row.
class Moments::Keys {
 public:
  Keys(std::vector<std::size_t> of_schema, const SchemaHandle& schema)
      : places_(std::move(of_schema)) {
    for (const std::size_t place : places_) types_.push_back(schema.keys[place].type);
    single_ = types_.size() == 1 && types_[0] != catalog::ColumnType::text;
  }
  const std::vector<std::size_t>& places() const { return places_; }

  // Of a row of entities, whose keys are columns from `first` on, in the order of the schema's.
  void add(const olap::Chunk& chunk, std::size_t first, std::size_t row) {
    for (std::size_t i = 0; i < places_.size(); ++i)
      if (!chunk.columns[first + places_[i]].valid[row]) return rows_.push_back(none);
    if (single_) {
      const auto next = static_cast<std::uint32_t>(wholes_.size());
      const std::int64_t whole = chunk.columns[first + places_[0]].whole[row];
      return rows_.push_back(wholes_.try_emplace(whole, next).first->second);
    }
    spell(chunk, row, [&](std::size_t i) { return first + places_[i]; });
    const auto next = static_cast<std::uint32_t>(texts_.size());
    const auto [place, fresh] = texts_.try_emplace(text_, next);
    if (fresh) text_bytes_ += text_.size();
    rows_.push_back(place->second);
  }
  // Of a row of a view, whose keys are the first columns; none: no entity row has it.
  std::uint32_t find(const olap::Chunk& chunk, std::size_t row) {
    if (single_) {
      const auto found = wholes_.find(chunk.columns[0].whole[row]);
      return found == wholes_.end() ? none : found->second;
    }
    spell(chunk, row, [](std::size_t i) { return i; });
    const auto found = texts_.find(std::string_view(text_));
    return found == texts_.end() ? none : found->second;
  }
  std::uint32_t of_row(std::uint32_t row) const { return rows_[row]; }
  std::size_t count() const { return wholes_.size() + texts_.size(); }
  std::size_t bytes() const {
    return rows_.capacity() * sizeof(std::uint32_t) + wholes_.size() * 40 + texts_.size() * 100 +
           text_bytes_;
  }
  void reserve(std::size_t rows) { rows_.reserve(rows); }

 private:
  void spell(const olap::Chunk& chunk, std::size_t row, auto column) {
    text_.clear();
    for (std::size_t i = 0; i < types_.size(); ++i)
      append_key(text_, key_at(types_[i], chunk.columns[column(i)], row));
  }

  std::vector<std::size_t> places_;  // of SchemaHandle::keys
  std::vector<catalog::ColumnType> types_;
  bool single_ = false;  // one that is a number: by far the most common
  boost::unordered_flat_map<std::int64_t, std::uint32_t> wholes_;
  boost::unordered_flat_map<std::string, std::uint32_t, TextHash, std::equal_to<>> texts_;
  std::size_t text_bytes_ = 0;
  std::vector<std::uint32_t> rows_;  // of each entity row
  std::string text_;
};

Moments::Moments(Moments&&) noexcept = default;
Moments& Moments::operator=(Moments&&) noexcept = default;
Moments::~Moments() = default;

Moments::Moments(const SchemaHandle& schema) {
  for (const auto& view : schema.views) {
    std::vector<std::size_t> places;
    for (const catalog::JoinKey& key : view->keys)
      places.push_back(static_cast<std::size_t>(
          std::ranges::find(schema.keys, key.name, &catalog::JoinKey::name) - schema.keys.begin()));
    const auto same = std::ranges::find_if(
        keys_, [&](const std::unique_ptr<Keys>& one) { return one->places() == places; });
    of_view_.push_back(static_cast<std::size_t>(same - keys_.begin()));
    if (same == keys_.end()) keys_.push_back(std::make_unique<Keys>(std::move(places), schema));
  }
}

std::size_t Moments::bytes() const {
  std::size_t all = 2 * moments_.capacity() * sizeof(Moment);  // twice while they are sorted
  for (const auto& keys : keys_) all += keys->bytes();
  return all;
}

Result<std::optional<Moments>> Moments::read(olap::Session& session, const SchemaHandle& schema,
                                             const NumberedRows& rows, std::size_t memory) {
  Moments out(schema);
  const auto count = static_cast<std::size_t>(rows.count);
  if (count * (2 * sizeof(Moment) + out.keys_.size() * sizeof(std::uint32_t)) > memory)
    return std::optional<Moments>();
  out.moments_.reserve(count);
  for (const auto& keys : out.keys_) keys->reserve(count);
  bool fits = true, in_order = true;
  std::uint32_t next = 0;
  const auto read = session.stream(
      moments_statement(schema, rows), {}, [&](const olap::Chunk& chunk) -> Result<void> {
        for (std::size_t at = 0; at < chunk.rows; ++at, ++next) {
          in_order = in_order && chunk.columns[0].whole[at] == std::int64_t{next};
          if (chunk.columns[1].valid[at])
            out.moments_.push_back({chunk.columns[1].whole[at], next});
          for (const auto& keys : out.keys_) keys->add(chunk, 2, at);
        }
        fits = out.bytes() <= memory;
        if (fits && in_order) return {};
        return Error{Code::resource_exhausted, ""};
      });
  if (!fits || !in_order) return std::optional<Moments>();
  if (!read) return read.error();
  out.sort();
  return std::optional<Moments>(std::move(out));
}

// By radix: the order of equal instants does not matter.
void Moments::sort() {
  if (std::ranges::is_sorted(moments_, {}, &Moment::at)) return;
  const auto [least, most] = std::ranges::minmax(moments_, {}, &Moment::at);
  const auto key = [begin = static_cast<std::uint64_t>(least.at)](const Moment& one) {
    return static_cast<std::uint64_t>(one.at) - begin;
  };
  constexpr int bits = 11;
  constexpr std::size_t buckets = std::size_t{1} << bits;
  std::vector<Moment> other(moments_.size());
  const std::uint64_t span = key(most);
  for (int shift = 0; shift < 64 && (span >> shift) > 0; shift += bits) {
    std::vector<std::size_t> begin(buckets + 1);
    for (const Moment& one : moments_) ++begin[((key(one) >> shift) & (buckets - 1)) + 1];
    for (std::size_t at = 1; at <= buckets; ++at) begin[at] += begin[at - 1];
    for (const Moment& one : moments_) other[begin[(key(one) >> shift) & (buckets - 1)]++] = one;
    moments_.swap(other);
  }
}

Result<bool> Moments::find(olap::Session& session, const SchemaHandle& schema, std::size_t view,
                           const JoinedView& joined, Places& out) const {
  struct Last {
    std::uint32_t place = none;
    std::int64_t event = 0;
  };
  Keys& keys = *keys_[of_view_[view]];
  std::vector<Last> last(keys.count());
  const std::int64_t ttl = joined.view->view.ttl.value_or(Micros(0)).count();
  auto moment = moments_.begin();
  const auto answer = [&] {
    const std::uint32_t key = keys.of_row(moment->row);
    if (key != none && last[key].place != none && within(ttl, moment->at, last[key].event))
      out.set(moment->row, last[key].place);
    ++moment;
  };
  const std::size_t arrived = schema.views[view]->keys.size();
  std::int64_t before = std::numeric_limits<std::int64_t>::min(), place_before = -1;
  bool in_order = true;
  const auto read =
      session.stream(best_rows(joined), {}, [&](const olap::Chunk& chunk) -> Result<void> {
        for (std::size_t row = 0; row < chunk.rows; ++row) {
          const std::int64_t at = chunk.columns[arrived].whole[row];
          const std::int64_t place = chunk.columns[arrived + 1].whole[row];
          in_order = at >= before && place > place_before;
          if (!in_order) return Error{Code::failed_precondition, ""};
          before = at;
          place_before = place;
          const std::uint32_t key = keys.find(chunk, row);
          if (key == none) continue;
          // Who asks for the instant itself sees what arrived in it.
          while (moment != moments_.end() && moment->at < at) answer();
          last[key] = {static_cast<std::uint32_t>(place),
                       ttl == 0 ? 0 : chunk.columns[arrived + 2].whole[row]};
        }
        return {};
      });
  if (!in_order) return false;
  if (!read) return read.error();
  while (moment != moments_.end()) answer();
  return true;
}

}  // namespace penstock::features
