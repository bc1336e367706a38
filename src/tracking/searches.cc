// What is read in pages: experiments, runs, and the points of a metric.
#include <algorithm>
#include <limits>

#include "tracking/search.h"
#include "tracking/service.h"
#include "tracking/store.h"

namespace penstock::tracking {
namespace {

std::string lifecycle_condition(View view) {
  if (view == View::all) return "";
  return view == View::active ? " AND t.lifecycle = 'active'" : " AND t.lifecycle = 'deleted'";
}

// Where a page by a metric goes on: among what has a number there, or after that.
constexpr char with_number = '1', without_number = '2';

// A page along a metric: first what has a number there, by the index, then what has none, if the
// page is not full.
Result<Found<Run>> page_by_metric(sql::Tx& tx, const Listing& listing, const Listing& walked,
                                  bool is_all) {
  const std::string& token = listing.page_token;
  if (!token.empty() && token.front() != with_number && token.front() != without_number)
    return Error{Code::invalid_argument, "Invalid page token: it was not given by this server"};
  const std::string rest = token.empty() ? "" : token.substr(1);
  Found<Run> out;
  if (token.empty() || token.front() == with_number) {
    Listing first = walked;
    first.page_token = rest;
    out = TRY(page_of<Run>(tx, first));
    if (!out.next_page_token.empty()) {
      out.next_page_token.insert(out.next_page_token.begin(), with_number);
      return out;
    }
    if (is_all) return out;
  }
  Listing second = listing;
  second.page_token = !token.empty() && token.front() == without_number ? rest : "";
  second.limit = listing.limit - static_cast<std::int64_t>(out.items.size());
  const bool is_full = second.limit == 0;
  second.limit = std::max<std::int64_t>(second.limit, 1);
  auto more = TRY(page_of<Run>(tx, second));
  if (is_full) {
    if (!more.items.empty()) out.next_page_token = std::string(1, without_number);
    return out;
  }
  for (Run& run : more.items) out.items.push_back(std::move(run));
  if (!more.next_page_token.empty()) out.next_page_token = without_number + more.next_page_token;
  return out;
}

}  // namespace

Result<Found<ExperimentDetail>> Service::search_experiments(const Call& call,
                                                            const Search& search) {
  TRY(check_limit(search.limit));
  TRY(ensure_default(call));
  Compiled compiled = TRY(compile(Subject::experiment, search.filter, search.order_by));
  Listing listing{.columns = columns_in<Experiment>("t"),
                  .from = compiled.from("experiments t"),
                  .order = std::move(compiled.order),
                  .parameters = std::move(compiled.parameters),
                  .limit = search.limit,
                  .page_token = search.page_token};
  listing.parameters.emplace_back(call.project);
  listing.where = "t.project = $" + std::to_string(listing.parameters.size()) + compiled.where() +
                  lifecycle_condition(search.view);
  if (listing.order.empty()) listing.order.push_back({"t.updated_at", true});
  listing.order.push_back({"t.id", true});
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<ExperimentDetail>> {
    auto found = TRY(page_of<Experiment>(tx, listing));
    return Found<ExperimentDetail>{TRY(store::details(tx, std::move(found.items))),
                                   std::move(found.next_page_token)};
  });
}

Result<Found<Metric>> Service::history(const Call& call, const std::string& id,
                                       const std::string& key, std::int64_t limit,
                                       const std::string& page_token) {
  if (key.empty()) return Error{Code::invalid_argument, "metric_key is missing"};
  TRY(check_limit(limit));
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<Metric>> {
    const auto run = TRY(store::run(tx, call.project, id));
    if (run.empty()) return Error{Code::not_found, "Run with id=" + id + " not found"};
    return page_of<Metric>(
        tx, {.columns = columns_in<Metric>("t"),
             .from = "metric_points t",
             .where = "t.run = $1 AND t.key = $2",
             // The two points that share a value are 0 and NaN, which is kept as 0.
             .order = {{"t.at"}, {"t.step"}, {"t.value"}, {"CASE WHEN t.is_nan THEN 1 ELSE 0 END"}},
             .parameters = {run.front().number, key},
             .limit = limit,
             .page_token = page_token});
  });
}

Result<std::vector<RunPoints>> Service::histories(const Call& call,
                                                  const std::vector<std::string>& runs,
                                                  const std::string& key, std::int64_t limit) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<std::vector<RunPoints>> {
    std::vector<RunPoints> out;
    std::int64_t left = limit;
    for (const std::string& id : runs) {
      const auto run = TRY(store::run(tx, call.project, id));
      if (run.empty() || left == 0) continue;
      out.push_back(
          {id, TRY(sql::select<Metric>(
                   tx,
                   "SELECT key, step, at, value, is_nan FROM metric_points WHERE run = $1 "
                   "AND key = $2 ORDER BY at, step, value LIMIT $3",
                   {run.front().number, key, left}))});
      left -= static_cast<std::int64_t>(out.back().points.size());
    }
    return out;
  });
}

Result<std::vector<RunPoints>> Service::samples(const Call& call, const Sampling& sampling) {
  if (sampling.limit < 1 || sampling.limit > 2'500)
    return Error{Code::invalid_argument, "max_results must be between 1 and 2500."};
  if (sampling.first_step.has_value() != sampling.last_step.has_value())
    return Error{Code::invalid_argument,
                 "If either start step or end step are specified, both must be specified."};
  if (sampling.first_step && *sampling.first_step > *sampling.last_step)
    return Error{Code::invalid_argument, "end_step must be greater than start_step."};
  const std::string of =
      " FROM metric_points WHERE run = $1 AND key = $2 AND step >= $3 AND step <= $4";
  return db_.read(call, [&](sql::Tx& tx) -> Result<std::vector<RunPoints>> {
    std::vector<RunPoints> out;
    for (const std::string& id : sampling.runs) {
      const auto run = TRY(store::run(tx, call.project, id));
      if (run.empty()) continue;
      sql::Row row{run.front().number, sampling.key,
                   sampling.first_step.value_or(std::numeric_limits<std::int64_t>::min()),
                   sampling.last_step.value_or(std::numeric_limits<std::int64_t>::max())};
      const auto total =
          std::get<std::int64_t>(TRY(tx.run("SELECT count(*)" + of, row)).at(0).at(0));
      // Every so many points, and the last.
      const std::int64_t gaps = std::max<std::int64_t>(sampling.limit - 1, 1);
      row.emplace_back(std::max<std::int64_t>((total - 2 + gaps) / gaps, 1));
      row.emplace_back(total);
      const std::string which = sampling.limit == 1 ? "n = $6" : "n = $6 OR (n - 1) % $5 = 0";
      out.push_back(
          {id, TRY(sql::select<Metric>(
                   tx,
                   "SELECT key, step, at, value, is_nan FROM (SELECT key, step, at, value, is_nan, "
                   "row_number() OVER (ORDER BY step, at, value, is_nan) AS n" +
                       of + ") points WHERE " + which + " ORDER BY n",
                   row))});
    }
    return out;
  });
}

Result<std::vector<DatasetSummary>> Service::datasets(
    const Call& call, const std::vector<std::int64_t>& experiments) {
  if (experiments.empty() || experiments.size() > 20)
    return Error{Code::invalid_argument,
                 "SearchDatasets request must specify from 1 to 20 experiment_ids. Received " +
                     std::to_string(experiments.size())};
  return db_.read(call, [&](sql::Tx& tx) -> Result<std::vector<DatasetSummary>> {
    sql::Row row{call.project};
    std::string marks;
    for (const std::int64_t one : experiments) {
      row.emplace_back(one);
      marks += (marks.empty() ? "$" : ", $") + std::to_string(row.size());
    }
    return sql::select<DatasetSummary>(
        tx,
        "SELECT DISTINCT r.experiment, d.name, d.digest, d.context FROM tracked_runs r JOIN "
        "run_datasets d ON d.run = r.number WHERE r.project = $1 AND r.lifecycle = 'active' AND "
        "r.experiment IN (" +
            marks + ") ORDER BY r.experiment, d.name, d.digest, d.context LIMIT 1000",
        row);
  });
}

Result<Found<RunDetail>> Service::search_runs(const Call& call, const Search& search) {
  TRY(check_limit(search.limit));
  Compiled compiled = TRY(compile(Subject::run, search.filter, search.order_by));
  if (search.experiments.empty()) return Found<RunDetail>{};
  sql::Row parameters = compiled.parameters;
  const auto mark = [&](Scalar value) {
    parameters.push_back(std::move(value));
    return "$" + std::to_string(parameters.size());
  };
  const std::string project = ".project = " + mark(call.project);
  std::string experiments;
  for (const std::int64_t one : search.experiments)
    experiments += (experiments.empty() ? "" : ", ") + mark(one);
  const std::string place =
      project + " AND t.experiment IN (" + experiments + ")" + lifecycle_condition(search.view);
  Listing listing{.columns = columns_in<Run>("t"),
                  .from = compiled.from("tracked_runs t"),
                  .where = "t" + place + compiled.where(),
                  .order = compiled.order,
                  .parameters = parameters,
                  .limit = search.limit,
                  .page_token = search.page_token};
  const auto end_order = [](std::vector<OrderTerm>& order) {
    order.push_back({"t.start_time", true});
    order.push_back({"t.id", false});
  };
  end_order(listing.order);
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<RunDetail>> {
    Found<Run> found;
    if (compiled.walked_metric.empty()) {
      found = TRY(page_of<Run>(tx, listing));
    } else {
      const auto walk = compiled.walk("tracked_runs t");
      Listing walked = listing;
      walked.from = walk.from;
      walked.where = "t" + place + " AND o0" + project + " AND o0.experiment IN (" + experiments +
                     ")" + walk.where;
      walked.order = walk.order;
      end_order(walked.order);
      Listing others = listing;
      others.where += " AND (o0.run IS NULL OR o0.is_nan)";
      found = TRY(page_by_metric(tx, others, walked, walk.is_all));
    }
    return Found<RunDetail>{TRY(store::details(tx, std::move(found.items))),
                            std::move(found.next_page_token)};
  });
}

}  // namespace penstock::tracking
