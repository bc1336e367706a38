// The statements of the search index.
#pragma once

#include "catalog/search.h"

namespace penstock::catalog::store {

Result<std::int64_t> search_position(sql::Tx& tx);
Result<void> move_search(sql::Tx& tx, std::int64_t position);

// The document and those below it.
Result<void> remove_documents(sql::Tx& tx, const std::string& project, const std::string& urn);
// `words` with their weights. The document must not be there.
Result<void> put_document(sql::Tx& tx, const SearchDocument& document,
                          const std::map<std::string, std::int64_t>& words,
                          const std::string& place);

struct WeightedWord {
  std::string word;
  std::int64_t rarity = 0;
};
struct SearchFilter {
  std::string project;
  std::vector<WeightedWord> words;                           // all of them must be found
  std::map<std::string, std::vector<std::string>> by_facet;  // none: any value; else one of these
};

Result<std::int64_t> count_documents(sql::Tx& tx, const std::string& project);
Result<std::int64_t> count_having(sql::Tx& tx, const std::string& project, const std::string& word);
Result<std::int64_t> count_found(sql::Tx& tx, const SearchFilter& filter);
Result<std::vector<SearchHit>> found(sql::Tx& tx, const SearchFilter& filter, std::int64_t limit,
                                     std::int64_t offset);
// Under every filter but that of `facet` itself.
Result<std::vector<FacetValue>> facet_counts(sql::Tx& tx, const SearchFilter& filter,
                                             const std::string& facet);

}  // namespace penstock::catalog::store
