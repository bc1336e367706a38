// What policies may read: views of one project as it stands in the transaction that asks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "policies/policy.h"
#include "ports/sql.h"

namespace penstock::policies {

struct ViewColumn {
  std::string name;
  std::string type;  // text, whole, number, yes/no, time
  std::string description;
};
BOOST_DESCRIBE_STRUCT(ViewColumn, (), (name, type, description))

struct View {
  std::string name, description;
  std::vector<ViewColumn> columns;
};
BOOST_DESCRIBE_STRUCT(View, (), (name, description, columns))

// As SQL: a common table expression over the tables of the program, by the parameters below. It may
// read views that stand before it. Those without a description are for other views only.
struct ViewText {
  std::string_view name;
  std::string_view sql;
};
// In an order in which each reads only those before it.
const std::vector<ViewText>& view_texts();

// Every view that policies may read.
const std::vector<View>& views();
std::vector<std::string> view_names();

// "WITH ... " for these views and those that they are made of.
std::string with_views(const std::vector<std::string>& names);

// $1 project, $2 now, $3 urn, $4 its kind, $5 its name, $6 its version, $7 action, $8 actor, $9
// route, $10 purpose.
sql::Row view_parameters(const std::string& project, const std::string& actor, Timestamp now,
                         const Subject& subject);

}  // namespace penstock::policies
