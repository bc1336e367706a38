// Pages that cost the same at any depth: a token says by which values the page before ended, and
// not how many rows were skipped.
#pragma once

#include "ports/sql.h"

namespace penstock::tracking {

template <class T>
struct Found {
  std::vector<T> items;
  std::string next_page_token;  // empty: that was all
};

// One term of an order. Its value is never NULL: what may be missing has a term before it that
// ranks it, and a filler of its own.
struct OrderTerm {
  std::string expression;
  bool is_descending = false;
};

// A search as SQL. The terms of its order are unique together; conditions name `parameters` as $1,
// $2, ...
struct Listing {
  std::string columns, from, where;
  std::vector<OrderTerm> order;
  sql::Row parameters;
  std::int64_t limit = 1'000;
  std::string page_token;  // empty: the first page
};
struct PageRows {
  std::vector<sql::Row> rows;  // `columns`, then the values of the order
  std::string next_page_token;
};

// One row more than the page is read, to know whether another follows. invalid_argument where the
// token was damaged, or given for another search.
Result<PageRows> page_rows(sql::Tx& tx, const Listing& listing);

// `columns` are those of T, in their order.
template <Struct T>
Result<Found<T>> page_of(sql::Tx& tx, const Listing& listing) {
  PageRows page = TRY(page_rows(tx, listing));
  Found<T> out{.next_page_token = std::move(page.next_page_token)};
  out.items.reserve(page.rows.size());
  for (const sql::Row& row : page.rows) out.items.push_back(sql::read_row<T>(row));
  return out;
}

// columns<T>() of the table that is called `table`: "t.id, t.name".
template <Struct T>
std::string columns_in(const std::string& table) {
  std::string out;
  for_each_member(T{}, [&](auto name, auto&, auto&) {
    out += (out.empty() ? "" : ", ") + table + "." + std::string(name);
  });
  return out;
}

}  // namespace penstock::tracking
