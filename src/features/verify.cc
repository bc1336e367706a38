// Online values against what the offline join gives for the same instant.
#include <algorithm>
#include <unordered_set>

#include "features/online.h"
#include "features/values.h"

namespace penstock::features {
namespace {

constexpr std::size_t differences_max = 1'000, text_max = 200;

// For people: of an embedding the beginning is enough to tell two apart, mostly.
std::string text_of(FeatureType type, const Scalar& value) {
  std::string text = json::serialize(value_json(type, value));
  if (text.size() > text_max) text.replace(text_max, std::string::npos, "...");
  return text;
}

bool same(const Scalar& a, const Scalar& b) {
  const auto *x = std::get_if<double>(&a), *y = std::get_if<double>(&b);
  if (x && y && *x != *x && *y != *y) return true;  // NaN is NaN here
  return a == b;
}

// The keys within a row's key, for people.
std::string entity_of(const ViewHandle& view, std::string_view key) {
  key.remove_prefix(std::min(key.size(), view.prefix.size() + 1));
  std::string out;
  while (key.size() >= 4) {
    std::uint32_t size = 0;
    std::copy_n(key.data(), sizeof size, reinterpret_cast<char*>(&size));
    key.remove_prefix(4);
    out += (out.empty() ? "" : ", ") + std::string(key.substr(0, size));
    key.remove_prefix(std::min<std::size_t>(size, key.size()));
  }
  return out;
}

struct Comparison {
  const ViewHandle& view;
  bool sources_changed = false;  // since the rows were moved
  VerifyOutput& out;

  void differs(std::string_view key, const std::string& feature, const std::string& online,
               const std::string& offline, const std::string& cause) {
    ++out.differing;
    if (out.differences.size() < differences_max)
      out.differences.push_back(
          {view.reference(), entity_of(view, key), feature, online, offline,
           sources_changed ? "the sources changed since the last materialize; " + cause : cause});
  }

  Result<void> compare(const Online::Pending& expected, const std::optional<std::string>& stored) {
    ++out.entities;
    if (!stored || is_erased(*stored)) {
      differs(expected.key, "", "", to_rfc3339(expected.times.event_time),
              "there is no online row: it was lost, or the view was materialized to another store");
      return {};
    }
    const StoredRow online = TRY(decode_row(view, *stored));
    const StoredRow offline = TRY(decode_row(view, expected.value));
    const RowTimes times{online.event_time, online.created_time};
    if (times != expected.times) {
      differs(expected.key, "", to_rfc3339(online.event_time), to_rfc3339(offline.event_time),
              times < expected.times ? "the online row is older: a newer one was not moved"
                                     : "the online row is newer than the watermark: it was pushed");
      return {};
    }
    for (std::size_t i = 0; i < online.values.size(); ++i) {
      ++out.values;
      if (!same(online.values[i], offline.values[i]))
        differs(expected.key, view.view.features[i].name,
                text_of(view.view.features[i].type, online.values[i]),
                text_of(view.view.features[i].type, offline.values[i]),
                "the same row has another value");
    }
    return {};
  }
};

Result<void> verify_view(Online& online, const ViewHandle& view, const OfflineTable& table,
                         const JoinedView& joined, std::size_t sample, VerifyOutput& out) {
  const auto watermark = TRY(online.watermark(view));
  if (!watermark)
    return Error{Code::failed_precondition,
                 view.reference() + " was never materialized; run penstock features materialize"};
  const std::string latest = latest_statement(joined, watermark->at);
  Comparison comparison{view, watermark->digest != table.digest, out};
  const auto expected =
      TRY(online.rows_of(view, "SELECT * FROM (" + latest + ") USING SAMPLE reservoir(" +
                                   std::to_string(sample) + " ROWS) REPEATABLE (42)"));
  std::vector<std::string> keys;
  for (const auto& row : expected) keys.push_back(row.key);
  const auto stored = TRY(online.stored(keys));
  for (std::size_t i = 0; i < expected.size(); ++i) TRY(comparison.compare(expected[i], stored[i]));

  std::unordered_set<std::string> known;
  for (auto& row : TRY(online.rows_of(view, latest))) known.insert(std::move(row.key));
  for (const std::string& key : TRY(online.keys_there(view, sample)))
    if (!known.contains(key)) {
      ++out.entities;
      comparison.differs(key, "", "a row", "",
                         "offline has no such entity: it was pushed, or its rows were taken out of "
                         "the sources");
    }
  return {};
}

}  // namespace

Result<VerifyOutput> Service::verify(const Call& call, const VerifyInput& input) {
  std::vector<std::shared_ptr<const ViewHandle>> handles;
  const auto schema = open_schema(call, input.name);
  if (schema) {
    handles = (*schema)->views;
  } else {
    const Reference reference = TRY(reference_from(input.name));
    auto view = db_.read(call, [&](sql::Tx& tx) {
      return open_view(tx, call.project, reference.name, reference.version);
    });
    if (!view)
      return Error{Code::not_found,
                   "there is no feature schema or feature view " + input.name + " in project " +
                       call.project,
                   {{"name", "is no feature schema and no feature view"}}};
    handles.push_back(std::move(view).take());
  }
  VerifyOutput out;
  for (const auto& handle : handles) {
    const auto bound =
        db_.read(call, [&](sql::Tx& tx) { return bind_view(tx, call.project, handle); });
    if (!bound) return bound.error();
    const OfflineTable table = TRY(offline_->table(call, *bound));
    TRY(verify_view(*online_, *handle, table, {handle.get(), offline_->scan(table), table.ties},
                    static_cast<std::size_t>(input.sample), out));
  }
  return out;
}

}  // namespace penstock::features
