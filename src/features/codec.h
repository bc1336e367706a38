// How keys and rows stand in the online store.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "features/schema.h"

namespace penstock::features {

struct StoredRow {
  Timestamp event_time, created_time;
  std::vector<Scalar> values;  // in the order of the view's features
};

std::string view_prefix(std::string_view project, std::string_view view, std::int64_t version);
std::string watermark_key(const ViewHandle& view);

// A join key as it is spelt in keys of rows: "7" for "007" of a bigint. Nothing where it is no
// value of its type.
std::optional<std::string> spelt(const catalog::JoinKey& key, std::string_view text);
// `keys` in the order of the view's keys, spelt.
std::string row_key(const ViewHandle& view, const std::vector<std::string>& keys);
// One of its keys more.
void append_key(std::string& out, std::string_view spelt);
// And back; fewer where it is no key of the view.
std::vector<std::string> keys_in(const ViewHandle& view, std::string_view key);

// Puts a row together: every feature once, in their order.
class RowWriter {
 public:
  struct Times {
    Timestamp event_time, created_time;
  };
  RowWriter(std::size_t features, Times times);
  void null();
  void whole(std::int64_t value);  // a bigint, a timestamp, a boolean
  void real(double value);
  void text(std::string_view value);  // of every other type
  std::string take() { return std::move(out_); }

 private:
  void cell(const void* bytes);
  std::string out_;
  std::size_t nulls_, cells_, next_ = 0;
  std::uint32_t end_ = 0;  // of the texts so far
};

// The values must be of the features' types, as values.h says them.
std::string encode_row(const ViewHandle& view, const StoredRow& row);
// data_loss where the bytes are no row of this view. Rows of format 1, which penstock wrote before
// it had more than numbers and texts, are still read.
Result<StoredRow> decode_row(const ViewHandle& view, std::string_view bytes);
// One value of such a row, without a look at the others.
Result<Scalar> decode_value(const ViewHandle& view, std::string_view bytes, std::size_t feature);
// The values of `wanted`, which are in the order of the features: each to `values` at its slot
// times `stride`. data_loss where they cannot be read.
Result<void> decode_wanted(const ViewHandle& view, std::string_view bytes,
                           const std::vector<Wanted>& wanted, Scalar* values, std::size_t stride);
// Only the times, for those who compare rows.
struct RowTimes {
  Timestamp event_time, created_time;
  friend auto operator<=>(const RowTimes&, const RowTimes&) = default;
};
Result<RowTimes> times_of(std::string_view bytes);

// What stands in the place of a row that was erased: no value, and times later than those of every
// row of an event up to `at`, so that none of them takes the place back.
std::string encode_erased(Timestamp at);
bool is_erased(std::string_view bytes);

// Where a view's rows are moved to, and from which of its offline tables.
struct Watermark {
  Timestamp at;
  std::string digest;
};
std::string encode_watermark(const Watermark& watermark);
Result<Watermark> decode_watermark(std::string_view bytes);

}  // namespace penstock::features
