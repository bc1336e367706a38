// The JSON of Feast's feature server, said in ours.
#pragma once

#include "features/service.h"

namespace penstock::api {

// {"feature_service": name} or {"features": ["view:feature"]}, and {"entities": {key: [values]}};
// columns of values, statuses and times come back, the entities' own first.
Result<json::object> feast_online(features::Service& features, const Call& call,
                                  const json::object& in);
// {"push_source_name": view, "df": {column: [values]}, "to": "online"}.
Result<json::object> feast_push(features::Service& features, const Call& call,
                                const json::object& in);

}  // namespace penstock::api
