#include "approvals/store.h"

namespace penstock::approvals::store {

Result<std::vector<Approval>> standing(sql::Tx& tx, const std::string& project,
                                       const std::string& urn, const std::string& scope) {
  static const std::string text =
      "SELECT " + columns<Approval>() +
      " FROM approvals WHERE project = $1 AND subject = $2 AND ($3 = '' OR scope = $3) AND "
      "ended_at IS NULL ORDER BY at, id";
  return sql::select<Approval>(tx, text, {project, urn, scope});
}

Result<std::vector<Approval>> all(sql::Tx& tx, const std::string& project, const std::string& urn) {
  static const std::string text =
      "SELECT " + columns<Approval>() +
      " FROM approvals WHERE project = $1 AND subject = $2 ORDER BY at, id LIMIT 1000";
  return sql::select<Approval>(tx, text, {project, urn});
}

Result<std::vector<Approval>> find(sql::Tx& tx, const std::string& project, const std::string& id) {
  static const std::string text =
      "SELECT " + columns<Approval>() + " FROM approvals WHERE project = $1 AND id = $2";
  return sql::select<Approval>(tx, text, {project, id});
}

Result<void> end(sql::Tx& tx, const Approval& approval) {
  TRY(
      tx.run("UPDATE approvals SET ended_at = $3, ended_by = $4, ended_why = $5 WHERE project = $1 "
             "AND id = $2",
             {approval.project, approval.id, sql::to_sql(approval.ended_at), approval.ended_by,
              approval.ended_why}));
  return {};
}

Result<std::vector<Request>> open_requests(sql::Tx& tx, const std::string& project,
                                           const std::string& urn, const std::string& scope) {
  static const std::string text =
      "SELECT " + columns<Request>() +
      " FROM approval_requests WHERE project = $1 AND subject = $2 AND ($3 = '' OR scope = $3) AND "
      "state = 'open' ORDER BY id";
  return sql::select<Request>(tx, text, {project, urn, scope});
}

Result<std::vector<Request>> requests(sql::Tx& tx, const std::string& project,
                                      const std::string& urn, bool closed, std::int64_t limit) {
  static const std::string text =
      "SELECT " + columns<Request>() +
      " FROM approval_requests WHERE project = $1 AND ($2 = '' OR subject = $2) AND ($3 OR state = "
      "'open') ORDER BY id DESC LIMIT $4";
  return sql::select<Request>(tx, text, {project, urn, closed, limit});
}

Result<void> close(sql::Tx& tx, const Request& request) {
  TRY(
      tx.run("UPDATE approval_requests SET state = $3, closed_at = $4, closed_by = $5 WHERE "
             "project = $1 AND id = $2",
             {request.project, request.id, sql::to_sql(request.state),
              sql::to_sql(request.closed_at), request.closed_by}));
  return {};
}

}  // namespace penstock::approvals::store
