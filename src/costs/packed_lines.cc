#include "costs/packed_lines.h"

#include <array>
#include <charconv>
#include <stdexcept>
#include <utility>

#include "base/json.h"

namespace penstock::costs {
namespace {

constexpr std::size_t usual_size = 256;

void append(std::string& text, std::int64_t number) {
  std::array<char, 24> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  text.append(digits.data(), end);
}

void append(std::string& text, Money money) { ((text += '"') += to_text(money)) += '"'; }

json::object parsed(std::string_view text) {
  boost::system::error_code fault;
  json::value value = parse_json(text, fault);
  if (fault || !value.is_object())
    throw std::logic_error("the lines of a call are not what the ledger wrote");
  return std::move(value.get_object());
}

Meter meter_of(std::string_view name) {
  Meter meter{};
  if (!Kind<Meter>::hear(std::string(name), meter))
    throw std::logic_error("the ledger has no meter " + std::string(name));
  return meter;
}

Money money_at(const json::array& said, std::size_t place) {
  const auto money = money_from(std::string_view(said.at(place).as_string()));
  if (!money) throw std::logic_error("an amount of a call is no decimal");
  return *money;
}

}  // namespace

void LinePacker::add(const Usage& usage, std::int64_t call_tokens, const Charge& charge) {
  if (text_.empty()) text_.reserve(usual_size);
  ((text_ += text_.empty() ? "{\"" : ",\"") += name_of(usage.meter)) += "\":[";
  append(text_, usage.quantity);
  append(text_ += ',', call_tokens);
  if (charge.pricing == Pricing::priced) {
    append(text_ += ',', charge.amount);
    append(text_ += ',', charge.price);
    append(text_ += ',', charge.per);
    append(text_ += ',', charge.price_entry);
    if (charge.price_list != list_) {
      (text_ += ',') += json::serialize(charge.price_list);
      list_ = charge.price_list;
    }
  }
  text_ += ']';
}

std::string LinePacker::take() {
  text_ += '}';
  list_ = {};
  return std::exchange(text_, {});
}

void unpack(const LedgerLine& call, std::string_view text, std::vector<LedgerLine>& out) {
  std::string list;
  for (const auto& [name, value] : parsed(text)) {
    const json::array& said = value.as_array();
    LedgerLine& line = out.emplace_back(call);
    line.meter = meter_of(name);
    line.quantity = said.at(0).as_int64();
    line.call_tokens = said.at(1).as_int64();
    if (said.size() == 2) continue;
    line.pricing = Pricing::priced;
    line.amount = money_at(said, 2);
    line.price = money_at(said, 3);
    line.per = said.at(4).as_int64();
    line.price_entry = said.at(5).as_int64();
    if (said.size() > 6) list = said.at(6).as_string();
    line.price_list = list;
  }
}

std::vector<Meter> packed_meters(std::string_view text) {
  std::vector<Meter> meters;
  for (const auto& [name, ignored] : parsed(text)) meters.push_back(meter_of(name));
  return meters;
}

}  // namespace penstock::costs
