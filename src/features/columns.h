// Which columns of its sources each feature of a view is made from, read from the view's SQL.
#pragma once

#include "catalog/service.h"
#include "features/feature_view.h"
#include "ports/olap.h"

namespace penstock::features {

// Edges from "feature_view:v@1#feature" to "source:s@2#column". Where the SQL is one SELECT over
// sources, a feature hangs on the columns of its own expression, and the view as a whole on those
// of WHERE, GROUP BY, joins and the columns that are no feature. Where there is more (a subquery, a
// WITH, a UNION), each feature is said to hang on every column that the SQL names: too many, never
// too few.
Result<std::vector<catalog::Edge>> column_edges(
    olap::Session& session, const FeatureView& view, const std::string& view_urn,
    const std::vector<catalog::VersionedSource>& sources, Timestamp at);

}  // namespace penstock::features
