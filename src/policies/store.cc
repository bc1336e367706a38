#include "policies/store.h"

namespace penstock::policies::store {

Result<std::vector<Finding>> results(sql::Tx& tx, const std::string& project,
                                     const std::string& subject, const std::string& policy,
                                     std::int64_t limit) {
  static const std::string text = "SELECT " + columns<Finding>() +
                                  " FROM policy_results WHERE project = $1 AND ($2 = '' OR subject "
                                  "= $2) AND ($3 = '' OR policy = $3) ORDER BY at DESC, decision "
                                  "DESC, policy LIMIT $4";
  return sql::select<Finding>(tx, text, {project, subject, policy, limit});
}

}  // namespace penstock::policies::store
