#include "serving/choose.h"

#include "base/digest.h"
#include "traffic/ask.h"

namespace penstock::serving {
namespace {

const LiveTarget* answering(const LiveRoute& route, std::int64_t version) {
  for (const LiveTarget& target : route.targets)
    if (target.arm != Arm::shadow && target.deployment->version == version) return &target;
  return nullptr;
}

// Of a header or cookie: as they may stand on the wire.
bool is_name(std::string_view name) {
  constexpr std::string_view letters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
  return !name.empty() && name.find_first_not_of(letters) == std::string_view::npos;
}

}  // namespace

int priority_of(std::string_view said) {
  const bool is_digit = said.size() == 1 && said[0] >= '0' && said[0] <= '9';
  return is_digit ? said[0] - '0' : traffic::priority_default;
}

Result<void> check_sticky(const std::string& sticky) {
  if (sticky.empty() || sticky == "user") return {};
  for (const std::string_view prefix : {"header:", "cookie:"})
    if (sticky.starts_with(prefix) && is_name(std::string_view(sticky).substr(prefix.size())))
      return {};
  const std::string problem = "is " + sticky + "; known are user, header:NAME and cookie:NAME";
  return Error{Code::invalid_argument, "sticky " + problem, {{"sticky", problem}}};
}

std::string sticky_unit(const LiveRoute& route, const Caller& caller) {
  const std::string_view sticky = route.declaration.sticky;
  if (sticky == "user") return std::string(caller.user.substr(0, user_max));
  std::string_view found;
  if (sticky.starts_with("header:")) {
    std::string name(sticky.substr(7));
    for (char& letter : name)
      if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    found = header_of(caller, name);
  } else if (sticky.starts_with("cookie:")) {
    found = cookie_of(caller, sticky.substr(7));
  }
  return found.empty() ? std::string() : sha256_hex(found).substr(0, 32);
}

Result<Choice> choose_for(const LiveRoute& route, const Caller& caller, std::string_view unit,
                          std::int64_t version) {
  if (version != 0) {
    if (const LiveTarget* target = answering(route, version)) return Choice{.target = target};
    std::string known;
    for (const LiveTarget& target : route.targets)
      if (target.arm != Arm::shadow)
        known += (known.empty() ? "" : ", ") + std::to_string(target.deployment->version);
    return Error{Code::not_found, "route " + route.declaration.name + " does not serve version " +
                                      std::to_string(version) + "; it serves " + known};
  }
  if (route.rules)
    for (const Rules::Rule& rule : route.rules->all())
      if (const LiveTarget* target = answering(route, rule.version);
          target && rule.when.holds(caller))
        return Choice{.target = target, .by_rule = true};
  const LiveTarget* target = choose(route, unit);
  if (!target)
    return Error{Code::unavailable,
                 "route " + route.declaration.name + " has no version that answers"};
  const auto& experiment = route.declaration.experiment;
  return Choice{
      .target = target,
      .probability = static_cast<double>(target->weight) / static_cast<double>(weight_total),
      .experiment = experiment ? experiment->id : std::string()};
}

}  // namespace penstock::serving
