// Topics of a real broker: the port, and sources of the catalog.
#include "adapters/kafka/kafka.h"

#include <thread>

#include "adapters/localfs/localfs.h"
#include "catalog/contract.h"
#include "catalog/dataset_builder.h"
#include "catalog/discovery.h"
#include "tests/support/kafka_server.h"
#include "tests/unit/catalog/catalog_fixture.h"

namespace penstock::catalog {
namespace {

using test::KafkaServer;
using test::must;

class KafkaTest : public CatalogTest {
 protected:
  static void SetUpTestSuite() {
    if (KafkaServer::is_there()) server_ = std::make_unique<KafkaServer>();
  }
  static void TearDownTestSuite() { server_.reset(); }

  void SetUp() override {
    if (!server_) GTEST_SKIP() << "Kafka is not there; run tools/setup.sh";
    static int number = 0;
    topic_ = "rides-" + std::to_string(++number);
    options_.data_directory = folder_.path();
    options_.scratch = folder_ / "copies";
    options_.brokers = {{"events", server_->plain()}, {"wrong", server_->with_password()}};
    options_.topics = [](const std::string& name) -> Result<std::shared_ptr<messages::Reader>> {
      kafka::Options options{.brokers = server_->plain()};
      if (name == "wrong")
        options = {.brokers = server_->with_password(),
                   .user = KafkaServer::user,
                   .password = "geheim-geheim",
                   .mechanism = "PLAIN"};
      if (name == "nobody") options.brokers = "127.0.0.1:1";
      return std::shared_ptr<messages::Reader>(TRY(kafka::open(options)));
    };
    topics_ = std::make_unique<Service>(*db_, *olap_, clock_, options_);
    resources_of_topics_ = std::make_unique<resources::Service>(*db_, clock_);
    topics_->register_kinds(*resources_of_topics_);
    quality_of_topics_ = std::make_unique<Quality>(*db_, *olap_, *topics_, clock_);
  }

  static std::string ride(int id, const std::string& more = "") {
    return "{\"id\": " + std::to_string(id) + ", \"city\": \"" + (id % 2 ? "Oslo" : "Bergen") +
           "\", \"km\": " + std::to_string(id) + ".5" + more + "}";
  }
  void send(int from, int to, int partition = 0) {
    std::vector<test::Sent> messages;
    for (int id = from; id < to; ++id)
      messages.push_back({ride(id), "k" + std::to_string(id), 1'700'000'000'000 + id * 1'000});
    server_->send(topic_, messages, partition);
  }

  std::string rides(const std::string& with = "") const {
    return "kind: source\nname: rides\nowner: rides\nkafka: {connection: events, topic: " + topic_ +
           "}\n" + R"(columns:
  - {name: _key, type: text, classification: internal}
  - {name: _partition, type: bigint, classification: public}
  - {name: _offset, type: bigint, classification: public}
  - {name: _timestamp, type: timestamp, classification: public}
  - {name: id, type: bigint, classification: public}
  - {name: city, type: text, classification: internal}
  - {name: km, type: double, classification: public}
)" + with;
  }
  Result<resources::ApplyOutput> apply_topic(const std::string& yaml) {
    resources::ApplyInput input;
    for (const auto& document : must(yaml::parse(yaml)))
      input.documents.push_back({.declaration = document.value.as_object()});
    return resources_of_topics_->apply(ana_, input);
  }
  std::string faults_of(const std::string& yaml) {
    const auto out = apply_topic(yaml);
    return out ? "" : test::faults_of(out.error());
  }
  Source source() {
    return must(db_->read(ana_, [&](sql::Tx& tx) { return sources_named(tx, "p1", {"rides"}); }))
        .front()
        .source;
  }
  std::string digest() { return must(topics_->snapshot_digest(source())); }
  // What is older than a copy may be is read again.
  void later() { clock_.advance(std::chrono::minutes(20)); }
  std::string told(const std::string& sql) {
    const auto session = must(olap_->session());
    must(topics_->bind(*session, {source()}));
    std::string out;
    for (const auto& row : must(session->query(sql)).rows) {
      for (const Scalar& value : row) out += json::serialize(to_json(value)) + " ";
      out += "\n";
    }
    return out;
  }

  static inline std::unique_ptr<KafkaServer> server_;
  std::string topic_;
  Options options_;
  std::unique_ptr<Service> topics_;
  std::unique_ptr<resources::Service> resources_of_topics_;
  std::unique_ptr<Quality> quality_of_topics_;
};

TEST_F(KafkaTest, ATopicIsASourceLikeAnyOther) {
  server_->make_topic(topic_, 3);
  for (int partition = 0; partition < 3; ++partition)
    send(partition * 10, partition * 10 + 10, partition);
  must(apply_topic(rides("primary_key: [id]\nfreshness: {max_age: 1h}\n")));
  clock_.set(Timestamp(std::chrono::milliseconds(1'700'000'029'000)) + std::chrono::minutes(30));
  const auto measure = must(quality_of_topics_->refresh(ana_, {"rides"}));
  EXPECT_TRUE(measure.passed) << measure.fault;
  EXPECT_EQ(measure.row_count, 30);
  EXPECT_TRUE(measure.fresh);
  EXPECT_EQ(measure.newest, Timestamp(std::chrono::milliseconds(1'700'000'029'000)));
  EXPECT_EQ(must(quality_of_topics_->profile(ana_, {"rides"})).columns[4].max, "29");
  EXPECT_EQ(told("SELECT _key, _partition, _offset, epoch_ms(_timestamp), id, city, km FROM rides "
                 "WHERE id = 13"),
            "\"k13\" 1 3 1700000013000 13 \"Oslo\" 1.35E1 \n");
  later();
  later();
  EXPECT_FALSE(must(quality_of_topics_->check(ana_, {"rides"})).fresh);
}

TEST_F(KafkaTest, TheSameOffsetsAreTheSameRowsAndDigest) {
  server_->make_topic(topic_, 2);
  send(0, 10, 0);
  send(10, 15, 1);
  must(apply_topic(rides()));
  const std::string before = digest();
  later();
  EXPECT_EQ(digest(), before);
  const auto blobs = must(localfs::open(folder_ / "blobs"));
  DatasetBuilder datasets(*db_, *olap_, *blobs, *topics_, clock_, folder_.path());
  const DatasetRequest request{"d", "SELECT city, count(*) AS n FROM rides GROUP BY city"};
  const auto made = must(datasets.create(ana_, request));
  EXPECT_EQ(made.snapshots.at(0).digest, before);
  EXPECT_EQ(must(datasets.create(ana_, request)).version, 1);
  // A session that is bound goes on reading what it was bound to.
  const auto session = must(olap_->session());
  EXPECT_EQ(must(topics_->snapshots().bind(*session, {source()})).at(0), before);
  send(15, 20, 1);
  later();
  EXPECT_NE(digest(), before);
  const auto rows = must(session->query("SELECT count(*) FROM rides"));
  EXPECT_EQ(std::get<std::int64_t>(rows.rows.at(0).at(0)), 15);
  EXPECT_EQ(must(datasets.create(ana_, request)).version, 2);
}

TEST_F(KafkaTest, OnlyWhatWasCommittedIsRead) {
  server_->make_topic(topic_, 1);
  send(0, 3);
  server_->send_in_transaction(topic_, {{ride(100)}, {ride(101)}}, false);
  server_->send_in_transaction(topic_, {{ride(3)}}, true);
  server_->send_in_transaction(topic_, {{ride(102)}}, false);  // the last offsets are no rows
  must(apply_topic(rides()));
  EXPECT_EQ(told("SELECT count(*)::BIGINT, max(id), max(_offset) FROM rides"), "4 3 6 \n");
}

TEST_F(KafkaTest, AWindowBoundsWhatIsRead) {
  server_->make_topic(topic_, 2);
  send(0, 10, 0);
  send(10, 30, 1);
  const std::string place = "topic: " + topic_ + "}";
  must(apply_topic(replaced(rides(), place, "topic: " + topic_ + ", messages_max: 10}")));
  EXPECT_EQ(told("SELECT min(id), max(id), count(*)::BIGINT FROM rides WHERE _partition = 0"),
            "5 9 5 \n");
  EXPECT_EQ(told("SELECT min(id), max(id), count(*)::BIGINT FROM rides WHERE _partition = 1"),
            "25 29 5 \n");
  clock_.set(Timestamp(std::chrono::milliseconds(1'700'000'030'000)));
  must(apply_topic(replaced(rides(), place, "topic: " + topic_ + ", since: 15s}")));
  EXPECT_EQ(told("SELECT min(id), max(id), count(*)::BIGINT FROM rides"), "15 29 15 \n");
  // What the broker removed is not missed: the copy begins where the topic does.
  server_->remove_before(topic_, 0, 4);
  must(apply_topic(rides()));
  later();
  EXPECT_EQ(told("SELECT min(id), count(*)::BIGINT FROM rides"), "4 26 \n");
}

TEST_F(KafkaTest, MessagesThatAreNoRowsAreCountedAndTheOthersRead) {
  server_->make_topic(topic_, 1);
  std::string deep(100'000, '[');
  server_->send(topic_,
                {{ride(1)},
                 {std::nullopt, "tombstone"},
                 {""},
                 {"no JSON at all"},
                 {"{\"id\": 1, \"id"},
                 {"[1, 2]"},
                 {"7"},
                 {"{\"id\": " + deep},
                 {"{\"x\": \"" + std::string(5 << 20, 'x') + "\"}"},
                 {"{\"city\": \"a\\u0000b\"}"},
                 {std::string("{\"city\": \"\xff\xfe\"}")},
                 {std::string("\0\1\2", 3)},
                 {"{\"id\": \"seven\"}"},
                 {"{\"id\": 1.5}"},
                 {"{\"id\": 1e300}"},
                 {"{\"km\": \"far\"}"},
                 {"{\"ID\": 5, \"id\": 5}"},
                 {ride(2, ", \"_offset\": 99, \"_key\": \"own\""), std::string("\xff\0", 2)},
                 {"{\"city\": {\"a\": [1, \"x, \\\"y\\\"\\n\"]}}"},
                 {"{\"city\": \"\", \"id\": null, \"km\": 3}"},
                 {"{}"}});
  must(apply_topic(rides()));
  const auto measure = must(quality_of_topics_->check(ana_, {"rides"}));
  EXPECT_EQ(measure.fault, "");
  EXPECT_TRUE(measure.passed);
  EXPECT_EQ(measure.row_count, 5);
  const CheckResult& check = measure.checks.at(0);
  EXPECT_EQ(check.name, "messages are rows");
  EXPECT_EQ(name_of(check.severity), "warning");
  EXPECT_FALSE(check.passed);
  EXPECT_EQ(check.violations, 16);
  for (const char* part :
       {"5 not JSON", "2 not a JSON object", "1 deeper than 32 levels", "1 larger than 4 MiB",
        "1 with a NUL in a text", "1 without a value", "3 whose id is not bigint",
        "1 whose km is not double", "1 with a field ID beside id"})
    EXPECT_NE(check.fault.find(part), std::string::npos) << part << " in: " << check.fault;
  EXPECT_EQ(told("SELECT _offset, _key, id, city, km FROM rides ORDER BY _offset"),
            "0 null 1 \"Oslo\" 1.5E0 \n"
            "17 \"\\\\xff00\" 2 \"Bergen\" 2.5E0 \n"
            "18 null null \"{\\\"a\\\":[1,\\\"x, \\\\\\\"y\\\\\\\"\\\\n\\\"]}\" null \n"
            "19 null null \"\" 3E0 \n"
            "20 null null null null \n");
}

TEST_F(KafkaTest, AnEmptyTopicHasNoRows) {
  server_->make_topic(topic_, 2);
  must(apply_topic(rides("freshness: {max_age: 1h, severity: warning}\n")));
  const auto measure = must(quality_of_topics_->refresh(ana_, {"rides"}));
  EXPECT_EQ(measure.fault, "");
  EXPECT_EQ(measure.row_count, 0);
  EXPECT_FALSE(measure.newest);
  EXPECT_FALSE(measure.fresh);
  EXPECT_TRUE(measure.passed);
}

TEST_F(KafkaTest, ItsTypesAreFoundInWhatIsThere) {
  server_->make_topic(topic_, 1);
  server_->send(topic_,
                {{R"({"id": 1, "at": "2026-05-01T12:00:00Z", "ok": true, "n": 1, "mixed": 1})"},
                 {R"({"id": 2, "at": "2026-05-01T12:00:01+02:00", "n": 2.5, "mixed": "a"})"},
                 {R"({"id": 3, "nested": {"a": 1}, "late": null, "ok": null})"},
                 {"not JSON"}});
  const auto find = [&](const KafkaTopic& place) {
    return discover(*olap_, topics_->snapshots(), ana_, {.kafka = place});
  };
  const auto found = must(find({.connection = "events", .topic = topic_}));
  std::string types;
  for (const SourceColumn& column : found.source.columns)
    types += column.name + " " + std::string(name_of(column.type)) + (column.nullable ? "? " : " ");
  EXPECT_EQ(types,
            "_key text? _partition bigint _offset bigint _timestamp timestamp id bigint at "
            "timestamp? ok boolean? n double? mixed text? nested text? late text? ");
  EXPECT_EQ(found.row_count, 3);
  EXPECT_EQ(found.source.name, topic_);
  EXPECT_NE(found.notes.front().find("left out: 1 not JSON"), std::string::npos);
  json::object declaration = encode(found.source).as_object();
  declaration["kind"] = "source";
  must(apply_topic(yaml::print(declaration)));
  // A field that nobody classified is drift; one that no message of late holds is none.
  server_->send(topic_, {{R"({"id": 4, "email": "a@b.no"})"}});
  later();
  const auto measure = must(quality_of_topics_->check(ana_, {topic_}));
  ASSERT_EQ(measure.drift.size(), 1u);
  EXPECT_NE(measure.drift[0].find("columns must declare email"), std::string::npos);
  EXPECT_EQ(find({.connection = "events", .topic = "no-such-topic"}).error().code, Code::not_found);
}

TEST_F(KafkaTest, WhatCannotBeReadIsRefusedWithTheReason) {
  server_->make_topic(topic_, 1);
  send(0, 2);
  struct Case {
    std::string what, yaml, fault;
  };
  const std::string good = rides();
  const Case cases[] = {
      {"an unknown connection", replaced(good, "connection: events", "connection: sea"),
       "kafka.connection must name a Kafka connection of penstock.yaml: events, wrong"},
      {"a wrong password", replaced(good, "connection: events", "connection: wrong"),
       "kafka.connection wrong may not read " + topic_},
      {"no such topic", replaced(good, "topic: " + topic_, "topic: none"),
       "kafka.topic names no topic of connection events: none"},
      {"a topic that is no name", replaced(good, "topic: " + topic_, "topic: a/b"),
       "kafka.topic must be a name"},
      {"no messages", replaced(good, topic_ + "}", topic_ + ", messages_max: 0}"),
       "kafka.messages_max must be at least 1"},
      {"another format", replaced(good, topic_ + "}", topic_ + ", format: xml}"),
       "kafka.format must be one of json"},
      {"a time of nothing", replaced(good, topic_ + "}", topic_ + ", since: 0s}"),
       "kafka.since must be more than 0"},
      {"a key of another type", replaced(good, "_key, type: text", "_key, type: bigint"),
       "columns[0].type must be text: what _key is, each message says itself"},
      {"two places", good + "path: x.parquet\n", "path must be given where"},
      {"a field that must be there and is not",
       good + "  - {name: gate, type: text, classification: public, nullable: false}\n",
       "columns[7].name gate is not a column of " + topic_},
      {"an undeclared field",
       replaced(good, "  - {name: km, type: double, classification: public}\n", ""),
       "columns must declare km"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const std::string faults = faults_of(c.yaml);
    EXPECT_NE(faults.find(c.fault), std::string::npos) << faults;
    EXPECT_EQ(faults.find("geheim"), std::string::npos) << faults;
  }
  EXPECT_EQ(test::count(*db_, "resources"), 0);
  must(apply_topic(good));
}

TEST_F(KafkaTest, ItsContractComesBackAsTheSameSource) {
  server_->make_topic(topic_, 1);
  send(0, 2);
  must(apply_topic(rides("compatibility: full\n")));
  const json::object contract = must(topics_->contract(ana_, {"rides"})).contract;
  const json::value& server = contract.at("servers").at(0);
  EXPECT_EQ(server.at("type"), "kafka");
  EXPECT_EQ(server.at("host"), json::value(server_->plain()));
  const auto back = must(import_contract(ana_, {.contract = contract, .owner = "rides"}));
  ASSERT_EQ(back.sources.size(), 1u);
  EXPECT_EQ(encode(back.sources[0].kafka), encode(source().kafka));
  EXPECT_EQ(encode(back.sources[0].columns), encode(source().columns));
  // Of another's contract the connection is for people to name.
  json::object other = contract;
  other["schema"].as_array()[0].as_object().erase("customProperties");
  const auto read = must(import_contract(ana_, {.contract = other, .owner = "rides"}));
  EXPECT_EQ(read.sources[0].kafka->topic, topic_);
  EXPECT_FALSE(read.warnings.empty());
  EXPECT_NE(
      faults_of(replaced(rides("compatibility: full\n"), "km, type: double", "km, type: text"))
          .find("breaks backward compatibility with version 1"),
      std::string::npos);
}

// The port itself.

std::vector<std::int64_t> offsets_of(messages::Reader& reader, const std::string& topic,
                                     const std::vector<messages::Range>& ranges) {
  std::vector<std::int64_t> out;
  must(reader.read(
      topic, ranges,
      [&](const messages::Message& message) -> Result<void> {
        out.push_back(message.offset);
        return {};
      },
      std::chrono::minutes(1)));
  return out;
}

TEST_F(KafkaTest, ConnectsWithAPasswordAndWithTls) {
  server_->make_topic(topic_, 1);
  send(0, 3);
  const kafka::Options named{.brokers = server_->with_password(),
                             .user = KafkaServer::user,
                             .password = KafkaServer::password,
                             .mechanism = "PLAIN"};
  const kafka::Options tls{
      .brokers = server_->with_tls(), .tls = true, .ca_file = server_->certificate()};
  for (const kafka::Options& options : {named, tls}) {
    const auto reader = must(kafka::open(options));
    const auto ranges = must(reader->ranges(topic_, 100, {}, std::chrono::minutes(1)));
    EXPECT_EQ(offsets_of(*reader, topic_, ranges), (std::vector<std::int64_t>{0, 1, 2}));
  }
  const auto stranger = must(kafka::open({.brokers = server_->with_tls(), .tls = true}));
  const auto refused = stranger->ranges(topic_, 100, {}, std::chrono::seconds(10));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::permission_denied) << refused.error().message;
  EXPECT_FALSE(kafka::open({}));
  EXPECT_FALSE(kafka::open({.brokers = "b", .user = "u"}));
  EXPECT_FALSE(kafka::open({.brokers = "b", .ca_file = server_->certificate()}));
  EXPECT_FALSE(kafka::open({.brokers = "b", .tls = true, .ca_file = "/nowhere"}));
}

TEST_F(KafkaTest, ReadsTheRangeAndNoMoreAndStopsWhereItIsTold) {
  server_->make_topic(topic_, 1);
  send(0, 2'500);
  const auto reader = must(kafka::open({.brokers = server_->plain()}));
  EXPECT_EQ(offsets_of(*reader, topic_, {{0, 10, 13}}), (std::vector<std::int64_t>{10, 11, 12}));
  EXPECT_EQ(offsets_of(*reader, topic_, {{0, 0, 2'500}}).size(), 2'500u);
  EXPECT_TRUE(offsets_of(*reader, topic_, {{0, 7, 7}}).empty());
  int visited = 0;
  const auto stopped = reader->read(
      topic_, {{0, 0, 2'500}},
      [&](const messages::Message&) -> Result<void> {
        if (++visited < 5) return {};
        return Error{Code::resource_exhausted, "enough"};
      },
      std::chrono::minutes(1));
  EXPECT_EQ(stopped.error().message, "enough");
  EXPECT_EQ(visited, 5);
  server_->remove_before(topic_, 0, 100);
  const auto gone = reader->read(
      topic_, {{0, 50, 60}}, [](const messages::Message&) -> Result<void> { return {}; },
      std::chrono::minutes(1));
  ASSERT_FALSE(gone);
  EXPECT_NE(gone.error().message.find("were removed from the topic"), std::string::npos)
      << gone.error().message;
}

TEST_F(KafkaTest, ABrokerThatIsGoneIsSaidAndComesBack) {
  server_->make_topic(topic_, 1);
  send(0, 2);
  const auto reader = must(kafka::open({.brokers = server_->plain()}));
  const auto nobody = must(kafka::open({.brokers = "127.0.0.1:1"}));
  const auto refused = nobody->ranges(topic_, 10, {}, std::chrono::seconds(2));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::unavailable);
  EXPECT_NE(refused.error().message.find("127.0.0.1:1"), std::string::npos)
      << refused.error().message;
  must(apply_topic(rides()));
  server_->stop();
  EXPECT_FALSE(reader->ranges(topic_, 10, {}, std::chrono::seconds(2)));
  later();
  const auto failed = must(quality_of_topics_->check(ana_, {"rides"}));
  EXPECT_FALSE(failed.passed);
  EXPECT_NE(failed.fault.find("the broker does not answer"), std::string::npos) << failed.fault;
  server_->start();
  server_->wait_until_led(topic_, 1);
  later();
  const auto again = must(quality_of_topics_->check(ana_, {"rides"}));
  EXPECT_EQ(again.row_count, 2) << again.fault;
}

}  // namespace
}  // namespace penstock::catalog
