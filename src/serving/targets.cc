#include "serving/targets.h"

namespace penstock::serving {

Result<std::vector<StoredTarget>> targets_of(sql::Tx& tx, const std::string& project,
                                             const std::string& model, std::int64_t version) {
  static const std::string text =
      "SELECT " + columns<StoredTarget>() +
      " FROM route_targets WHERE project = $1 AND model = $2 AND version = $3 ORDER BY route";
  return sql::select<StoredTarget>(tx, text, {project, model, version});
}

}  // namespace penstock::serving
