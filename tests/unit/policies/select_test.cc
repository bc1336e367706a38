// What a policy's SQL may hold: nothing by which it could see more than the documented views.
#include "policies/select.h"

#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace penstock::policies {
namespace {

const std::vector<std::string> known = {"policy_a", "policy_b"};

TEST(SelectTest, FindsTheViewsThatAreRead) {
  struct Case {
    const char* sql;
    std::vector<std::string> views;
  };
  const Case cases[] = {
      {"SELECT 1", {}},
      {"SELECT x FROM policy_a;\n", {"policy_a"}},
      {"select X from POLICY_A as approvals, policy_b b where b.x = approvals.x",
       {"policy_a", "policy_b"}},
      {"SELECT x FROM policy_a LEFT JOIN policy_b ON policy_a.x = policy_b.x",
       {"policy_a", "policy_b"}},
      {"SELECT x FROM (policy_a AS a CROSS JOIN policy_b AS b)", {"policy_a", "policy_b"}},
      {"SELECT x FROM (SELECT x FROM policy_b) AS b WHERE x IN (SELECT y FROM policy_a)",
       {"policy_b", "policy_a"}},
      {"SELECT count(*) FROM policy_a GROUP BY x, y ORDER BY 1, 2", {"policy_a"}},
      {"SELECT x FROM policy_a WHERE x IS NOT DISTINCT FROM y AND z = 'FROM approvals'",
       {"policy_a"}},
      {"SELECT x -- FROM approvals\nFROM \"policy_a\"", {"policy_a"}},
      {"SELECT x FROM policy_a UNION ALL SELECT a, b FROM policy_b", {"policy_a", "policy_b"}},
      {"SELECT CASE WHEN EXISTS (SELECT 1 FROM policy_b) THEN coalesce(x, 'it''s') END FROM "
       "policy_a",
       {"policy_b", "policy_a"}},
      {"SELECT row_number() OVER (PARTITION BY x, y ORDER BY z) FROM policy_a", {"policy_a"}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.sql);
    const auto got = views_read(c.sql, known);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(*got, c.views);
  }
}

TEST(SelectTest, RefusesWhateverCouldReadMore) {
  struct Case {
    const char* sql;
    const char* says;
  };
  const Case cases[] = {
      {"", "must be one SELECT"},
      {"DELETE FROM policy_a", "must be one SELECT"},
      {"WITH approvals AS (SELECT 1) SELECT 1 FROM policy_a", "must be one SELECT"},
      {"SELECT 1 FROM (WITH x AS (SELECT 1) SELECT * FROM x) AS y", "WITH"},
      {"SELECT 1 FROM approvals", "reads approvals"},
      {"SELECT 1 FROM policy_a, approvals", "reads approvals"},
      {"SELECT 1 FROM policy_a JOIN approvals ON 1 = 1", "reads approvals"},
      {"SELECT 1 FROM policy_a a JOIN policy_b b ON a.x = b.x, approvals", "reads approvals"},
      {"SELECT 1 FROM (policy_a CROSS JOIN approvals)", "reads approvals"},
      {"SELECT 1 FROM ((SELECT 1 FROM policy_a) AS a CROSS JOIN approvals)", "reads approvals"},
      {"SELECT (SELECT count(*) FROM approvals) FROM policy_a", "reads approvals"},
      {"SELECT 1 FROM policy_a WHERE x IN approvals", "( after IN"},
      {"SELECT 1 FROM policy_a UNION SELECT 1 FROM \"approvals\"", "reads approvals"},
      {"SELECT 1 FROM policy_a ORDER BY (SELECT 1 FROM approvals)", "reads approvals"},
      {"SELECT 1 FROM 'approvals'", "names no view"},
      {"SELECT 1 FROM main.policy_a", "bare names"},
      {"SELECT 1 FROM policy_a.approvals", "bare names"},
      {"SELECT 1 FROM public.approvals", "bare names"},
      {"SELECT 1 FROM json_each('[]')", "bare names"},
      {"SELECT 1 FROM LATERAL (SELECT 1) AS x", "LATERAL"},
      {"SELECT 1 FROM ONLY approvals", "ONLY"},
      {"SELECT 1 FROM (TABLE approvals) AS x", "TABLE"},
      {"SELECT 1 FROM (VALUES (1)) AS x", "VALUES"},
      {"SELECT 1 FROM sqlite_master", "sqlite_master"},
      {"SELECT 1 FROM pg_class", "pg_class"},
      {"SELECT 1 FROM information_schema.tables", "information_schema"},
      {"SELECT 1 FROM penstock_reached", "penstock_reached"},
      {"PRAGMA table_info(approvals)", "must be one SELECT"},
      {"SELECT 1; SELECT 2", "one statement"},
      {"SELECT 1; DROP TABLE approvals", "one statement"},
      {"SELECT x INTO y FROM policy_a", "INTO"},
      {"SELECT x FROM policy_a FOR UPDATE", "FOR"},
      {"SELECT pg_sleep(10)", "pg_sleep"},
      {"SELECT query_to_xml('SELECT * FROM approvals', true, true, '')", "calls query_to_xml"},
      {"SELECT \"query_to_xml\"('x')", "calls query_to_xml"},
      {"SELECT readfile('/etc/passwd')", "calls readfile"},
      {"SELECT set_config('a', 'b', true)", "calls set_config"},
      {"SELECT load_extension('x')", "calls load_extension"},
      {"SELECT current_user", "current_user"},
      {"SELECT current_timestamp", "policy_subject.now"},
      {"SELECT E'\\' FROM approvals --'", "right after"},
      {"SELECT U&'x'", "outside of a text"},
      {"SELECT $$ x $$", "$"},
      {"SELECT $1", "$"},
      {"SELECT ?", "?"},
      {"SELECT x::text FROM policy_a", ":"},
      {"SELECT [x] FROM policy_a", "["},
      {"SELECT `x` FROM policy_a", "`"},
      {"SELECT 1 /* /* */ FROM approvals */", "/*"},
      {"SELECT 1 -- \r FROM approvals\n", "carriage return"},
      {"SELECT 1 FROM \"policy_a\"\"b\"", "quote within"},
      {"SELECT \"Policy_A\" FROM policy_a", "quotes"},
      {"SELECT 'it does not end", "does not end"},
      {"SELECT (1", "not closed"},
      {"SELECT 1)", "too many"},
      {"SELECT 1 FROM", "names no view"},
      {"SELECT 1 FROM WHERE 1 = 1", "names no view"},
      {"SELECT 1 FROM policy_a,", "names no view"},
      {"SELECT 1 JOIN approvals", "JOIN"},
      {"SELECT tags -> 0 FROM policy_a", "JSON"},
      {"SELECT 1 FROM p\xC3\xB6licy", "ASCII"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.sql);
    const auto got = views_read(c.sql, known);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Code::invalid_argument);
    EXPECT_NE(got.error().message.find(c.says), std::string::npos) << got.error().message;
  }
}

}  // namespace
}  // namespace penstock::policies
