// The story that the demo tells, step by step. demo.cc tells it up to the releases, demo_after.cc
// the rest.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>

#include "app/demo_world.h"

namespace penstock::app {

class Demo {
 public:
  explicit Demo(DemoOptions options)
      : options_(std::move(options)),
        calendar_(calendar_of(options_.quick)),
        data_(std::filesystem::absolute(options_.data).string()),
        server_(data_ + "/server", data_ + "/sources", options_.config) {}

  Result<void> run();

 private:
  Result<void> make_directory();
  Result<json::value> python(const std::vector<std::string>& arguments);
  Result<void> prepare_sources();
  Result<void> make_people();
  Result<void> apply();
  Result<std::string> train(const std::string& from, const std::string& until,
                            const std::string& test_until);
  Result<std::int64_t> register_version(const std::string& run, const std::string& rollback_to);
  Result<std::string> start_release(std::int64_t version, bool first);
  Result<json::value> release(const std::string& id);
  Result<std::string> play_release(Replay& replay, const std::string& id, const std::string& until);
  Result<void> print_looks(const std::string& id);
  Result<void> first_release();
  Result<void> second_release(Replay& replay);
  Result<void> third_release(Replay& replay);
  Result<void> batch(const Replay& replay);
  Result<void> stream(const Replay& replay);
  Result<void> trace(const Replay& replay);
  Result<void> burst();
  Result<void> print_costs();
  Result<void> drain();
  Result<void> find_all(const Replay& replay);
  Result<void> summary(const Replay& replay);

  void heading(const std::string& text);
  Result<void> wait_for(const std::string& what, const std::function<Result<bool>()>& done);

  DemoOptions options_;
  Calendar calendar_;
  std::string data_;
  DemoServer server_;
  std::unique_ptr<DemoClient> admin_, ana_, bo_, desk_, operations_;
  std::string viewer_token_, second_state_, third_state_, third_release_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

// Midnight UTC of "2013-08-01".
Timestamp day_of(const std::string& text);

}  // namespace penstock::app
