// A declaration proposed from what is there: people correct it, add what only they know, and apply
// it.
#pragma once

#include "catalog/service.h"

namespace penstock::catalog {

struct DiscoverInput {
  std::string name;                       // empty: after the file or table
  std::string owner;                      // empty: the caller
  std::string path;                       // a file, a directory or s3://BUCKET/PREFIX/, or
  std::optional<Format> format;           // none: by how names end
  std::optional<PostgresTable> postgres;  // a table
  std::optional<std::string> connection;  // of an s3:// path; none: the only one there is
  std::optional<KafkaTopic> kafka;        // or a topic
};
BOOST_DESCRIBE_STRUCT(DiscoverInput, (), (name, owner, path, format, postgres, connection, kafka))
constexpr auto rules_of(const DiscoverInput&) {
  return std::array{Rule{.field = "name", .max = 200, .may_miss = true},
                    Rule{.field = "owner", .max = 200, .may_miss = true},
                    Rule{.field = "path", .max = 2000, .may_miss = true}};
}
struct Discovery {
  Source source;  // every column internal: nobody has said what class it is
  std::int64_t row_count = 0;
  std::vector<std::vector<std::string>> candidate_keys;  // without a null and without a repeat
  std::vector<std::string> notes;                        // what was assumed
};
BOOST_DESCRIBE_STRUCT(Discovery, (), (source, row_count, candidate_keys, notes))

Result<Discovery> discover(olap::Engine& olap, Snapshots& snapshots, const Call& call,
                           const DiscoverInput& input);

}  // namespace penstock::catalog
