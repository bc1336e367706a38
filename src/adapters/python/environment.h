// Which interpreter runs a model.
#pragma once

#include <string>

#include "base/result.h"

namespace penstock::python {

// Names what a model's folder says of packages: two models that say the same share one environment.
// Empty where it says nothing.
std::string environment_key(const std::string& requirements);
// What requirements.txt in `folder` says; empty where there is none.
std::string requirements_in(const std::string& folder);
// That of the environment which was prepared for `folder`, else `otherwise`.
std::string interpreter_for(const std::string& folder, const std::string& environments,
                            const std::string& otherwise);

}  // namespace penstock::python
