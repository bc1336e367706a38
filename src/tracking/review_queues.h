// Review queues: traces that people are asked to look at, what they are asked, and how far they
// are (MLflow 3). Answers are assessments of the traces and are not here.
#pragma once

#include "tracking/service.h"

namespace penstock::tracking {

struct ReviewQueue {
  std::string project, id;  // "rq-" and 32 hex digits
  std::int64_t experiment = 0;
  std::string name, name_key;  // the second in lower case: one of a name in an experiment
  std::string type;            // user (of one person, asks all questions) or custom
  std::string created_by;      // its owner; may be empty
  std::int64_t created_at = 0, updated_at = 0;  // milliseconds since 1970
};
BOOST_DESCRIBE_STRUCT(ReviewQueue, (),
                      (project, id, experiment, name, name_key, type, created_by, created_at,
                       updated_at))
struct ReviewQueueDetail {
  ReviewQueue queue;
  std::vector<std::string> users, schemas;  // both in order
};

// A trace in a queue. Whoever of the queue's users comes first moves it.
struct ReviewItem {
  std::string queue, item;  // the trace's id
  std::string status;       // pending, complete, declined
  std::string completed_by;
  std::optional<std::int64_t> completed_at;
  std::int64_t created_at = 0, updated_at = 0;
};
BOOST_DESCRIBE_STRUCT(ReviewItem, (),
                      (queue, item, status, completed_by, completed_at, created_at, updated_at))

struct CreateReviewQueue {
  std::int64_t experiment = 0;
  std::string name, type, owner;
  std::vector<std::string> users, schemas;
};
struct ListReviewQueues {
  std::int64_t experiment = 0;
  std::string user, item;  // empty: any
  std::int64_t limit = 1'000;
  std::string page_token;
};
struct ChangeReviewQueue {  // what is not said stays
  std::string id;
  std::optional<std::string> name, owner;
  std::optional<std::vector<std::string>> users, schemas;
};
struct ListReviewItems {
  std::string queue, status;  // status empty: any
  std::int64_t limit = 1'000;
  std::string page_token;
};
struct MoveReviewItem {
  std::string queue, item, status;
  std::optional<std::string> completed_by;  // needed unless the status is pending
};

class ReviewQueues {
 public:
  ReviewQueues(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  Result<ReviewQueueDetail> create(const Call& call, const CreateReviewQueue& input);
  Result<ReviewQueueDetail> of_user(const Call& call, std::int64_t experiment,
                                    const std::string& user);
  Result<ReviewQueueDetail> get(const Call& call, const std::string& id);
  Result<ReviewQueueDetail> by_name(const Call& call, std::int64_t experiment,
                                    const std::string& name);
  // The newest first.
  Result<Found<ReviewQueueDetail>> list(const Call& call, const ListReviewQueues& input);
  // Questions change only while a queue has no items.
  Result<ReviewQueueDetail> change(const Call& call, const ChangeReviewQueue& input);
  // Nothing happens where there is none.
  Result<void> remove(const Call& call, const std::string& id);

  // Traces of the queue's experiment, all or none. One that is there already keeps its status.
  Result<std::vector<ReviewItem>> add_items(const Call& call, const std::string& id,
                                            const std::vector<std::string>& items);
  Result<void> remove_items(const Call& call, const std::string& id,
                            const std::vector<std::string>& items);
  // The newest first.
  Result<Found<ReviewItem>> items(const Call& call, const ListReviewItems& input);
  // The status that it has already changes nothing, whoever asks.
  Result<ReviewItem> move_item(const Call& call, const MoveReviewItem& input);

 private:
  std::int64_t now() const { return clock_.now().time_since_epoch().count() / 1'000; }
  sql::Database& db_;
  const Clock& clock_;
};

}  // namespace penstock::tracking
