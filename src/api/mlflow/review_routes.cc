#include "api/mlflow/review_routes.h"

#include "api/mlflow/protocol.h"
#include "tracking/label_schemas.h"
#include "tracking/review_queues.h"

namespace penstock::api {
namespace {

using mlflow::Arguments;
using mlflow::experiment_of;
using Object = Result<json::object>;
using enum Permission;

// Who asks, as MLflow names people; empty where nobody had to say who they are (--auth none).
std::string user_of(const Call& call) {
  if (call.actor == "user:local") return "";
  return call.actor.starts_with("user:") ? call.actor.substr(5) : call.actor;
}

// An enumerator by its name or number, in lower case; empty where there is none. What is unknown is
// given back as it came, for the service to refuse.
Result<std::string> word_of(const Arguments& in, const char* field,
                            const std::vector<std::string>& words) {
  const auto found = in.fields().find(field);
  if (found != in.fields().end() && found->value().is_int64()) {
    const std::int64_t number = found->value().get_int64();
    if (number >= 1 && number <= std::ssize(words))
      return words[static_cast<std::size_t>(number - 1)];
    return std::to_string(number);
  }
  std::string word = TRY(in.text_or(field, ""));
  if (word.ends_with("_UNSPECIFIED")) return std::string();
  for (char& letter : word)
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  return word;
}
const std::vector<std::string> schema_types{"feedback", "expectation"},
    queue_types{"user", "custom"}, statuses{"pending", "complete", "declined"}, item_types{"trace"};

std::string upper(std::string text) {
  for (char& letter : text)
    if (letter >= 'a' && letter <= 'z') letter = static_cast<char>(letter - 'a' + 'A');
  return text;
}

json::array listed(const std::vector<std::string>& texts) {
  return json::array(texts.begin(), texts.end());
}

json::object said(const tracking::LabelSchema& one) {
  json::object out{{"schema_id", one.id},
                   {"experiment_id", std::to_string(one.experiment)},
                   {"name", one.name},
                   {"type", upper(one.type)},
                   {"enable_comment", one.enable_comment},
                   {"input", json::parse(one.input)},
                   {"created_by", one.created_by},
                   {"created_at", one.created_at},
                   {"last_updated_at", one.updated_at},
                   {"is_default", one.is_default}};
  if (one.instruction) out["instruction"] = *one.instruction;
  return out;
}

json::object said(const tracking::ReviewQueueDetail& one) {
  json::object out{{"queue_id", one.queue.id},
                   {"experiment_id", std::to_string(one.queue.experiment)},
                   {"name", one.queue.name},
                   {"queue_type", upper(one.queue.type)},
                   {"creation_time_ms", one.queue.created_at},
                   {"last_update_time_ms", one.queue.updated_at},
                   {"users", listed(one.users)},
                   {"schema_ids", listed(one.schemas)}};
  if (!one.queue.created_by.empty()) out["created_by"] = one.queue.created_by;
  return out;
}

json::object said(const tracking::ReviewItem& one) {
  json::object out{{"queue_id", one.queue},
                   {"item_type", "TRACE"},
                   {"item_id", one.item},
                   {"status", upper(one.status)},
                   {"creation_time_ms", one.created_at},
                   {"last_update_time_ms", one.updated_at}};
  if (!one.completed_by.empty()) out["completed_by"] = one.completed_by;
  if (one.completed_at) out["completed_time_ms"] = *one.completed_at;
  return out;
}

template <class T>
json::object page(const char* name, const tracking::Found<T>& found) {
  json::array items;
  for (const T& one : found.items) items.push_back(said(one));
  return {{name, std::move(items)}, {"next_page_token", found.next_page_token}};
}

template <class Add>
void add_schemas(const Add& add, tracking::LabelSchemas& schemas) {
  add("POST", "label-schemas/create", "Ask a question about an experiment's traces", write,
      [&](const Call& call, const Arguments& in) -> Object {
        auto experiment = TRY(experiment_of(in));
        auto name_asked = TRY(in.text("name"));
        auto type = TRY(word_of(in, "type", schema_types));
        auto input = TRY(in.object("input")).fields();
        const auto enable_comment = TRY(in.flag_or("enable_comment", false));
        tracking::CreateLabelSchema made{.experiment = std::move(experiment),
                                         .name = std::move(name_asked),
                                         .type = std::move(type),
                                         .input = std::move(input),
                                         .enable_comment = enable_comment};
        if (in.has("instruction")) made.instruction = TRY(in.text_or("instruction", ""));
        return json::object{{"label_schema", said(TRY(schemas.create(call, made)))}};
      });
  add("GET", "label-schemas/get", "Show a label schema", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{
            {"label_schema", said(TRY(schemas.get(call, TRY(in.text("schema_id")))))}};
      });
  add("GET", "label-schemas/get-by-name", "Find a label schema by its name", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{{"label_schema", said(TRY(schemas.by_name(call, TRY(experiment_of(in)),
                                                                      TRY(in.text("name")))))}};
      });
  add("GET", "label-schemas/list", "List an experiment's label schemas", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return page("label_schemas", TRY(schemas.list(call, TRY(experiment_of(in)),
                                                      TRY(in.whole_or("max_results", 100)),
                                                      TRY(in.text_or("page_token", "")))));
      });
  add("PATCH", "label-schemas/update", "Change a label schema", write,
      [&](const Call& call, const Arguments& in) -> Object {
        tracking::ChangeLabelSchema change{.id = TRY(in.text("schema_id"))};
        if (in.has("name")) change.name = TRY(in.text_or("name", ""));
        if (in.has("instruction")) change.instruction = TRY(in.text_or("instruction", ""));
        if (in.has("enable_comment"))
          change.enable_comment = TRY(in.flag_or("enable_comment", false));
        if (in.has("input")) change.input = TRY(in.object("input")).fields();
        return json::object{{"label_schema", said(TRY(schemas.change(call, change)))}};
      });
  add("DELETE", "label-schemas/delete", "Delete a label schema", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(schemas.remove(call, TRY(in.text("schema_id"))));
        return json::object{};
      });
}

template <class Add>
void add_queues(const Add& add, tracking::ReviewQueues& queues) {
  add("POST", "review-queues/create", "Make a queue of traces to review", write,
      [&](const Call& call, const Arguments& in) -> Object {
        auto experiment = TRY(experiment_of(in));
        auto name = TRY(in.text("name"));
        auto type = TRY(word_of(in, "queue_type", queue_types));
        auto users = TRY(in.texts("users"));
        auto schemas_asked = TRY(in.texts("schema_ids"));
        return json::object{{"review_queue", said(TRY(queues.create(
                                                 call, {.experiment = std::move(experiment),
                                                        .name = std::move(name),
                                                        .type = std::move(type),
                                                        .owner = user_of(call),
                                                        .users = std::move(users),
                                                        .schemas = std::move(schemas_asked)})))}};
      });
  add("POST", "review-queues/get-or-create-user", "The review queue of one user", write,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{{"review_queue", said(TRY(queues.of_user(call, TRY(experiment_of(in)),
                                                                     TRY(in.text("user")))))}};
      });
  add("GET", "review-queues/get", "Show a review queue", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{
            {"review_queue", said(TRY(queues.get(call, TRY(in.text("queue_id")))))}};
      });
  add("GET", "review-queues/get-by-name", "Find a review queue by its name", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{{"review_queue", said(TRY(queues.by_name(call, TRY(experiment_of(in)),
                                                                     TRY(in.text("name")))))}};
      });
  add("GET", "review-queues/list", "List an experiment's review queues", read,
      [&](const Call& call, const Arguments& in) -> Object {
        auto experiment = TRY(experiment_of(in));
        auto user = TRY(in.text_or("user", ""));
        auto item = TRY(in.text_or("item_id", ""));
        const auto limit = TRY(in.whole_or("max_results", 1'000));
        auto page_token = TRY(in.text_or("page_token", ""));
        return page("review_queues", TRY(queues.list(call, {.experiment = std::move(experiment),
                                                            .user = std::move(user),
                                                            .item = std::move(item),
                                                            .limit = limit,
                                                            .page_token = std::move(page_token)})));
      });
  add("POST", "review-queues/update", "Change a review queue", write,
      [&](const Call& call, const Arguments& in) -> Object {
        tracking::ChangeReviewQueue change{.id = TRY(in.text("queue_id"))};
        if (in.has("name")) change.name = TRY(in.text_or("name", ""));
        if (in.has("new_owner")) change.owner = TRY(in.text_or("new_owner", ""));
        if (TRY(in.flag_or("update_users", false))) change.users = TRY(in.texts("users"));
        if (TRY(in.flag_or("update_schema_ids", false)))
          change.schemas = TRY(in.texts("schema_ids"));
        return json::object{{"review_queue", said(TRY(queues.change(call, change)))}};
      });
  add("POST", "review-queues/delete", "Delete a review queue", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(queues.remove(call, TRY(in.text("queue_id"))));
        return json::object{};
      });
}

template <class Add>
void add_items(const Add& add, tracking::ReviewQueues& queues) {
  add("POST", "review-queues/items/add", "Put traces into a review queue", write,
      [&](const Call& call, const Arguments& in) -> Object {
        if (const std::string type = TRY(word_of(in, "item_type", item_types));
            !type.empty() && type != "trace")
          return Error{Code::invalid_argument,
                       "`item_type` must be TRACE; got '" + type.substr(0, 50) + "'"};
        json::array items;
        for (const auto& one :
             TRY(queues.add_items(call, TRY(in.text("queue_id")), TRY(in.texts("item_ids")))))
          items.push_back(said(one));
        return json::object{{"items", std::move(items)}};
      });
  add("POST", "review-queues/items/remove", "Take traces out of a review queue", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(queues.remove_items(call, TRY(in.text("queue_id")), TRY(in.texts("item_ids"))));
        return json::object{};
      });
  add("GET", "review-queues/items/list", "List the traces of a review queue", read,
      [&](const Call& call, const Arguments& in) -> Object {
        auto queue_asked = TRY(in.text("queue_id"));
        auto status = TRY(word_of(in, "status", statuses));
        const auto limit = TRY(in.whole_or("max_results", 1'000));
        auto page_token = TRY(in.text_or("page_token", ""));
        return page("items", TRY(queues.items(call, {.queue = std::move(queue_asked),
                                                     .status = std::move(status),
                                                     .limit = limit,
                                                     .page_token = std::move(page_token)})));
      });
  add("POST", "review-queues/items/set-status", "Say how far the review of a trace is", write,
      [&](const Call& call, const Arguments& in) -> Object {
        auto queue = TRY(in.text("queue_id"));
        auto item = TRY(in.text("item_id"));
        auto status = TRY(word_of(in, "status", statuses));
        tracking::MoveReviewItem move{
            .queue = std::move(queue), .item = std::move(item), .status = std::move(status)};
        // Who did it is who asks; a caller's word counts only where nobody is asked for a token.
        if (const std::string user = user_of(call); !user.empty()) {
          if (move.status != "pending") move.completed_by = user;
        } else if (in.has("completed_by")) {
          move.completed_by = TRY(in.text_or("completed_by", ""));
        }
        return json::object{{"item", said(TRY(queues.move_item(call, move)))}};
      });
}

}  // namespace

std::vector<Route> mlflow_review_routes(tracking::LabelSchemas& schemas,
                                        tracking::ReviewQueues& queues) {
  std::vector<Route> routes;
  const auto add = [&](const char* method, const std::string& path, const char* summary,
                       Permission permission, mlflow::Handler handler) {
    mlflow::add(routes, method, path, summary, permission, std::move(handler), "3.0");
  };
  add_schemas(add, schemas);
  add_queues(add, queues);
  add_items(add, queues);
  return routes;
}

}  // namespace penstock::api
