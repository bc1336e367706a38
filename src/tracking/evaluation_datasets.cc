#include "tracking/evaluation_datasets.h"

#include <algorithm>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"
#include "tracking/comparison.h"
#include "tracking/evaluation_records.h"
#include "tracking/offset_page.h"
#include "tracking/store.h"

namespace penstock::tracking {
namespace {

constexpr std::size_t name_max = 255, tag_max = 5'000, pairs_max = 1'000;

Error faulty(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

Result<std::vector<EvaluationDataset>> rows_of(sql::Tx& tx, const Call& call,
                                               const std::string& id) {
  static const std::string text = "SELECT " + columns<EvaluationDataset>() +
                                  " FROM evaluation_datasets WHERE project = $1 AND id = $2";
  return sql::select<EvaluationDataset>(tx, text, {call.project, id});
}

Result<EvaluationDataset> find(sql::Tx& tx, const Call& call, const std::string& id) {
  auto found = TRY(rows_of(tx, call, id));
  if (found.empty())
    return Error{Code::not_found, "Evaluation dataset with id '" + id + "' not found"};
  return std::move(found.front());
}

Result<EvaluationDatasetDetail> detail(sql::Tx& tx, EvaluationDataset dataset) {
  EvaluationDatasetDetail out;
  out.tags = TRY(sql::select<Pair>(
      tx, "SELECT key, value FROM evaluation_dataset_tags WHERE dataset = $1 ORDER BY key",
      {dataset.number}));
  for (const sql::Row& row :
       TRY(tx.run("SELECT experiment FROM evaluation_dataset_experiments WHERE dataset = $1 ORDER "
                  "BY experiment",
                  {dataset.number})))
    out.experiments.push_back(std::get<std::int64_t>(row.at(0)));
  out.dataset = std::move(dataset);
  return out;
}

Result<void> put_tags(sql::Tx& tx, std::int64_t dataset, const std::vector<Pair>& tags) {
  if (tags.size() > pairs_max)
    return faulty("tags", "has " + std::to_string(tags.size()) + " entries, and may have " +
                              std::to_string(pairs_max));
  for (const Pair& tag : tags) {
    if (tag.key.empty() || tag.key.size() > name_max)
      return faulty("tags", "has a key of " + std::to_string(tag.key.size()) +
                                " bytes, and a key has 1 to " + std::to_string(name_max));
    if (tag.value.size() > tag_max)
      return faulty("tags." + tag.key, "has a value of " + std::to_string(tag.value.size()) +
                                           " bytes, and may have " + std::to_string(tag_max));
    TRY(
        tx.run("INSERT INTO evaluation_dataset_tags (dataset, key, value) VALUES ($1, $2, $3) ON "
               "CONFLICT (dataset, key) DO UPDATE SET value = excluded.value",
               {dataset, tag.key, tag.value}));
  }
  return {};
}

Result<void> put_experiments(sql::Tx& tx, const Call& call, std::int64_t dataset,
                             const std::vector<std::int64_t>& experiments) {
  for (const std::int64_t id : experiments) {
    if (TRY(store::experiment(tx, call.project, id)).empty())
      return Error{Code::not_found, "No Experiment with id=" + std::to_string(id) + " exists"};
    TRY(
        tx.run("INSERT INTO evaluation_dataset_experiments (dataset, experiment) VALUES ($1, $2) "
               "ON CONFLICT DO NOTHING",
               {dataset, id}));
  }
  return {};
}

std::string digest_of(const EvaluationDataset& dataset) {
  return sha256_hex(dataset.name + ":" + std::to_string(dataset.updated_at) + ":" + dataset.profile)
      .substr(0, 8);
}

std::string user_of(const std::vector<Pair>& tags) {
  for (const Pair& tag : tags)
    if (tag.key == "mlflow.user") return tag.value;
  return "";
}

std::string urn_of(const EvaluationDataset& dataset) { return "evaluation_dataset:" + dataset.id; }

struct Attribute {
  std::string_view word, column;
  bool is_number;
};
constexpr Attribute attributes[] = {{"name", "t.name", false},
                                    {"dataset_id", "t.id", false},
                                    {"created_by", "t.created_by", false},
                                    {"last_updated_by", "t.updated_by", false},
                                    {"created_time", "t.created_at", true},
                                    {"last_update_time", "t.updated_at", true}};

Result<Attribute> attribute_of(const Token& first) {
  std::string word = first.text;
  for (const std::string_view prefix : {"attribute.", "attributes.", "dataset.", "datasets."})
    if (word.starts_with(prefix)) word = word.substr(prefix.size());
  std::string words;
  for (const Attribute& one : attributes) {
    if (one.word == word) return one;
    words += (words.empty() ? "" : ", ") + std::string(one.word);
  }
  return unreadable("'" + first.text + "' is no attribute of an evaluation dataset; known are " +
                    words + ", and tags. before a key");
}

Result<Clauses> compile_datasets(const Search& search) {
  Clauses out;
  Conditions conditions(out);
  TRY(each_comparison(
      search.filter, [&](const Token& first, const Comparison& comparison) -> Result<void> {
        for (const std::string_view prefix : {"tag.", "tags."})
          if (first.text.starts_with(prefix)) {
            conditions.add(
                "EXISTS (SELECT 1 FROM evaluation_dataset_tags x WHERE x.dataset = t.number AND "
                "x.key = " +
                conditions.mark(first.text.substr(prefix.size())) + " AND " +
                TRY(conditions.text("x.value", comparison, first)) + ")");
            return {};
          }
        const Attribute key = TRY(attribute_of(first));
        const std::string column(key.column);
        conditions.add(TRY(key.is_number ? conditions.number(column, comparison, first)
                                         : conditions.text(column, comparison, first)));
        return {};
      }));
  TRY(each_order(search.order_by,
                 [&](const Token& first, const std::string& direction) -> Result<void> {
                   conditions.order(std::string(TRY(attribute_of(first)).column), direction, false);
                   return {};
                 }));
  return out;
}

}  // namespace

// The digest changes with whatever changes the dataset.
Result<void> EvaluationDatasets::changed(sql::Tx& tx, EvaluationDataset& dataset) const {
  dataset.updated_at = now();
  dataset.digest = digest_of(dataset);
  TRY(
      tx.run("UPDATE evaluation_datasets SET schema_text = $2, profile = $3, digest = $4, "
             "updated_at = $5, updated_by = $6 WHERE number = $1",
             {dataset.number, dataset.schema_text, dataset.profile, dataset.digest,
              dataset.updated_at, dataset.updated_by}));
  return {};
}

Result<EvaluationDatasetDetail> EvaluationDatasets::create(
    const Call& call, const std::string& name, const std::vector<Pair>& tags,
    const std::vector<std::int64_t>& experiments) {
  if (name.empty() || name.size() > name_max)
    return faulty("name", "has " + std::to_string(name.size()) + " bytes, and has 1 to " +
                              std::to_string(name_max));
  return db_.write(call, [&](sql::Tx& tx) -> Result<EvaluationDatasetDetail> {
    const auto last = TRY(tx.run("SELECT coalesce(max(number), 0) FROM evaluation_datasets", {}));
    EvaluationDataset made{.number = std::get<std::int64_t>(last.at(0).at(0)) + 1,
                           .project = call.project,
                           .id = "d-" + sha256_hex(new_ulid(clock_.now())).substr(0, 32),
                           .name = name,
                           .created_at = now(),
                           .updated_at = now(),
                           .created_by = user_of(tags),
                           .updated_by = user_of(tags)};
    made.digest = digest_of(made);
    TRY(sql::insert(tx, "evaluation_datasets", made));
    TRY(put_tags(tx, made.number, tags));
    TRY(put_experiments(tx, call, made.number, experiments));
    TRY(audit::record(tx, call, clock_.now(),
                      {"tracking.evaluation_dataset.created", urn_of(made), {{"name", name}}}));
    return detail(tx, std::move(made));
  });
}

Result<EvaluationDatasetDetail> EvaluationDatasets::get(const Call& call, const std::string& id) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<EvaluationDatasetDetail> {
    return detail(tx, TRY(find(tx, call, id)));
  });
}

Result<void> EvaluationDatasets::remove(const Call& call, const std::string& id) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const auto found = TRY(rows_of(tx, call, id));
    if (found.empty()) return {};
    for (const char* table :
         {"evaluation_dataset_tags", "evaluation_dataset_experiments", "evaluation_records"})
      TRY(tx.run("DELETE FROM " + std::string(table) + " WHERE dataset = $1",
                 {found.front().number}));
    TRY(tx.run("DELETE FROM evaluation_datasets WHERE number = $1", {found.front().number}));
    return audit::record(tx, call, clock_.now(),
                         {"tracking.evaluation_dataset.deleted",
                          urn_of(found.front()),
                          {{"name", found.front().name}}});
  });
}

Result<Found<EvaluationDatasetDetail>> EvaluationDatasets::search(const Call& call,
                                                                  const Search& search) {
  TRY(check_limit(search.limit));
  Clauses compiled = TRY(compile_datasets(search));
  const std::int64_t offset = TRY(offset_page::begin(search.page_token));
  Conditions conditions(compiled);
  conditions.add("t.project = " + conditions.mark(call.project));
  if (!search.experiments.empty()) {
    std::string marks;
    for (const std::int64_t id : search.experiments)
      marks += (marks.empty() ? "" : ", ") + conditions.mark(id);
    conditions.add(
        "EXISTS (SELECT 1 FROM evaluation_dataset_experiments x WHERE x.dataset = t.number AND "
        "x.experiment IN (" +
        marks + "))");
  }
  if (compiled.order.empty()) conditions.order("t.created_at", "DESC", false);
  const std::string text =
      "SELECT t.number, t.project, t.id, t.name, t.schema_text, t.profile, t.digest, "
      "t.created_at, t.updated_at, t.created_by, t.updated_by FROM evaluation_datasets t WHERE " +
      compiled.where + " ORDER BY " + compiled.order + ", t.number DESC LIMIT " +
      std::to_string(search.limit + 1) + " OFFSET " + std::to_string(offset);
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<EvaluationDatasetDetail>> {
    auto datasets = TRY(sql::select<EvaluationDataset>(tx, text, compiled.parameters));
    Found<EvaluationDatasetDetail> out;
    out.next_page_token = offset_page::next(datasets, search.limit, offset);
    for (EvaluationDataset& one : datasets) out.items.push_back(TRY(detail(tx, std::move(one))));
    return out;
  });
}

Result<void> EvaluationDatasets::set_tags(const Call& call, const std::string& id,
                                          const std::vector<Pair>& tags) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    EvaluationDataset dataset = TRY(find(tx, call, id));
    TRY(put_tags(tx, dataset.number, tags));
    if (const std::string user = user_of(tags); !user.empty()) dataset.updated_by = user;
    return changed(tx, dataset);
  });
}

Result<void> EvaluationDatasets::remove_tag(const Call& call, const std::string& id,
                                            const std::string& key) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    for (EvaluationDataset& one : TRY(rows_of(tx, call, id)))
      TRY(tx.run("DELETE FROM evaluation_dataset_tags WHERE dataset = $1 AND key = $2",
                 {one.number, key}));
    return {};
  });
}

Result<EvaluationDatasetDetail> EvaluationDatasets::link(
    const Call& call, const std::string& id, const std::vector<std::int64_t>& experiments) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<EvaluationDatasetDetail> {
    EvaluationDataset dataset = TRY(find(tx, call, id));
    TRY(put_experiments(tx, call, dataset.number, experiments));
    TRY(changed(tx, dataset));
    return detail(tx, std::move(dataset));
  });
}

Result<EvaluationDatasetDetail> EvaluationDatasets::unlink(
    const Call& call, const std::string& id, const std::vector<std::int64_t>& experiments) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<EvaluationDatasetDetail> {
    EvaluationDataset dataset = TRY(find(tx, call, id));
    for (const std::int64_t experiment : experiments)
      TRY(
          tx.run("DELETE FROM evaluation_dataset_experiments WHERE dataset = $1 AND experiment = "
                 "$2",
                 {dataset.number, experiment}));
    TRY(changed(tx, dataset));
    return detail(tx, std::move(dataset));
  });
}

Result<Upserted> EvaluationDatasets::upsert(const Call& call, const std::string& id,
                                            const json::array& records) {
  TRY(evaluation_records::check(records));
  return db_.write(call, [&](sql::Tx& tx) -> Result<Upserted> {
    EvaluationDataset dataset = TRY(find(tx, call, id));
    Upserted out;
    std::int64_t position = TRY(evaluation_records::last_position(tx, dataset.number));
    for (const json::value& one : records) {
      const json::object& said = one.as_object();
      const EvaluationRecord record =
          evaluation_records::read(said, dataset.number, position + 1, clock_.now());
      if (!record.created_by.empty()) dataset.updated_by = record.created_by;
      if (TRY(evaluation_records::merge(tx, record, said))) {
        ++out.updated;
      } else {
        TRY(sql::insert(tx, "evaluation_records", record));
        ++out.inserted, ++position;
      }
    }
    dataset.schema_text = evaluation_records::widened_schema(dataset.schema_text, records);
    dataset.profile = TRY(evaluation_records::profile(tx, dataset.number));
    TRY(changed(tx, dataset));
    return out;
  });
}

Result<Found<EvaluationRecord>> EvaluationDatasets::records(const Call& call, const std::string& id,
                                                            std::int64_t limit,
                                                            const std::string& page_token) {
  TRY(check_limit(limit));
  const std::int64_t after = TRY(offset_page::begin(page_token));
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<EvaluationRecord>> {
    Found<EvaluationRecord> out;
    out.items = TRY(sql::select<EvaluationRecord>(
        tx,
        "SELECT " + columns<EvaluationRecord>() +
            " FROM evaluation_records WHERE dataset = $1 AND position > $2 ORDER BY position LIMIT "
            "$3",
        {TRY(find(tx, call, id)).number, after, limit + 1}));
    if (static_cast<std::int64_t>(out.items.size()) > limit) {
      out.items.pop_back();
      out.next_page_token = std::to_string(out.items.back().position);
    }
    return out;
  });
}

Result<std::int64_t> EvaluationDatasets::remove_records(const Call& call, const std::string& id,
                                                        const std::vector<std::string>& records) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<std::int64_t> {
    EvaluationDataset dataset = TRY(find(tx, call, id));
    std::int64_t count = 0;
    for (const std::string& one : records)
      count += static_cast<std::int64_t>(
          TRY(tx.run("DELETE FROM evaluation_records WHERE dataset = $1 AND id = $2 RETURNING id",
                     {dataset.number, one}))
              .size());
    if (count == 0) return count;
    dataset.profile = TRY(evaluation_records::profile(tx, dataset.number));
    TRY(changed(tx, dataset));
    return count;
  });
}

}  // namespace penstock::tracking
