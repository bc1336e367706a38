#include "catalog/source.h"

#include <algorithm>

namespace penstock::catalog {
namespace {

const SourceColumn* find(const Source& source, const std::string& name) {
  const auto found = std::find_if(source.columns.begin(), source.columns.end(),
                                  [&](const SourceColumn& column) { return column.name == name; });
  return found == source.columns.end() ? nullptr : &*found;
}

std::string text_or_none(const std::optional<std::string>& text) { return text ? *text : "none"; }

void compare(const SourceColumn& before, const SourceColumn& after, std::vector<Difference>& out) {
  const std::string subject = "column " + after.name + ": ";
  if (before.type != after.type)
    out.push_back({subject + "type " + std::string(name_of(before.type)) + " -> " +
                       std::string(name_of(after.type)),
                   false});
  if (before.unit != after.unit)
    out.push_back(
        {subject + "unit " + text_or_none(before.unit) + " -> " + text_or_none(after.unit),
         !before.unit});
  if (before.nullable != after.nullable)
    out.push_back({subject + (after.nullable ? "may now be null" : "may no longer be null"),
                   !after.nullable});
  if (before.classification != after.classification)
    out.push_back({subject + "classification " + std::string(name_of(before.classification)) +
                       " -> " + std::string(name_of(after.classification)),
                   after.classification <= before.classification});
}

}  // namespace

std::vector<Difference> differences(const Source& before, const Source& after) {
  std::vector<Difference> out;
  for (const SourceColumn& column : before.columns) {
    if (const SourceColumn* now = find(after, column.name))
      compare(column, *now, out);
    else
      out.push_back({"column " + column.name + ": removed", false});
  }
  for (const SourceColumn& column : after.columns)
    if (!find(before, column.name)) out.push_back({"column " + column.name + ": added", true});
  if (before.event_time != after.event_time)
    out.push_back(
        {"event_time " + text_or_none(before.event_time) + " -> " + text_or_none(after.event_time),
         false});
  if (before.path != after.path) out.push_back({"path " + before.path + " -> " + after.path, true});
  if (before.format != after.format)
    out.push_back({"format " + std::string(name_of(before.format)) + " -> " +
                       std::string(name_of(after.format)),
                   true});
  if (before.connection != after.connection)
    out.push_back(
        {"connection " + text_or_none(before.connection) + " -> " + text_or_none(after.connection),
         true});
  if (encode(before.postgres) != encode(after.postgres))
    out.push_back(
        {"postgres: " + (after.postgres ? after.postgres->table : std::string("none")), true});
  if (encode(before.kafka) != encode(after.kafka))
    out.push_back({"kafka: " + (after.kafka ? after.kafka->topic : std::string("none")), true});
  if (before.primary_key != after.primary_key) out.push_back({"primary_key changed", false});
  if (before.compatibility != after.compatibility)
    out.push_back({"compatibility " + std::string(name_of(before.compatibility)) + " -> " +
                       std::string(name_of(after.compatibility)),
                   true});
  if (before.owner != after.owner)
    out.push_back({"owner " + before.owner + " -> " + after.owner, true});
  return out;
}

}  // namespace penstock::catalog
