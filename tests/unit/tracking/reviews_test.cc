// Label schemas and review queues, on both databases.
#include <gtest/gtest.h>

#include "tests/support/fixture.h"
#include "tracking/label_schemas.h"
#include "tracking/review_queues.h"
#include "tracking/traces.h"

namespace penstock::tracking {
namespace {

using test::must;

class ReviewsTest : public testing::Test {
 protected:
  // Makes experiment 0.
  ReviewsTest() { must(tracking_.experiment(ana_, 0)); }

  static json::object object(const std::string& text) { return json::parse(text).as_object(); }
  LabelSchema schema(const std::string& name, const std::string& input = R"({"text": {}})") {
    clock_.advance(std::chrono::seconds(1));
    return must(schemas_.create(
        ana_, {.experiment = 0, .name = name, .type = "feedback", .input = object(input)}));
  }
  ReviewQueueDetail queue(const std::string& name) {
    clock_.advance(std::chrono::seconds(1));
    return must(queues_.create(
        ana_, {.experiment = 0, .name = name, .type = "custom", .owner = "ana", .users = {"Bo "}}));
  }
  std::string trace(const std::string& id, const Call& call) {
    must(traces_.start(call, {.trace = {.id = id, .experiment = 0, .request_time = 1}}));
    return id;
  }
  std::string trace(const std::string& id) { return trace(id, ana_); }
  std::string listed() {
    std::string names;
    for (const LabelSchema& one : must(schemas_.list(ana_, 0, 100, "")).items)
      names += one.name + (one.is_default ? "* " : " ");
    return names;
  }

  const Call ana_ = test::call("user:ana");
  ManualClock clock_;
  std::unique_ptr<sql::Database> db_ = test::database();
  Service tracking_{*db_, clock_};
  Traces traces_{*db_, clock_};
  LabelSchemas schemas_{*db_, clock_};
  ReviewQueues queues_{*db_, clock_};
};

TEST_F(ReviewsTest, AnExperimentAlwaysHasItsDefaultQuestion) {
  EXPECT_EQ(listed(), "Feedback* ");
  EXPECT_EQ(listed(), "Feedback* ");
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'tracking.label_schema.created'"), 1);
  const LabelSchema first = must(schemas_.by_name(ana_, 0, "Feedback"));
  EXPECT_EQ(first.input, R"({"text":{}})");
  EXPECT_EQ(schemas_.change(ana_, {.id = first.id, .name = "Other"}).error().code,
            Code::invalid_argument);
  EXPECT_EQ(schemas_.remove(ana_, first.id).error().code, Code::invalid_argument);
  EXPECT_EQ(schemas_.list(ana_, 77, 100, "").error().code, Code::not_found);
  must(tracking_.create_experiment(ana_, "gone", "", {}));
  must(tracking_.move_experiment(ana_, 1, Lifecycle::deleted));
  EXPECT_EQ(schemas_.list(ana_, 1, 100, "").error().code, Code::not_found);
}

TEST_F(ReviewsTest, RefusesQuestionsThatCannotBeAsked) {
  struct Case {
    std::string name, type, input, why;
  };
  const std::string eleven = R"(["1","2","3","4","5","6","7","8","9","10","11"])";
  const Case cases[] = {
      {"", "feedback", R"({"text": {}})", "name"},
      {std::string(251, 'n'), "feedback", R"({"text": {}})", "251"},
      {" feedBACK ", "feedback", R"({"text": {}})", "reserved"},
      {"q", "opinion", R"({"text": {}})", "opinion"},
      {"q", "", R"({"text": {}})", "FEEDBACK"},
      {"q", "feedback", R"({})", "exactly one"},
      {"q", "feedback", R"({"text": {}, "numeric": {}})", "exactly one"},
      {"q", "feedback", R"({"text": 5})", "exactly one"},
      {"q", "feedback", R"({"text": {"max_length": 0}})", "max_length"},
      {"q", "feedback", R"({"text": {"max_length": "x"}})", "max_length"},
      {"q", "feedback", R"({"text": {"max_length": 1.5}})", "max_length"},
      {"q", "feedback", R"({"numeric": {"min_value": 2, "max_value": 2}})", "strictly"},
      {"q", "feedback", R"({"numeric": {"min_value": "NaN"}})", "finite"},
      {"q", "feedback", R"({"categorical": {"options": []}})", "non-empty"},
      {"q", "feedback", R"({"categorical": {"options": ["a", "a"]}})", "'a'"},
      {"q", "feedback", R"({"categorical": {"options": ["a", ""]}})", "non-empty"},
      {"q", "feedback", R"({"categorical": {"options": )" + eleven + "}}", "10"},
      {"q", "feedback", R"({"categorical": {"options": [")" + std::string(65, 'o') + R"("]}})",
       "64"},
      {"q", "feedback", R"({"categorical": {"options": ["a"], "multi_select": 1}})",
       "multi_select"},
      {"q", "feedback", R"({"pass_fail": {"positive_label": "yes"}})", "negative_label"},
      {"q", "feedback", R"({"pass_fail": {"positive_label": "y", "negative_label": "y"}})",
       "distinct"},
  };
  for (const Case& c : cases) {
    const auto made = schemas_.create(
        ana_, {.experiment = 0, .name = c.name, .type = c.type, .input = object(c.input)});
    ASSERT_FALSE(made) << c.name << c.input;
    EXPECT_EQ(made.error().code, Code::invalid_argument) << made.error().message;
    EXPECT_NE(made.error().message.find(c.why), std::string::npos) << made.error().message;
  }
  EXPECT_EQ(schemas_
                .create(ana_, {.experiment = 0,
                               .name = "q",
                               .type = "feedback",
                               .input = object(R"({"text": {}})"),
                               .instruction = std::string(1'001, 'i')})
                .error()
                .code,
            Code::invalid_argument);
  // 250 characters, not bytes.
  std::string wide;
  for (int i = 0; i < 250; ++i) wide += "ä";
  schema(wide, R"({"numeric": {"min_value": 1, "max_value": 5}})");
  EXPECT_EQ(test::count(*db_, "label_schemas"), 1);
}

TEST_F(ReviewsTest, ChangesAQuestionButNotWhatWouldSpoilItsAnswers) {
  const LabelSchema made =
      schema("tone", R"({"categorical": {"options": ["good", "bad"], "other": 1}})");
  EXPECT_EQ(made.input, R"({"categorical":{"options":["good","bad"],"multi_select":false}})");
  EXPECT_EQ(schemas_
                .create(ana_, {.experiment = 0,
                               .name = "tone",
                               .type = "feedback",
                               .input = object(R"({"text": {}})")})
                .error()
                .code,
            Code::already_exists);
  clock_.advance(std::chrono::seconds(1));
  const LabelSchema changed = must(schemas_.change(
      ana_, {.id = made.id,
             .instruction = "Say",
             .enable_comment = true,
             .input = object(R"({"categorical": {"options": ["good", "bad", "so-so"]}})")}));
  EXPECT_EQ(changed.name, "tone");
  EXPECT_GT(changed.updated_at, made.updated_at);
  EXPECT_EQ(encode(must(schemas_.get(ana_, made.id))), encode(changed));
  for (const char* wrong :
       {R"({"text": {}})", R"({"categorical": {"options": ["a"], "multi_select": true}})"})
    EXPECT_EQ(schemas_.change(ana_, {.id = made.id, .input = object(wrong)}).error().code,
              Code::invalid_argument);
  schema("other");
  EXPECT_EQ(schemas_.change(ana_, {.id = made.id, .name = "other"}).error().code,
            Code::already_exists);
  EXPECT_EQ(schemas_.change(ana_, {.id = made.id, .name = "Feedback"}).error().code,
            Code::invalid_argument);
  clock_.advance(std::chrono::seconds(1));
  EXPECT_EQ(listed(), "Feedback* other tone ");
  const auto page = must(schemas_.list(ana_, 0, 2, ""));
  EXPECT_EQ(must(schemas_.list(ana_, 0, 2, page.next_page_token)).items.at(0).name, "tone");
  must(schemas_.remove(ana_, made.id));
  must(schemas_.remove(ana_, made.id));
  EXPECT_EQ(schemas_.get(ana_, made.id).error().code, Code::not_found);
  Call other = ana_;
  other.project = "elsewhere";
  EXPECT_EQ(schemas_.get(other, must(schemas_.by_name(ana_, 0, "other")).id).error().code,
            Code::not_found);
}

TEST_F(ReviewsTest, QueuesAreOneOfANameAndOfTheirUsers) {
  const LabelSchema question = schema("right?");
  const auto made = must(queues_.create(ana_, {.experiment = 0,
                                               .name = " Week 1 ",
                                               .type = "custom",
                                               .owner = "ana",
                                               .users = {"Bo", "bo ", "Cy"},
                                               .schemas = {question.id, question.id}}));
  EXPECT_EQ(made.queue.name, "Week 1");
  EXPECT_EQ(made.users, (std::vector<std::string>{"bo", "cy"}));
  EXPECT_EQ(made.schemas, std::vector<std::string>{question.id});
  struct Case {
    std::string what;
    CreateReviewQueue input;
    Code code;
  };
  std::vector<std::string> eleven;
  for (int i = 0; i < 11; ++i) eleven.push_back("u" + std::to_string(i));
  const Case cases[] = {
      {"taken", {.name = "week 1", .type = "custom"}, Code::already_exists},
      {"no name", {.name = " ", .type = "custom"}, Code::invalid_argument},
      {"reserved", {.name = "DEFAULT", .type = "custom"}, Code::invalid_argument},
      {"long", {.name = std::string(251, 'q'), .type = "custom"}, Code::invalid_argument},
      {"no type", {.name = "q"}, Code::invalid_argument},
      {"users", {.name = "q", .type = "custom", .users = eleven}, Code::invalid_argument},
      {"empty user", {.name = "q", .type = "custom", .users = {" "}}, Code::invalid_argument},
      {"question", {.name = "q", .type = "custom", .schemas = {"ls-0"}}, Code::invalid_argument},
      {"two users", {.name = "bo", .type = "user", .users = {"bo", "cy"}}, Code::invalid_argument},
      {"own questions",
       {.name = "bo", .type = "user", .schemas = {question.id}},
       Code::invalid_argument},
      {"experiment", {.experiment = 77, .name = "q", .type = "custom"}, Code::not_found},
  };
  for (const Case& c : cases)
    EXPECT_EQ(queues_.create(ana_, c.input).error().code, c.code) << c.what;
  const auto own = must(queues_.of_user(ana_, 0, " BO"));
  EXPECT_EQ(own.queue.name, "bo");
  EXPECT_EQ(own.queue.created_by, "bo");
  EXPECT_EQ(must(queues_.of_user(ana_, 0, "Bo")).queue.id, own.queue.id);
  EXPECT_EQ(queues_.of_user(ana_, 0, "week 1").error().code, Code::already_exists);
  EXPECT_EQ(must(queues_.by_name(ana_, 0, "WEEK 1")).queue.id, made.queue.id);
  EXPECT_EQ(queues_.by_name(ana_, 0, "week 2").error().code, Code::not_found);
  EXPECT_EQ(must(queues_.list(ana_, {.user = "cy"})).items.size(), 1U);
  EXPECT_EQ(must(queues_.list(ana_, {.user = "BO"})).items.size(), 2U);
  const auto page = must(queues_.list(ana_, {.limit = 1}));
  EXPECT_EQ(must(queues_.list(ana_, {.limit = 1, .page_token = page.next_page_token})).items.size(),
            1U);
  EXPECT_EQ(queues_.list(ana_, {.limit = 0}).error().code, Code::invalid_argument);
}

TEST_F(ReviewsTest, AQueueChangesItsQuestionsOnlyWhileItIsEmpty) {
  const LabelSchema question = schema("right?");
  const auto made = queue("week 1");
  queue("week 2");
  auto changed = must(queues_.change(ana_, {.id = made.queue.id,
                                            .name = "WEEK 1",
                                            .owner = " Cy",
                                            .users = std::vector<std::string>{},
                                            .schemas = std::vector<std::string>{question.id}}));
  EXPECT_EQ(changed.queue.name, "WEEK 1");
  EXPECT_EQ(changed.queue.created_by, "Cy");
  EXPECT_TRUE(changed.users.empty());
  EXPECT_EQ(changed.schemas.size(), 1U);
  EXPECT_EQ(queues_.change(ana_, {.id = made.queue.id, .name = "Week 2"}).error().code,
            Code::already_exists);
  EXPECT_EQ(queues_.change(ana_, {.id = made.queue.id, .owner = ""}).error().code,
            Code::invalid_argument);
  must(queues_.add_items(ana_, made.queue.id, {trace("tr-1")}));
  EXPECT_EQ(queues_.change(ana_, {.id = made.queue.id, .schemas = std::vector<std::string>{}})
                .error()
                .code,
            Code::invalid_argument);
  must(queues_.change(ana_, {.id = made.queue.id, .users = std::vector<std::string>{"dee"}}));
  const auto own = must(queues_.of_user(ana_, 0, "bo"));
  EXPECT_EQ(queues_.change(ana_, {.id = own.queue.id, .name = "x"}).error().code,
            Code::invalid_argument);
  must(queues_.remove(ana_, made.queue.id));
  must(queues_.remove(ana_, made.queue.id));
  EXPECT_EQ(queues_.get(ana_, made.queue.id).error().code, Code::not_found);
  EXPECT_EQ(test::count(*db_, "review_queue_items"), 0);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'tracking.review_queue.deleted'"), 1);
}

TEST_F(ReviewsTest, WhoReviewsATraceFirstIsNamed) {
  const std::string id = queue("q").queue.id;
  trace("tr-1");
  trace("tr-2");
  EXPECT_EQ(queues_.add_items(ana_, id, {"tr-1", "tr-none"}).error().code, Code::not_found);
  EXPECT_EQ(queues_.add_items(ana_, id, {}).error().code, Code::invalid_argument);
  EXPECT_EQ(queues_.add_items(ana_, id, {" "}).error().code, Code::invalid_argument);
  EXPECT_EQ(test::count(*db_, "review_queue_items"), 0);
  must(queues_.add_items(ana_, id, {"tr-2"}));
  must(queues_.move_item(
      ana_, {.queue = id, .item = "tr-2", .status = "complete", .completed_by = " Bo "}));
  const auto added = must(queues_.add_items(ana_, id, {" tr-1", "tr-2", "tr-1"}));
  ASSERT_EQ(added.size(), 2U);
  EXPECT_EQ(added[0].status, "pending");
  EXPECT_EQ(added[1].status, "complete");
  EXPECT_EQ(added[1].completed_by, "bo");
  clock_.advance(std::chrono::seconds(1));
  const auto again = must(queues_.move_item(
      ana_, {.queue = id, .item = "tr-2", .status = "complete", .completed_by = "cy"}));
  EXPECT_EQ(again.completed_by, "bo");
  EXPECT_EQ(again.updated_at, added[1].updated_at);
  EXPECT_EQ(
      must(queues_.move_item(
               ana_, {.queue = id, .item = "tr-2", .status = "declined", .completed_by = "cy"}))
          .completed_by,
      "cy");
  const auto reopened =
      must(queues_.move_item(ana_, {.queue = id, .item = "tr-2", .status = "pending"}));
  EXPECT_EQ(reopened.completed_by, "");
  EXPECT_FALSE(reopened.completed_at);
  for (const MoveReviewItem& wrong :
       {MoveReviewItem{id, "tr-2", "complete", {}}, MoveReviewItem{id, "tr-2", "pending", "bo"},
        MoveReviewItem{id, "tr-2", "done", "bo"}, MoveReviewItem{id, "tr-2", "", "bo"}})
    EXPECT_EQ(queues_.move_item(ana_, wrong).error().code, Code::invalid_argument);
  EXPECT_EQ(queues_.move_item(ana_, {id, "tr-9", "complete", "bo"}).error().code, Code::not_found);
  EXPECT_EQ(must(queues_.items(ana_, {.queue = id, .status = "pending"})).items.size(), 2U);
  EXPECT_EQ(queues_.items(ana_, {.queue = id, .status = "x"}).error().code, Code::invalid_argument);
  const auto page = must(queues_.items(ana_, {.queue = id, .limit = 1}));
  EXPECT_EQ(must(queues_.items(ana_, {.queue = id, .limit = 1, .page_token = page.next_page_token}))
                .items.size(),
            1U);
  EXPECT_EQ(must(queues_.list(ana_, {.item = "tr-1"})).items.size(), 1U);
  must(queues_.remove_items(ana_, id, {"tr-1", "tr-none"}));
  EXPECT_EQ(must(queues_.list(ana_, {.item = "tr-1"})).items.size(), 0U);
}

TEST_F(ReviewsTest, ATraceThatIsDeletedLeavesTheQueuesOfItsProjectAlone) {
  Call other = ana_;
  other.project = "elsewhere";
  must(tracking_.experiment(other, 0));
  trace("tr-1");
  trace("tr-1", other);
  must(queues_.add_items(ana_, queue("a").queue.id, {"tr-1"}));
  must(queues_.add_items(ana_, queue("b").queue.id, {"tr-1"}));
  const auto theirs = must(queues_.create(other, {.experiment = 0, .name = "a", .type = "custom"}));
  must(queues_.add_items(other, theirs.queue.id, {"tr-1"}));
  EXPECT_EQ(must(traces_.remove(ana_, {.experiment = 0, .ids = {"tr-1"}})), 1);
  EXPECT_EQ(test::count(*db_, "review_queue_items"), 1);
  EXPECT_EQ(must(queues_.items(other, {.queue = theirs.queue.id})).items.size(), 1U);
  EXPECT_EQ(queues_.get(ana_, theirs.queue.id).error().code, Code::not_found);
}

}  // namespace
}  // namespace penstock::tracking
