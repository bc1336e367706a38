// What rules suggest of a source's columns, and what people said to it.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "catalog/classes.h"
#include "classification/judge.h"

namespace penstock::classification {

enum class SuggestionStatus { suggested, confirmed, refused };
BOOST_DESCRIBE_ENUM(SuggestionStatus, suggested, confirmed, refused)

// A row of classification_suggestions: one for each column and tag.
struct Suggestion {
  std::string project, source, column_name, tag;
  Classification classification = Classification::internal;
  double confidence = 0;
  std::string rule;
  std::int64_t rule_version = 0;
  Evidence evidence;
  SuggestionStatus status = SuggestionStatus::suggested;
  std::int64_t source_version = 0;
  Timestamp judged_at;
  std::string decided_by;
  std::optional<Timestamp> decided_at;
  std::string comment;
  std::string changed;  // what the rules say now and did not when it was decided; empty: nothing
};
BOOST_DESCRIBE_STRUCT(Suggestion, (),
                      (project, source, column_name, tag, classification, confidence, rule,
                       rule_version, evidence, status, source_version, judged_at, decided_by,
                       decided_at, comment, changed))

// A row of classification_runs.
struct ClassificationRun {
  std::string project, source;
  std::int64_t source_version = 0;
  std::string rules_digest;
  std::int64_t sampled = 0;  // rows
  Timestamp judged_at;
  std::string fault;  // why it could not be judged; it is tried again when something changes
};
BOOST_DESCRIBE_STRUCT(ClassificationRun, (),
                      (project, source, source_version, rules_digest, sampled, judged_at, fault))

struct ClassifyInput {
  std::string name;
  std::int64_t rows = 10'000;
};
BOOST_DESCRIBE_STRUCT(ClassifyInput, (), (name, rows))
constexpr auto rules_of(const ClassifyInput&) {
  return std::array{
      penstock::Rule{.field = "name", .min = 1, .max = 200},
      penstock::Rule{.field = "rows",
                     .doc = "Rows to sample; of wide sources fewer: 2,000,000 values in all.",
                     .min = 1,
                     .max = 100'000,
                     .may_miss = true}};
}
struct ClassifyReport {
  std::string source;  // URN
  std::int64_t rows = 0, sampled = 0;
  bool partial = false;  // time was up before all of the sample was read
  std::int64_t added = 0, judged_again = 0, withdrawn = 0, changed = 0;
  std::vector<Suggestion> suggestions;  // all of the source, by column and tag
};
BOOST_DESCRIBE_STRUCT(ClassifyReport, (),
                      (source, rows, sampled, partial, added, judged_again, withdrawn, changed,
                       suggestions))

struct SuggestionQuery {
  std::string source, status, tag;  // empty: all
  bool changed = false;             // only decided ones whose evidence changed
  std::int64_t limit = 1000;
};
BOOST_DESCRIBE_STRUCT(SuggestionQuery, (), (source, status, tag, changed, limit))
constexpr auto rules_of(const SuggestionQuery&) {
  return std::array{penstock::Rule{.field = "source", .max = 200, .may_miss = true},
                    penstock::Rule{.field = "status",
                                   .doc = "suggested, confirmed or refused.",
                                   .max = 20,
                                   .may_miss = true},
                    penstock::Rule{.field = "tag", .max = 100, .may_miss = true},
                    penstock::Rule{.field = "changed", .may_miss = true},
                    penstock::Rule{.field = "limit", .min = 1, .max = 10'000, .may_miss = true}};
}
struct SuggestionList {
  std::vector<Suggestion> suggestions;
};
BOOST_DESCRIBE_STRUCT(SuggestionList, (), (suggestions))

enum class Decision { confirm, refuse };
BOOST_DESCRIBE_ENUM(Decision, confirm, refuse)
struct DecideInput {
  std::string name, column_name, tag;
  Decision decision = Decision::confirm;
  std::string comment;
};
BOOST_DESCRIBE_STRUCT(DecideInput, (), (name, column_name, tag, decision, comment))
constexpr auto rules_of(const DecideInput&) {
  return std::array{penstock::Rule{.field = "name", .min = 1, .max = 200},
                    penstock::Rule{.field = "column_name", .min = 1, .max = 200},
                    penstock::Rule{.field = "tag", .min = 1, .max = 100},
                    penstock::Rule{.field = "comment", .max = 2'000, .may_miss = true}};
}

struct RuleView {
  std::string id;
  std::int64_t version = 0;
  std::string tag;
  Classification classification = Classification::internal;
  std::string looks_at;
};
BOOST_DESCRIBE_STRUCT(RuleView, (), (id, version, tag, classification, looks_at))
struct RuleList {
  std::string digest;  // of all ids and versions
  std::vector<RuleView> rules;
};
BOOST_DESCRIBE_STRUCT(RuleList, (), (digest, rules))

struct SourceClasses {
  std::string source;                                    // URN
  Classification classification = Classification::open;  // the strictest
  std::vector<catalog::ColumnClass> columns;
};
BOOST_DESCRIBE_STRUCT(SourceClasses, (), (source, classification, columns))

}  // namespace penstock::classification
