// Data contracts of the Open Data Contract Standard 3 (bitol.io), in and out.
#pragma once

#include <functional>

#include "base/call.h"
#include "catalog/source.h"

namespace penstock::catalog {

struct ContractInput {
  json::object contract;
  std::string owner;  // empty: who the contract names, else the caller
};
BOOST_DESCRIBE_STRUCT(ContractInput, (), (contract, owner))
constexpr auto rules_of(const ContractInput&) {
  return std::array{Rule{.field = "owner", .max = 200, .may_miss = true}};
}
struct ContractSources {
  std::vector<Source> sources;        // one for each object of its schema
  std::vector<std::string> warnings;  // what was read otherwise than it was written, or not at all
};
BOOST_DESCRIBE_STRUCT(ContractSources, (), (sources, warnings))
struct ContractOutput {
  json::object contract;
};
BOOST_DESCRIBE_STRUCT(ContractOutput, (), (contract))

// invalid_argument for what is no contract of version 3. Whatever has no field of its own here is
// kept in Source::contract, and given back by export_contract.
Result<ContractSources> import_contract(const Call& call, const ContractInput& input);

// The contract of one source, as apiVersion v3.1.0; `host` is where a topic is. `counts` says
// whether a check's SQL gives one count, or the rows that break the rule.
json::object export_contract(const Source& source, std::int64_t version,
                             const std::function<bool(const std::string& sql)>& counts,
                             const std::string& host = "");

// What a source says that the standard has no word for: a custom property of its object, by this
// name.
struct ContractExtras {
  std::optional<std::string> event_time;
  std::optional<PostgresTable> postgres;
  std::optional<std::string> connection;
  std::optional<KafkaTopic> kafka;
  Compatibility compatibility = Compatibility::none;
  std::optional<Micros> refresh_every;
  CheckSeverity freshness_severity = CheckSeverity::error;
};
BOOST_DESCRIBE_STRUCT(ContractExtras, (),
                      (event_time, postgres, connection, kafka, compatibility, refresh_every,
                       freshness_severity))
constexpr auto rules_of(const ContractExtras&) {
  return std::array{Rule{.field = "compatibility", .may_miss = true},
                    Rule{.field = "freshness_severity", .may_miss = true}};
}
inline constexpr const char* extras_property = "penstock";

// Between the two, so that they cannot disagree: one rule of a contract as a check, where it can be
// one. `column` is empty for a rule of the whole object. Without a check, `warning` says why.
struct ContractRule {
  std::optional<SourceCheck> check;
  std::string warning;
};
ContractRule rule_of(const json::object& quality, const Source& source, const std::string& column);
json::object quality_of(const SourceCheck& check, const Source& source,
                        const std::function<bool(const std::string& sql)>& counts);

// A field of JSON that may be missing or of another type.
namespace loose {
std::string text(const json::object& object, std::string_view field);
const json::array& list(const json::object& object, std::string_view field);
bool truth(const json::object& object, std::string_view field);
// What an SLA of latency or freshness asks: value and unit. None for another property, or no span.
std::optional<Micros> age_asked(const json::object& sla);
}  // namespace loose

}  // namespace penstock::catalog
