// MLflow's filters and orders, as SQL over the tables of runs, experiments and registered models.
#pragma once

#include <string>
#include <vector>

#include "tracking/page.h"
#include "tracking/tracking.h"

namespace penstock::tracking {

enum class Subject { run, experiment, logged_model, registered_model, model_version };

// What a search says beyond its own table, which is called `t`. The parameters begin at $1; those
// of the caller's own conditions come after them.
struct Compiled {
  struct Join {
    std::string table, name, condition;
  };
  // By what it costs to check one that does not hold, along an index that has no more than a key.
  enum class Cost { equal_value, value, own_row };
  struct Condition {
    std::string text;
    Cost cost = Cost::value;
    // Of a comparison with a metric: its key, and what is said of its value.
    std::string metric = {}, on_value = {};
    bool holds_for_nan = false;
  };
  std::vector<Join> joins;
  std::vector<Condition> conditions;
  std::vector<OrderTerm> order;
  sql::Row parameters;
  std::string walked_metric;  // the key of the metric that comes first in the order, if one does

  // `table` and what is joined to it; every condition, with AND before each.
  std::string from(const std::string& table) const;
  std::string where() const;

  // Where a metric comes first in the order: the same search over what has a number there, along
  // the index of that metric, so that a page is found without sorting all that match.
  struct Walk {
    std::string from, where;
    std::vector<OrderTerm> order;
    bool is_all = false;  // no run without a number there matches the filter
  };
  Walk walk(const std::string& table) const;
};

// Of logged models: the datasets that their metrics must have been measured on; empty: any. The
// filter's metrics hold on one of `any_of`, or where it compares none, some metric must be on one;
// `of_order` goes with the entries of the order.
struct MetricScope {
  std::vector<OnDataset> any_of, of_order;
};

// `filter`: comparisons joined by AND, on attributes, metrics.K, params.K, tags.K and datasets.K.
// `order_by`: "metrics.K DESC" and the like; what is not there comes last, NaN before it.
// invalid_argument where either cannot be read or MLflow refuses it, naming the word.
Result<Compiled> compile(Subject subject, const std::string& filter,
                         const std::vector<std::string>& order_by, const MetricScope& scope = {});

}  // namespace penstock::tracking
