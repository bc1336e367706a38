// What is said of a trace: feedback, expectations and issues.
#include "base/digest.h"
#include "base/id.h"
#include "tracking/trace_store.h"
#include "tracking/traces.h"

namespace penstock::tracking {
namespace {

constexpr std::size_t name_max = 250, body_max = 1'000'000;

Error faulty(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

json::object parsed(const std::string& body) {
  json::parse_options deep;
  deep.max_depth = 2'000;
  return json::parse(body, {}, deep).as_object();
}

Result<std::int64_t> trace_number(sql::Tx& tx, const Call& call, const std::string& id) {
  const auto found = TRY(trace_store::find(tx, call.project, id));
  if (found.empty()) return Error{Code::not_found, "Trace with ID '" + id + "' not found."};
  return found.front().number;
}

Result<std::vector<Assessment>> rows_of(sql::Tx& tx, std::int64_t trace, const std::string& id) {
  static const std::string text =
      "SELECT " + columns<Assessment>() + " FROM assessments WHERE trace = $1 AND id = $2";
  return sql::select<Assessment>(tx, text, {trace, id});
}

Result<Assessment> find_one(sql::Tx& tx, std::int64_t trace, const std::string& trace_id,
                            const std::string& id) {
  auto found = TRY(rows_of(tx, trace, id));
  if (found.empty())
    return Error{Code::not_found,
                 "Assessment with ID '" + id + "' not found for trace '" + trace_id + "'"};
  return std::move(found.front());
}

void set_value(Assessment& out, const json::value& value) {
  out.number = value.is_number() ? std::optional(value.to_number<double>()) : std::nullopt;
  out.value = value.is_string() ? std::string(value.as_string()) : json::serialize(value);
}

// Its kind, and its value as filters compare it.
Result<void> read_value(Assessment& out, const json::object& body) {
  for (const char* kind : {"feedback", "expectation", "issue"}) {
    const json::value* part = body.if_contains(kind);
    if (!part || part->is_null()) continue;
    if (!part->is_object()) return faulty(kind, "must be an object");
    out.kind = kind;
    const json::object& fields = part->as_object();
    const json::value* value = fields.if_contains("value");
    if (const json::value* packed = fields.if_contains("serialized_value");
        packed && packed->is_object())
      value = packed->as_object().if_contains("value");
    set_value(out, value ? *value : json::value());
    return {};
  }
  return faulty("assessment", "must have a feedback, an expectation or an issue");
}

std::string text_of(const json::object& body, const char* name) {
  const json::value* value = body.if_contains(name);
  return value && value->is_string() ? std::string(value->as_string()) : "";
}

Result<Assessment> read(const json::object& body, Assessment out) {
  out.key = text_of(body, "assessment_name");
  if (out.key.empty() || out.key.size() > name_max)
    return faulty("assessment_name", "must be a text of 1 to " + std::to_string(name_max) +
                                         " bytes, and has " + std::to_string(out.key.size()));
  TRY(read_value(out, body));
  const json::value* valid = body.if_contains("valid");
  out.is_valid = !valid || !valid->is_bool() || valid->as_bool();
  out.body = json::serialize(body);
  if (out.body.size() > body_max)
    return faulty("assessment", "has " + std::to_string(out.body.size()) + " bytes, and may have " +
                                    std::to_string(body_max));
  return out;
}

Result<void> put(sql::Tx& tx, std::int64_t trace, const Assessment& one) {
  TRY(
      tx.run("INSERT INTO assessments (trace, id, kind, key, value, number, is_valid, created_at, "
             "body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (trace, id) DO UPDATE "
             "SET key = excluded.key, value = excluded.value, number = excluded.number, is_valid = "
             "excluded.is_valid, body = excluded.body",
             {trace, one.id, one.kind, one.key, one.value, sql::to_sql(one.number), one.is_valid,
              one.created_at, one.body}));
  return {};
}

Result<void> set_valid(sql::Tx& tx, std::int64_t trace, Assessment one, bool valid) {
  json::object body = parsed(one.body);
  body["valid"] = valid;
  return put(tx, trace, TRY(read(body, std::move(one))));
}

}  // namespace

Result<Assessment> trace_store::add_assessment(sql::Tx& tx, std::int64_t trace,
                                               const std::string& trace_id, json::object body,
                                               Timestamp now) {
  Assessment base{.id = text_of(body, "assessment_id"),
                  .created_at = now.time_since_epoch().count() / 1'000};
  if (base.id.empty()) base.id = "a-" + sha256_hex(new_ulid(now)).substr(0, 32);
  if (base.id.size() > 50)
    return faulty("assessment_id",
                  "has " + std::to_string(base.id.size()) + " bytes, and may have 50");
  body["assessment_id"] = base.id;
  body["trace_id"] = trace_id;
  if (!body.contains("valid")) body["valid"] = true;
  for (const char* time : {"create_time", "last_update_time"})
    if (!body.contains(time)) body[time] = to_rfc3339(now);
  if (const std::string before = text_of(body, "overrides"); !before.empty())
    TRY(set_valid(tx, trace, TRY(find_one(tx, trace, trace_id, before)), false));
  Assessment out = TRY(read(body, std::move(base)));
  TRY(put(tx, trace, out));
  return out;
}

Result<Assessment> Traces::assess(const Call& call, const std::string& id, json::object body) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<Assessment> {
    const std::int64_t trace = TRY(trace_number(tx, call, id));
    if (const std::string own = text_of(body, "assessment_id"); !own.empty())
      if (!TRY(rows_of(tx, trace, own)).empty())
        return Error{Code::already_exists,
                     "Assessment with ID '" + own + "' exists on trace '" + id + "'"};
    return trace_store::add_assessment(tx, trace, id, body, clock_.now());
  });
}

Result<Assessment> Traces::assessment(const Call& call, const std::string& id,
                                      const std::string& assessment) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<Assessment> {
    return find_one(tx, TRY(trace_number(tx, call, id)), id, assessment);
  });
}

Result<Assessment> Traces::reassess(const Call& call, const std::string& id,
                                    const std::string& assessment, const json::object& fields) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<Assessment> {
    const std::int64_t trace = TRY(trace_number(tx, call, id));
    Assessment before = TRY(find_one(tx, trace, id, assessment));
    json::object body = parsed(before.body);
    const std::string kind = before.kind;
    for (const char* other : {"feedback", "expectation", "issue"})
      if (kind != other && fields.contains(other))
        return Error{Code::invalid_argument, "Cannot update " + std::string(other) +
                                                 " value on an assessment that is " +
                                                 (kind == "feedback" ? "a " : "an ") + kind + "."};
    for (const auto& [name, value] : fields) {
      json::value* known = body.if_contains(name);
      if (name == "metadata" && known && known->is_object() && value.is_object())
        for (const auto& [key, one] : value.as_object()) known->as_object()[key] = one;
      else
        body[name] = value;
    }
    body["last_update_time"] = to_rfc3339(clock_.now());
    Assessment out = TRY(read(body, std::move(before)));
    TRY(put(tx, trace, out));
    return out;
  });
}

Result<void> Traces::remove_assessment(const Call& call, const std::string& id,
                                       const std::string& assessment) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const std::int64_t trace = TRY(trace_number(tx, call, id));
    auto gone = TRY(rows_of(tx, trace, assessment));
    if (gone.empty()) return {};
    TRY(tx.run("DELETE FROM assessments WHERE trace = $1 AND id = $2", {trace, assessment}));
    if (const std::string before = text_of(parsed(gone.front().body), "overrides"); !before.empty())
      for (Assessment& one : TRY(rows_of(tx, trace, before)))
        TRY(set_valid(tx, trace, std::move(one), true));
    return {};
  });
}

}  // namespace penstock::tracking
