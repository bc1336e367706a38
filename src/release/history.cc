#include "release/history.h"

namespace penstock::release {

Result<std::vector<Release>> releases_of(sql::Tx& tx, const std::string& project,
                                         const std::string& model, std::int64_t version) {
  static const std::string text =
      "SELECT " + columns<Release>() +
      " FROM releases WHERE project = $1 AND model = $2 AND (version = $3 OR from_version = $3) "
      "ORDER BY id DESC";
  return sql::select<Release>(tx, text, {project, model, version});
}

}  // namespace penstock::release
