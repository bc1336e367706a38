#include "tracking/issues.h"

#include <algorithm>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"
#include "tracking/comparison.h"
#include "tracking/offset_page.h"
#include "tracking/store.h"

namespace penstock::tracking {
namespace {

constexpr std::size_t name_max = 250, text_max = 100'000, list_max = 100;

Error faulty(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

Result<void> check_word(const char* field, const std::string& word,
                        std::initializer_list<const char*> known) {
  std::string words;
  for (const char* one : known) {
    if (word == one) return {};
    words += (words.empty() ? "" : ", ") + std::string(one);
  }
  return faulty(field, "is '" + word.substr(0, 50) + "', and must be one of " + words);
}

Result<void> check(const Issue& issue) {
  if (issue.name.empty() || issue.name.size() > name_max)
    return faulty("name", "has " + std::to_string(issue.name.size()) + " bytes, and has 1 to " +
                              std::to_string(name_max));
  if (issue.description.empty() || issue.description.size() > text_max)
    return faulty("description", "has " + std::to_string(issue.description.size()) +
                                     " bytes, and has 1 to " + std::to_string(text_max));
  TRY(check_word("status", issue.status, {"pending", "rejected", "resolved"}));
  if (!issue.severity.empty())
    TRY(check_word("severity", issue.severity, {"not_an_issue", "low", "medium", "high"}));
  for (const auto& [field, list] :
       {std::pair("root_causes", &issue.root_causes), std::pair("categories", &issue.categories)}) {
    if (list->size() > list_max)
      return faulty(field, "has " + std::to_string(list->size()) + " entries, and may have " +
                               std::to_string(list_max));
    for (const std::string& one : *list)
      if (one.size() > text_max)
        return faulty(field, "has a text of " + std::to_string(one.size()) +
                                 " bytes, and may have " + std::to_string(text_max));
  }
  return {};
}

Result<Issue> find(sql::Tx& tx, const Call& call, const std::string& id) {
  static const std::string text =
      "SELECT " + columns<Issue>() + " FROM issues WHERE project = $1 AND id = $2";
  auto found = TRY(sql::select<Issue>(tx, text, {call.project, id}));
  if (found.empty()) return Error{Code::not_found, "Issue with ID '" + id + "' not found"};
  return std::move(found.front());
}

Result<Clauses> compile_issues(const std::string& filter) {
  Clauses out;
  Conditions conditions(out);
  TRY(each_comparison(
      filter, [&](const Token& first, const Comparison& comparison) -> Result<void> {
        const bool is_status = first.text == "status";
        if (!is_status && first.text != "source_run_id")
          return unreadable("'" + first.text + "' must be status or source_run_id");
        conditions.add(
            TRY(conditions.text(is_status ? "status" : "source_run", comparison, first)));
        return {};
      }));
  return out;
}

}  // namespace

Result<Issue> Issues::add(const Call& call, const Issue& input) {
  Issue issue = input;
  if (issue.status.empty()) issue.status = "pending";
  TRY(check(issue));
  return db_.write(call, [&](sql::Tx& tx) -> Result<Issue> {
    const auto experiment = TRY(store::experiment(tx, call.project, issue.experiment));
    if (experiment.empty() || experiment.front().lifecycle != Lifecycle::active)
      return Error{Code::not_found,
                   "No active Experiment with id=" + std::to_string(issue.experiment) + " exists"};
    issue.project = call.project;
    issue.id = "iss-" + sha256_hex(new_ulid(clock_.now())).substr(0, 32);
    issue.created_at = issue.updated_at = now();
    TRY(sql::insert(tx, "issues", issue));
    TRY(audit::record(tx, call, clock_.now(),
                      {"tracking.issue.created", "issue:" + issue.id, {{"name", issue.name}}}));
    return issue;
  });
}

Result<Issue> Issues::get(const Call& call, const std::string& id) {
  return db_.read(call, [&](sql::Tx& tx) { return find(tx, call, id); });
}

Result<Issue> Issues::change(const Call& call, const ChangeIssue& input) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<Issue> {
    Issue issue = TRY(find(tx, call, input.id));
    const std::string before = issue.status;
    if (!input.name.empty()) issue.name = input.name;
    if (!input.description.empty()) issue.description = input.description;
    if (!input.status.empty()) issue.status = input.status;
    if (!input.severity.empty()) issue.severity = input.severity;
    TRY(check(issue));
    issue.updated_at = now();
    TRY(
        tx.run("UPDATE issues SET name = $3, description = $4, status = $5, severity = $6, "
               "updated_at = $7 WHERE project = $1 AND id = $2",
               {call.project, issue.id, issue.name, issue.description, issue.status, issue.severity,
                issue.updated_at}));
    TRY(audit::record(tx, call, clock_.now(),
                      {"tracking.issue.changed",
                       "issue:" + issue.id,
                       {{"before", before}, {"status", issue.status}}}));
    return issue;
  });
}

Result<Found<Issue>> Issues::search(const Call& call, const SearchIssues& search) {
  TRY(check_limit(search.limit));
  Clauses compiled = TRY(compile_issues(search.filter));
  const std::int64_t offset = TRY(offset_page::begin(search.page_token));
  Conditions conditions(compiled);
  conditions.add("project = " + conditions.mark(call.project));
  if (search.experiment) conditions.add("experiment = " + conditions.mark(*search.experiment));
  const std::string text =
      "SELECT " + columns<Issue>() + " FROM issues WHERE " + compiled.where +
      " ORDER BY CASE severity WHEN 'high' THEN 0 WHEN 'medium' THEN 1 WHEN 'low' THEN 2 WHEN "
      "'not_an_issue' THEN 3 ELSE 4 END, created_at DESC, id DESC LIMIT " +
      std::to_string(search.limit + 1) + " OFFSET " + std::to_string(offset);
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<Issue>> {
    Found<Issue> out;
    out.items = TRY(sql::select<Issue>(tx, text, compiled.parameters));
    out.next_page_token = offset_page::next(out.items, search.limit, offset);
    return out;
  });
}

Result<std::vector<std::int64_t>> Issues::traces(const Call& call,
                                                 const std::vector<std::string>& ids) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<std::vector<std::int64_t>> {
    std::vector<std::int64_t> counts;
    for (const std::string& id : ids) {
      const auto rows = TRY(
          tx.run("SELECT count(DISTINCT a.trace) FROM assessments a JOIN traces t ON t.number = "
                 "a.trace WHERE a.kind = 'issue' AND a.key = $2 AND t.project = $1",
                 {call.project, id}));
      counts.push_back(std::get<std::int64_t>(rows.at(0).at(0)));
    }
    return counts;
  });
}

}  // namespace penstock::tracking
