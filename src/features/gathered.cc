#include "features/gathered.h"

#include <algorithm>
#include <new>
#include <sys/mman.h>

namespace penstock::features {
namespace {

constexpr std::size_t block_bytes = 1 << 20;

// A text is kept as a pointer.
std::size_t width_of(olap::Type type) { return type == olap::Type::boolean ? 1 : 8; }

std::size_t bits_bytes(std::size_t columns) { return (columns + 7) / 8; }

bool is_whole(olap::Type type) {
  return type == olap::Type::bigint || type == olap::Type::timestamp;
}

bool is_text(olap::Type type) {
  return !is_whole(type) && type != olap::Type::real && type != olap::Type::boolean;
}

}  // namespace

Places::Places(std::size_t rows, std::size_t rows_of_view)
    : at_(rows), wanted_(rows_of_view / 64 + 1) {}

void Places::close() {
  before_.reserve(wanted_.size());
  for (const std::uint64_t word : wanted_) {
    before_.push_back(static_cast<std::uint32_t>(kept_));
    kept_ += static_cast<std::size_t>(__builtin_popcountll(word));
  }
  for (std::uint32_t& at : at_)
    if (at > 0) at = static_cast<std::uint32_t>(*place_of(at - 1)) + 1;
}

Pages::Pages(std::size_t size) : size_(size) {
  if (size == 0) return;
  void* const got = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (got == MAP_FAILED) throw std::bad_alloc();
  madvise(got, size, MADV_HUGEPAGE);
  data_ = static_cast<char*>(got);
}

Pages::~Pages() {
  if (data_) munmap(data_, size_);
}

Gathered::Gathered(Places places, std::vector<olap::Type> types)
    : places_(std::move(places)),
      types_(std::move(types)),
      stride_(row_bytes(types_)),
      rows_(stride_ * places_.kept()) {
  std::size_t offset = bits_bytes(types_.size());
  for (const olap::Type type : types_) {
    offsets_.push_back(offset);
    offset += width_of(type);
  }
}

std::size_t Gathered::row_bytes(const std::vector<olap::Type>& types) {
  std::size_t bytes = bits_bytes(types.size());
  for (const olap::Type type : types) bytes += width_of(type);
  return bytes;
}

template <class T>
void Gathered::set(std::size_t place, std::size_t column, const T& value) {
  char* const row = rows_.data() + place * stride_;
  row[column / 8] = static_cast<char>(row[column / 8] | (1 << (column % 8)));
  std::memcpy(row + offsets_[column], &value, sizeof value);
}

// Under texts_turn_.
const char* Gathered::keep(std::string_view text) {
  const std::size_t size = text.size(), needed = sizeof size + size;
  if (needed > room_left_) {
    room_left_ = std::max(block_bytes, needed);
    texts_.push_back(std::make_unique_for_overwrite<char[]>(room_left_));
    room_ = texts_.back().get();
    texts_bytes_ += room_left_;
  }
  char* const begin = std::exchange(room_, room_ + needed);
  room_left_ -= needed;
  std::memcpy(begin, &size, sizeof size);
  std::memcpy(begin + sizeof size, text.data(), size);
  return begin;
}

void Gathered::put(const olap::Chunk& chunk) {
  std::vector<std::pair<std::size_t, std::size_t>> wanted;  // in the chunk, and here
  for (std::size_t at = 0; at < chunk.rows; ++at)
    if (const auto place = places_.place_of(static_cast<std::size_t>(chunk.columns[0].whole[at])))
      wanted.emplace_back(at, *place);
  for (std::size_t column = 0; column < types_.size(); ++column) {
    const olap::Chunk::Values& values = chunk.columns[column + 1];
    std::unique_lock hold(texts_turn_, std::defer_lock);
    if (is_text(types_[column])) hold.lock();
    for (const auto& [at, place] : wanted) {
      if (!values.valid[at]) continue;
      if (is_whole(types_[column])) {
        set(place, column, values.whole[at]);
      } else if (types_[column] == olap::Type::real) {
        set(place, column, values.real[at]);
      } else if (types_[column] == olap::Type::boolean) {
        set(place, column, static_cast<char>(values.whole[at] != 0));
      } else {
        set(place, column, keep(values.text[at]));
      }
    }
  }
}

const char* Gathered::find(std::size_t column, std::int64_t row) const {
  const auto place = places_.of_row(row);
  if (!place) return nullptr;
  const char* const found = rows_.data() + *place * stride_;
  return (found[column / 8] >> (column % 8)) & 1 ? found + offsets_[column] : nullptr;
}

template <class T>
void Gathered::fixed(std::size_t column, std::span<const std::int64_t> rows, T* out,
                     std::uint8_t* valid) const {
  // Rows lie anywhere in memory: they are on their way while others are read.
  constexpr std::size_t ahead = 16;
  for (std::size_t at = 0; at < rows.size(); ++at) {
    if (at + ahead < rows.size())
      if (const auto next = places_.of_row(rows[at + ahead])) {
        const char* const begin = rows_.data() + *next * stride_;
        __builtin_prefetch(begin);
        __builtin_prefetch(begin + offsets_[column]);
      }
    const char* const found = find(column, rows[at]);
    valid[at] = found ? 1 : 0;
    if (found) std::memcpy(out + at, found, sizeof(T));
  }
}

void Gathered::whole(std::size_t column, std::span<const std::int64_t> rows, std::int64_t* out,
                     std::uint8_t* valid) const {
  fixed(column, rows, out, valid);
}

void Gathered::real(std::size_t column, std::span<const std::int64_t> rows, double* out,
                    std::uint8_t* valid) const {
  fixed(column, rows, out, valid);
}

void Gathered::truth(std::size_t column, std::span<const std::int64_t> rows, bool* out,
                     std::uint8_t* valid) const {
  fixed(column, rows, out, valid);
}

void Gathered::text(std::size_t column, std::span<const std::int64_t> rows, std::string_view* out,
                    std::uint8_t* valid) const {
  for (std::size_t at = 0; at < rows.size(); ++at) {
    const char* const found = find(column, rows[at]);
    valid[at] = found ? 1 : 0;
    if (!found) continue;
    const char* begin = nullptr;
    std::size_t size = 0;
    std::memcpy(&begin, found, sizeof begin);
    std::memcpy(&size, begin, sizeof size);
    out[at] = {begin + sizeof size, size};
  }
}

}  // namespace penstock::features
