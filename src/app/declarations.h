#pragma once

#include <string>
#include <vector>

#include "base/yaml.h"

namespace penstock::app {

// Every YAML document of the files, and of the .yaml files of the directories, in the order of
// their paths, as the documents of POST /api/v1/resources:apply. Faults name file and line.
Result<json::array> read_declarations(const std::vector<std::string>& paths);

}  // namespace penstock::app
