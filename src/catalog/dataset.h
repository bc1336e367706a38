// An immutable snapshot of rows, known by the digest of its bytes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/profile.h"

namespace penstock::catalog {

// The bytes that a dataset was made from, at that moment.
struct SourceSnapshot {
  std::string urn, digest;
};
BOOST_DESCRIBE_STRUCT(SourceSnapshot, (), (urn, digest))

struct DatasetColumn {
  std::string name, type;
};
BOOST_DESCRIBE_STRUCT(DatasetColumn, (), (name, type))

// A row of datasets. Never changed once it is there.
struct Dataset {
  std::string project, name;
  std::int64_t version = 0;
  std::string digest;  // SHA-256 of the file's bytes, hex
  std::string uri;     // where it is read: a local path or a URL
  std::int64_t row_count = 0;
  std::vector<DatasetColumn> columns;
  Timestamp created_at;
  std::string created_by;
  std::string query;                     // what made it, as it was written
  std::string feature_schema;            // "features_v1@1", empty if none
  std::vector<std::string> sources;      // URNs that its rows came from: "source:flights@2"
  std::optional<Timestamp> known_as_of;  // nothing that arrived later is in it
  std::int64_t schema_version = 1;  // counts the changes of `columns` from one version to the next
  std::vector<SourceSnapshot> snapshots;
  std::string inputs_digest;           // of query and snapshots; empty where nobody said them
  std::vector<ColumnProfile> profile;  // empty in lists

  std::string urn() const { return "dataset:" + name + "@" + std::to_string(version); }
};
BOOST_DESCRIBE_STRUCT(Dataset, (),
                      (project, name, version, digest, uri, row_count, columns, created_at,
                       created_by, query, feature_schema, sources, known_as_of, schema_version,
                       snapshots, inputs_digest, profile))

}  // namespace penstock::catalog
