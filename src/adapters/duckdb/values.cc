#include "adapters/duckdb/values.h"

#include <algorithm>
#include <limits>

#include "base/money.h"

namespace penstock::duckdb {
namespace {

__extension__ using UnsignedWide = unsigned __int128;

constexpr std::int64_t micros_per_day = 86'400'000'000;

struct Named {
  duckdb_type id;
  std::string_view declared;
  olap::Type type;
};

// Types without parameters. What is not here (and is not below) is `other`.
constexpr Named plain_types[] = {
    {DUCKDB_TYPE_BOOLEAN, "BOOLEAN", olap::Type::boolean},
    {DUCKDB_TYPE_TINYINT, "TINYINT", olap::Type::bigint},
    {DUCKDB_TYPE_SMALLINT, "SMALLINT", olap::Type::bigint},
    {DUCKDB_TYPE_INTEGER, "INTEGER", olap::Type::bigint},
    {DUCKDB_TYPE_BIGINT, "BIGINT", olap::Type::bigint},
    {DUCKDB_TYPE_UTINYINT, "UTINYINT", olap::Type::bigint},
    {DUCKDB_TYPE_USMALLINT, "USMALLINT", olap::Type::bigint},
    {DUCKDB_TYPE_UINTEGER, "UINTEGER", olap::Type::bigint},
    {DUCKDB_TYPE_UBIGINT, "UBIGINT", olap::Type::bigint},
    {DUCKDB_TYPE_FLOAT, "FLOAT", olap::Type::real},
    {DUCKDB_TYPE_DOUBLE, "DOUBLE", olap::Type::real},
    {DUCKDB_TYPE_TIMESTAMP, "TIMESTAMP", olap::Type::timestamp},
    {DUCKDB_TYPE_TIMESTAMP_S, "TIMESTAMP_S", olap::Type::timestamp},
    {DUCKDB_TYPE_TIMESTAMP_MS, "TIMESTAMP_MS", olap::Type::timestamp},
    {DUCKDB_TYPE_TIMESTAMP_NS, "TIMESTAMP_NS", olap::Type::timestamp},
    {DUCKDB_TYPE_TIMESTAMP_TZ, "TIMESTAMP WITH TIME ZONE", olap::Type::timestamp},
    {DUCKDB_TYPE_DATE, "DATE", olap::Type::timestamp},
    {DUCKDB_TYPE_HUGEINT, "HUGEINT", olap::Type::decimal},
    {DUCKDB_TYPE_UHUGEINT, "UHUGEINT", olap::Type::decimal},
    {DUCKDB_TYPE_VARCHAR, "VARCHAR", olap::Type::text},
    {DUCKDB_TYPE_BLOB, "BLOB", olap::Type::other},
    {DUCKDB_TYPE_TIME, "TIME", olap::Type::other},
    {DUCKDB_TYPE_TIME_NS, "TIME_NS", olap::Type::other},
    {DUCKDB_TYPE_TIME_TZ, "TIME WITH TIME ZONE", olap::Type::other},
    {DUCKDB_TYPE_INTERVAL, "INTERVAL", olap::Type::other},
    {DUCKDB_TYPE_UUID, "UUID", olap::Type::other},
    {DUCKDB_TYPE_BIT, "BIT", olap::Type::other},
    {DUCKDB_TYPE_BIGNUM, "BIGNUM", olap::Type::other},
    {DUCKDB_TYPE_UNION, "UNION", olap::Type::other},
    {DUCKDB_TYPE_VARIANT, "VARIANT", olap::Type::other},
    {DUCKDB_TYPE_GEOMETRY, "GEOMETRY", olap::Type::other},
    {DUCKDB_TYPE_SQLNULL, "\"NULL\"", olap::Type::other},
};

const Named* plain(duckdb_type id) {
  const auto* found = std::ranges::find(plain_types, id, &Named::id);
  return found == std::end(plain_types) ? nullptr : found;
}

std::string taken(char* text) {
  std::string out = text ? text : "";
  duckdb_free(text);
  return out;
}

std::string declared_of(duckdb_logical_type type) {
  const duckdb_type id = duckdb_get_type_id(type);
  if (const Named* found = plain(id)) return std::string(found->declared);
  switch (id) {
    case DUCKDB_TYPE_DECIMAL:
      return "DECIMAL(" + std::to_string(duckdb_decimal_width(type)) + "," +
             std::to_string(duckdb_decimal_scale(type)) + ")";
    case DUCKDB_TYPE_ENUM: {
      std::string out = "ENUM(";
      for (std::uint32_t at = 0; at < duckdb_enum_dictionary_size(type); ++at)
        out += (at ? ", " : "") + olap::quoted_text(taken(duckdb_enum_dictionary_value(type, at)));
      return out + ")";
    }
    case DUCKDB_TYPE_LIST:
      return declared_of(LogicalType(duckdb_list_type_child_type(type)).get()) + "[]";
    case DUCKDB_TYPE_ARRAY:
      return declared_of(LogicalType(duckdb_array_type_child_type(type)).get()) + "[" +
             std::to_string(duckdb_array_type_array_size(type)) + "]";
    case DUCKDB_TYPE_MAP:
      return "MAP(" + declared_of(LogicalType(duckdb_map_type_key_type(type)).get()) + ", " +
             declared_of(LogicalType(duckdb_map_type_value_type(type)).get()) + ")";
    case DUCKDB_TYPE_STRUCT: {
      std::string out = "STRUCT(";
      for (idx_t at = 0; at < duckdb_struct_type_child_count(type); ++at)
        out += (at ? ", " : "") +
               olap::quoted_name(taken(duckdb_struct_type_child_name(type, at))) + " " +
               declared_of(LogicalType(duckdb_struct_type_child_type(type, at)).get());
      return out + ")";
    }
    default: return "UNKNOWN";
  }
}

std::string decimal_text(UnsignedWide magnitude, bool negative, std::size_t scale) {
  std::string digits;
  for (; magnitude != 0 || digits.size() <= scale; magnitude /= 10) {
    if (scale > 0 && digits.size() == scale) break;
    digits += static_cast<char>('0' + static_cast<int>(magnitude % 10));
  }
  if (scale > 0) {
    digits += '.';
    do digits += static_cast<char>('0' + static_cast<int>(magnitude % 10));
    while ((magnitude /= 10) != 0);
  }
  if (negative) digits += '-';
  std::ranges::reverse(digits);
  return digits;
}

std::string decimal_text(Wide value, std::size_t scale) {
  const auto bits = static_cast<UnsignedWide>(value);
  return decimal_text(value < 0 ? UnsignedWide{0} - bits : bits, value < 0, scale);
}

Wide wide(duckdb_hugeint value) {
  return static_cast<Wide>(
      (static_cast<UnsignedWide>(static_cast<std::uint64_t>(value.upper)) << 64) | value.lower);
}

// One column while it is read.
struct Reading {
  const void* data;
  std::size_t rows;
  olap::Chunk::Values& out;

  // Calls put(value) for each row that has a value, and appends an empty one where it has none.
  template <class T, class Out>
  void each(std::vector<Out>& into, auto&& put) {
    const auto* values = static_cast<const T*>(data);
    into.resize(rows);
    for (std::size_t row = 0; row < rows; ++row)
      if (out.valid[row]) into[row] = put(values[row]);
  }

  template <class T>
  void whole() {
    each<T>(out.whole, [](T value) { return static_cast<std::int64_t>(value); });
  }

  template <class T>
  void decimal(std::size_t scale) {
    each<T>(out.text, [&](T value) { return decimal_text(Wide{value}, scale); });
  }
};

// DuckDB's infinite times are the ends of 64 bits in every unit, and stay so.
std::int64_t scaled(std::int64_t value, std::int64_t micros, bool& beyond) {
  constexpr std::int64_t infinite = std::numeric_limits<std::int64_t>::max();
  std::int64_t out = 0;
  if (value == infinite || value == -infinite) return value;
  if (__builtin_mul_overflow(value, micros, &out)) beyond = true;
  return out;
}

std::int64_t micros_of_days(std::int32_t days, bool& beyond) {
  constexpr std::int32_t infinite = std::numeric_limits<std::int32_t>::max();
  constexpr std::int64_t end = std::numeric_limits<std::int64_t>::max();
  if (days == infinite) return end;
  if (days == -infinite) return -end;
  return scaled(days, micros_per_day, beyond);
}

std::int64_t floor_micros(std::int64_t nanos) {
  constexpr std::int64_t infinite = std::numeric_limits<std::int64_t>::max();
  if (nanos == infinite || nanos == -infinite) return nanos;
  return nanos / 1000 - (nanos % 1000 < 0 ? 1 : 0);
}

void read_decimal(Reading& in, duckdb_logical_type type) {
  const std::size_t scale = duckdb_decimal_scale(type);
  switch (duckdb_decimal_internal_type(type)) {
    case DUCKDB_TYPE_SMALLINT: return in.decimal<std::int16_t>(scale);
    case DUCKDB_TYPE_INTEGER: return in.decimal<std::int32_t>(scale);
    case DUCKDB_TYPE_BIGINT: return in.decimal<std::int64_t>(scale);
    default:
      in.each<duckdb_hugeint>(
          in.out.text, [&](duckdb_hugeint value) { return decimal_text(wide(value), scale); });
  }
}

void read_enum(Reading& in, duckdb_logical_type type) {
  std::vector<std::string> words(duckdb_enum_dictionary_size(type));
  for (std::uint32_t at = 0; at < words.size(); ++at)
    words[at] = taken(duckdb_enum_dictionary_value(type, at));
  const auto word = [&](std::uint32_t at) { return words.at(at); };
  switch (duckdb_enum_internal_type(type)) {
    case DUCKDB_TYPE_UTINYINT: return in.each<std::uint8_t>(in.out.text, word);
    case DUCKDB_TYPE_USMALLINT: return in.each<std::uint16_t>(in.out.text, word);
    default: return in.each<std::uint32_t>(in.out.text, word);
  }
}

// True where a value is beyond 64 bits.
bool read_values(Reading& in, duckdb_logical_type type) {
  bool beyond = false;
  const auto times = [&](std::int64_t micros) {
    in.each<std::int64_t>(in.out.whole,
                          [&](std::int64_t value) { return scaled(value, micros, beyond); });
  };
  switch (duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_BOOLEAN: in.whole<bool>(); break;
    case DUCKDB_TYPE_TINYINT: in.whole<std::int8_t>(); break;
    case DUCKDB_TYPE_SMALLINT: in.whole<std::int16_t>(); break;
    case DUCKDB_TYPE_INTEGER: in.whole<std::int32_t>(); break;
    case DUCKDB_TYPE_UTINYINT: in.whole<std::uint8_t>(); break;
    case DUCKDB_TYPE_USMALLINT: in.whole<std::uint16_t>(); break;
    case DUCKDB_TYPE_UINTEGER: in.whole<std::uint32_t>(); break;
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_TZ: in.whole<std::int64_t>(); break;
    case DUCKDB_TYPE_UBIGINT:
      in.each<std::uint64_t>(in.out.whole, [&](std::uint64_t value) {
        beyond |= value > std::uint64_t{std::numeric_limits<std::int64_t>::max()};
        return static_cast<std::int64_t>(value);
      });
      break;
    case DUCKDB_TYPE_TIMESTAMP_S: times(1'000'000); break;
    case DUCKDB_TYPE_TIMESTAMP_MS: times(1'000); break;
    case DUCKDB_TYPE_TIMESTAMP_NS: in.each<std::int64_t>(in.out.whole, floor_micros); break;
    case DUCKDB_TYPE_DATE:
      in.each<std::int32_t>(in.out.whole,
                            [&](std::int32_t days) { return micros_of_days(days, beyond); });
      break;
    case DUCKDB_TYPE_FLOAT:
      in.each<float>(in.out.real, [](float value) { return static_cast<double>(value); });
      break;
    case DUCKDB_TYPE_DOUBLE:
      in.each<double>(in.out.real, [](double value) { return value; });
      break;
    case DUCKDB_TYPE_DECIMAL: read_decimal(in, type); break;
    case DUCKDB_TYPE_ENUM: read_enum(in, type); break;
    case DUCKDB_TYPE_HUGEINT:
      in.each<duckdb_hugeint>(in.out.text,
                              [](duckdb_hugeint value) { return decimal_text(wide(value), 0); });
      break;
    case DUCKDB_TYPE_UHUGEINT:
      in.each<duckdb_uhugeint>(in.out.text, [](duckdb_uhugeint value) {
        return decimal_text((UnsignedWide{value.upper} << 64) | value.lower, false, 0);
      });
      break;
    case DUCKDB_TYPE_SQLNULL: in.out.text.resize(in.rows); break;
    default:
      in.each<duckdb_string_t>(in.out.text, [](duckdb_string_t value) {
        return std::string(duckdb_string_t_data(&value), duckdb_string_t_length(value));
      });
  }
  return beyond;
}

bool is_list(duckdb_type id) { return id == DUCKDB_TYPE_LIST || id == DUCKDB_TYPE_ARRAY; }

LogicalType item_type(duckdb_logical_type list) {
  return LogicalType(duckdb_get_type_id(list) == DUCKDB_TYPE_LIST
                         ? duckdb_list_type_child_type(list)
                         : duckdb_array_type_child_type(list));
}

bool read_vector(duckdb_vector vector, std::size_t rows, duckdb_logical_type type,
                 olap::Chunk::Values& out);

// A list has items only where the query was not asked to cast it to text, which comes as VARCHAR.
bool read_list(duckdb_vector vector, std::size_t rows, duckdb_logical_type type,
               olap::Chunk::Values& out) {
  const LogicalType item = item_type(type);
  out.spans.resize(rows);
  if (duckdb_get_type_id(type) == DUCKDB_TYPE_ARRAY) {
    const auto size = static_cast<std::size_t>(duckdb_array_type_array_size(type));
    for (std::size_t row = 0; row < rows; ++row) out.spans[row] = {row * size, size};
    return read_vector(duckdb_array_vector_get_child(vector), rows * size, item.get(),
                       out.items.emplace_back());
  }
  const auto* entries = static_cast<const duckdb_list_entry*>(duckdb_vector_get_data(vector));
  for (std::size_t row = 0; row < rows; ++row)
    if (out.valid[row]) out.spans[row] = {entries[row].offset, entries[row].length};
  return read_vector(duckdb_list_vector_get_child(vector), duckdb_list_vector_get_size(vector),
                     item.get(), out.items.emplace_back());
}

// True where a value is beyond 64 bits.
bool read_vector(duckdb_vector vector, std::size_t rows, duckdb_logical_type type,
                 olap::Chunk::Values& out) {
  const std::uint64_t* valid = duckdb_vector_get_validity(vector);
  out.valid.assign(rows, 1);
  if (valid)
    for (std::size_t row = 0; row < rows; ++row)
      out.valid[row] = (valid[row / 64] >> (row % 64)) & 1;
  if (is_list(duckdb_get_type_id(type))) return read_list(vector, rows, type, out);
  Reading in{duckdb_vector_get_data(vector), rows, out};
  return read_values(in, type);
}

}  // namespace

olap::Column column_of(std::string name, duckdb_logical_type type) {
  const duckdb_type id = duckdb_get_type_id(type);
  const Named* found = plain(id);
  return {.name = std::move(name),
          .type = found                       ? found->type
                  : id == DUCKDB_TYPE_DECIMAL ? olap::Type::decimal
                  : id == DUCKDB_TYPE_ENUM    ? olap::Type::text
                                              : olap::Type::other,
          .declared = declared_of(type)};
}

bool needs_cast(duckdb_logical_type type, Lists lists) {
  const duckdb_type id = duckdb_get_type_id(type);
  if (lists == Lists::as_items && is_list(id))
    return needs_cast(item_type(type).get(), Lists::as_text);
  // Before its parameters are bound, a statement may not know its columns: it has one, of no type.
  if (id == DUCKDB_TYPE_INVALID || id == DUCKDB_TYPE_SQLNULL) return false;
  return column_of("", type).type == olap::Type::other;
}

Result<olap::Chunk> read(duckdb_data_chunk chunk, const std::vector<LogicalType>& types) {
  olap::Chunk out{.rows = duckdb_data_chunk_get_size(chunk), .columns = {}};
  out.columns.resize(types.size());
  for (std::size_t at = 0; at < types.size(); ++at)
    if (read_vector(duckdb_data_chunk_get_vector(chunk, at), out.rows, types[at].get(),
                    out.columns[at]))
      return Error{Code::invalid_argument,
                   "column " + std::to_string(at + 1) +
                       " holds a value that does not fit in 64 bits: cast it to VARCHAR"};
  return out;
}

}  // namespace penstock::duckdb
