// Lists of packages as interpreters and model files write them.
#pragma once

#include <string_view>

#include "record/facts.h"

namespace penstock::record {

// "name==1.2.3", one a line, as `pip freeze` and requirements.txt write them: extras, markers,
// hashes, comments and options are left out, and a range gives a package without a version. Sorted
// by the name as PEP 503 normalizes it, each once.
std::vector<Package> packages_in(std::string_view text);

// "pkg:pypi/scikit-learn@1.9.1".
std::string purl_of(const Package& package);

}  // namespace penstock::record
