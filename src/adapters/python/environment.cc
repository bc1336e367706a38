#include "adapters/python/environment.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/digest.h"

namespace penstock::python {

std::string environment_key(const std::string& requirements) {
  return requirements.empty() ? "" : sha256_hex(requirements).substr(0, 32);
}

std::string requirements_in(const std::string& folder) {
  std::ifstream file(folder + "/requirements.txt", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string interpreter_for(const std::string& folder, const std::string& environments,
                            const std::string& otherwise) {
  const std::string key = environment_key(requirements_in(folder));
  if (key.empty() || environments.empty()) return otherwise;
  const std::string prepared = environments + "/" + key;
  std::error_code absent;
  // Written last: one that is being prepared is none yet.
  return std::filesystem::exists(prepared + "/ready", absent) ? prepared + "/bin/python"
                                                              : otherwise;
}

}  // namespace penstock::python
