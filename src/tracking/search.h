// MLflow's filters and orders, as SQL over the tables of runs, experiments and logged models.
#pragma once

#include <string>
#include <vector>

#include "ports/sql.h"

namespace penstock::tracking {

enum class Subject { run, experiment, logged_model, registered_model, model_version };

// What follows SELECT ... FROM <table>: joins, conditions, order; and the parameters it names,
// which begin at $1. Every condition of the caller comes after those of the filter.
struct Compiled {
  std::string joins, where, order;
  sql::Row parameters;
};

// `filter`: comparisons joined by AND, on attributes, metrics.K, params.K, tags.K and datasets.K.
// `order_by`: "metrics.K DESC" and the like; what is not there comes last, NaN before it.
// invalid_argument where either cannot be read, naming the word.
Result<Compiled> compile(Subject subject, const std::string& filter,
                         const std::vector<std::string>& order_by);

}  // namespace penstock::tracking
