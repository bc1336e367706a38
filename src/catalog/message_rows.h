// Messages of a topic as rows: JSON objects by their fields, and what each message says of itself.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "catalog/source.h"
#include "ports/messages.h"
#include "ports/tables.h"

namespace penstock::catalog {

// Why messages are no rows, each reason with how many.
using Rejects = std::map<std::string, std::int64_t>;
std::string rejects_text(const Rejects& rejects);  // "3 not JSON, 1 no value"
std::int64_t count_of(const Rejects& rejects);

// The columns _key, _partition, _offset and _timestamp come before the fields. A field that is a
// list or an object is text, as JSON. A message that is no JSON object, or whose fields are not of
// their declared types, is no row: it is counted, and the others are read.
class MessageRows {
 public:
  // `columns` are those of the rows; none: nothing is written, and columns() says what there is.
  explicit MessageRows(std::vector<SourceColumn> columns) : columns_(std::move(columns)) {}

  // Appends the row as a line of CSV: null as nothing at all, an empty text as "", times in UTC.
  void take(const messages::Message& message, std::string& csv);
  std::string header() const;

  std::int64_t rows() const { return rows_; }
  const Rejects& rejects() const { return rejects_; }
  std::optional<Timestamp> newest() const { return newest_; }
  // What the messages so far show: of each field its type, text where they do not agree.
  std::vector<tables::Column> columns() const;
  // The type of _key, _partition, _offset and _timestamp; none of any other name.
  static std::optional<ColumnType> own_type(const std::string& name);
  // How a column of this type is read from the CSV.
  static tables::Column column(const std::string& name, ColumnType type);

 private:
  struct Seen {
    std::string name;
    bool truth = false, whole = false, real = false, time = false, text = false;
  };
  // Empty: it is a row. Else why not.
  std::string reason(const messages::Message& message, json::object& object) const;
  std::string row(const messages::Message& message, const json::object& object,
                  std::string& csv) const;
  std::string clash(const json::object& object) const;
  void see(const json::object& object);

  std::vector<SourceColumn> columns_;
  std::vector<Seen> seen_;                    // in the order in which they came
  std::map<std::string, std::size_t> known_;  // by name in small letters, where in seen_
  std::int64_t rows_ = 0;
  Rejects rejects_;
  std::optional<Timestamp> newest_;
};

}  // namespace penstock::catalog
