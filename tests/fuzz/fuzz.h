// Parsers of what comes from outside, each with a few good inputs and with what must hold whatever
// it is given.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::fuzz {

struct Target {
  std::string name;
  std::vector<std::string> seeds;
  // Throws where something does not hold; true where the input was read, false where refused.
  std::function<bool(std::string_view)> eat;
};

inline void hold(bool condition, const char* what) {
  if (!condition) throw std::logic_error(what);
}

std::vector<Target> wire_targets();      // HTTP, server-sent events, compression
std::vector<Target> body_targets();      // language models, tensors, rows, spans
std::vector<Target> text_targets();      // expressions, filters, declarations, names
std::vector<Target> document_targets();  // signed notes, archives, usage, events

}  // namespace penstock::fuzz
