#include "catalog/compatibility.h"

#include <algorithm>

namespace penstock::catalog {
namespace {

const SourceColumn* find(const Source& source, const std::string& name) {
  const auto found = std::ranges::find(source.columns, name, &SourceColumn::name);
  return found == source.columns.end() ? nullptr : &*found;
}

// Faults are told in terms of the newer declaration, whichever of the two it is.
class Reading {
 public:
  Reading(const Source& writer, const Source& reader, const Source& newer)
      : writer_(writer), reader_(reader), newer_(newer) {}

  std::vector<Incompatibility> faults() && {
    for (const SourceColumn& column : reader_.columns) read(column);
    if (reader_.event_time && !find(writer_, *reader_.event_time))
      add("event_time", "event_time",
          *reader_.event_time + " is the time of " + role(reader_) + " rows and no column of " +
              role(writer_));
    return std::move(all_);
  }

 private:
  bool backward() const { return &reader_ == &newer_; }
  std::string role(const Source& source) const {
    return &source == &newer_ ? "the new version" : "the version before";
  }

  void add(const std::string& field, const char* rule, std::string what) {
    all_.push_back({field, rule, std::move(what)});
  }

  std::string at(const std::string& column, const std::string& member) const {
    const auto place = std::ranges::find(newer_.columns, column, &SourceColumn::name);
    if (place == newer_.columns.end()) return "columns";
    return "columns[" + std::to_string(place - newer_.columns.begin()) + "]." + member;
  }

  void read(const SourceColumn& wanted) {
    const SourceColumn* written = find(writer_, wanted.name);
    if (!written) {
      if (wanted.nullable) return;
      if (backward())
        add(at(wanted.name, "nullable"), "added",
            wanted.name + " is new and not nullable: rows of the version before lack it");
      else
        add(at(wanted.name, "name"), "removed",
            wanted.name + " is gone, and who reads by the version before needs it (not nullable)");
      return;
    }
    if (!reads_as(written->type, wanted.type))
      add(at(wanted.name, "type"), "type",
          wanted.name + " is " + std::string(name_of(written->type)) + " in " + role(writer_) +
              " and " + std::string(name_of(wanted.type)) + " in " + role(reader_));
    if (written->nullable && !wanted.nullable)
      add(at(wanted.name, "nullable"), "nullable",
          wanted.name + " may be null in " + role(writer_) + " and not in " + role(reader_));
    if (written->unit && wanted.unit && written->unit != wanted.unit)
      add(at(wanted.name, "unit"), "unit",
          wanted.name + " is in " + *written->unit + " in " + role(writer_) + " and in " +
              *wanted.unit + " in " + role(reader_));
  }

  const Source &writer_, &reader_, &newer_;
  std::vector<Incompatibility> all_;
};

}  // namespace

bool reads_as(ColumnType writer, ColumnType reader) {
  if (writer == reader) return true;
  if (writer == ColumnType::list) return reader == ColumnType::text;  // "[1, 2]"
  if (writer == ColumnType::bigint)
    return reader == ColumnType::decimal || reader == ColumnType::real;
  return writer == ColumnType::decimal && reader == ColumnType::real;
}

std::vector<Incompatibility> backward_faults(const Source& before, const Source& after) {
  return Reading(before, after, after).faults();
}
std::vector<Incompatibility> forward_faults(const Source& before, const Source& after) {
  return Reading(after, before, after).faults();
}

bool asks_backward(Compatibility mode) {
  return mode == Compatibility::backward || mode == Compatibility::backward_transitive ||
         mode == Compatibility::full || mode == Compatibility::full_transitive;
}
bool asks_forward(Compatibility mode) {
  return mode == Compatibility::forward || mode == Compatibility::forward_transitive ||
         mode == Compatibility::full || mode == Compatibility::full_transitive;
}
bool is_transitive(Compatibility mode) {
  return mode == Compatibility::backward_transitive || mode == Compatibility::forward_transitive ||
         mode == Compatibility::full_transitive;
}

}  // namespace penstock::catalog
