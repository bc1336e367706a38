#include "tracking/label_schemas.h"

#include <array>
#include <cmath>
#include <set>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"
#include "tracking/offset_page.h"
#include "tracking/review_text.h"

namespace penstock::tracking {
namespace {

using review_text::check_length;
using review_text::faulty;

constexpr std::size_t name_max = 250, instruction_max = 1'000, label_max = 64, options_max = 10;
constexpr std::string_view default_name = "Feedback";
constexpr std::array variants{"pass_fail", "categorical", "numeric", "text"};

std::string urn_of(const LabelSchema& schema) { return "label_schema:" + schema.id; }

Result<void> check_name(const std::string& name) {
  TRY(check_length("name", name, name_max));
  if (review_text::lower(review_text::stripped(name)) ==
      review_text::lower(std::string(default_name)))
    return faulty("name", "'" + name +
                              "' is reserved for the experiment's default question and cannot be "
                              "used for another label schema");
  return {};
}

Result<void> check_instruction(const std::string& text) {
  if (const std::size_t count = review_text::characters(text); count > instruction_max)
    return faulty("instruction", "must be at most " + std::to_string(instruction_max) +
                                     " characters; got " + std::to_string(count));
  return {};
}

Result<std::string> text_of(const json::object& in, const std::string& of, const char* name) {
  const json::value* value = in.if_contains(name);
  if (!value || value->is_null()) return std::string();
  if (!value->is_string()) return faulty(of + "." + name, "must be a string");
  return std::string(value->get_string());
}

Result<json::object> pass_fail(const json::object& in) {
  json::object out;
  for (const char* name : {"positive_label", "negative_label"}) {
    const std::string label = TRY(text_of(in, "pass_fail", name));
    TRY(check_length("pass_fail." + std::string(name), label, label_max));
    out[name] = label;
  }
  if (out["positive_label"] == out["negative_label"])
    return faulty("pass_fail",
                  "must have a positive_label and a negative_label that are distinct; "
                  "both are " +
                      json::serialize(out["positive_label"]));
  return out;
}

Result<json::object> categorical(const json::object& in) {
  const json::value* options = in.if_contains("options");
  if (!options || !options->is_array() || options->get_array().empty())
    return faulty("categorical.options", "must be a non-empty list of strings");
  const json::array& list = options->get_array();
  if (list.size() > options_max)
    return faulty("categorical.options", "must have at most " + std::to_string(options_max) +
                                             " entries; got " + std::to_string(list.size()));
  std::set<std::string> seen;
  for (const json::value& one : list) {
    if (!one.is_string()) return faulty("categorical.options", "must be a list of strings");
    const std::string option(one.get_string());
    TRY(check_length("categorical.options", option, label_max));
    if (!seen.insert(option).second)
      return faulty("categorical.options",
                    "must not repeat itself; '" + option + "' is there twice");
  }
  const json::value* multi = in.if_contains("multi_select");
  if (multi && !multi->is_bool() && !multi->is_null())
    return faulty("categorical.multi_select", "must be true or false");
  return json::object{{"options", list},
                      {"multi_select", multi && multi->is_bool() && multi->get_bool()}};
}

Result<json::object> numeric(const json::object& in) {
  json::object out;
  for (const char* name : {"min_value", "max_value"}) {
    const json::value* value = in.if_contains(name);
    if (!value || value->is_null()) continue;
    boost::system::error_code fault;
    const double number = value->to_number<double>(fault);
    if (fault || !std::isfinite(number))
      return faulty("numeric." + std::string(name), "must be a finite number");
    out[name] = number;
  }
  if (out.size() == 2 && out["min_value"].get_double() >= out["max_value"].get_double())
    return faulty("numeric.min_value", "must be strictly less than max_value; got " +
                                           json::serialize(out["min_value"]) + " and " +
                                           json::serialize(out["max_value"]));
  return out;
}

Result<json::object> text(const json::object& in) {
  const json::value* value = in.if_contains("max_length");
  if (!value || value->is_null()) return json::object{};
  std::int64_t most = 0;
  boost::system::error_code fault;
  if (value->is_string()) {  // as proto3 JSON may write it
    const std::string digits(value->get_string());
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), most);
    if (read.ec != std::errc() || read.ptr != digits.data() + digits.size()) most = 0;
  } else {
    most = value->to_number<std::int64_t>(fault);
  }
  if (fault || most < 1)
    return faulty("text.max_length", "must be a whole number of at least 1; got " +
                                         json::serialize(*value).substr(0, 50));
  return json::object{{"max_length", most}};
}

// One variant, checked and with only the fields that are its own: {"text": {}}.
Result<json::object> checked_input(const json::object& in) {
  std::string found;
  for (const char* one : variants)
    if (const json::value* value = in.if_contains(one); value && !value->is_null()) {
      if (!found.empty() || !value->is_object()) found = "?";
      if (found.empty()) found = one;
    }
  if (found.empty() || found == "?")
    return faulty("input",
                  "must have exactly one of pass_fail, categorical, numeric or text, and "
                  "it an object");
  const json::object& own = in.at(found).get_object();
  return json::object{{found, TRY(found == "pass_fail"     ? pass_fail(own)
                                  : found == "categorical" ? categorical(own)
                                  : found == "numeric"     ? numeric(own)
                                                           : text(own))}};
}

// Answers that were given under one variant cannot be read under another.
Result<void> check_same_input(const json::object& before, const json::object& after) {
  const auto was = before.begin()->key(), is = after.begin()->key();
  if (was != is)
    return faulty("input", "is " + std::string(was) +
                               " and its type cannot be changed after creation; got " +
                               std::string(is));
  if (is == "categorical" &&
      before.begin()->value().at("multi_select") != after.begin()->value().at("multi_select"))
    return faulty("categorical.multi_select", "cannot be changed after creation");
  return {};
}

Result<LabelSchema> find(sql::Tx& tx, const Call& call, const std::string& id) {
  static const std::string statement =
      "SELECT " + columns<LabelSchema>() + " FROM label_schemas WHERE project = $1 AND id = $2";
  auto found = TRY(sql::select<LabelSchema>(tx, statement, {call.project, id}));
  if (found.empty()) return Error{Code::not_found, "Label schema with id '" + id + "' not found."};
  return std::move(found.front());
}

Result<std::optional<LabelSchema>> find_name(sql::Tx& tx, const Call& call, std::int64_t experiment,
                                             const std::string& name) {
  static const std::string statement = "SELECT " + columns<LabelSchema>() +
                                       " FROM label_schemas WHERE project = $1 AND experiment = "
                                       "$2 AND name = $3";
  auto found = TRY(sql::select<LabelSchema>(tx, statement, {call.project, experiment, name}));
  if (found.empty()) return std::optional<LabelSchema>();
  return std::optional(std::move(found.front()));
}

Error taken(const LabelSchema& schema) {
  return {Code::already_exists, "Label schema with name '" + schema.name +
                                    "' already exists for experiment '" +
                                    std::to_string(schema.experiment) + "'."};
}

Result<void> put(sql::Tx& tx, const Call& call, Timestamp at, const LabelSchema& schema) {
  TRY(sql::insert(tx, "label_schemas", schema));
  return audit::record(
      tx, call, at,
      {"tracking.label_schema.created",
       urn_of(schema),
       {{"experiment", schema.experiment}, {"name", schema.name}, {"type", schema.type}}});
}

std::string new_id(Timestamp at) { return "ls-" + sha256_hex(new_ulid(at)).substr(0, 32); }

}  // namespace

Result<LabelSchema> LabelSchemas::create(const Call& call, const CreateLabelSchema& input) {
  TRY(check_name(input.name));
  if (input.type != "feedback" && input.type != "expectation")
    return faulty("type",
                  "must be one of FEEDBACK or EXPECTATION; got '" + input.type.substr(0, 50) + "'");
  if (input.instruction) TRY(check_instruction(*input.instruction));
  auto input_asked = json::serialize(TRY(checked_input(input.input)));
  LabelSchema made{.project = call.project,
                   .id = new_id(clock_.now()),
                   .experiment = input.experiment,
                   .name = input.name,
                   .type = input.type,
                   .instruction = input.instruction,
                   .enable_comment = input.enable_comment,
                   .input = std::move(input_asked),
                   .created_by = call.actor,
                   .created_at = now(),
                   .updated_at = now()};
  return db_.write(call, [&](sql::Tx& tx) -> Result<LabelSchema> {
    TRY(review_text::check_experiment(tx, call, made.experiment));
    if (TRY(find_name(tx, call, made.experiment, made.name))) return taken(made);
    TRY(put(tx, call, clock_.now(), made));
    return made;
  });
}

Result<LabelSchema> LabelSchemas::get(const Call& call, const std::string& id) {
  return db_.read(call, [&](sql::Tx& tx) { return find(tx, call, id); });
}

Result<LabelSchema> LabelSchemas::by_name(const Call& call, std::int64_t experiment,
                                          const std::string& name) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<LabelSchema> {
    TRY(review_text::check_experiment(tx, call, experiment));
    auto found = TRY(find_name(tx, call, experiment, name));
    if (found) return std::move(*found);
    return Error{Code::not_found, "Label schema with name '" + name +
                                      "' not found for experiment '" + std::to_string(experiment) +
                                      "'."};
  });
}

Result<void> LabelSchemas::ensure_default(const Call& call, std::int64_t experiment) {
  const auto is_there = [&](sql::Tx& tx) -> Result<bool> {
    TRY(review_text::check_experiment(tx, call, experiment));
    return TRY(find_name(tx, call, experiment, std::string(default_name))).has_value();
  };
  if (TRY(db_.read(call, is_there))) return {};
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    if (TRY(is_there(tx))) return {};
    return put(tx, call, clock_.now(),
               {.project = call.project,
                .id = new_id(clock_.now()),
                .experiment = experiment,
                .name = std::string(default_name),
                .type = "feedback",
                .instruction = "What do you think of this trace? Say anything that helps.",
                .input = R"({"text":{}})",
                .is_default = true,
                .created_by = "service:tracking",
                .created_at = now(),
                .updated_at = now()});
  });
}

Result<Found<LabelSchema>> LabelSchemas::list(const Call& call, std::int64_t experiment,
                                              std::int64_t limit, const std::string& page_token) {
  TRY(check_limit(limit));
  const std::int64_t offset = TRY(offset_page::begin(page_token));
  TRY(ensure_default(call, experiment));
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<LabelSchema>> {
    Found<LabelSchema> out;
    out.items = TRY(sql::select<LabelSchema>(
        tx,
        "SELECT " + columns<LabelSchema>() +
            " FROM label_schemas WHERE project = $1 AND experiment = $2 ORDER BY created_at DESC, "
            "id LIMIT " +
            std::to_string(limit + 1) + " OFFSET " + std::to_string(offset),
        {call.project, experiment}));
    out.next_page_token = offset_page::next(out.items, limit, offset);
    return out;
  });
}

Result<LabelSchema> LabelSchemas::change(const Call& call, const ChangeLabelSchema& input) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<LabelSchema> {
    LabelSchema schema = TRY(find(tx, call, input.id));
    if (schema.is_default)
      return faulty("schema_id", "names the experiment's default question, which cannot be edited");
    const std::string before = schema.name;
    if (input.name) {
      TRY(check_name(*input.name));
      schema.name = *input.name;
    }
    if (input.instruction) {
      TRY(check_instruction(*input.instruction));
      schema.instruction = *input.instruction;
    }
    if (input.enable_comment) schema.enable_comment = *input.enable_comment;
    if (input.input) {
      const json::object checked = TRY(checked_input(*input.input));
      TRY(check_same_input(json::parse(schema.input).as_object(), checked));
      schema.input = json::serialize(checked);
    }
    if (schema.name != before && TRY(find_name(tx, call, schema.experiment, schema.name)))
      return taken(schema);
    schema.updated_at = now();
    TRY(
        tx.run("UPDATE label_schemas SET name = $3, instruction = $4, enable_comment = $5, input = "
               "$6, updated_at = $7 WHERE project = $1 AND id = $2",
               {call.project, schema.id, schema.name, sql::to_sql(schema.instruction),
                schema.enable_comment, schema.input, schema.updated_at}));
    TRY(audit::record(tx, call, clock_.now(),
                      {"tracking.label_schema.changed",
                       urn_of(schema),
                       {{"before", before}, {"name", schema.name}}}));
    return schema;
  });
}

Result<void> LabelSchemas::remove(const Call& call, const std::string& id) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const auto schema = find(tx, call, id);
    if (!schema) {
      if (schema.error().code == Code::not_found) return {};
      return schema.error();
    }
    if (schema->is_default)
      return faulty("schema_id",
                    "names the experiment's default question, which cannot be deleted");
    TRY(tx.run("DELETE FROM label_schemas WHERE project = $1 AND id = $2", {call.project, id}));
    return audit::record(
        tx, call, clock_.now(),
        {"tracking.label_schema.deleted", urn_of(*schema), {{"name", schema->name}}});
  });
}

}  // namespace penstock::tracking
