// The class of each column as it stands, which is not always the one that was declared.
#pragma once

#include "catalog/source.h"
#include "ports/sql.h"

namespace penstock::catalog {

struct ColumnClass {
  std::string column;
  // The strictest of what is declared and what was confirmed and not lowered since.
  Classification classification = Classification::internal;
  std::vector<std::string> tags;  // declared and confirmed, sorted
  Classification declared = Classification::internal;
  std::optional<Classification> confirmed;  // the strictest of its confirmed tags
  std::optional<Classification> lowered;    // what an approval allows in its stead
};
BOOST_DESCRIBE_STRUCT(ColumnClass, (), (column, classification, tags, declared, confirmed, lowered))

// One for each column of `source`, in the order of its declaration; the one place that says it.
// What is known of a column now holds for older versions of the source too: the data is the same.
Result<std::vector<ColumnClass>> column_classes(sql::Tx& tx, const std::string& project,
                                                const Source& source);

// Tells the graph in memory that classes or tags of a source's columns changed: those of all its
// versions, since the data is the same.
Result<void> classes_changed(sql::Tx& tx, const std::string& project, const std::string& source);

// Writes source_columns anew, which policies read; classes_changed does it too.
Result<void> keep_column_classes(sql::Tx& tx, const std::string& project,
                                 const std::string& source);

// A row of column_tags: a person said that the column holds this.
struct ConfirmedTag {
  std::string project, source, column_name, tag;
  Classification classification = Classification::internal;
  std::string confirmed_by;
  Timestamp confirmed_at;
};
BOOST_DESCRIBE_STRUCT(ConfirmedTag, (),
                      (project, source, column_name, tag, classification, confirmed_by,
                       confirmed_at))
// In the place of what was confirmed of this column and tag before. The caller writes the audit
// event.
Result<void> confirm_tag(sql::Tx& tx, const ConfirmedTag& tag);
// Takes it back. A fall of the class is refused (failed_precondition): it needs an approval.
Result<void> withdraw_tag(sql::Tx& tx, const ConfirmedTag& tag);

// A row of column_lowerings. Between the asking and the grant it changes nothing.
struct Lowering {
  std::string project, id, source, column_name;
  Classification from_class = Classification::internal, to_class = Classification::internal;
  std::string reason;
  std::string digest;  // of everything above: what an approval is bound to
  std::string asked_by;
  Timestamp asked_at;
  std::optional<Timestamp> granted_at;
  std::string granted_by;                    // those who approved, with commas
  std::optional<std::int64_t> used_version;  // of the source whose declaration it let through
};
BOOST_DESCRIBE_STRUCT(Lowering, (),
                      (project, id, source, column_name, from_class, to_class, reason, digest,
                       asked_by, asked_at, granted_at, granted_by, used_version))

}  // namespace penstock::catalog
