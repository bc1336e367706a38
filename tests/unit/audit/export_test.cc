// G2, offline: a file of the log, checked with a public key and nothing else.
#include "audit/export.h"

#include <algorithm>

#include "tests/unit/audit/audit_fixture.h"

namespace penstock::audit {
namespace {

class ExportTest : public LogTest {
 protected:
  // Checkpoints of 0, 5 and 12 events among them.
  std::vector<std::string> exported() {
    test::must(service_.checkpoint(call_));
    append(5);
    test::must(service_.checkpoint(call_));
    append(7);
    test::must(service_.checkpoint(call_));
    return lines();
  }
  std::vector<std::string> lines() {
    std::string text = export_header(service_.public_key());
    for (std::int64_t from = 0; from < appended_; from += export_page)
      text += test::must(service_.export_lines(call_, {from, appended_}));
    std::vector<std::string> out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      out.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    return out;
  }
  Verification check(const std::vector<std::string>& lines, const std::string& known = "") {
    ExportVerifier verifier(service_.public_key());
    if (!known.empty()) test::must(verifier.must_continue(known));
    for (const std::string& line : lines)
      if (!verifier.line(line)) break;
    return verifier.finish();
  }
  static bool is_event(const std::string& line) { return line.starts_with(R"({"event":)"); }
};

TEST_F(ExportTest, IsIntactAsItWasWritten) {
  const auto file = exported();
  EXPECT_EQ(std::count_if(file.begin(), file.end(), is_event), 12);
  const auto got = check(file);
  EXPECT_TRUE(got.intact) << got.fault;
  EXPECT_EQ(got.events, 12);
  EXPECT_EQ(got.signed_size, 12);
  EXPECT_EQ(got.root, verify().root);
}

TEST_F(ExportTest, SeesEveryChangedFieldAndSaysWhere) {
  const auto file = exported();
  std::int64_t number = -1;
  for (std::size_t i = 0; i < file.size(); ++i) {
    if (!is_event(file[i])) continue;
    ++number;
    const json::object event = json::parse(file[i]).at("event").as_object();
    ASSERT_EQ(event.size(), 9U);
    for (const auto& field : event) {
      json::object changed = event;
      changed[field.key()] = field.value().is_string() ? json::value("other") : json::value(77);
      auto other = file;
      other[i] = R"({"event":)" + canonical(changed) + file[i].substr(file[i].rfind(",\"leaf\""));
      const auto got = check(other);
      EXPECT_FALSE(got.intact) << field.key();
      EXPECT_EQ(got.first_wrong, number) << field.key() << ": " << got.fault;
    }
  }
}

TEST_F(ExportTest, SeesEveryChangedByte) {
  const auto file = exported();
  for (std::size_t i = 1; i < file.size(); ++i)
    for (std::size_t at = 0; at < file[i].size(); ++at) {
      auto other = file;
      other[i][at] = static_cast<char>(other[i][at] ^ 1);
      EXPECT_FALSE(check(other).intact) << "line " << i << " byte " << at;
    }
}

TEST_F(ExportTest, SeesAnEventWhoseLeafWasMadeToFit) {
  auto file = exported();
  for (std::size_t i = 1; i < file.size(); ++i) {
    if (!is_event(file[i])) continue;
    auto other = file;
    std::string entry = other[i].substr(9, other[i].rfind(",\"leaf\"") - 9);
    entry.replace(entry.find("user:ana"), 8, "user:eve");
    other[i] = export_line(entry, to_hex(leaf_hash(entry)));
    other[i].pop_back();
    const auto got = check(other);
    EXPECT_FALSE(got.intact);
    EXPECT_NE(got.fault.find("is not what was signed"), std::string::npos) << got.fault;
  }
}

TEST_F(ExportTest, SeesRemovedRepeatedMovedAndAddedLines) {
  const auto file = exported();
  for (std::size_t i = 0; i < file.size(); ++i) {
    auto removed = file;
    removed.erase(removed.begin() + static_cast<std::ptrdiff_t>(i));
    // A checkpoint that is not the last may go: the next one signs its events too.
    const bool spare = i > 0 && !is_event(file[i]) && i + 1 < file.size();
    EXPECT_EQ(check(removed).intact, spare) << "without line " << i;
    if (i == 0) continue;
    auto repeated = file;
    repeated.insert(repeated.begin() + static_cast<std::ptrdiff_t>(i), file[i]);
    EXPECT_EQ(check(repeated).intact, !is_event(file[i])) << "line " << i << " twice";
    for (std::size_t j = i + 1; j < file.size(); ++j) {
      auto moved = file;
      std::swap(moved[i], moved[j]);
      EXPECT_FALSE(check(moved).intact) << "lines " << i << " and " << j << " changed places";
    }
    auto added = file;
    added.insert(added.begin() + static_cast<std::ptrdiff_t>(i), "{}");
    EXPECT_FALSE(check(added).intact);
  }
}

TEST_F(ExportTest, ATruncatedFileIsNotIntactOrShorterThanWhatWasKept) {
  const std::string known = (exported(), test::must(service_.latest(call_)).note);
  const auto file = lines();
  for (std::size_t keep = 0; keep < file.size(); ++keep) {
    const std::vector<std::string> cut(file.begin(),
                                       file.begin() + static_cast<std::ptrdiff_t>(keep));
    EXPECT_FALSE(check(cut, known).intact) << keep << " lines";
  }
  EXPECT_TRUE(check(file, known).intact);
}

TEST_F(ExportTest, AForkedLogIsNotTheOneThatWasKept) {
  exported();
  const std::string known = test::must(service_.latest(call_)).note;
  // Whoever has the key writes another history and signs it.
  sql("DELETE FROM audit_events");
  sql("DELETE FROM audit_checkpoints");
  sql("UPDATE audit_head SET size = 0, frontier = '[]'");
  appended_ = 0;
  append(20);
  test::must(service_.checkpoint(call_));
  const auto file = lines();
  EXPECT_TRUE(check(file).intact);
  const auto got = check(file, known);
  EXPECT_FALSE(got.intact);
  EXPECT_NE(got.fault.find("forked"), std::string::npos) << got.fault;
}

TEST_F(ExportTest, AnotherKeyDoesNotDo) {
  const auto file = exported();
  ExportVerifier verifier(SigningKey::generate("penstock").public_key());
  for (const std::string& line : file)
    if (!verifier.line(line)) break;
  const auto got = verifier.finish();
  EXPECT_FALSE(got.intact);
  EXPECT_NE(got.fault.find("is not signed by the key"), std::string::npos) << got.fault;
}

TEST_F(ExportTest, ReadsPagesAsOneFile) {
  append(static_cast<int>(export_page) + 300);
  test::must(service_.checkpoint(call_));
  const auto got = check(lines());
  EXPECT_TRUE(got.intact) << got.fault;
  EXPECT_EQ(got.events, export_page + 300);
}

}  // namespace
}  // namespace penstock::audit
