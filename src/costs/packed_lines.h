// How the lines of one call stand in one text: what their meters differ in (migration 0045).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "costs/ledger.h"

namespace penstock::costs {

class LinePacker {
 public:
  void add(const Usage& usage, std::int64_t call_tokens, const Charge& charge);
  std::string take();  // it is empty again

 private:
  std::string text_;
  std::string_view list_;  // of the last line that had a price
};

// Appends a line for each meter, which is `call` but for what the text says. Throws where it is not
// what a LinePacker made.
void unpack(const LedgerLine& call, std::string_view text, std::vector<LedgerLine>& out);
// The meters alone.
std::vector<Meter> packed_meters(std::string_view text);

}  // namespace penstock::costs
