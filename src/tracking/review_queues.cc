#include "tracking/review_queues.h"

#include <map>
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
using review_text::lower;
using review_text::stripped;
using Texts = std::vector<std::string>;

constexpr std::size_t name_max = 250, user_max = 250, schema_max = 36, item_max = 50;
constexpr std::size_t users_max = 10, schemas_max = 1'000, items_max = 10'000, at_once = 500;

std::string urn_of(const ReviewQueue& queue) { return "review_queue:" + queue.id; }

// Each stripped (and in lower case, where `fold`), none twice, none empty or too long.
Result<Texts> normalized(const Texts& texts, const std::string& field, std::size_t most,
                         std::size_t length, bool fold = false) {
  Texts out;
  std::set<std::string> seen;
  for (const std::string& text : texts) {
    std::string one = fold ? lower(stripped(text)) : stripped(text);
    TRY(check_length(field, one, length));
    if (seen.insert(one).second) out.push_back(std::move(one));
  }
  if (out.size() > most)
    return faulty(field, "may have at most " + std::to_string(most) + " entries; got " +
                             std::to_string(out.size()));
  return out;
}

Result<Texts> normalized_items(const Texts& items) {
  if (items.empty()) return faulty("item_ids", "must be a non-empty list");
  return normalized(items, "item_ids", items_max, item_max);
}

Result<std::string> custom_name(const std::string& text) {
  std::string name = stripped(text);
  TRY(check_length("name", name, name_max));
  if (lower(name) == "default")
    return faulty("name", "'" + name + "' is reserved and cannot be used for a custom queue");
  return name;
}

// The queue as it is kept; a user's queue is that user's alone and asks all questions.
Result<CreateReviewQueue> checked(const CreateReviewQueue& input) {
  CreateReviewQueue out = input;
  out.users = TRY(normalized(input.users, "users", users_max, user_max, true));
  out.schemas = TRY(normalized(input.schemas, "schema_ids", schemas_max, schema_max));
  if (input.type == "custom") {
    out.name = TRY(custom_name(input.name));
    return out;
  }
  if (input.type != "user")
    return faulty("queue_type",
                  "must be one of USER or CUSTOM; got '" + input.type.substr(0, 50) + "'");
  out.name = lower(stripped(input.name));
  TRY(check_length("name", out.name, user_max));
  if (out.users.empty()) out.users = {out.name};
  if (out.users != Texts{out.name})
    return faulty(
        "users", "of a user queue must be the one user that it is named after, '" + out.name + "'");
  if (!out.schemas.empty())
    return faulty("schema_ids",
                  "must be empty for a user queue: it asks all of the experiment's questions");
  return out;
}

Result<ReviewQueue> find(sql::Tx& tx, const Call& call, const std::string& id) {
  static const std::string text =
      "SELECT " + columns<ReviewQueue>() + " FROM review_queues WHERE project = $1 AND id = $2";
  auto found = TRY(sql::select<ReviewQueue>(tx, text, {call.project, id}));
  if (found.empty()) return Error{Code::not_found, "Review queue with id '" + id + "' not found."};
  return std::move(found.front());
}

Result<std::vector<ReviewQueue>> find_name(sql::Tx& tx, const Call& call, std::int64_t experiment,
                                           const std::string& name) {
  static const std::string text = "SELECT " + columns<ReviewQueue>() +
                                  " FROM review_queues WHERE project = $1 AND experiment = $2 AND "
                                  "name_key = $3";
  return sql::select<ReviewQueue>(tx, text, {call.project, experiment, lower(name)});
}

// "$2, $3, ..." for texts[from .. until), which go into the row.
std::string marks(const Texts& texts, std::size_t from, std::size_t until, sql::Row& row) {
  std::string out;
  for (std::size_t i = from; i < until; ++i) {
    row.emplace_back(texts[i]);
    out += (out.empty() ? "$" : ", $") + std::to_string(row.size());
  }
  return out;
}

// Each queue with its users and questions: two statements for a page of any size.
Result<std::vector<ReviewQueueDetail>> details(sql::Tx& tx, std::vector<ReviewQueue> queues) {
  std::vector<ReviewQueueDetail> out;
  std::map<std::string, std::size_t> places;
  Texts ids;
  for (ReviewQueue& queue : queues) {
    places[queue.id] = out.size();
    ids.push_back(queue.id);
    out.push_back({.queue = std::move(queue)});
  }
  const auto gather = [&](const char* table, const std::string& column,
                          Texts ReviewQueueDetail::*list) -> Result<void> {
    for (std::size_t from = 0; from < ids.size(); from += at_once) {
      sql::Row row;
      const std::string in = marks(ids, from, std::min(from + at_once, ids.size()), row);
      for (const sql::Row& found :
           TRY(tx.run("SELECT queue, " + column + " FROM " + table + " WHERE queue IN (" + in +
                          ") ORDER BY queue, " + column,
                      row)))
        (out[places.at(std::get<std::string>(found.at(0)))].*list)
            .push_back(std::get<std::string>(found.at(1)));
    }
    return {};
  };
  TRY(gather("review_queue_users", "user_id", &ReviewQueueDetail::users));
  TRY(gather("review_queue_schemas", "label_schema", &ReviewQueueDetail::schemas));
  return out;
}

Result<ReviewQueueDetail> detail(sql::Tx& tx, ReviewQueue queue) {
  return std::move(TRY(details(tx, {std::move(queue)})).front());
}

Result<void> put_users(sql::Tx& tx, const ReviewQueue& queue, const Texts& users) {
  TRY(tx.run("DELETE FROM review_queue_users WHERE queue = $1", {queue.id}));
  for (const std::string& user : users)
    TRY(tx.run("INSERT INTO review_queue_users (queue, user_id) VALUES ($1, $2)",
               {queue.id, user}));
  return {};
}

Result<void> put_schemas(sql::Tx& tx, const ReviewQueue& queue, const Texts& schemas) {
  for (const std::string& schema : schemas)
    if (TRY(tx.run("SELECT 1 FROM label_schemas WHERE project = $1 AND experiment = $2 AND id = $3",
                   {queue.project, queue.experiment, schema}))
            .empty())
      return faulty("schema_ids", "names '" + schema +
                                      "', which is no label schema of experiment " +
                                      std::to_string(queue.experiment));
  TRY(tx.run("DELETE FROM review_queue_schemas WHERE queue = $1", {queue.id}));
  for (const std::string& schema : schemas)
    TRY(tx.run("INSERT INTO review_queue_schemas (queue, label_schema) VALUES ($1, $2)",
               {queue.id, schema}));
  return {};
}

Error taken(const std::string& name) {
  return {Code::already_exists,
          "Review queue with name '" + name + "' already exists (names are case-insensitive)."};
}

Result<ReviewQueueDetail> put(sql::Tx& tx, const Call& call, Timestamp at,
                              const CreateReviewQueue& input) {
  const std::int64_t ms = at.time_since_epoch().count() / 1'000;
  ReviewQueue made{.project = call.project,
                   .id = "rq-" + sha256_hex(new_ulid(at)).substr(0, 32),
                   .experiment = input.experiment,
                   .name = input.name,
                   .name_key = lower(input.name),
                   .type = input.type,
                   .created_by = input.owner,
                   .created_at = ms,
                   .updated_at = ms};
  TRY(sql::insert(tx, "review_queues", made));
  TRY(put_users(tx, made, input.users));
  TRY(put_schemas(tx, made, input.schemas));
  TRY(audit::record(tx, call, at,
                    {"tracking.review_queue.created",
                     urn_of(made),
                     {{"experiment", made.experiment}, {"name", made.name}, {"type", made.type}}}));
  return detail(tx, std::move(made));
}

// Those of `items` that are no traces of the experiment.
Result<Texts> strangers(sql::Tx& tx, const ReviewQueue& queue, const Texts& items) {
  std::set<std::string> known;
  for (std::size_t from = 0; from < items.size(); from += at_once) {
    sql::Row row{queue.project, queue.experiment};
    const std::string in = marks(items, from, std::min(from + at_once, items.size()), row);
    for (const sql::Row& found : TRY(tx.run(
             "SELECT id FROM traces WHERE project = $1 AND experiment = $2 AND id IN (" + in + ")",
             row)))
      known.insert(std::get<std::string>(found.at(0)));
  }
  Texts out;
  for (const std::string& item : items)
    if (!known.contains(item)) out.push_back(item);
  return out;
}

Result<ReviewItem> find_item(sql::Tx& tx, const ReviewQueue& queue, const std::string& item) {
  static const std::string text =
      "SELECT " + columns<ReviewItem>() + " FROM review_queue_items WHERE queue = $1 AND item = $2";
  auto found = TRY(sql::select<ReviewItem>(tx, text, {queue.id, item}));
  if (found.empty())
    return Error{Code::not_found,
                 "Item '" + item + "' is not attached to review queue '" + queue.id + "'."};
  return std::move(found.front());
}

bool is_status(const std::string& status) {
  return status == "pending" || status == "complete" || status == "declined";
}

}  // namespace

Result<ReviewQueueDetail> ReviewQueues::create(const Call& call, const CreateReviewQueue& input) {
  const CreateReviewQueue queue = TRY(checked(input));
  return db_.write(call, [&](sql::Tx& tx) -> Result<ReviewQueueDetail> {
    TRY(review_text::check_experiment(tx, call, queue.experiment));
    if (!TRY(find_name(tx, call, queue.experiment, queue.name)).empty()) return taken(queue.name);
    return put(tx, call, clock_.now(), queue);
  });
}

Result<ReviewQueueDetail> ReviewQueues::of_user(const Call& call, std::int64_t experiment,
                                                const std::string& user) {
  CreateReviewQueue queue = TRY(checked({.experiment = experiment, .name = user, .type = "user"}));
  queue.owner = queue.name;
  return db_.write(call, [&](sql::Tx& tx) -> Result<ReviewQueueDetail> {
    TRY(review_text::check_experiment(tx, call, experiment));
    auto found = TRY(find_name(tx, call, experiment, queue.name));
    if (found.empty()) return put(tx, call, clock_.now(), queue);
    if (found.front().type == "user") return detail(tx, std::move(found.front()));
    return Error{Code::already_exists, "A non-user queue named '" + found.front().name +
                                           "' already exists; rename it to make a queue of user '" +
                                           queue.name + "'"};
  });
}

Result<ReviewQueueDetail> ReviewQueues::get(const Call& call, const std::string& id) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<ReviewQueueDetail> {
    return detail(tx, TRY(find(tx, call, id)));
  });
}

Result<ReviewQueueDetail> ReviewQueues::by_name(const Call& call, std::int64_t experiment,
                                                const std::string& name) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<ReviewQueueDetail> {
    TRY(review_text::check_experiment(tx, call, experiment));
    auto found = TRY(find_name(tx, call, experiment, name));
    if (!found.empty()) return detail(tx, std::move(found.front()));
    return Error{Code::not_found, "Review queue with name '" + name +
                                      "' not found for experiment '" + std::to_string(experiment) +
                                      "'."};
  });
}

Result<Found<ReviewQueueDetail>> ReviewQueues::list(const Call& call,
                                                    const ListReviewQueues& input) {
  TRY(check_limit(input.limit));
  const std::int64_t offset = TRY(offset_page::begin(input.page_token));
  sql::Row row{call.project, input.experiment};
  std::string where = " WHERE project = $1 AND experiment = $2";
  if (!input.user.empty()) {
    row.emplace_back(lower(stripped(input.user)));
    where += " AND id IN (SELECT queue FROM review_queue_users WHERE user_id = $" +
             std::to_string(row.size()) + ")";
  }
  if (!input.item.empty()) {
    row.emplace_back(input.item);
    where += " AND id IN (SELECT queue FROM review_queue_items WHERE item = $" +
             std::to_string(row.size()) + ")";
  }
  const std::string text = "SELECT " + columns<ReviewQueue>() + " FROM review_queues" + where +
                           " ORDER BY created_at DESC, id LIMIT " +
                           std::to_string(input.limit + 1) + " OFFSET " + std::to_string(offset);
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<ReviewQueueDetail>> {
    TRY(review_text::check_experiment(tx, call, input.experiment));
    auto queues = TRY(sql::select<ReviewQueue>(tx, text, row));
    const std::string next = offset_page::next(queues, input.limit, offset);
    return Found<ReviewQueueDetail>{TRY(details(tx, std::move(queues))), next};
  });
}

Result<ReviewQueueDetail> ReviewQueues::change(const Call& call, const ChangeReviewQueue& input) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<ReviewQueueDetail> {
    ReviewQueue queue = TRY(find(tx, call, input.id));
    if (queue.type == "user")
      return faulty("queue_id",
                    "names a user queue, whose name, user, questions and owner are "
                    "fixed and cannot be updated");
    json::object changed;
    if (input.owner) {
      queue.created_by = stripped(*input.owner);
      TRY(check_length("new_owner", queue.created_by, user_max));
      changed["owner"] = queue.created_by;
    }
    if (input.name) {
      const std::string name = TRY(custom_name(*input.name));
      if (lower(name) != queue.name_key &&
          !TRY(find_name(tx, call, queue.experiment, name)).empty())
        return taken(name);
      queue.name = name;
      queue.name_key = lower(name);
      changed["name"] = name;
    }
    if (input.users) {
      const Texts users = TRY(normalized(*input.users, "users", users_max, user_max, true));
      TRY(put_users(tx, queue, users));
      changed["users"] = encode(users);
    }
    if (input.schemas) {
      if (!TRY(tx.run("SELECT 1 FROM review_queue_items WHERE queue = $1 LIMIT 1", {queue.id}))
               .empty())
        return faulty("schema_ids",
                      "are locked once a queue has items; remove the items before "
                      "changing its questions");
      const Texts schemas = TRY(normalized(*input.schemas, "schema_ids", schemas_max, schema_max));
      TRY(put_schemas(tx, queue, schemas));
      changed["schemas"] = encode(schemas);
    }
    if (changed.empty()) return detail(tx, std::move(queue));
    queue.updated_at = now();
    TRY(tx.run(
        "UPDATE review_queues SET name = $3, name_key = $4, created_by = $5, updated_at = "
        "$6 WHERE project = $1 AND id = $2",
        {call.project, queue.id, queue.name, queue.name_key, queue.created_by, queue.updated_at}));
    TRY(audit::record(tx, call, clock_.now(),
                      {"tracking.review_queue.changed", urn_of(queue), std::move(changed)}));
    return detail(tx, std::move(queue));
  });
}

Result<void> ReviewQueues::remove(const Call& call, const std::string& id) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const auto gone =
        TRY(tx.run("DELETE FROM review_queues WHERE project = $1 AND id = $2 RETURNING name",
                   {call.project, id}));
    if (gone.empty()) return {};
    for (const char* table : {"review_queue_users", "review_queue_schemas", "review_queue_items"})
      TRY(tx.run("DELETE FROM " + std::string(table) + " WHERE queue = $1", {id}));
    return audit::record(tx, call, clock_.now(),
                         {"tracking.review_queue.deleted",
                          "review_queue:" + id,
                          {{"name", std::get<std::string>(gone.front().at(0))}}});
  });
}

Result<std::vector<ReviewItem>> ReviewQueues::add_items(const Call& call, const std::string& id,
                                                        const std::vector<std::string>& items) {
  const Texts wanted = TRY(normalized_items(items));
  return db_.write(call, [&](sql::Tx& tx) -> Result<std::vector<ReviewItem>> {
    const ReviewQueue queue = TRY(find(tx, call, id));
    if (const Texts unknown = TRY(strangers(tx, queue, wanted)); !unknown.empty())
      return Error{Code::not_found,
                   "Cannot attach trace(s) to review queue '" + id +
                       "': " + std::to_string(unknown.size()) + " do not exist in experiment '" +
                       std::to_string(queue.experiment) + "', such as '" + unknown.front() + "'"};
    std::int64_t added = 0;
    std::vector<ReviewItem> out;
    for (const std::string& item : wanted) {
      ReviewItem one{.queue = queue.id,
                     .item = item,
                     .status = "pending",
                     .created_at = now(),
                     .updated_at = now()};
      const bool is_new = !TRY(tx.run("INSERT INTO review_queue_items (queue, item, status, "
                                      "completed_by, created_at, updated_at) VALUES ($1, $2, $3, "
                                      "'', $4, $4) ON CONFLICT (queue, item) DO NOTHING RETURNING "
                                      "item",
                                      {one.queue, one.item, one.status, one.created_at}))
                               .empty();
      added += is_new;
      out.push_back(is_new ? std::move(one) : TRY(find_item(tx, queue, item)));
    }
    if (added > 0)
      TRY(audit::record(tx, call, clock_.now(),
                        {"tracking.review_queue.items_added", urn_of(queue), {{"items", added}}}));
    return out;
  });
}

Result<void> ReviewQueues::remove_items(const Call& call, const std::string& id,
                                        const std::vector<std::string>& items) {
  const Texts wanted = TRY(normalized_items(items));
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const ReviewQueue queue = TRY(find(tx, call, id));
    std::int64_t gone = 0;
    for (std::size_t from = 0; from < wanted.size(); from += at_once) {
      sql::Row row{queue.id};
      const std::string in = marks(wanted, from, std::min(from + at_once, wanted.size()), row);
      gone += std::ssize(TRY(tx.run(
          "DELETE FROM review_queue_items WHERE queue = $1 AND item IN (" + in + ") RETURNING item",
          row)));
    }
    if (gone == 0) return {};
    return audit::record(tx, call, clock_.now(),
                         {"tracking.review_queue.items_removed", urn_of(queue), {{"items", gone}}});
  });
}

Result<Found<ReviewItem>> ReviewQueues::items(const Call& call, const ListReviewItems& input) {
  TRY(check_limit(input.limit));
  const std::int64_t offset = TRY(offset_page::begin(input.page_token));
  sql::Row row{input.queue};
  if (!input.status.empty()) {
    if (!is_status(input.status))
      return faulty("status", "must be one of PENDING, COMPLETE or DECLINED; got '" +
                                  input.status.substr(0, 50) + "'");
    row.emplace_back(input.status);
  }
  const std::string text =
      "SELECT " + columns<ReviewItem>() + " FROM review_queue_items WHERE queue = $1" +
      (input.status.empty() ? "" : " AND status = $2") + " ORDER BY created_at DESC, item LIMIT " +
      std::to_string(input.limit + 1) + " OFFSET " + std::to_string(offset);
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<ReviewItem>> {
    TRY(find(tx, call, input.queue));
    Found<ReviewItem> out;
    out.items = TRY(sql::select<ReviewItem>(tx, text, row));
    out.next_page_token = offset_page::next(out.items, input.limit, offset);
    return out;
  });
}

Result<ReviewItem> ReviewQueues::move_item(const Call& call, const MoveReviewItem& input) {
  if (!is_status(input.status))
    return faulty("status", "must be one of PENDING, COMPLETE or DECLINED; got '" +
                                input.status.substr(0, 50) + "'");
  const bool is_done = input.status != "pending";
  const std::string who = lower(stripped(input.completed_by.value_or("")));
  if (!is_done && input.completed_by)
    return faulty("completed_by", "must not be set when an item is reopened to pending");
  if (is_done && who.empty())
    return faulty("completed_by", "is required when the status becomes " + input.status);
  if (is_done) TRY(check_length("completed_by", who, user_max));
  return db_.write(call, [&](sql::Tx& tx) -> Result<ReviewItem> {
    const ReviewQueue queue = TRY(find(tx, call, input.queue));
    ReviewItem item = TRY(find_item(tx, queue, stripped(input.item)));
    if (item.status == input.status) return item;  // who was first stays so
    const std::string before = item.status;
    item.status = input.status;
    item.updated_at = now();
    item.completed_by = who;
    item.completed_at = is_done ? std::optional(item.updated_at) : std::nullopt;
    TRY(
        tx.run("UPDATE review_queue_items SET status = $3, completed_by = $4, completed_at = $5, "
               "updated_at = $6 WHERE queue = $1 AND item = $2",
               {queue.id, item.item, item.status, item.completed_by, sql::to_sql(item.completed_at),
                item.updated_at}));
    TRY(audit::record(tx, call, clock_.now(),
                      {"tracking.review_queue.item_moved",
                       urn_of(queue),
                       {{"item", item.item},
                        {"from", before},
                        {"to", item.status},
                        {"completed_by", item.completed_by}}}));
    return item;
  });
}

}  // namespace penstock::tracking
