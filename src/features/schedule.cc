// What is done again and again: materialize and verify, of the views whose turn it is.
#include <algorithm>

#include "base/log.h"
#include "features/operations.h"

namespace penstock::features {
namespace {

constexpr std::int64_t entities_verified = 1'000;
constexpr std::size_t causes_shown = 10;

Call caller(const std::string& project) {
  return {.actor = "service:features", .project = project};
}

}  // namespace

// Those whose time has come, who waits longest first. A project that cannot be read holds up none
// of the others.
Result<std::vector<Operations::Due>> Operations::views_due(
    const std::function<std::optional<Timestamp>(const states::Plan&, const ViewWork&)>& due_at) {
  const Timestamp now = parts_.clock.now();
  const auto plans = TRY(parts_.db.read(caller(""), [](sql::Tx& tx) { return states::plans(tx); }));
  std::map<std::string, std::map<std::string, states::Plan>> projects;
  for (const states::Plan& plan : plans) projects[plan.project][plan.view] = plan;
  std::vector<Due> out;
  for (const auto& [project, of_project] : projects) {
    const Call call = caller(project);
    const auto views = parts_.in_use(call);
    const auto known = works(call);
    if (!views || !known) {
      log::warn(
          "feature_views_not_read",
          {{"project", project}, {"error", views ? known.error().message : views.error().message}});
      continue;
    }
    for (const BoundView& view : *views) {
      const auto plan = of_project.find(view.handle->view.name);
      if (plan == of_project.end()) continue;
      const auto work = known->find({view.handle->view.name, view.handle->version});
      const ViewWork state = work == known->end() ? ViewWork{} : work->second;
      const auto at = due_at(plan->second, state);
      if (at && *at <= now) out.push_back({call, view, plan->second, state, *at});
    }
  }
  std::ranges::stable_sort(out, {}, &Due::at);
  return out;
}

Result<bool> Operations::run_due() {
  const auto due =
      TRY(views_due([](const states::Plan& plan, const ViewWork& work) -> std::optional<Timestamp> {
        if (!plan.schedule) return {};
        if (!work.next_run) return Timestamp::min();
        // A schedule that became closer holds at once.
        if (work.failures == 0 && work.last_run)
          return std::min(*work.next_run, *work.last_run + *plan.schedule);
        return work.next_run;
      }));
  for (const Due& one : due) {
    const Hold hold(*this, one.view.handle->prefix);
    if (!hold) continue;
    const auto key = TRY(key_of(one.call, *one.view.handle));
    // Another server, or thread, may have been faster since it was seen to be due.
    const auto now =
        TRY(parts_.db.read(one.call, [&](sql::Tx& tx) { return states::find(tx, key); }));
    if (now && now->last_run != one.work.last_run) continue;
    if (!TRY(take(one.call, key))) continue;
    const auto moved = materialize_held(one.call, one.view, parts_.clock.now(), key);
    if (!moved)
      log::warn("feature_view_not_materialized", {{"project", one.call.project},
                                                  {"view", one.view.handle->reference()},
                                                  {"error", moved.error().message}});
    return true;
  }
  return profile_due();
}

Result<bool> Operations::verify_due() {
  const auto due =
      TRY(views_due([](const states::Plan& plan, const ViewWork& work) -> std::optional<Timestamp> {
        // What was never materialized has nothing to compare.
        if (!plan.verify_every || !work.last_run || !work.definition.size()) return {};
        return work.next_verify.value_or(Timestamp::min());
      }));
  for (const Due& one : due) {
    const auto key = TRY(key_of(one.call, *one.view.handle));
    const Timestamp now = parts_.clock.now();
    bool mine = false;
    const ViewWork before = TRY(parts_.db.write(one.call, [&](sql::Tx& tx) {
      return states::change(tx, key, [&](ViewWork& work) {
        mine = !work.next_verify || *work.next_verify <= now;
        if (mine) work.next_verify = now + *one.plan.verify_every;
      });
    }));
    if (!mine) continue;
    TRY(settle(one, before, parts_.verify(one.call, one.view, entities_verified)));
    return true;
  }
  return false;
}

// Keeps what a verify found, and tells of differences as they come and go. What came into the
// sources since is no trouble where the next run of a schedule moves it.
Result<void> Operations::settle(const Due& one, const ViewWork& before,
                                Result<VerifyOutput> found) {
  const auto& [call, view, plan, work, due_at] = one;
  const states::Key key = TRY(key_of(call, *view.handle));
  std::int64_t wrong = 0;
  if (found)
    for (const auto& [cause, count] : found->causes) {
      const bool to_come = cause == "late data" || cause == "sources changed";
      if (!to_come || !plan.schedule || before.failures > 0) wrong += count;
    }
  const Timestamp now = parts_.clock.now();
  Trouble trouble{
      .key = "verify", .view_urn = view.handle->urn(), .owner = view.handle->view.owner};
  const std::string name = "feature view " + view.handle->reference();
  bool tells = false;
  if (!found) {
    log::warn("feature_view_not_verified", {{"project", call.project},
                                            {"view", view.handle->reference()},
                                            {"error", found.error().message}});
  } else if (wrong > 0) {
    tells = true;
    trouble.title = name + ": " + std::to_string(wrong) +
                    (wrong == 1 ? " difference" : " differences") +
                    " between online and offline, in a sample of " +
                    std::to_string(found->entities) + " entities";
    // Rows that were pushed stand online first; the sources have them later.
    trouble.minor = found->causes.size() == 1 && found->causes.contains("pushed only");
    json::array some;
    for (std::size_t i = 0; i < std::min(found->differences.size(), causes_shown); ++i)
      some.push_back(
          {{"feature", found->differences[i].feature}, {"cause", found->differences[i].cause}});
    trouble.detail = {{"causes", encode(found->causes)}, {"differences", std::move(some)}};
  } else if (before.differing.value_or(0) > 0) {
    tells = trouble.over = true;
    trouble.title = name + ": online values are those of offline again";
  }
  return parts_.db.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(states::change(tx, key, [&](ViewWork& state) {
      state.last_verified = now;
      state.next_verify = now + *plan.verify_every;
      state.verify_error = found ? "" : found.error().message.substr(0, 2'000);
      if (found) state.differing = wrong;
    }));
    return tells && tell_ ? tell_(tx, call, now, trouble) : Result<void>();
  });
}

}  // namespace penstock::features
