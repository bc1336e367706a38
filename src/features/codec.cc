#include "features/codec.h"

#include <charconv>
#include <cstring>

#include "features/bytes.h"
#include "features/values.h"

namespace penstock::features {
namespace {

constexpr char first_row_format = 1, row_format = 2, erased_format = 3, watermark_format = 1;
constexpr std::size_t times_size = 1 + 8 + 8;

Error damaged() { return {Code::data_loss, "a row of the online store is damaged"}; }

std::string_view nulls_of(std::string_view stored, std::size_t count) {
  return stored.substr(times_size, (count + 7) / 8);
}
bool is_null(std::string_view nulls, std::size_t at) { return nulls[at / 8] & (1 << (at % 8)); }

// ---- format 1: values one after the other ----

bool take_value(Reader& bytes, FeatureType type, Scalar& out) {
  std::int64_t whole = 0;
  double real = 0;
  std::uint32_t size = 0;
  std::string_view text;
  switch (type) {
    case FeatureType::real:
      if (!bytes.fixed(real)) return false;
      out = real;
      return true;
    case FeatureType::bigint:
      if (!bytes.fixed(whole)) return false;
      out = whole;
      return true;
    case FeatureType::boolean:
      if (!bytes.fixed(whole)) return false;
      out = whole != 0;
      return true;
    case FeatureType::text:
      if (!bytes.fixed(size) || !bytes.take(size, text)) return false;
      out = std::string(text);
      return true;
    default: return false;  // no row of format 1 has any other
  }
}

Result<std::vector<Scalar>> decode_first_format(const ViewHandle& view, std::string_view stored) {
  const std::size_t count = view.view.features.size();
  Reader bytes(stored.substr(times_size));
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
  Reader bytes(key.substr(std::min(key.size(), view.prefix.size() + 1)));
  std::vector<std::string> out;
  std::uint32_t size = 0;
  std::string_view text;
  while (bytes.fixed(size) && bytes.take(size, text)) out.emplace_back(text);
  return out;
}

RowWriter::RowWriter(std::size_t features, Times times)
    : nulls_(times_size), cells_(nulls_ + (features + 7) / 8) {
  out_.reserve(cells_ + cell_size * features + 64);
  out_ += row_format;
  put_fixed(out_, times.event_time.time_since_epoch().count());
  put_fixed(out_, times.created_time.time_since_epoch().count());
  out_.append((features + 7) / 8 + cell_size * features, '\0');
}

void RowWriter::null() {
  char& bits = out_[nulls_ + next_ / 8];
  bits = static_cast<char>(bits | (1 << (next_ % 8)));
  ++next_;
}

void RowWriter::cell(const void* bytes) {
  std::memcpy(out_.data() + cells_ + cell_size * next_, bytes, cell_size);
  ++next_;
}

void RowWriter::whole(std::int64_t value) { cell(&value); }
void RowWriter::real(double value) { cell(&value); }

void RowWriter::text(std::string_view value) {
  const Place place{end_, static_cast<std::uint32_t>(value.size())};
  cell(&place);
  end_ += place.size;
  out_ += value;
}

std::string encode_row(const ViewHandle& view, const StoredRow& row) {
  RowWriter out(view.view.features.size(), {row.event_time, row.created_time});
  for (std::size_t i = 0; i < view.view.features.size(); ++i) {
    const Scalar& value = row.values[i];
    if (value.index() == 0)
      out.null();
    else if (const auto* text = std::get_if<std::string>(&value))
      out.text(*text);
    else if (const auto* real = std::get_if<double>(&value))
      out.real(*real);
    else if (const auto* whole = std::get_if<std::int64_t>(&value))
      out.whole(*whole);
    else
      out.whole(std::get<bool>(value));
  }
  return out.take();
}

Result<RowTimes> times_of(std::string_view stored) {
  Reader bytes(stored);
  char format = 0;
  std::int64_t event = 0, created = 0;
  if (!bytes.fixed(format) ||
      (format != row_format && format != first_row_format && format != erased_format) ||
      !bytes.fixed(event) || !bytes.fixed(created))
    return damaged();
  return RowTimes{Timestamp(Micros(event)), Timestamp(Micros(created))};
}

std::string encode_erased(Timestamp at) {
  std::string out(1, erased_format);
  put_fixed(out, at.time_since_epoch().count());
  put_fixed(out, Timestamp::max().time_since_epoch().count());
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
  put_fixed(out, watermark.at.time_since_epoch().count());
  return out + watermark.digest;
}

Result<Watermark> decode_watermark(std::string_view stored) {
  Reader bytes(stored);
  char format = 0;
  std::int64_t at = 0;
  if (!bytes.fixed(format) || format != watermark_format || !bytes.fixed(at)) return damaged();
  return Watermark{Timestamp(Micros(at)), std::string(bytes.rest())};
}

}  // namespace penstock::features
