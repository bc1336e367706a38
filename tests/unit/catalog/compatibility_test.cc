#include <random>

#include "catalog/compatibility.h"
#include "tests/unit/catalog/catalog_fixture.h"

namespace penstock::catalog {
namespace {

// One value as a writer put it down, with the unit that it means.
struct Value {
  ColumnType type;
  std::optional<std::string> unit;
  bool null;
};
using Row = std::map<std::string, Value>;

// Every row that a writer may write, as far as a reader can tell rows apart: each column that may
// be null is so or not.
std::vector<Row> rows_of(const Source& writer) {
  std::vector<Row> rows{{}};
  for (const SourceColumn& column : writer.columns) {
    std::vector<Row> longer;
    for (const Row& row : rows)
      for (const bool null : {false, true}) {
        if (null && !column.nullable) continue;
        Row next = row;
        next[column.name] = {column.type, column.unit, null};
        longer.push_back(std::move(next));
      }
    rows = std::move(longer);
  }
  return rows;
}

// Whether a value of one type can be held by another without change of its meaning, said apart from
// the code under test.
bool holds(ColumnType reader, ColumnType written) {
  switch (written) {
    case ColumnType::bigint:
      return reader == ColumnType::bigint || reader == ColumnType::decimal ||
             reader == ColumnType::real;
    case ColumnType::decimal: return reader == ColumnType::decimal || reader == ColumnType::real;
    default: return reader == written;
  }
}

bool decodes(const Source& reader, const Row& row) {
  for (const SourceColumn& column : reader.columns) {
    const auto written = row.find(column.name);
    if (written == row.end() || written->second.null) {
      if (!column.nullable) return false;
      // A null has a type and a unit all the same, which the reader must take for other rows.
      if (written == row.end()) continue;
    }
    if (!holds(column.type, written->second.type)) return false;
    if (column.unit && written->second.unit && *column.unit != *written->second.unit) return false;
  }
  return !reader.event_time || row.contains(*reader.event_time);
}

bool decodes_all(const Source& reader, const Source& writer) {
  for (const Row& row : rows_of(writer))
    if (!decodes(reader, row)) return false;
  return true;
}

Source random_source(std::mt19937& random) {
  const auto pick = [&](int most) {
    return static_cast<int>(random() % static_cast<unsigned>(most));
  };
  Source source;
  for (const char* name : {"a", "b", "c", "d"}) {
    if (pick(4) == 0) continue;
    SourceColumn column{
        .name = name, .type = static_cast<ColumnType>(pick(6)), .nullable = pick(2) == 0};
    if (pick(3) == 0) column.unit = pick(2) == 0 ? "m" : "ft";
    source.columns.push_back(column);
  }
  if (!source.columns.empty() && pick(3) == 0)
    source.event_time =
        source.columns[static_cast<std::size_t>(pick(static_cast<int>(source.columns.size())))]
            .name;
  return source;
}

TEST(Compatibility, SaysWhatAReaderOfEveryRowWouldFind) {
  std::mt19937 random(20260501);
  int broken = 0;
  for (int i = 0; i < 20'000; ++i) {
    const Source before = random_source(random), after = i % 3 ? random_source(random) : before;
    const bool backward = backward_faults(before, after).empty();
    const bool forward = forward_faults(before, after).empty();
    ASSERT_EQ(backward, decodes_all(after, before)) << encode(before) << "\n" << encode(after);
    ASSERT_EQ(forward, decodes_all(before, after)) << encode(before) << "\n" << encode(after);
    broken += !backward;
  }
  EXPECT_GT(broken, 5'000);
  EXPECT_LT(broken, 15'000);
}

class CompatibilityTest : public CatalogTest {
 protected:
  // Versions of a table of CSV, which binds nobody to types, so that any declaration can be
  // applied.
  std::string table(const std::string& columns, const std::string& mode) {
    std::ofstream file(folder_ / "t.csv");
    std::string header, row, list;
    for (std::size_t at = 0; at < columns.size();) {
      const std::size_t end = std::min(columns.find(';', at), columns.size());
      const std::string column = columns.substr(at, end - at);
      const std::string name = column.substr(0, column.find(' '));
      header += (header.empty() ? "" : ",") + name;
      row += row.empty() ? "1" : ",1";
      list += "  - {name: " + name + ", type: " + column.substr(name.size() + 1) +
              ", classification: public}\n";
      at = end + 1;
    }
    file << header << "\n" << row << "\n";
    file.close();
    return "kind: source\nname: t\nowner: o\npath: t.csv\nformat: csv\ncompatibility: " + mode +
           "\ncolumns:\n" + list;
  }
};

TEST_F(CompatibilityTest, LetsThroughOnlyWhatItsModeAllows) {
  struct Case {
    std::string mode, before, after, fault;
  };
  const Case cases[] = {
      {"none", "a bigint", "b text", ""},
      {"backward", "a bigint;b text", "a bigint", ""},
      {"backward", "a bigint", "a double", ""},
      {"backward", "a bigint", "a bigint;b text", ""},
      {"backward", "a double", "a bigint",
       "columns[0].type breaks backward compatibility with version 1 (rule type, compatibility: "
       "backward): a is double in the version before and bigint in the new version"},
      {"backward", "a bigint", "a bigint;b text, nullable: false",
       "columns[1].nullable breaks backward compatibility with version 1 (rule added"},
      {"backward", "a bigint", "a bigint, nullable: false", "(rule nullable"},
      {"backward", "a bigint, unit: m", "a bigint, unit: ft", "columns[0].unit breaks backward"},
      {"forward", "a bigint", "a double", "columns[0].type breaks forward"},
      {"forward", "a bigint, nullable: false", "b text", "columns breaks forward compatibility"},
      {"forward", "a double", "a bigint", ""},
      {"forward", "a bigint", "b text", ""},
      {"full", "a bigint", "a double", "breaks forward"},
      {"full", "a double", "a bigint", "breaks backward"},
      {"full", "a bigint", "a bigint;b text", ""},
  };
  int number = 0;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.mode + ": " + c.before + " -> " + c.after);
    const std::string name = "name: t" + std::to_string(++number) + "\n";
    test::must(apply(replaced(table(c.before, c.mode), "name: t\n", name)));
    const std::string found = faults(replaced(table(c.after, c.mode), "name: t\n", name));
    if (c.fault.empty())
      EXPECT_EQ(found, "");
    else
      EXPECT_NE(found.find(c.fault), std::string::npos) << found;
  }
}

TEST_F(CompatibilityTest, LooksBackOverAllVersionsWhereItIsTransitive) {
  test::must(apply(table("a text", "backward")));
  test::must(apply(table("b text", "backward")));
  // Version 2 has no a, so it says nothing of its type; version 1 does.
  EXPECT_EQ(faults(table("a bigint;b text", "backward")), "");
  test::must(apply(table("b text", "backward")));
  EXPECT_NE(faults(table("a bigint;b text", "backward_transitive")).find("with version 1 "),
            std::string::npos);
}

TEST_F(CompatibilityTest, CannotBeLiftedAndBrokenInOneStep) {
  test::must(apply(table("a text", "full")));
  EXPECT_NE(faults(table("a bigint", "none")).find("compatibility: full"), std::string::npos);
  test::must(apply(table("a text", "none")));
  EXPECT_EQ(faults(table("a bigint", "none")), "");
}

TEST_F(CompatibilityTest, ReportsEachVersionAndJudgesACandidate) {
  test::must(apply(table("a bigint", "backward")));
  test::must(apply(table("a double", "backward")));
  const auto report = test::must(catalog_.compatibility(ana_, {"t", {}}));
  EXPECT_EQ(report.source, "source:t@2");
  EXPECT_TRUE(report.allowed);
  ASSERT_EQ(report.pairs.size(), 1u);
  EXPECT_TRUE(report.pairs[0].backward);
  EXPECT_FALSE(report.pairs[0].forward);
  EXPECT_EQ(report.pairs[0].forward_faults[0].rule, "type");
  const auto candidate = test::must(yaml::parse(table("a bigint", "backward")));
  const auto judged =
      test::must(catalog_.compatibility(ana_, {"t", candidate[0].value.as_object()}));
  EXPECT_FALSE(judged.allowed);
  EXPECT_EQ(judged.pairs.size(), 2u);
  EXPECT_EQ(judged.pairs[0].before, 2);
  EXPECT_EQ(judged.pairs[0].after, 0);
  EXPECT_EQ(catalog_.compatibility(ana_, {"none", {}}).error().code, Code::not_found);
}

}  // namespace
}  // namespace penstock::catalog
