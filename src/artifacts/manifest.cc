#include "artifacts/manifest.h"

#include "artifacts/files.h"
#include "ports/blob.h"

namespace penstock::artifacts {

std::string Manifest::text() const {
  std::string out;
  for (const Part& part : parts) out += part.name + "\n" + part.digest + "\n";
  return out;
}

Result<Manifest> Manifest::read(const std::string& text) {
  Manifest manifest;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t name_end = text.find('\n', at);
    const std::size_t digest_end =
        name_end == std::string::npos ? name_end : text.find('\n', name_end + 1);
    if (digest_end == std::string::npos) return Error{Code::data_loss, "this is no manifest"};
    Part part{text.substr(at, name_end - at), text.substr(name_end + 1, digest_end - name_end - 1)};
    if (!blob::check_path(part.name) || !is_digest(part.digest))
      return Error{Code::data_loss, "this is no manifest"};
    manifest.parts.push_back(std::move(part));
    at = digest_end + 1;
  }
  return manifest;
}

}  // namespace penstock::artifacts
