// What is PostgreSQL's own: servers that go away, passwords.
#include "adapters/postgres/postgres.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/postgres.h"

namespace penstock {
namespace {

using sql::Tx;
using test::must;

const auto insert = [](Tx& tx) { return tx.run("INSERT INTO notes (id) VALUES (1)", {}); };
const auto create = [](Tx& tx) { return tx.run("CREATE TABLE notes (id BIGINT)", {}); };

TEST(PostgresTest, ConnectsAgainAfterTheServerWasRestarted) {
  test::Postgres server;
  const Call call = test::call();
  const auto db = must(postgres::open(server.connection(), "kept", 4));
  must(db->write(call, create));
  must(db->write(call, insert));
  EXPECT_EQ(test::count(*db, "notes"), 1);
  server.stop();
  const auto gone = db->write(call, insert);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Code::unavailable) << gone.error().message;
  server.start();
  must(db->write(call, insert));
  EXPECT_EQ(test::count(*db, "notes"), 2);
}

TEST(PostgresTest, FailsTheCallThatTheServerLeftInTheMiddle) {
  test::Postgres server;
  const Call call = test::call();
  const auto db = must(postgres::open(server.connection(), "kept", 4));
  must(db->write(call, create));
  const auto cut = db->write(call, [&](Tx& tx) -> Result<void> {
    TRY(tx.run("INSERT INTO notes (id) VALUES (1)", {}));
    server.stop();
    server.start();
    TRY(tx.run("INSERT INTO notes (id) VALUES (2)", {}));
    return {};
  });
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, Code::unavailable) << cut.error().message;
  const auto cut_at_commit = db->write(call, [&](Tx& tx) -> Result<void> {
    TRY(tx.run("INSERT INTO notes (id) VALUES (3)", {}));
    server.stop();
    server.start();
    return {};
  });
  ASSERT_FALSE(cut_at_commit);
  EXPECT_NE(cut_at_commit.error().message.find("not known"), std::string::npos)
      << cut_at_commit.error().message;
  EXPECT_EQ(test::count(*db, "notes"), 0);
}

TEST(PostgresTest, NeverSaysThePassword) {
  const std::string host = test::postgres_connection();
  const auto admin = must(postgres::open(host));
  must(admin->write(test::call(), [](Tx& tx) {
    return tx.run("CREATE ROLE guarded LOGIN PASSWORD 'right'", {});
  }));
  const std::string socket = host.substr(5, host.find(' ') - 5);
  const std::string cases[] = {
      "host=" + socket + " user=guarded dbname=postgres password=hunter2",
      "postgresql://guarded:hunter2@127.0.0.1:1/postgres",
      "host=" + socket + " user=guarded dbname=hunter2 password=hunter2",
      "host=" + socket + " hunter2",
      "postgresql://guarded:hunter2@[127.0.0.1/postgres",
      "password=hunter2 port=hunter2",
  };
  for (const std::string& connection : cases) {
    const auto refused = postgres::open(connection);
    ASSERT_FALSE(refused) << connection;
    EXPECT_EQ(refused.error().message.find("hunter2"), std::string::npos)
        << refused.error().message;
    EXPECT_FALSE(refused.error().message.empty());
  }
  must(postgres::open("host=" + socket + " user=guarded dbname=postgres password=right"));
}

TEST(PostgresTest, RefusesSchemasAndPoolsThatMakeNoSense) {
  const std::string host = test::postgres_connection();
  EXPECT_EQ(postgres::open(host, "a\"; DROP SCHEMA public").error().code, Code::invalid_argument);
  EXPECT_EQ(postgres::open(host, "Upper").error().code, Code::invalid_argument);
  EXPECT_EQ(postgres::open(host, "", 0).error().code, Code::invalid_argument);
}

TEST(PostgresTest, ManyServersMakeOneSchemaAtTheSameTime) {
  const std::string host = test::postgres_connection();
  std::vector<std::jthread> servers;
  for (int server = 0; server < 8; ++server)
    servers.emplace_back([&] {
      const auto db = must(postgres::open(host, "made_once", 2));
      must(sql::migrate(*db, {{"0001_notes", "CREATE TABLE notes (id BIGINT);"}}, Timestamp{}));
      must(db->write(test::call(), insert));
    });
  servers.clear();
  EXPECT_EQ(test::count(*must(postgres::open(host, "made_once", 2)), "notes"), 8);
}

}  // namespace
}  // namespace penstock
