// Which files an artifact has. Its text is stored as a file like any other, so the digest of that
// file is the artifact's: the same files under the same names are the same artifact.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace penstock::artifacts {

struct Part {
  std::string name;    // "model.onnx", "sub/weights.bin"
  std::string digest;  // of its bytes
};

struct Manifest {
  std::vector<Part> parts;  // by name

  // "name\ndigest\n" for each part.
  std::string text() const;
  // data_loss where it is not what text() makes.
  static Result<Manifest> read(const std::string& text);
};

}  // namespace penstock::artifacts
