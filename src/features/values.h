// What a feature's values are in memory, in JSON, in SQL and in the engine's columns.
//
// In memory a value is a Scalar: a timestamp whole microseconds in UTC; a decimal its shortest text
// ("12.5"); a list compact JSON ("[1.5,null]"); an embedding the bytes of its float32,
// little-endian.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "features/codec.h"
#include "features/schema.h"
#include "ports/olap.h"

namespace penstock::features {

inline constexpr std::size_t list_items_max = 65'536;

// A timestamp as RFC 3339, a decimal as text, lists and embeddings as lists; doubles of a list that
// JSON has no number for as "NaN", "Infinity" and "-Infinity". Null where `value` is none of
// `type`.
json::value value_json(FeatureType type, const Scalar& value);
// The way back. A fault's message goes on after the field's name: "must be of type bigint".
Result<Scalar> value_of(const Feature& feature, const json::value& given);

// Whether the text of a list, or of a decimal, is one as memory holds it.
bool is_value(FeatureType type, std::string_view text);

// Why a column of a view's SQL cannot be read as the feature; nothing where it can.
std::optional<std::string> misfit(const Feature& feature, const olap::Column& column);
// SQL: `expression` as the type in which an offline table keeps the feature.
std::string cast_sql(const Feature& feature, const std::string& expression);
// SQL: `name`, cast already, or an error where it is no value that can be kept. `entity` is SQL
// that says whose it is.
std::string checked_sql(const std::string& view, const Feature& feature, const std::string& name,
                        const std::string& entity);
// SQL: as a caller of a join gets the feature; `number` as a model takes it.
std::string output_sql(const Feature& feature, const std::string& expression, bool number);
// A value of a column with that type, streamed with its lists.
Scalar value_at(const Feature& feature, const olap::Chunk::Values& values, std::size_t row);
// The same as the next value of a row.
void write_at(const Feature& feature, const olap::Chunk::Values& values, std::size_t row,
              RowWriter& out);
// The same of a join key, as it is spelt in keys of rows (codec.h), and of an instant.
std::string key_at(catalog::ColumnType type, const olap::Chunk::Values& values, std::size_t row);
Timestamp time_at(const olap::Chunk::Values& values, std::size_t row);

// Numbers, booleans and decimals; text is read by a model too, as missing.
bool is_number(FeatureType type);
// A feature as a model takes it: booleans as 0 and 1; nothing for null and text.
std::optional<double> as_number(FeatureType type, const Scalar& value);

// failed_precondition where a feature of the schema is no number and no text: no model reads it.
Result<void> check_numbers(const SchemaHandle& schema);

std::string embedding_bytes(std::span<const float> vector);
std::vector<float> embedding_of(std::string_view bytes);

}  // namespace penstock::features
