#include "features/codec.h"

#include <bit>
#include <charconv>
#include <cstring>

namespace penstock::features {
namespace {

static_assert(std::endian::native == std::endian::little, "rows are kept little-endian");
constexpr char row_format = 1;
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
  }
  return false;
}

void put_value(std::string& out, const Scalar& value) {
  if (const auto* real = std::get_if<double>(&value)) {
    put(out, std::bit_cast<std::int64_t>(*real));
  } else if (const auto* whole = std::get_if<std::int64_t>(&value)) {
    put(out, *whole);
  } else if (const auto* truth = std::get_if<bool>(&value)) {
    put(out, *truth);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    const auto size = static_cast<std::uint32_t>(text->size());
    out.append(reinterpret_cast<const char*>(&size), sizeof size);
    out += *text;
  }
}

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
  for (const std::string& key : keys) {
    const auto size = static_cast<std::uint32_t>(key.size());
    out.append(reinterpret_cast<const char*>(&size), sizeof size);
    out += key;
  }
  return out;
}

std::string encode_row(const ViewHandle& view, const StoredRow& row) {
  const std::size_t count = view.view.features.size();
  std::string out(1, row_format);
  out.reserve(times_size + (count + 7) / 8 + 8 * count);
  put(out, row.event_time.time_since_epoch().count());
  put(out, row.created_time.time_since_epoch().count());
  const std::size_t nulls = out.size();
  out.append((count + 7) / 8, '\0');
  for (std::size_t i = 0; i < count; ++i) {
    if (row.values[i].index() == 0)
      out[nulls + i / 8] = static_cast<char>(out[nulls + i / 8] | (1 << (i % 8)));
    else
      put_value(out, row.values[i]);
  }
  return out;
}

Result<RowTimes> times_of(std::string_view stored) {
  Bytes bytes(stored);
  char format = 0;
  std::int64_t event = 0, created = 0;
  if (!bytes.take(format) || format != row_format || !bytes.take(event) || !bytes.take(created))
    return damaged();
  return RowTimes{Timestamp(Micros(event)), Timestamp(Micros(created))};
}

Result<StoredRow> decode_row(const ViewHandle& view, std::string_view stored) {
  const RowTimes times = TRY(times_of(stored));
  StoredRow row{.event_time = times.event_time, .created_time = times.created_time};
  const std::size_t count = view.view.features.size();
  Bytes bytes(stored.substr(times_size));
  std::string_view nulls;
  if (!bytes.take((count + 7) / 8, nulls)) return damaged();
  row.values.resize(count);
  for (std::size_t i = 0; i < count; ++i)
    if (!(nulls[i / 8] & (1 << (i % 8))) &&
        !take_value(bytes, view.view.features[i].type, row.values[i]))
      return damaged();
  if (!bytes.empty()) return damaged();
  return row;
}

std::string encode_watermark(const Watermark& watermark) {
  std::string out(1, row_format);
  put(out, watermark.at.time_since_epoch().count());
  return out + watermark.digest;
}

Result<Watermark> decode_watermark(std::string_view stored) {
  Bytes bytes(stored);
  char format = 0;
  std::int64_t at = 0;
  if (!bytes.take(format) || format != row_format || !bytes.take(at)) return damaged();
  return Watermark{Timestamp(Micros(at)), std::string(bytes.rest())};
}

}  // namespace penstock::features
