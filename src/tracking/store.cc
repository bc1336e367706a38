#include "tracking/store.h"

#include <algorithm>
#include <bit>
#include <map>

namespace penstock::tracking::store {
namespace {

Result<std::int64_t> one_number(sql::Tx& tx, std::string_view statement, const sql::Row& row) {
  const auto rows = TRY(tx.run(statement, row));
  return std::get<std::int64_t>(rows.at(0).at(0));
}

// Adds the rows of `table` to the runs they belong to: `list` gives the vector of a run.
template <class T, class List>
Result<void> gather(sql::Tx& tx, std::vector<RunDetail>& runs, std::size_t from, std::size_t until,
                    const std::string& table, const List& list) {
  sql::Row numbers;
  std::string marks;
  std::map<std::int64_t, RunDetail*> by_number;
  for (std::size_t i = from; i < until; ++i) {
    numbers.emplace_back(runs[i].run.number);
    marks += (marks.empty() ? "$" : ", $") + std::to_string(numbers.size());
    by_number[runs[i].run.number] = &runs[i];
  }
  const auto rows = TRY(tx.run("SELECT " + columns<T>() + ", run FROM " + table +
                                   " WHERE run IN (" + marks + ") ORDER BY run, 1",
                               numbers));
  for (const sql::Row& row : rows)
    list(*by_number.at(std::get<std::int64_t>(row.back()))).push_back(sql::read_row<T>(row));
  return {};
}

constexpr std::size_t part_max = 128;

// Calls with the first and the size of each part of `count` things. Sizes are powers of two, so
// that a few prepared statements do for every size of a batch.
template <class Each>
Result<void> in_parts(std::size_t count, const Each& each) {
  for (std::size_t from = 0; from < count;) {
    const std::size_t size = std::min(part_max, std::bit_floor(count - from));
    TRY(each(from, size));
    from += size;
  }
  return {};
}

// `begin` (...), (...) `end`, of `width` values each, which `add` puts into the row.
template <class T, class Add>
Result<void> insert_all(sql::Tx& tx, const std::string& begin, const std::string& end,
                        std::size_t width, const std::vector<T>& items, const Add& add) {
  // One text a size, made once: `Add` is another type at each place that calls.
  static const std::vector<std::string> texts = [&] {
    std::vector<std::string> made;
    for (std::size_t rows = 1; rows <= part_max; rows *= 2) {
      std::string text = begin;
      for (std::size_t i = 0; i < rows * width; ++i) {
        text += i % width == 0 ? (i ? "), ($" : "($") : ", $";
        text += std::to_string(i + 1);
      }
      made.push_back(text + ")" + end);
    }
    return made;
  }();
  return in_parts(items.size(), [&](std::size_t from, std::size_t count) -> Result<void> {
    sql::Row row;
    row.reserve(count * width);
    for (std::size_t i = from; i < from + count; ++i) add(items[i], row);
    TRY(tx.run(texts[static_cast<std::size_t>(std::countr_zero(count))], row));
    return {};
  });
}

}  // namespace

Result<std::vector<Experiment>> experiment(sql::Tx& tx, const std::string& project,
                                           std::int64_t id) {
  static const std::string text =
      "SELECT " + columns<Experiment>() + " FROM experiments WHERE project = $1 AND id = $2";
  return sql::select<Experiment>(tx, text, {project, id});
}

Result<std::vector<Experiment>> experiment_by_name(sql::Tx& tx, const std::string& project,
                                                   const std::string& name) {
  static const std::string text =
      "SELECT " + columns<Experiment>() + " FROM experiments WHERE project = $1 AND name = $2";
  return sql::select<Experiment>(tx, text, {project, name});
}

Result<std::vector<ExperimentDetail>> details(sql::Tx& tx, std::vector<Experiment> experiments) {
  std::vector<ExperimentDetail> out;
  out.reserve(experiments.size());
  std::map<std::int64_t, ExperimentDetail*> by_id;
  for (Experiment& one : experiments) {
    out.push_back({.experiment = std::move(one)});
    by_id[out.back().experiment.id] = &out.back();
  }
  TRY(in_parts(out.size(), [&](std::size_t from, std::size_t count) -> Result<void> {
    sql::Row row{out[from].experiment.project};
    std::string marks;
    for (std::size_t i = from; i < from + count; ++i) {
      row.emplace_back(out[i].experiment.id);
      marks += (i == from ? "$" : ", $") + std::to_string(row.size());
    }
    for (sql::Row& tag : TRY(tx.run(
             "SELECT experiment, key, value FROM experiment_tags WHERE project = $1 AND experiment "
             "IN (" +
                 marks + ") ORDER BY experiment, key",
             row)))
      by_id.at(std::get<std::int64_t>(tag[0]))
          ->tags.push_back({std::get<std::string>(tag[1]), std::get<std::string>(tag[2])});
    return {};
  }));
  return out;
}

Result<void> update(sql::Tx& tx, const Experiment& experiment) {
  TRY(
      tx.run("UPDATE experiments SET name = $3, lifecycle = $4, updated_at = $5 WHERE project = $1 "
             "AND id = $2",
             {experiment.project, experiment.id, experiment.name, sql::to_sql(experiment.lifecycle),
              experiment.updated_at}));
  return {};
}

Result<void> put_default_experiment(sql::Tx& tx, const std::string& project, std::int64_t now) {
  return sql::insert(tx, "experiments",
                     Experiment{.project = project,
                                .id = 0,
                                .name = "Default",
                                .artifact_location = "mlflow-artifacts:/0",
                                .created_at = now,
                                .updated_at = now},
                     "ON CONFLICT DO NOTHING");
}

Result<std::int64_t> next_experiment(sql::Tx& tx, const std::string& project) {
  return one_number(tx, "SELECT coalesce(max(id), 0) + 1 FROM experiments WHERE project = $1",
                    {project});
}

Result<std::vector<Run>> run(sql::Tx& tx, const std::string& project, const std::string& id) {
  static const std::string text =
      "SELECT " + columns<Run>() + " FROM tracked_runs WHERE project = $1 AND id = $2";
  return sql::select<Run>(tx, text, {project, id});
}

Result<void> update(sql::Tx& tx, const Run& run) {
  TRY(tx.run(
      "UPDATE tracked_runs SET name = $2, status = $3, end_time = $4, lifecycle = $5 WHERE number "
      "= $1",
      {run.number, run.name, sql::to_sql(run.status), sql::to_sql(run.end_time),
       sql::to_sql(run.lifecycle)}));
  return {};
}

Result<std::int64_t> next_run(sql::Tx& tx) {
  return one_number(tx, "SELECT coalesce(max(number), 0) + 1 FROM tracked_runs", {});
}

Result<std::vector<Pair>> params(sql::Tx& tx, std::int64_t run, const std::vector<Pair>& keys) {
  std::vector<Pair> out;
  TRY(in_parts(keys.size(), [&](std::size_t from, std::size_t count) -> Result<void> {
    sql::Row row{run};
    std::string marks;
    for (std::size_t i = from; i < from + count; ++i) {
      row.emplace_back(keys[i].key);
      marks += (i == from ? "$" : ", $") + std::to_string(row.size());
    }
    for (Pair& one : TRY(sql::select<Pair>(
             tx, "SELECT key, value FROM tracked_params WHERE run = $1 AND key IN (" + marks + ")",
             row)))
      out.push_back(std::move(one));
    return {};
  }));
  return out;
}

Result<void> put_params(sql::Tx& tx, std::int64_t run, const std::vector<Pair>& params) {
  return insert_all(tx, "INSERT INTO tracked_params (run, key, value) VALUES ", "", 3, params,
                    [&](const Pair& one, sql::Row& row) {
                      row.insert(row.end(), {run, one.key, one.value});
                    });
}

Result<void> put_tags(sql::Tx& tx, std::int64_t run, const std::vector<Pair>& tags) {
  return insert_all(tx, "INSERT INTO tracked_tags (run, key, value) VALUES ",
                    " ON CONFLICT (run, key) DO UPDATE SET value = excluded.value", 3, tags,
                    [&](const Pair& one, sql::Row& row) {
                      row.insert(row.end(), {run, one.key, one.value});
                    });
}

Result<void> put_points(sql::Tx& tx, std::int64_t run, const std::vector<Metric>& metrics) {
  return insert_all(
      tx, "INSERT INTO metric_points (run, key, step, at, value, is_nan) VALUES ",
      " ON CONFLICT DO NOTHING", 6, metrics, [&](const Metric& one, sql::Row& row) {
        row.insert(row.end(), {run, one.key, one.step, one.at, one.value, one.is_nan});
      });
}

Result<void> put_latest(sql::Tx& tx, const Run& run, const std::vector<Metric>& metrics) {
  return insert_all(
      tx,
      "INSERT INTO latest_metrics (run, project, experiment, key, step, at, value, is_nan) VALUES ",
      " ON CONFLICT (run, key) DO UPDATE SET step = excluded.step, at = excluded.at, value = "
      "excluded.value, is_nan = excluded.is_nan WHERE (excluded.step, excluded.at, excluded.value) "
      "> (latest_metrics.step, latest_metrics.at, latest_metrics.value)",
      8, metrics, [&](const Metric& one, sql::Row& row) {
        row.insert(row.end(), {run.number, run.project, run.experiment, one.key, one.step, one.at,
                               one.value, one.is_nan});
      });
}

Result<std::optional<std::int64_t>> logged_model(sql::Tx& tx, const std::string& project,
                                                 const std::string& id) {
  const auto found =
      TRY(tx.run("SELECT number FROM logged_models WHERE project = $1 AND id = $2", {project, id}));
  if (found.empty()) return std::optional<std::int64_t>();
  return std::optional(std::get<std::int64_t>(found[0].at(0)));
}

Result<void> put_model_points(sql::Tx& tx, const std::string& run,
                              const std::map<std::string, std::int64_t>& numbers,
                              const std::vector<ModelMetric>& metrics) {
  return insert_all(
      tx,
      "INSERT INTO logged_model_metrics (model, run, key, step, at, value, is_nan, dataset_name, "
      "dataset_digest) VALUES ",
      " ON CONFLICT DO NOTHING", 9, metrics, [&](const ModelMetric& one, sql::Row& row) {
        const Metric& point = one.point;
        row.insert(row.end(), {numbers.at(one.model), run, point.key, point.step, point.at,
                               point.value, point.is_nan, one.dataset.name, one.dataset.digest});
      });
}

Result<void> put_dataset(sql::Tx& tx, std::int64_t run, const DatasetInput& input) {
  TRY(
      tx.run("INSERT INTO run_datasets (run, name, digest, source_type, source, schema_text, "
             "profile, context, tags) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT "
             "(run, name, digest) DO NOTHING",
             {run, input.name, input.digest, input.source_type, input.source, input.schema_text,
              input.profile, input.context, input.tags}));
  return {};
}

Result<std::vector<RunDetail>> details(sql::Tx& tx, std::vector<Run> runs) {
  constexpr std::size_t at_once = 500;
  std::vector<RunDetail> out;
  out.reserve(runs.size());
  for (Run& run : runs) out.push_back({.run = std::move(run)});
  for (std::size_t from = 0; from < out.size(); from += at_once) {
    const std::size_t until = std::min(from + at_once, out.size());
    TRY(gather<Metric>(
        tx, out, from, until, "latest_metrics",
        [](RunDetail & run) -> auto& { return run.metrics; }));
    TRY(gather<Pair>(
        tx, out, from, until, "tracked_params",
        [](RunDetail & run) -> auto& { return run.params; }));
    TRY(gather<Pair>(
        tx, out, from, until, "tracked_tags", [](RunDetail & run) -> auto& { return run.tags; }));
    TRY(gather<DatasetInput>(
        tx, out, from, until, "run_datasets",
        [](RunDetail & run) -> auto& { return run.datasets; }));
    TRY(gather<ModelUse>(
        tx, out, from, until, "run_models", [](RunDetail & run) -> auto& { return run.models; }));
  }
  return out;
}

}  // namespace penstock::tracking::store
