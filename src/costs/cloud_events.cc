#include "costs/cloud_events.h"

#include <charconv>

namespace penstock::costs {
namespace {

struct Unit {
  Meter meter = Meter::requests;
  std::int64_t of = 1;  // how many of the meter's own units one is
};

constexpr std::pair<std::string_view, Unit> times[] = {
    {"gpu_seconds", {Meter::gpu_microseconds, 1'000'000}},
    {"gpu_hours", {Meter::gpu_microseconds, 3'600'000'000}},
    {"compute_seconds", {Meter::compute_microseconds, 1'000'000}},
    {"compute_hours", {Meter::compute_microseconds, 3'600'000'000}},
    {"human_review_minutes", {Meter::human_review_seconds, 60}},
    {"human_review_hours", {Meter::human_review_seconds, 3600}},
};

Error fault(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

Result<Unit> unit_of(const std::string& type) {
  const std::string name = type.substr(type.rfind('.') + 1);
  for (const auto& [known, unit] : times)
    if (known == name) return unit;
  Unit unit;
  if (Kind<Meter>::hear(name, unit.meter) && unit.meter != Meter::shared_cost) return unit;
  std::string names;
  for (const auto& [known, ignored] : times) names += std::string(known) + ", ";
  return fault("type", "must end in a meter, as retrieval_calls, reranker_calls, requests, " +
                           names + "human_review_seconds; \"" + type.substr(0, 100) +
                           "\" does not");
}

bool counts(Meter meter) {
  return meter == Meter::requests || meter == Meter::retrieval_calls ||
         meter == Meter::reranker_calls;
}

std::optional<Money> decimal_of(const json::value& value) {
  if (value.is_int64()) return Money::whole(value.get_int64());
  if (value.is_string()) return money_from(value.get_string());
  if (!value.is_double()) return {};
  char buffer[400];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value.get_double(), std::chars_format::fixed);
  if (end.ec != std::errc{}) return {};
  const std::string_view text(buffer, static_cast<std::size_t>(end.ptr - buffer));
  // A second as a part of an hour has more places than a decimal here, and means no more by them.
  const std::size_t point = text.find('.');
  if (point == text.npos || text.size() - point <= 13) return money_from(text);
  char rounded[400];
  const auto cut = std::to_chars(rounded, rounded + sizeof rounded, value.get_double(),
                                 std::chars_format::fixed, 12);
  return money_from(std::string_view(rounded, static_cast<std::size_t>(cut.ptr - rounded)));
}

Result<std::int64_t> quantity_of(const json::value& value, const Unit& unit) {
  if (value.is_null() && counts(unit.meter)) return 1;
  const auto amount = decimal_of(value);
  if (!amount || *amount < Money{} || *amount > Money::whole(quantity_max / unit.of))
    return fault("data.value", "must be a number from 0 to " +
                                   std::to_string(quantity_max / unit.of) +
                                   " with at most 12 decimal places");
  // The amount's units, times how much one is: rounded half to even to the meter's whole units.
  return static_cast<std::int64_t>(
      price_of(unit.of, *amount, static_cast<std::int64_t>(Money::per_whole)).units);
}

Result<std::string> text_of(const json::object& event, const char* name, std::size_t max,
                            bool required) {
  const json::value* found = event.if_contains(name);
  if (!found || found->is_null()) {
    if (required) return fault(name, "is missing");
    return std::string();
  }
  if (!found->is_string() || found->get_string().size() > max ||
      (required && found->get_string().empty()))
    return fault(name, "must be a text of " + std::string(required ? "1" : "0") + " to " +
                           std::to_string(max) + " characters");
  if (found->get_string().find('\0') != std::string::npos)
    return fault(name, "must have no zero byte");
  return std::string(found->get_string());
}

Result<Timestamp> time_of(const std::string& text, Timestamp now) {
  if (text.empty()) return now;
  const auto at = from_rfc3339(text);
  if (!at) return fault("time", "must be RFC 3339");
  if (*at > now + std::chrono::days(1) || *at < Timestamp{})
    return fault("time", "must be from 1970 to a day from now");
  return *at;
}

}  // namespace

Result<void> check_source(const std::string& source, const std::string& field) {
  if (source != "inference" && source != "inference.node" && source != "training" &&
      !source.starts_with("share:"))
    return {};
  return fault(field, "must not be \"" + source + "\": that is one of our own meters");
}

Result<Usage> usage_of(const json::value& event, const Call& call, Timestamp now) {
  if (!event.is_object()) return fault("event", "must be an object");
  const json::object& object = event.get_object();
  const std::string version = TRY(text_of(object, "specversion", 10, true));
  if (version != "1.0") return fault("specversion", "must be \"1.0\"");
  Usage usage;
  usage.source = TRY(text_of(object, "source", 100, true));
  usage.id = TRY(text_of(object, "id", 200, true));
  TRY(check_source(usage.source, "source"));
  const Unit unit = TRY(unit_of(TRY(text_of(object, "type", 200, true))));
  const std::string content = TRY(text_of(object, "datacontenttype", 100, false));
  if (!content.empty() && !content.starts_with("application/json"))
    return fault("datacontenttype", "must be application/json");
  if (object.contains("data_base64"))
    return fault("data_base64", "is not read: send `data` as JSON");
  usage.at = TRY(time_of(TRY(text_of(object, "time", 40, false)), now));
  const std::string subject = TRY(text_of(object, "subject", 200, false));

  const json::value* found = object.if_contains("data");
  auto data = decode<UsageData>(found && !found->is_null() ? *found : json::object{});
  if (!data) {
    Error error = data.error();
    error.message = "data." + error.message;
    for (Violation& violation : error.violations) violation.field = "data." + violation.field;
    return error;
  }
  for (const auto& [field, text] :
       {std::pair("tenant", &data->tenant), std::pair("route", &data->route),
        std::pair("model", &data->model), std::pair("release", &data->release),
        std::pair("user_tag", &data->user_tag), std::pair("experiment", &data->experiment),
        std::pair("upstream", &data->upstream), std::pair("upstream_model", &data->upstream_model)})
    if (text->find('\0') != std::string::npos)
      return fault(std::string("data.") + field, "must have no zero byte");
  usage.meter = unit.meter;
  usage.quantity = TRY(quantity_of(data->value, unit));
  usage.tenant = !data->tenant.empty() ? data->tenant : !subject.empty() ? subject : call.tenant;
  usage.route = data->route;
  usage.model = data->model;
  usage.version = data->version;
  usage.release = data->release;
  usage.mode = data->mode;
  usage.user_tag = data->user_tag;
  usage.experiment = data->experiment;
  usage.upstream = data->upstream;
  usage.upstream_model = data->upstream_model;
  return usage;
}

}  // namespace penstock::costs
