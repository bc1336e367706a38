#include "training/references.h"

namespace penstock::training {

Result<bool> refers_to(sql::Tx& tx, const std::string& digest) {
  for (const char* place :
       {"run_steps WHERE outputs", "step_cache WHERE outputs", "evaluations WHERE predictions_uri"})
    if (!TRY(tx.run("SELECT 1 FROM " + std::string(place) + " LIKE $1 LIMIT 1",
                    {"%" + digest + "%"}))
             .empty())
      return true;
  return false;
}

}  // namespace penstock::training
