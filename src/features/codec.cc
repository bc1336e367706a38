#include "features/codec.h"

#include <bit>
#include <charconv>
#include <cstring>

#include "features/values.h"

namespace penstock::features {
namespace {

static_assert(std::endian::native == std::endian::little, "rows are kept little-endian");
constexpr char first_row_format = 1, row_format = 2, erased_format = 3, watermark_format = 1;
constexpr std::size_t times_size = 1 + 8 + 8;

void put(std::string& out, std::int64_t value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Reads front to back, and says no where the bytes end too early.
class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : rest_(bytes) {}
  template <class T>
  bool take(T& out) {
    if (rest_.size() < sizeof out) return false;
    std::memcpy(&out, rest_.data(), sizeof out);
    rest_.remove_prefix(sizeof out);
    return true;
  }
  bool take(std::size_t size, std::string_view& out) {
    if (rest_.size() < size) return false;
    out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  bool empty() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

Error damaged() { return {Code::data_loss, "a row of the online store is damaged"}; }

std::string_view nulls_of(std::string_view stored, std::size_t count) {
  return stored.substr(times_size, (count + 7) / 8);
}
bool is_null(std::string_view nulls, std::size_t at) { return nulls[at / 8] & (1 << (at % 8)); }

// ---- format 1: values one after the other ----

bool take_value(Bytes& bytes, FeatureType type, Scalar& out) {
  std::int64_t whole = 0;
  double real = 0;
  std::uint32_t size = 0;
  std::string_view text;
  switch (type) {
    case FeatureType::real:
      if (!bytes.take(real)) return false;
      out = real;
      return true;
    case FeatureType::bigint:
      if (!bytes.take(whole)) return false;
      out = whole;
      return true;
    case FeatureType::boolean:
      if (!bytes.take(whole)) return false;
      out = whole != 0;
      return true;
    case FeatureType::text:
      if (!bytes.take(size) || !bytes.take(size, text)) return false;
      out = std::string(text);
      return true;
    default: return false;  // no row of format 1 has any other
  }
}

Result<std::vector<Scalar>> decode_first_format(const ViewHandle& view, std::string_view stored) {
  const std::size_t count = view.view.features.size();
  Bytes bytes(stored.substr(times_size));
  std::string_view nulls;
  if (!bytes.take((count + 7) / 8, nulls)) return damaged();
  std::vector<Scalar> values(count);
  for (std::size_t i = 0; i < count; ++i)
    if (!is_null(nulls, i) && !take_value(bytes, view.view.features[i].type, values[i]))
      return damaged();
  if (!bytes.empty()) return damaged();
  return values;
}

// ---- format 2: a cell of 8 bytes for each value, and what does not fit there behind them ----

constexpr std::size_t cell_size = 8;

struct Place {
  std::uint32_t begin, size;  // behind the cells
};
static_assert(sizeof(Place) == cell_size);

bool fits_cell(FeatureType type) {
  return type == FeatureType::real || type == FeatureType::bigint || type == FeatureType::boolean ||
         type == FeatureType::timestamp;
}

std::int64_t cell_of(const Scalar& value) {
  if (const auto* real = std::get_if<double>(&value)) return std::bit_cast<std::int64_t>(*real);
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return *whole;
  const auto* truth = std::get_if<bool>(&value);
  return truth && *truth;
}

bool take_long(const Feature& feature, std::string_view bytes, Scalar& out) {
  if (feature.type == FeatureType::embedding) {
    if (bytes.size() != static_cast<std::size_t>(feature.dimension.value_or(0)) * sizeof(float))
      return false;
  } else if (!is_value(feature.type, bytes)) {
    return false;
  }
  out = std::string(bytes);
  return true;
}

// The values of a row whose format and times were read.
class Cells {
 public:
  Cells(const ViewHandle& view, std::string_view stored)
      : features_(view.view.features), nulls_(nulls_of(stored, features_.size())) {
    const std::size_t begin = times_size + (features_.size() + 7) / 8;
    const std::size_t size = cell_size * features_.size();
    whole_ = stored.size() >= begin + size;
    if (!whole_) return;
    cells_ = stored.substr(begin, size);
    long_ = stored.substr(begin + size);
  }

  bool take(std::size_t at, Scalar& out) const {
    if (!whole_) return false;
    if (is_null(nulls_, at)) return true;
    const FeatureType type = features_[at].type;
    if (!fits_cell(type)) {
      const Place place = cell<Place>(at);
      return place.begin <= long_.size() && place.size <= long_.size() - place.begin &&
             take_long(features_[at], long_.substr(place.begin, place.size), out);
    }
    if (type == FeatureType::real)
      out = cell<double>(at);
    else if (type == FeatureType::boolean)
      out = cell<std::int64_t>(at) != 0;
    else
      out = cell<std::int64_t>(at);
    return true;
  }

  // Whether the row ends where its last long value does: nothing was cut off.
  bool ends() const {
    if (!whole_) return false;
    std::size_t end = 0;
    for (std::size_t i = 0; i < features_.size(); ++i) {
      if (fits_cell(features_[i].type) || is_null(nulls_, i)) continue;
      const Place place = cell<Place>(i);
      if (place.begin != end) return false;
      end += place.size;
    }
    return end == long_.size();
  }

 private:
  template <class T>
  T cell(std::size_t at) const {
    T out;
    std::memcpy(&out, cells_.data() + cell_size * at, sizeof out);
    return out;
  }

  const std::vector<Feature>& features_;
  std::string_view nulls_, cells_, long_;
  bool whole_ = false;
};

}  // namespace

std::string view_prefix(std::string_view project, std::string_view view, std::int64_t version) {
  std::string out = "features/";
  out += project;
  out += '\0';
  out += view;
  out += '@' + std::to_string(version);
  out += '\0';
  return out;
}

std::string watermark_key(const ViewHandle& view) { return view.prefix + "w"; }

std::optional<std::string> spelt(const catalog::JoinKey& key, std::string_view text) {
  if (key.type == catalog::ColumnType::boolean) {
    if (text == "true" || text == "1") return "true";
    if (text == "false" || text == "0") return "false";
    return {};
  }
  if (key.type != catalog::ColumnType::bigint) return std::string(text);
  std::int64_t number = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (fault != std::errc{} || end != text.data() + text.size()) return {};
  return std::to_string(number);
}

std::string row_key(const ViewHandle& view, const std::vector<std::string>& keys) {
  std::string out = view.prefix;
  out += 'r';
  for (const std::string& key : keys) append_key(out, key);
  return out;
}

void append_key(std::string& out, std::string_view spelt) {
  const auto size = static_cast<std::uint32_t>(spelt.size());
  out.append(reinterpret_cast<const char*>(&size), sizeof size);
  out += spelt;
}

std::vector<std::string> keys_in(const ViewHandle& view, std::string_view key) {
  Bytes bytes(key.substr(std::min(key.size(), view.prefix.size() + 1)));
  std::vector<std::string> out;
  std::uint32_t size = 0;
  std::string_view text;
  while (bytes.take(size) && bytes.take(size, text)) out.emplace_back(text);
  return out;
}

std::string encode_row(const ViewHandle& view, const StoredRow& row) {
  const std::size_t count = view.view.features.size();
  const std::size_t nulls = times_size, cells = nulls + (count + 7) / 8;
  std::string out;
  out.reserve(cells + cell_size * count);
  out += row_format;
  put(out, row.event_time.time_since_epoch().count());
  put(out, row.created_time.time_since_epoch().count());
  out.append((count + 7) / 8 + cell_size * count, '\0');
  std::uint32_t end = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Scalar& value = row.values[i];
    char* cell = out.data() + cells + cell_size * i;
    if (value.index() == 0) {
      out[nulls + i / 8] = static_cast<char>(out[nulls + i / 8] | (1 << (i % 8)));
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      const Place place{end, static_cast<std::uint32_t>(text->size())};
      std::memcpy(cell, &place, sizeof place);
      end += place.size;
      out += *text;
    } else {
      const std::int64_t whole = cell_of(value);
      std::memcpy(cell, &whole, sizeof whole);
    }
  }
  return out;
}

Result<RowTimes> times_of(std::string_view stored) {
  Bytes bytes(stored);
  char format = 0;
  std::int64_t event = 0, created = 0;
  if (!bytes.take(format) ||
      (format != row_format && format != first_row_format && format != erased_format) ||
      !bytes.take(event) || !bytes.take(created))
    return damaged();
  return RowTimes{Timestamp(Micros(event)), Timestamp(Micros(created))};
}

std::string encode_erased(Timestamp at) {
  std::string out(1, erased_format);
  put(out, at.time_since_epoch().count());
  put(out, Timestamp::max().time_since_epoch().count());
  return out;
}

bool is_erased(std::string_view bytes) {
  return bytes.size() == times_size && bytes.front() == erased_format;
}

Result<StoredRow> decode_row(const ViewHandle& view, std::string_view stored) {
  const RowTimes times = TRY(times_of(stored));
  StoredRow row{.event_time = times.event_time, .created_time = times.created_time};
  if (stored.front() == erased_format) return damaged();
  if (stored.front() == first_row_format) {
    row.values = TRY(decode_first_format(view, stored));
    return row;
  }
  row.values.resize(view.view.features.size());
  const Cells cells(view, stored);
  if (!cells.ends()) return damaged();
  for (std::size_t i = 0; i < row.values.size(); ++i)
    if (!cells.take(i, row.values[i])) return damaged();
  return row;
}

Result<Scalar> decode_value(const ViewHandle& view, std::string_view stored, std::size_t feature) {
  TRY(times_of(stored));
  if (stored.front() == first_row_format) {
    auto values = TRY(decode_first_format(view, stored));
    return std::move(values.at(feature));
  }
  Scalar out;
  if (!Cells(view, stored).take(feature, out)) return damaged();
  return out;
}

Result<void> decode_wanted(const ViewHandle& view, std::string_view stored,
                           const std::vector<Wanted>& wanted, Scalar* values, std::size_t stride) {
  TRY(times_of(stored));
  if (stored.front() == first_row_format) {
    const auto all = TRY(decode_first_format(view, stored));
    for (const Wanted& one : wanted) values[one.slot * stride] = all.at(one.feature);
    return {};
  }
  const Cells cells(view, stored);
  if (!cells.ends()) return damaged();
  for (const Wanted& one : wanted)
    if (!cells.take(one.feature, values[one.slot * stride])) return damaged();
  return {};
}

std::string encode_watermark(const Watermark& watermark) {
  std::string out(1, watermark_format);
  put(out, watermark.at.time_since_epoch().count());
  return out + watermark.digest;
}

Result<Watermark> decode_watermark(std::string_view stored) {
  Bytes bytes(stored);
  char format = 0;
  std::int64_t at = 0;
  if (!bytes.take(format) || format != watermark_format || !bytes.take(at)) return damaged();
  return Watermark{Timestamp(Micros(at)), std::string(bytes.rest())};
}

}  // namespace penstock::features
