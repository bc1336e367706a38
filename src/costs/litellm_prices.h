// LiteLLM's price file (model_prices_and_context_window.json) as a price list of ours.
#pragma once

#include "costs/ledger.h"

namespace penstock::costs {

struct LitellmChoice {
  std::string key;    // as the file calls it: "gemini/gemini-2.5-pro"
  std::string model;  // as the price shall; empty: the key without its provider
};

// The prices of these models from `from` on. Exact: the file's decimals are kept. What the file
// does not say stays without a price. not_found names keys that come near.
Result<std::vector<Price>> litellm_prices(std::string_view file,
                                          const std::vector<LitellmChoice>& models, Timestamp from);

// `known` and what is new: a price that is as the one in force before it is not said again, so the
// same file twice is no change, and a later one keeps the history.
std::vector<Price> merged(std::vector<Price> known, const std::vector<Price>& more);

}  // namespace penstock::costs
