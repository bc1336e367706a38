#include "costs/litellm_prices.h"

#include <algorithm>
#include <charconv>

namespace penstock::costs {
namespace {

constexpr std::int64_t per_tokens = 1'000'000;
constexpr int places_of_per = 6;
constexpr std::size_t near_max = 5;
constexpr std::int64_t whole_max = 1'000'000;     // of a price for one unit
constexpr std::int64_t tier_max = 1'000'000'000;  // in thousands of tokens

constexpr std::pair<std::string_view, Meter> token_fields[] = {
    {"input_cost_per_token", Meter::prompt_tokens},
    {"cache_read_input_token_cost", Meter::cached_prompt_tokens},
    {"cache_creation_input_token_cost", Meter::cache_write_tokens},
    {"output_cost_per_token", Meter::output_tokens},
    {"output_cost_per_reasoning_token", Meter::reasoning_tokens},
};

// number x 10^places as exact money. JSON's doubles are said by their shortest text, which is what
// stood in the file.
std::optional<Money> shifted(const json::value& number, int places) {
  if (number.is_int64()) {
    if (number.get_int64() < 0 || number.get_int64() > whole_max) return {};
    std::int64_t factor = 1;
    for (int at = 0; at < places; ++at) factor *= 10;
    return Money::whole(number.get_int64() * factor);
  }
  if (!number.is_double() || number.get_double() < 0) return {};
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number.get_double(),
                                 std::chars_format::scientific);
  std::string text(buffer, end.ptr);
  const std::size_t e = text.find('e');
  if (e == text.npos) return {};
  int exponent = std::stoi(text.substr(e + 1)) + places;
  std::string digits = text.substr(0, e);
  if (digits.size() > 1) digits.erase(1, 1);  // the point
  if (exponent < 0) {
    digits.insert(0, static_cast<std::size_t>(-exponent), '0');
    exponent = 0;
  }
  if (static_cast<int>(digits.size()) < exponent + 1)
    digits.append(static_cast<std::size_t>(exponent + 1) - digits.size(), '0');
  digits.insert(static_cast<std::size_t>(exponent) + 1, ".");
  while (digits.back() == '0') digits.pop_back();
  if (digits.back() == '.') digits.pop_back();
  return money_from(digits);
}

// "input_cost_per_token_above_200k_tokens" of "input_cost_per_token" is 200,000; 0 for the field
// itself, and nothing for other ones, as those of priority or batches.
std::optional<std::int64_t> tier_of(std::string_view name, std::string_view field) {
  if (!name.starts_with(field)) return {};
  name.remove_prefix(field.size());
  if (name.empty()) return 0;
  constexpr std::string_view above = "_above_", tokens = "k_tokens";
  if (!name.starts_with(above) || !name.ends_with(tokens)) return {};
  name = name.substr(above.size(), name.size() - above.size() - tokens.size());
  std::int64_t thousands = 0;
  const auto read = std::from_chars(name.data(), name.data() + name.size(), thousands);
  if (read.ec != std::errc{} || read.ptr != name.data() + name.size() || thousands < 0 ||
      thousands > tier_max)
    return {};
  return thousands * 1000;
}

class Reader {
 public:
  Reader(const LitellmChoice& choice, Timestamp from) : key_(choice.key), from_(from) {
    model_ = !choice.model.empty() ? choice.model : key_.substr(key_.rfind('/') + 1);
  }

  Result<std::vector<Price>> read(const json::object& entry) {
    TRY(read_tokens(entry, 0));
    if (const json::value* tiers = entry.if_contains("tiered_pricing"); tiers && tiers->is_array())
      for (const json::value& tier : tiers->get_array()) TRY(read_tier(tier));
    const json::value* query = entry.if_contains("input_cost_per_query");
    const json::value* mode = entry.if_contains("mode");
    if (query && mode && *mode == "rerank")
      TRY(add(Meter::reranker_calls, "input_cost_per_query", *query, 1, 0));
    if (prices_.empty())
      return Error{Code::invalid_argument,
                   key_ + " has no price by tokens or queries in this file",
                   {{"models", key_ + " is priced in a way that is not read"}}};
    add_reasoning();
    // A provider that bills by tokens bills nothing for the request itself.
    prices_.push_back({.meter = Meter::requests, .model = model_, .from = from_});
    return prices_;
  }

 private:
  Result<void> read_tokens(const json::object& entry, std::int64_t above) {
    for (const auto& member : entry)
      for (const auto& [field, meter] : token_fields)
        if (const auto tier = tier_of(member.key(), field))
          TRY(add(meter, member.key(), member.value(), per_tokens, std::max(above, *tier)));
    return {};
  }

  // {"range": [256000, 1000000], "input_cost_per_token": ...}
  Result<void> read_tier(const json::value& tier) {
    const json::value* range = tier.is_object() ? tier.get_object().if_contains("range") : nullptr;
    const json::value* from = range && range->is_array() && !range->get_array().empty()
                                  ? &range->get_array()[0]
                                  : nullptr;
    std::int64_t above = 0;
    if (from && from->is_int64())
      above = from->get_int64();
    else if (from && from->is_double() && from->get_double() >= 0 && from->get_double() < 1e15)
      above = static_cast<std::int64_t>(from->get_double());
    else
      return Error{Code::invalid_argument, key_ + ": tiered_pricing has a tier without a range"};
    return read_tokens(tier.get_object(), above);
  }

  Result<void> add(Meter meter, std::string_view field, const json::value& value, std::int64_t per,
                   std::int64_t above) {
    if (value.is_null()) return {};
    const auto price = shifted(value, per == 1 ? 0 : places_of_per);
    if (!price)
      return Error{Code::invalid_argument,
                   key_ + ": " + std::string(field) + " is no price: " + json::serialize(value)};
    prices_.push_back({.meter = meter,
                       .model = model_,
                       .price = *price,
                       .per = per,
                       .from = from_,
                       .above_call_tokens = above});
    return {};
  }

  // Tokens of reasoning are billed as output where the file has no price of their own.
  void add_reasoning() {
    const auto is_reasoning = [](const Price& price) {
      return price.meter == Meter::reasoning_tokens;
    };
    if (std::any_of(prices_.begin(), prices_.end(), is_reasoning)) return;
    const std::vector<Price> before = prices_;
    for (Price price : before) {
      if (price.meter != Meter::output_tokens) continue;
      price.meter = Meter::reasoning_tokens;
      prices_.push_back(std::move(price));
    }
  }

  std::string key_, model_;
  Timestamp from_;
  std::vector<Price> prices_;
};

Error unknown(const json::object& all, const std::string& key) {
  std::string near;
  std::size_t count = 0;
  for (const auto& member : all) {
    if (std::string_view(member.key()).find(key) == std::string_view::npos || count == near_max)
      continue;
    near += (count++ == 0 ? "; it has " : ", ") + std::string(member.key());
  }
  return {Code::not_found,
          "the file has no model " + key + near,
          {{"models", key + " is not in the file" + near}}};
}

bool same_kind(const Price& a, const Price& b) {
  return a.meter == b.meter && a.model == b.model && a.tenant == b.tenant &&
         a.above_call_tokens == b.above_call_tokens &&
         a.above_month_quantity == b.above_month_quantity;
}

}  // namespace

Result<std::vector<Price>> litellm_prices(std::string_view file,
                                          const std::vector<LitellmChoice>& models,
                                          Timestamp from) {
  boost::system::error_code failed;
  const json::value parsed = json::parse(file, failed);
  if (failed || !parsed.is_object())
    return Error{
        Code::invalid_argument,
        "the file is no JSON object of models, as model_prices_and_context_window.json is"};
  const json::object& all = parsed.get_object();
  std::vector<Price> out;
  for (const LitellmChoice& choice : models) {
    const json::value* entry = all.if_contains(choice.key);
    if (!entry || !entry->is_object()) return unknown(all, choice.key);
    for (Price& price : TRY(Reader(choice, from).read(entry->get_object())))
      out.push_back(std::move(price));
  }
  return out;
}

std::vector<Price> merged(std::vector<Price> known, const std::vector<Price>& more) {
  for (const Price& price : more) {
    Price* before = nullptr;  // the one of the same kind that is in force when this one begins
    for (Price& other : known)
      if (same_kind(other, price) && other.from <= price.from &&
          (!other.until || *other.until > price.from) && (!before || other.from >= before->from))
        before = &other;
    if (before && before->price == price.price && before->per == price.per) continue;
    if (before && before->from == price.from)
      *before = price;
    else
      known.push_back(price);
  }
  return known;
}

}  // namespace penstock::costs
