// Versions of a source's schema, and which of them can read each other's rows.
#include "catalog/service.h"

namespace penstock::catalog {
namespace {

// As many as a transitive mode looks back over, and a report shows.
constexpr std::int64_t versions_max = 100;

// From `newest` back.
Result<std::vector<std::pair<std::int64_t, Source>>> versions_of(sql::Tx& tx,
                                                                 const std::string& project,
                                                                 const std::string& name,
                                                                 std::int64_t newest) {
  std::vector<std::pair<std::int64_t, Source>> out;
  for (std::int64_t version = newest; version > 0 && newest - version < versions_max; --version)
    out.emplace_back(version,
                     TRY(resources::declared<Source>(tx, project, "source", name, version)));
  return out;
}

void refuse(const std::vector<Incompatibility>& faults, const char* direction, Compatibility mode,
            std::int64_t version, std::vector<Violation>& out) {
  for (const Incompatibility& fault : faults)
    out.push_back(
        {fault.field, "breaks " + std::string(direction) + " compatibility with version " +
                          std::to_string(version) + " (rule " + fault.rule +
                          ", compatibility: " + std::string(name_of(mode)) + "): " + fault.what});
}

}  // namespace

// The stricter of the modes of both versions: one step cannot lift the rule and break it.
Result<std::vector<Violation>> broken_compatibility(sql::Tx& tx, const Call& call,
                                                    const Source& after) {
  std::vector<Violation> out;
  const auto newest = resources::get(tx, call.project, "source", after.name);
  if (!newest) {
    if (newest.error().code == Code::not_found) return out;
    return newest.error();
  }
  const Source before = TRY(decode<Source>(newest->declaration));
  for (const Compatibility mode : {after.compatibility, before.compatibility}) {
    if (mode == Compatibility::none) continue;
    const std::int64_t from = newest->version;
    for (const auto& [version, source] : TRY(versions_of(tx, call.project, after.name, from))) {
      if (version != from && !is_transitive(mode)) break;
      if (asks_backward(mode))
        refuse(backward_faults(source, after), "backward", mode, version, out);
      if (asks_forward(mode)) refuse(forward_faults(source, after), "forward", mode, version, out);
    }
    if (!out.empty()) break;
  }
  return out;
}

Result<CompatibilityReport> Service::compatibility(const Call& call,
                                                   const CompatibilityInput& input) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<CompatibilityReport> {
    const auto newest = TRY(resources::get(tx, call.project, "source", input.name));
    auto versions = TRY(versions_of(tx, call.project, input.name, newest.version));
    CompatibilityReport report{.source =
                                   "source:" + input.name + "@" + std::to_string(newest.version)};
    Source last;
    std::int64_t after = 0;
    if (input.candidate) {
      json::object candidate = *input.candidate;
      candidate.erase("kind");
      last = TRY(decode<Source>(candidate));
    } else {
      last = std::move(versions.front().second);
      after = versions.front().first;
      versions.erase(versions.begin());
    }
    report.mode = last.compatibility;
    for (const auto& [version, before] : versions) {
      VersionPair pair{.before = version,
                       .after = after,
                       .backward_faults = backward_faults(before, last),
                       .forward_faults = forward_faults(before, last)};
      pair.backward = pair.backward_faults.empty();
      pair.forward = pair.forward_faults.empty();
      const bool judged = report.pairs.empty() || is_transitive(report.mode);
      if (judged && ((asks_backward(report.mode) && !pair.backward) ||
                     (asks_forward(report.mode) && !pair.forward)))
        report.allowed = false;
      report.pairs.push_back(std::move(pair));
    }
    return report;
  });
}

Result<ContractOutput> Service::contract(const Call& call, const SourceName& name) {
  const auto resource = TRY(db_.read(
      call, [&](sql::Tx& tx) { return resources::get(tx, call.project, "source", name.name); }));
  const auto source = TRY(decode<Source>(resource.declaration));
  const auto session = TRY(olap_.session());
  const bool bound = static_cast<bool>(snapshots_.bind(*session, {source}));
  const auto counts = [&](const std::string& sql) {
    const auto columns = bound ? session->describe(sql) : Result<std::vector<olap::Column>>({});
    return columns && columns->size() == 1 && columns->front().type == olap::Type::bigint;
  };
  const std::string host = source.kafka ? snapshots_.brokers_of(source.kafka->connection) : "";
  return ContractOutput{export_contract(source, resource.version, counts, host)};
}

Result<SourceSchema> Service::schema(const Call& call, const SchemaQuery& query) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<SourceSchema> {
    const auto asked = TRY(resources::get(tx, call.project, "source", query.name, query.version));
    const auto source = TRY(decode<Source>(asked.declaration));
    SourceSchema out{.source = "source:" + query.name + "@" + std::to_string(asked.version),
                     .digest = asked.digest,
                     .event_time = source.event_time,
                     .primary_key = source.primary_key,
                     .compatibility = source.compatibility,
                     .columns = source.columns};
    const auto newest = TRY(resources::get(tx, call.project, "source", query.name));
    std::optional<Source> after;
    for (std::int64_t version = newest.version;
         version > 0 && newest.version - version < versions_max; --version) {
      const auto one = TRY(resources::get(tx, call.project, "source", query.name, version));
      const auto declared = TRY(decode<Source>(one.declaration));
      if (after)
        for (const Difference& difference : differences(declared, *after))
          out.versions.back().changes.push_back(difference.what);
      out.versions.push_back({version, one.applied_at, one.applied_by, {}});
      after = declared;
    }
    return out;
  });
}

}  // namespace penstock::catalog
