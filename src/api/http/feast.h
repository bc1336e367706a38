// The JSON of Feast's feature server, said in ours.
#pragma once

#include "features/service.h"

namespace penstock::api {

// {"feature_service": name} or {"features": ["view:feature"]}, and {"entities": {key: [values]}};
// columns of values, statuses and times as of now come back, the entities' own first: as text.
Result<std::string> feast_online(features::Service& features, const Call& call,
                                 const json::object& in);
// {"push_source_name": view, "df": {column: [values]}, "to": "online"}. Feast's clients look only
// at whether it succeeded, so one bad row refuses all, unless "all_or_nothing" is false. Times
// without an offset are UTC, as with Feast.
Result<json::object> feast_push(features::Service& features, const Call& call,
                                const json::object& in);

}  // namespace penstock::api
