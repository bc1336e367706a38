// The features that a join found, row by row in memory, and which of them each entity row gets.
#pragma once

#include <atomic>
#include <cstring>
#include <mutex>
#include <optional>

#include "ports/lookup.h"

namespace penstock::features {

// For each entity row, by its number, the row of one view that counts; by the number that it has in
// the view's file.
class Places {
 public:
  Places(std::size_t rows, std::size_t rows_of_view);
  // The view's row of that number counts for entity row `row`. From several threads, each with rows
  // of its own.
  void set(std::size_t row, std::size_t found) {
    at_[row] = static_cast<std::uint32_t>(found) + 1;
    const std::uint64_t bit = std::uint64_t{1} << (found % 64);
    const std::atomic_ref word(wanted_[found / 64]);
    if (!(word.load(std::memory_order_relaxed) & bit))
      word.fetch_or(bit, std::memory_order_relaxed);
  }
  // Ends the setting: from here on what is kept has a place for each of the view's rows that counts
  // for any, and for no other.
  void close();
  std::size_t kept() const { return kept_; }
  std::optional<std::size_t> place_of(std::size_t found) const {
    const std::uint64_t word = wanted_[found / 64], bit = std::uint64_t{1} << (found % 64);
    if (!(word & bit)) return {};
    return before_[found / 64] + static_cast<std::size_t>(__builtin_popcountll(word & (bit - 1)));
  }
  // The place of what counts for an entity row.
  std::optional<std::size_t> of_row(std::int64_t row) const {
    if (row < 0 || static_cast<std::size_t>(row) >= at_.size() || at_[row] == 0) return {};
    return at_[row] - 1;
  }
  static std::size_t bytes(std::size_t rows, std::size_t rows_of_view) {
    return rows * sizeof(std::uint32_t) + rows_of_view / 4;
  }

 private:
  std::vector<std::uint32_t> at_;      // 1 + a number of the view's row, then 1 + a place; 0: none
  std::vector<std::uint64_t> wanted_;  // bits by the number of a view's row
  std::vector<std::uint32_t> before_;  // bits in the words before
  std::size_t kept_ = 0;
};

// Zeroed memory, in large pages where the machine has them: it is read here and there.
class Pages {
 public:
  explicit Pages(std::size_t size);
  Pages(const Pages&) = delete;
  ~Pages();
  char* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  char* data_ = nullptr;
  const std::size_t size_;
};

// The columns of a view that a join gives. Rows lie in memory one after the other, as they are
// found by place and asked for column by column.
class Gathered final : public olap::Values {
 public:
  Gathered(Places places, std::vector<olap::Type> types);
  // Rows as a query gives them: the first column is their number in the view's file, the others are
  // those of `types`. From several threads, each with rows of its own.
  void put(const olap::Chunk& chunk);
  std::size_t bytes() const { return rows_.size() + texts_bytes_.load(); }
  static std::size_t row_bytes(const std::vector<olap::Type>& types);

  void whole(std::size_t column, std::span<const std::int64_t> rows, std::int64_t* out,
             std::uint8_t* valid) const override;
  void real(std::size_t column, std::span<const std::int64_t> rows, double* out,
            std::uint8_t* valid) const override;
  void truth(std::size_t column, std::span<const std::int64_t> rows, bool* out,
             std::uint8_t* valid) const override;
  void text(std::size_t column, std::span<const std::int64_t> rows, std::string_view* out,
            std::uint8_t* valid) const override;

 private:
  template <class T>
  void fixed(std::size_t column, std::span<const std::int64_t> rows, T* out,
             std::uint8_t* valid) const;
  // Where the value of a column is; null where it is null, or there is no such row.
  const char* find(std::size_t column, std::int64_t row) const;
  template <class T>
  void set(std::size_t place, std::size_t column, const T& value);
  const char* keep(std::string_view text);

  Places places_;
  std::vector<olap::Type> types_;
  std::vector<std::size_t> offsets_;  // of columns in a row, behind the bits of what is there
  const std::size_t stride_;
  Pages rows_;
  std::vector<std::unique_ptr<char[]>> texts_;  // blocks; each text behind its length
  char* room_ = nullptr;                        // in the last of them
  std::size_t room_left_ = 0;
  std::atomic<std::size_t> texts_bytes_ = 0;
  std::mutex texts_turn_;
};

}  // namespace penstock::features
