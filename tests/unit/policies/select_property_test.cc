// Whatever SQL is taken reads nothing but views, and SQLite itself says so: of each statement that
// it can prepare it tells which tables are read, and by which view.
#include <sqlite3.h>

#include <random>
#include <set>
#include <gtest/gtest.h>

#include "policies/select.h"

namespace penstock::policies {
namespace {

const std::vector<std::string> known = {"policy_a", "policy_b"};

class Oracle {
 public:
  Oracle() {
    sqlite3_open(":memory:", &db_);
    sqlite3_exec(db_,
                 "CREATE TABLE approvals (x, y); CREATE TABLE raw (x, y);"
                 "CREATE VIEW policy_a AS SELECT x, y FROM raw;"
                 "CREATE VIEW policy_b AS SELECT x, y FROM raw;",
                 nullptr, nullptr, nullptr);
    sqlite3_set_authorizer(
        db_,
        [](void* self, int action, const char* table, const char* column, const char*,
           const char* view) {
          auto& seen = static_cast<Oracle*>(self)->seen_;
          if (action == SQLITE_READ && !view) {
            const std::string_view name = table;
            // A view that was merged into the statement no longer tells that it was one.
            if (!name.starts_with("policy_") && name != "raw" && !name.empty())
              seen.insert("table " + std::string(table));
          } else if (action == SQLITE_FUNCTION) {
            seen.insert("function " + std::string(column));
          } else if (action != SQLITE_READ && action != SQLITE_SELECT) {
            seen.insert("action " + std::to_string(action));
          }
          return SQLITE_OK;
        },
        this);
  }
  ~Oracle() { sqlite3_close(db_); }
  Oracle(const Oracle&) = delete;

  // False where SQLite cannot prepare it; else `seen` has what it would do beyond reading views.
  bool prepares(const std::string& sql) {
    seen_.clear();
    sqlite3_stmt* statement = nullptr;
    const char* tail = nullptr;
    const bool made =
        sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, &tail) == SQLITE_OK && statement;
    sqlite3_finalize(statement);
    return made && !*tail;
  }
  const std::set<std::string>& seen() const { return seen_; }

 private:
  sqlite3* db_ = nullptr;
  std::set<std::string> seen_;
};

const std::vector<std::string> seeds = {
    "SELECT x FROM policy_a AS a JOIN policy_b AS b ON a . x = b . x WHERE a . y IN ( SELECT y "
    "FROM "
    "policy_b )",
    "SELECT ( SELECT max ( x ) FROM policy_a ) , y FROM ( policy_a CROSS JOIN policy_b ) ORDER BY "
    "y",
    "SELECT x , y FROM ( SELECT x , y FROM policy_a UNION SELECT y , x FROM policy_b ) AS u , "
    "policy_a AS v WHERE EXISTS ( SELECT 1 FROM policy_b WHERE x IS DISTINCT FROM y )",
    "SELECT CASE WHEN x IN ( 1 , 2 ) THEN count ( * ) ELSE 'a' END FROM policy_a GROUP BY x , y "
    "HAVING count ( * ) > 1 LIMIT 5",
    "SELECT count ( * ) OVER ( PARTITION BY x ORDER BY y ) FROM policy_a LEFT JOIN policy_b USING "
    "( "
    "x , y )",
};
const std::vector<std::string> pieces = {"approvals",
                                         "\"approvals\"",
                                         "'approvals'",

                                         "main",
                                         "temp",
                                         "sqlite_master",
                                         "policy_a",
                                         "policy_b",
                                         "(",
                                         ")",
                                         ",",
                                         ".",
                                         "FROM",
                                         "JOIN",
                                         "IN",
                                         "SELECT",
                                         "UNION",
                                         "ALL",
                                         "AS",
                                         "WITH",
                                         "TABLE",
                                         "VALUES",
                                         "NATURAL",
                                         "LEFT",
                                         "CROSS",
                                         "ON",
                                         "USING",
                                         "NOT",
                                         "INDEXED",
                                         "BY",
                                         "DISTINCT",
                                         "IS",
                                         "x",
                                         "y",
                                         "1",
                                         "*",
                                         "=",
                                         "-- x\n",
                                         "/* x */",
                                         "[approvals]",
                                         "`approvals`",
                                         ";",
                                         "EXISTS",
                                         "ORDER",
                                         "LIMIT",
                                         "abs",
                                         "load_extension",
                                         "readfile",
                                         "json_each",
                                         "pragma_table_info",
                                         "WHERE",
                                         "WINDOW",
                                         "w",
                                         "OVER",
                                         "FILTER",
                                         "RETURNING",
                                         "INTO",
                                         "COLLATE",
                                         "CAST",
                                         "''",
                                         "\"policy_a\""};

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words(1);
  for (const char letter : text)
    if (letter == ' ')
      words.emplace_back();
    else
      words.back() += letter;
  return words;
}

TEST(SelectPropertyTest, NothingThatIsTakenReadsATable) {
  std::mt19937 random(7);
  const auto below = [&](std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(0, most - 1)(random);
  };
  Oracle oracle;
  const std::set<std::string> harmless = {"function count", "function max", "function abs"};
  std::int64_t taken = 0, leaks_seen = 0;
  for (int turn = 0; turn < 1'000'000; ++turn) {
    auto words = words_of(seeds[below(seeds.size())]);
    for (std::size_t changes = 1 + below(3); changes > 0; --changes) {
      const std::size_t at = below(words.size());
      const std::string& piece = pieces[below(pieces.size())];
      const auto place = words.begin() + static_cast<std::ptrdiff_t>(at);
      switch (below(5)) {
        case 0: words.insert(place, piece); break;
        case 1: words[at] = words[below(words.size())]; break;
        case 2:
          if (words.size() > 2) words.erase(place);
          break;
        case 3:
          // Where a view stands, what is none; by the first pieces.
          if (words[at].starts_with("policy_")) words[at] = pieces[below(3)];
          break;
        default: words[at] = piece;
      }
    }
    std::string sql;
    for (const std::string& word : words) sql += word + (below(20) == 0 ? "" : " ");
    if (!oracle.prepares(sql)) continue;
    std::set<std::string> more;
    for (const std::string& one : oracle.seen())
      if (!harmless.contains(one)) more.insert(one);
    const bool is_taken = static_cast<bool>(views_read(sql, known));
    taken += is_taken ? 1 : 0;
    leaks_seen += more.empty() ? 0 : 1;
    ASSERT_TRUE(!is_taken || more.empty()) << sql << "\n  " << *more.begin();
  }
  // The test would see a leak, and much is taken.
  EXPECT_GT(taken, 5'000);
  EXPECT_GT(leaks_seen, 1'000);
}

}  // namespace
}  // namespace penstock::policies
