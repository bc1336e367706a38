// A log of a few hundred events, and ways to break it.
#pragma once

#include <gtest/gtest.h>

#include "audit/audit.h"
#include "tests/support/fixture.h"

namespace penstock::audit {

class LogTest : public testing::Test {
 protected:
  void append(int events) {
    test::must(db_->write(call_, [&](sql::Tx& tx) -> Result<void> {
      for (int i = 0; i < events; ++i, ++appended_) {
        clock_.advance(Micros(7));
        TRY(record(tx, call_, clock_.now(),
                   {"thing.changed",
                    "thing:" + std::to_string(appended_),
                    {{"i", appended_}, {"text", "\"quoted\" \\ ,\"number\":3,\n\x7f \xc3\xa9"}}}));
      }
      return {};
    }));
  }
  void sql(const std::string& statement) {
    test::must(db_->write(call_, [&](sql::Tx& tx) { return tx.run(statement, {}); }));
  }
  Verification verify() { return test::must(service_.verify(call_)); }

  const Call call_ = test::call();
  ManualClock clock_;
  const std::unique_ptr<sql::Database> db_ = test::database();
  const SigningKey key_ = SigningKey::generate("penstock");
  Service service_{*db_, clock_, key_};
  int appended_ = 0;
};

}  // namespace penstock::audit
