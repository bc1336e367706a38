// Online values against what the offline join gives for the same instant.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "features/causes.h"
#include "features/operations.h"
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

// The keys within a row's key.
std::vector<std::string> keys_of(const ViewHandle& view, std::string_view key) {
  key.remove_prefix(std::min(key.size(), view.prefix.size() + 1));
  std::vector<std::string> out;
  while (key.size() >= 4) {
    std::uint32_t size = 0;
    std::copy_n(key.data(), sizeof size, reinterpret_cast<char*>(&size));
    key.remove_prefix(4);
    out.emplace_back(key.substr(0, size));
    key.remove_prefix(std::min<std::size_t>(size, key.size()));
  }
  return out;
}

std::string entity_of(const ViewHandle& view, std::string_view key) {
  std::string out;
  for (const std::string& one : keys_of(view, key)) out += (out.empty() ? "" : ", ") + one;
  return out;
}

// How the online rows came to be, as far as it is known: what causes are told by.
struct Origin {
  Timestamp watermark;
  bool changed = false;  // the sources, since the rows were moved
  // By key: what counted at the watermark by the sources as they were then; none where their table
  // is no longer there.
  std::optional<std::unordered_map<std::string, Online::Pending>> then;
  bool pushed = false;     // rows of the view were pushed
  std::string written_by;  // another program or declaration than now; empty: the same
  // By key: rows that offline holds behind the watermark, at the times of what is online.
  std::unordered_map<std::string, std::vector<StoredRow>> ahead;

  // Whether offline knows the row, though the watermark has not come to it: it was pushed to both,
  // or the sources have it by now.
  bool holds_ahead(const std::string& key, const StoredRow& online) const {
    const auto found = ahead.find(key);
    return found != ahead.end() &&
           std::ranges::any_of(found->second, [&](const StoredRow& offline) {
             return offline.event_time == online.event_time &&
                    offline.created_time == online.created_time &&
                    std::ranges::equal(offline.values, online.values, same);
           });
  }
  const Online::Pending* row_then(const std::string& key) const {
    if (!then) return nullptr;
    const auto found = then->find(key);
    return found == then->end() ? nullptr : &found->second;
  }
};

class Comparison {
 public:
  Comparison(const ViewHandle& view, const Origin& origin, VerifyOutput& out)
      : view_(view), origin_(origin), out_(out) {}

  void differs(std::string_view key, const std::string& feature, const std::string& online,
               const std::string& offline, std::string_view cause, const std::string& more) {
    ++out_.differing;
    ++out_.causes[std::string(cause)];
    if (out_.differences.size() < differences_max)
      out_.differences.push_back({view_.reference(), entity_of(view_, key), feature, online,
                                  offline, std::string(cause) + ": " + more});
  }

  // Views whose online row is the latest offline row.
  Result<void> compare(const Online::Pending& expected, const std::optional<std::string>& stored) {
    ++out_.entities;
    if (!stored) {
      missing(expected);
      return {};
    }
    if (is_erased(*stored)) {
      const Timestamp until = TRY(times_of(*stored)).event_time;
      if (until < expected.times.event_time)
        missing(expected);
      else
        differs(expected.key, "", "", to_rfc3339(expected.times.event_time), causes::pushed_only,
                "the entity was deleted by a push as of " + to_rfc3339(until));
      return {};
    }
    const StoredRow online = TRY(decode_row(view_, *stored));
    const StoredRow offline = TRY(decode_row(view_, expected.value));
    const RowTimes times{online.event_time, online.created_time};
    if (times != expected.times) {
      if (times > expected.times && origin_.holds_ahead(expected.key, online))
        out_.values += static_cast<std::int64_t>(online.values.size());
      else
        other_row(expected, times);
      return {};
    }
    std::optional<StoredRow> then;
    if (const Online::Pending* row = origin_.row_then(expected.key); row && row->times == times)
      then = TRY(decode_row(view_, row->value));
    for (std::size_t i = 0; i < online.values.size(); ++i) {
      ++out_.values;
      if (!same(online.values[i], offline.values[i]))
        other_value(expected.key, i, online.values[i], offline.values[i],
                    then && same(then->values[i], online.values[i]));
    }
    return {};
  }

  // Of windowed views: what is not as it was moved may have been written by others.
  void differs_in_windows(std::string_view key, const std::string& feature,
                          const std::string& online, const std::string& offline,
                          std::string_view cause, const std::string& more) {
    if (cause == causes::lost && !online.empty() && !origin_.written_by.empty())
      differs(key, feature, online, offline, causes::code_version,
              "the tiles were written by " + origin_.written_by);
    else
      differs(key, feature, online, offline, cause, more);
  }

  // `served` by the hot path at the watermark, against what the offline TTL says.
  void compare_age(const Online::Pending& expected, Status served, bool expired) {
    if ((served == Status::OUTSIDE_MAX_AGE) == expired) return;
    differs(expected.key, "", std::string(name_of(served)),
            expired ? "OUTSIDE_MAX_AGE" : "within its TTL", causes::ttl,
            "online and offline do not agree on whether the row of " +
                to_rfc3339(expected.times.event_time) + " is too old at " +
                to_rfc3339(origin_.watermark));
  }

  void unknown_offline(const std::string& key, const StoredRow& online) {
    ++out_.entities;
    if (origin_.holds_ahead(key, online))
      out_.values += static_cast<std::int64_t>(online.values.size());
    else if (origin_.changed && origin_.row_then(key))
      differs(key, "", "a row", "", causes::sources_changed,
              "its rows were taken out of the sources");
    else
      differs(key, "", "a row", "", causes::pushed_only,
              "offline has no such entity: it was pushed, or its rows were taken out of the "
              "sources");
  }

 private:
  void missing(const Online::Pending& expected) {
    const std::string offline = to_rfc3339(expected.times.event_time);
    if (origin_.changed && origin_.then && !origin_.row_then(expected.key))
      differs(expected.key, "", "", offline, causes::late_data,
              "the row came into the sources after the view was moved up to " +
                  to_rfc3339(origin_.watermark));
    else
      differs(expected.key, "", "", offline, causes::lost,
              "there is no online row: it was lost, or the view was materialized to another "
              "store; penstock features repair writes it anew");
  }

  void other_row(const Online::Pending& expected, const RowTimes& online) {
    const Online::Pending* then = origin_.row_then(expected.key);
    const bool moved_so = origin_.changed && then && then->times == online;
    const auto say = [&](std::string_view cause, const std::string& more) {
      differs(expected.key, "", to_rfc3339(online.event_time),
              to_rfc3339(expected.times.event_time), cause, more);
    };
    if (online > expected.times)
      moved_so
          ? say(causes::sources_changed, "the row that is online was taken out of the sources")
          : say(causes::pushed_only, "the online row is newer than the watermark: it was pushed");
    else if (moved_so)
      say(causes::late_data, "a newer row came into the sources after the view was moved up to " +
                                 to_rfc3339(origin_.watermark));
    else if (origin_.changed && !origin_.then)
      say(causes::sources_changed, "the online row is older, and the sources are others than then");
    else
      say(causes::lost, "the online row is older: a newer one was not moved");
  }

  void other_value(const std::string& key, std::size_t feature, const Scalar& online,
                   const Scalar& offline, bool was_so_then) {
    const auto say = [&](std::string_view cause, const std::string& more) {
      const FeatureType type = view_.view.features[feature].type;
      differs(key, view_.view.features[feature].name, text_of(type, online), text_of(type, offline),
              cause, more);
    };
    if (was_so_then || (origin_.changed && !origin_.then))
      say(causes::sources_changed, "the same row has another value in the sources now");
    else if (origin_.pushed)
      say(causes::pushed_only, "the same row was pushed with another value");
    else if (!origin_.written_by.empty())
      say(causes::code_version, "the row was written by " + origin_.written_by);
    else
      say(causes::transform,
          "the same row has another value: the view's SQL gives others each time, or the row is "
          "damaged");
  }

  const ViewHandle& view_;
  const Origin& origin_;
  VerifyOutput& out_;
};

// The view alone, as the hot path reads schemas.
SchemaHandle alone(const std::string& project, const std::shared_ptr<const ViewHandle>& view) {
  SchemaHandle schema{.project = project, .name = view->view.name, .keys = view->keys};
  schema.views.push_back(view);
  schema.wanted.resize(1);
  for (std::size_t i = 0; i < view->view.features.size(); ++i) {
    schema.names.push_back(view->view.features[i].name);
    schema.types.push_back(view->view.features[i].type);
    schema.slots.push_back({0, i});
    schema.wanted[0].push_back({.feature = i, .slot = i});
  }
  return schema;
}

std::string expired_rows(const ViewHandle& view, const std::string& latest, Timestamp at) {
  return "SELECT * FROM (" + latest + ") WHERE epoch_us(" + timestamp_literal(at) +
         ") - epoch_us(event_time) > " + std::to_string(view.view.ttl.value_or(Micros(0)).count());
}

Result<std::unordered_set<std::string>> keys_in(Online& online, const ViewHandle& view,
                                                const std::string& statement) {
  std::unordered_set<std::string> out;
  for (auto& row : TRY(online.rows_of(view, statement))) out.insert(std::move(row.key));
  return out;
}

// What counted at the watermark by the table that the rows were moved from; nothing where it is
// gone.
std::optional<std::unordered_map<std::string, Online::Pending>> rows_then(
    Online& online, const Offline& offline, const ViewHandle& view, const OfflineTable& table,
    const Watermark& watermark) {
  auto rows = online.rows_of(
      view, latest_statement({&view, offline.scan(table), table.ties}, watermark.at));
  if (!rows) return {};
  std::unordered_map<std::string, Online::Pending> out;
  for (Online::Pending& row : *rows) {
    std::string key = row.key;
    out.emplace(std::move(key), std::move(row));
  }
  return out;
}

// Fills Origin::ahead for the online rows of these keys.
Result<void> look_ahead(Online& online, const ViewHandle& view, const std::string& scan,
                        const std::vector<std::string>& keys, const std::vector<RowTimes>& times,
                        Origin& origin) {
  constexpr std::size_t asked_at_once = 1'000;
  std::string names, same_row;
  for (std::size_t k = 0; k < view.keys.size(); ++k) {
    const std::string own = "k" + std::to_string(k);
    names += own + ", ";
    same_row += "r." + olap::quoted_name(view.keys[k].name) + " = CAST(w." + own + " AS " +
                std::string(key_type(view.keys[k].type)) + ") AND ";
  }
  same_row += "r.event_time = w.e AND r.created_time = w.c";
  for (std::size_t begin = 0; begin < keys.size(); begin += asked_at_once) {
    std::string wanted;
    for (std::size_t i = begin; i < std::min(keys.size(), begin + asked_at_once); ++i) {
      wanted += wanted.empty() ? "(" : ", (";
      for (const std::string& key : keys_of(view, keys[i])) wanted += olap::quoted_text(key) + ", ";
      wanted += timestamp_literal(times[i].event_time) + ", " +
                timestamp_literal(times[i].created_time) + ")";
    }
    for (Online::Pending& row : TRY(online.rows_of(
             view, "SELECT " + row_columns(view) + " FROM " + scan + " AS r SEMI JOIN (VALUES " +
                       wanted + ") AS w(" + names + "e, c) ON " + same_row)))
      origin.ahead[row.key].push_back(TRY(decode_row(view, row.value)));
  }
  return {};
}

// What is online of entities that offline does not know at the watermark.
struct Unknown {
  std::vector<std::string> keys;
  std::vector<std::optional<std::string>> rows;
};
Result<Unknown> unknown_rows(Online& online, const ViewHandle& view, const std::string& latest,
                             std::int64_t sample) {
  Unknown out;
  const auto known = TRY(keys_in(online, view, latest));
  for (std::string& key : TRY(online.keys_there(view, static_cast<std::size_t>(sample))))
    if (!known.contains(key)) out.keys.push_back(std::move(key));
  out.rows = TRY(online.stored(out.keys));
  return out;
}

// What is online ahead of the watermark is looked for offline.
Result<void> find_ahead(Online& online, const ViewHandle& view, const std::string& scan,
                        const std::vector<Online::Pending>& expected,
                        const std::vector<std::optional<std::string>>& stored,
                        const Unknown& unknown, Origin& origin) {
  std::vector<std::string> keys;
  std::vector<RowTimes> all_times;
  const auto add = [&](const std::string& key, const std::optional<std::string>& row,
                       const std::optional<RowTimes>& after) -> Result<void> {
    if (!row || is_erased(*row)) return {};
    const RowTimes times = TRY(times_of(*row));
    if (after && times <= *after) return {};
    keys.push_back(key);
    all_times.push_back(times);
    return {};
  };
  for (std::size_t i = 0; i < expected.size(); ++i)
    TRY(add(expected[i].key, stored[i], expected[i].times));
  for (std::size_t i = 0; i < unknown.keys.size(); ++i)
    TRY(add(unknown.keys[i], unknown.rows[i], {}));
  return look_ahead(online, view, scan, keys, all_times, origin);
}

// What wrote the rows, where that is not what runs now.
std::string writer_of(const ViewWork& work, const ViewHandle& view, const std::string& program) {
  if (work.definition.empty()) return "";
  if (work.definition != definition_of(view))
    return "another declaration of the view, its entity or its features";
  return work.program == program ? "" : "Penstock " + work.program + ", and this is " + program;
}

}  // namespace

Result<void> Service::verify_view(const Call& call, const BoundView& bound, std::int64_t sample,
                                  VerifyOutput& out) {
  const ViewHandle& view = *bound.handle;
  TRY(operations_->keep_pushed());
  const OfflineTable table = TRY(offline_->table(call, bound));
  const auto watermark = TRY(online_->watermark(view));
  if (!watermark)
    return Error{Code::failed_precondition,
                 view.reference() + " was never materialized; run penstock features materialize"};
  Origin origin{.watermark = watermark->at, .changed = watermark->digest != table.digest};
  std::optional<OfflineTable> then;
  if (origin.changed) then = TRY(offline_->kept_table(call, view, watermark->digest));
  const auto works = TRY(operations_->works(call));
  if (const auto work = works.find({view.view.name, view.version}); work != works.end()) {
    origin.pushed = work->second.last_push.has_value();
    origin.written_by = writer_of(work->second, view, program_);
  }
  Comparison comparison(view, origin, out);
  if (view.windows) {
    windows::VerifyInput windowed{.view = view,
                                  .now = {offline_->scan(table), table.digest},
                                  .changed = origin.changed,
                                  .then = {},
                                  .watermark = watermark->at,
                                  .sample = static_cast<std::size_t>(sample)};
    if (then) windowed.then = windows::Table{offline_->scan(*then), then->digest};
    return online_->verify_windows(
        windowed, out,
        [&](std::string_view key, const std::string& feature, const std::string& online,
            const std::string& offline, std::string_view cause, const std::string& more) {
          comparison.differs_in_windows(key, feature, online, offline, cause, more);
        });
  }
  if (then) origin.then = rows_then(*online_, *offline_, view, *then, *watermark);
  const std::string latest =
      latest_statement({&view, offline_->scan(table), table.ties}, watermark->at);
  const auto expected =
      TRY(online_->rows_of(view, "SELECT * FROM (" + latest + ") USING SAMPLE reservoir(" +
                                     std::to_string(sample) + " ROWS) REPEATABLE (42)"));
  std::vector<std::string> keys;
  for (const auto& row : expected) keys.push_back(row.key);
  const auto stored = TRY(online_->stored(keys));
  const Unknown unknown = TRY(unknown_rows(*online_, view, latest, sample));
  TRY(find_ahead(*online_, view, offline_->scan(table), expected, stored, unknown, origin));
  const bool ages = view.view.ttl.value_or(Micros(0)).count() > 0;
  std::unordered_set<std::string> expired;
  if (ages) expired = TRY(keys_in(*online_, view, expired_rows(view, latest, watermark->at)));
  const SchemaHandle schema = alone(call.project, bound.handle);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    TRY(comparison.compare(expected[i], stored[i]));
    if (!ages || !stored[i] || is_erased(*stored[i]) ||
        TRY(times_of(*stored[i])) != expected[i].times)
      continue;
    std::map<std::string, std::string> entity;
    const auto spelt_keys = keys_of(view, expected[i].key);
    for (std::size_t k = 0; k < view.keys.size(); ++k)
      entity[view.keys[k].name] = k < spelt_keys.size() ? spelt_keys[k] : "";
    const FeatureRow served = TRY(read(schema, entity, watermark->at));
    comparison.compare_age(expected[i], served.statuses.at(0), expired.contains(expected[i].key));
  }
  for (std::size_t i = 0; i < unknown.keys.size(); ++i)
    if (unknown.rows[i] && !is_erased(*unknown.rows[i]))
      comparison.unknown_offline(unknown.keys[i], TRY(decode_row(view, *unknown.rows[i])));
  return {};
}

Result<VerifyOutput> Service::verify_one(const Call& call, const BoundView& view,
                                         std::int64_t sample) {
  VerifyOutput out;
  TRY(verify_view(call, view, sample, out));
  return out;
}

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
    TRY(verify_view(call, *bound, input.sample, out));
  }
  if (schema) TRY(verify_transforms(call, **schema, input.sample, out));
  return out;
}

}  // namespace penstock::features
