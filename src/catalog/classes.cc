#include "catalog/classes.h"

#include <algorithm>

#include "catalog/lineage.h"
#include "resources/service.h"

namespace penstock::catalog {

// A row of source_columns.
struct KeptColumn {
  std::string project, source;
  std::int64_t number = 0;
  std::string column_name;
  std::string anchor;  // of column_urn
  ColumnType type = ColumnType::text;
  Classification classification = Classification::internal;
  std::int64_t class_rank = 0;
  std::vector<std::string> tags;
};
BOOST_DESCRIBE_STRUCT(KeptColumn, (),
                      (project, source, number, column_name, anchor, type, classification,
                       class_rank, tags))

namespace {

Result<std::vector<ConfirmedTag>> confirmed_tags(sql::Tx& tx, const std::string& project,
                                                 const std::string& source) {
  static const std::string text =
      "SELECT " + columns<ConfirmedTag>() + " FROM column_tags WHERE project = $1 AND source = $2";
  return sql::select<ConfirmedTag>(tx, text, {project, source});
}

// Oldest grant first.
Result<std::vector<Lowering>> granted_lowerings(sql::Tx& tx, const std::string& project,
                                                const std::string& source) {
  static const std::string text = "SELECT " + columns<Lowering>() +
                                  " FROM column_lowerings WHERE project = $1 AND source = $2 AND "
                                  "granted_at IS NOT NULL ORDER BY granted_at, id";
  return sql::select<Lowering>(tx, text, {project, source});
}

Result<void> remove(sql::Tx& tx, const ConfirmedTag& tag) {
  TRY(
      tx.run("DELETE FROM column_tags WHERE project = $1 AND source = $2 AND column_name = $3 AND "
             "tag = $4",
             {tag.project, tag.source, tag.column_name, tag.tag}));
  return {};
}

const SourceColumn* find(const Source& source, const std::string& name) {
  const auto found = std::find_if(source.columns.begin(), source.columns.end(),
                                  [&](const SourceColumn& column) { return column.name == name; });
  return found == source.columns.end() ? nullptr : &*found;
}

}  // namespace

Result<std::vector<ColumnClass>> column_classes(sql::Tx& tx, const std::string& project,
                                                const Source& source) {
  const auto confirmed = TRY(confirmed_tags(tx, project, source.name));
  const auto lowerings = TRY(granted_lowerings(tx, project, source.name));
  const auto newest = resources::declared<Source>(tx, project, "source", source.name);
  if (!newest && newest.error().code != Code::not_found) return newest.error();
  std::vector<ColumnClass> classes;
  for (const SourceColumn& own : source.columns) {
    const SourceColumn* now = newest ? find(*newest, own.name) : nullptr;
    const SourceColumn& column = now ? *now : own;
    ColumnClass& one = classes.emplace_back(ColumnClass{.column = column.name,
                                                        .classification = column.classification,
                                                        .tags = column.tags,
                                                        .declared = column.classification});
    const Lowering* lowering = nullptr;  // the newest
    for (const Lowering& candidate : lowerings)
      if (candidate.column_name == column.name) lowering = &candidate;
    if (lowering) one.lowered = lowering->to_class;
    for (const ConfirmedTag& tag : confirmed) {
      if (tag.column_name != column.name) continue;
      one.tags.push_back(tag.tag);
      one.confirmed = std::max(one.confirmed.value_or(Classification::open), tag.classification);
      // Whoever confirmed it after the class was lowered knew what they did.
      const bool before = lowering && tag.confirmed_at <= *lowering->granted_at;
      one.classification =
          std::max(one.classification,
                   before ? std::min(tag.classification, lowering->to_class) : tag.classification);
    }
    std::sort(one.tags.begin(), one.tags.end());
    one.tags.erase(std::unique(one.tags.begin(), one.tags.end()), one.tags.end());
  }
  return classes;
}

Result<void> confirm_tag(sql::Tx& tx, const ConfirmedTag& tag) {
  TRY(remove(tx, tag));
  TRY(sql::insert(tx, "column_tags", tag));
  return classes_changed(tx, tag.project, tag.source);
}

Result<void> classes_changed(sql::Tx& tx, const std::string& project, const std::string& source) {
  const auto newest = TRY(resources::get(tx, project, "source", source));
  const Call call{.project = project};
  for (std::int64_t version = 1; version <= newest.version; ++version)
    TRY(class_changed(tx, call, "source:" + source + "@" + std::to_string(version)));
  return keep_column_classes(tx, project, source);
}

Result<void> keep_column_classes(sql::Tx& tx, const std::string& project,
                                 const std::string& source) {
  const auto declared = TRY(resources::declared<Source>(tx, project, "source", source));
  TRY(tx.run("DELETE FROM source_columns WHERE project = $1 AND source = $2", {project, source}));
  KeptColumn kept{.project = project, .source = source};
  for (const ColumnClass& column : TRY(column_classes(tx, project, declared))) {
    const SourceColumn* own = find(declared, column.column);
    kept.column_name = column.column;
    kept.anchor = escaped(column.column, true);
    kept.type = own ? own->type : ColumnType::text;
    kept.classification = column.classification;
    kept.class_rank = static_cast<std::int64_t>(column.classification);
    kept.tags = column.tags;
    TRY(sql::insert(tx, "source_columns", kept));
    ++kept.number;
  }
  return {};
}

Result<void> withdraw_tag(sql::Tx& tx, const ConfirmedTag& tag) {
  const auto source = TRY(resources::declared<Source>(tx, tag.project, "source", tag.source));
  const auto before = TRY(column_classes(tx, tag.project, source));
  TRY(remove(tx, tag));
  const auto after = TRY(column_classes(tx, tag.project, source));
  for (std::size_t i = 0; i < after.size(); ++i)
    if (after[i].classification < before[i].classification) {
      const std::string lower(name_of(after[i].classification));
      return Error{Code::failed_precondition,
                   "without " + tag.tag + " column " + tag.column_name + " would fall from " +
                       std::string(name_of(before[i].classification)) + " to " + lower +
                       ", which needs an approval: penstock sources lower-class " + tag.source +
                       " " + tag.column_name + " " + lower};
    }
  return classes_changed(tx, tag.project, tag.source);
}

}  // namespace penstock::catalog
