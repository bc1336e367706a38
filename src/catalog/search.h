// Finding things by their words: everything that is declared or registered, in one index.
#pragma once

#include "catalog/service.h"

namespace penstock::catalog {

struct SearchQuery {
  std::string text;  // words; each must begin a word of what is found. Empty: everything
  // One or more values each, with commas between them.
  std::string kind, owner, classification, tag;
  std::string place;  // of sources: file, s3, postgres, kafka
  std::int64_t limit = 20, offset = 0;
};
BOOST_DESCRIBE_STRUCT(SearchQuery, (),
                      (text, kind, owner, classification, tag, place, limit, offset))
constexpr auto rules_of(const SearchQuery&) {
  return std::array{Rule{.field = "text", .max = 500, .may_miss = true},
                    Rule{.field = "kind", .max = 500, .may_miss = true},
                    Rule{.field = "owner", .max = 500, .may_miss = true},
                    Rule{.field = "classification", .max = 100, .may_miss = true},
                    Rule{.field = "tag", .max = 500, .may_miss = true},
                    Rule{.field = "place",
                         .doc = "Where the rows of a source are: file, s3, postgres, kafka.",
                         .max = 100,
                         .may_miss = true},
                    Rule{.field = "limit", .min = 1, .max = 100, .may_miss = true},
                    Rule{.field = "offset", .min = 0, .max = 10'000, .may_miss = true}};
}

// A row of search_documents. A column is kind "column", urn "source:flights#delay".
struct SearchDocument {
  std::string project, urn, parent, kind, name, owner, classification;
  std::vector<std::string> tags;
  std::string summary;
  Timestamp updated_at;
};
BOOST_DESCRIBE_STRUCT(SearchDocument, (),
                      (project, urn, parent, kind, name, owner, classification, tags, summary,
                       updated_at))

struct SearchHit {
  std::string urn, kind, name, owner, classification;
  std::vector<std::string> tags;
  std::string summary;
  std::int64_t score = 0;
};
BOOST_DESCRIBE_STRUCT(SearchHit, (), (urn, kind, name, owner, classification, tags, summary, score))
struct FacetValue {
  std::string value;
  std::int64_t count = 0;
};
BOOST_DESCRIBE_STRUCT(FacetValue, (), (value, count))
struct SearchResult {
  std::int64_t total = 0;
  std::vector<SearchHit> hits;  // best first, then by URN
  // By "kind", "owner", "classification", "tag" and "place": how many there would be with that
  // value, under the other filters; at most 50 values each, the most frequent first.
  std::map<std::string, std::vector<FacetValue>> facets;
  std::optional<std::int64_t> next_offset;
};
BOOST_DESCRIBE_STRUCT(SearchResult, (), (total, hits, facets, next_offset))

// Reads the audit log and indexes what each event was about, so nothing that is written pays for
// it, and what was there before the index is found too. A change is found within a second or two.
class Search {
 public:
  Search(sql::Database& db, Service& catalog, const Clock& clock)
      : db_(db), catalog_(catalog), clock_(clock) {}

  Result<SearchResult> find(const Call& call, const SearchQuery& query);
  // Indexes what the next events were about; true: there are more.
  Result<bool> run_once();

 private:
  Result<void> index(sql::Tx& tx, const Call& call, const std::string& subject);
  Result<void> index_resource(sql::Tx& tx, const Call& call, const resources::Resource& resource);

  sql::Database& db_;
  Service& catalog_;
  const Clock& clock_;
};

// The words of a text as they are indexed: letters and digits of ASCII in lower case, and whatever
// is beyond ASCII as it is; at most 64 bytes each.
std::vector<std::string> words_of(std::string_view text);

}  // namespace penstock::catalog
