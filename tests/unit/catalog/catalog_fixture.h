// A catalog over the real DuckDB and a private folder of data.
#pragma once

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "adapters/duckdb/duckdb.h"
#include "adapters/postgres/tables.h"
#include "base/yaml.h"
#include "catalog/quality.h"
#include "tests/support/fixture.h"

namespace penstock::catalog {

class CatalogTest : public testing::Test {
 protected:
  CatalogTest() {
    catalog_.register_kinds(resources_);
    run(R"(COPY (SELECT * FROM (VALUES
          ('AA', TIMESTAMP '2013-01-01 10:00:00', 5.0, 100),
          ('UA', TIMESTAMP '2013-01-01 11:00:00', NULL, 200),
          ('AA', TIMESTAMP '2013-01-02 10:00:00', -3.5, 300)) AS t(carrier, left_at, delay, distance))
        TO ')" +
        folder_ / "flights.parquet" + "' (FORMAT parquet)");
  }

  void run(const std::string& sql) { test::must(test::must(olap_->session())->run(sql)); }

  Result<resources::ApplyOutput> apply(const std::string& yaml) {
    resources::ApplyInput input;
    for (const auto& document : test::must(yaml::parse(yaml)))
      input.documents.push_back({.declaration = document.value.as_object()});
    return resources_.apply(ana_, input);
  }

  // The faults of an apply, one a line; empty where it was taken.
  std::string faults(const std::string& yaml) {
    const auto out = apply(yaml);
    return out ? "" : test::faults_of(out.error());
  }

  static std::string replaced(std::string text, const std::string& what, const std::string& with) {
    const std::size_t at = text.find(what);
    if (at == std::string::npos) throw std::runtime_error("the test's text lacks " + what);
    return text.replace(at, what.size(), with);
  }

  static std::string flights(const std::string& with = "") {
    return R"(kind: source
name: flights
owner: data-team
description: Every departure.
path: flights.parquet
event_time: left_at
columns:
  - {name: carrier, type: text, classification: public}
  - {name: left_at, type: timestamp, classification: public}
  - {name: delay, type: double, classification: confidential, unit: minutes}
  - {name: distance, type: bigint, classification: internal, unit: miles}
)" + with;
  }

  test::TempDir folder_;
  const Call ana_ = test::call("user:ana");
  ManualClock clock_;
  std::unique_ptr<sql::Database> db_ = test::database();
  std::unique_ptr<olap::Engine> olap_ = duckdb::open({.threads = 1});
  resources::Service resources_{*db_, clock_};
  std::unique_ptr<tables::Reader> postgres_ = postgres::table_reader();
  std::map<std::string, std::string> secrets_;  // what "${ENV:NAME}" stands for
  Service catalog_{*db_,
                   *olap_,
                   clock_,
                   {.data_directory = folder_.path(),
                    .scratch = folder_ / "copies",
                    .postgres = postgres_.get(),
                    .secret = [this](const std::string& reference) -> Result<std::string> {
                      if (!secrets_.contains(reference))
                        return Error{Code::invalid_argument, reference + " is not set"};
                      return secrets_[reference];
                    }}};
  Quality quality_{*db_, *olap_, catalog_, clock_};
};

}  // namespace penstock::catalog
