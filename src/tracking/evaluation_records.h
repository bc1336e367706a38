// What stands in an evaluation dataset: records as they come, merged with what is there.
#pragma once

#include "ports/sql.h"
#include "tracking/evaluation_datasets.h"

namespace penstock::tracking::evaluation_records {

// Refuses what is no list of objects with inputs, is too many or too large: invalid_argument naming
// the record.
Result<void> check(const json::array& records);
EvaluationRecord read(const json::object& said, std::int64_t dataset, std::int64_t position,
                      Timestamp now);
Result<std::int64_t> last_position(sql::Tx& tx, std::int64_t dataset);
// Merges what was said into the record of the same inputs; false where there is none.
Result<bool> merge(sql::Tx& tx, const EvaluationRecord& record, const json::object& said);
// `schema` with the fields of records that it does not know yet, as JSON.
std::string widened_schema(const std::string& schema, const json::array& records);
// {"num_records": n}, or empty where there are none.
Result<std::string> profile(sql::Tx& tx, std::int64_t dataset);

}  // namespace penstock::tracking::evaluation_records
