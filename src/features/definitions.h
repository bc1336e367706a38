// What declarations of views and schemas turn into.
#pragma once

#include "catalog/service.h"
#include "features/schema.h"

namespace penstock::features {

// A view with the sources that it reads, as they are now.
struct BoundView {
  std::shared_ptr<const ViewHandle> handle;
  std::vector<catalog::VersionedSource> sources;
  std::string digest;  // of the view, its keys and its sources' declarations; not of their files
};

// Version 0 is the newest.
Result<std::shared_ptr<const ViewHandle>> open_view(sql::Tx& tx, const std::string& project,
                                                    const std::string& name, std::int64_t version);
Result<BoundView> bind_view(sql::Tx& tx, const std::string& project,
                            std::shared_ptr<const ViewHandle> handle);
// Compiles its transforms.
Result<std::shared_ptr<const SchemaHandle>> open_schema_version(sql::Tx& tx, olap::Engine& olap,
                                                                const std::string& project,
                                                                const std::string& name,
                                                                std::int64_t version);
// Of a schema that is declared nowhere: its features' names as they are, its views as they are
// newest.
Result<std::shared_ptr<const SchemaHandle>> open_unnamed(sql::Tx& tx, const std::string& project,
                                                         const std::vector<std::string>& features);

// "features_v1@2" and "features_v1", whose version is 0; "feature_schema:" before it is read over.
struct Reference {
  std::string name;
  std::int64_t version = 0;
};
Result<Reference> reference_from(std::string_view text);

// The faults of a view; its SQL is bound over its sources, and nothing is read.
Result<void> check_view(sql::Tx& tx, const Call& call, catalog::Service& catalog,
                        olap::Engine& olap, const FeatureView& view);
// With every name, view version and type of a transform filled in.
Result<FeatureSchema> resolve_schema(sql::Tx& tx, const Call& call, olap::Engine& olap,
                                     FeatureSchema schema);

}  // namespace penstock::features
