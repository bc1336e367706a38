// The work on online rows that goes on by itself, and what is known of it.
#pragma once

#include <functional>
#include <mutex>
#include <set>

#include "features/gates.h"
#include "features/online.h"
#include "features/states.h"

namespace penstock::features {

// Who tells people of troubles, in the transaction that keeps them.
using OnTrouble = std::function<Result<void>(sql::Tx& tx, const Call& call, Timestamp at,
                                             const Trouble& trouble)>;

// Changes with whatever of a view changes what is written for one row of its sources.
std::string definition_of(const ViewHandle& view);

// For several threads, and for several servers on one database: who works on a view of a store
// holds its row of feature_view_states. A server that died holds it until the lease ends; with the
// name that it had before it takes its own back at once.
class Operations {
 public:
  struct Parts {
    sql::Database& db;
    olap::Engine& olap;
    kv::Store& kv;
    const Clock& clock;
    Metrics& metrics;
    Offline& offline;
    Online& online;
    Options options;
    std::function<Result<std::vector<BoundView>>(const Call& call)> in_use;
    std::function<Result<VerifyOutput>(const Call& call, const BoundView& view,
                                       std::int64_t sample)>
        verify;
  };
  explicit Operations(Parts parts) : parts_(std::move(parts)) {}

  void on_trouble(OnTrouble tell) { tell_ = std::move(tell); }

  // Looks at the view's gates, and moves its rows if they hold; failed_precondition where one does
  // not, and then nothing is moved. Waits for whoever has the view now, at most half a minute.
  Result<Materialized> materialize(const Call& call, const BoundView& view, Timestamp until);

  // Writes rows behind the watermark anew that the store lost, as after a failover of Redis; waits
  // as materialize does. failed_precondition where the rows that were moved are gone.
  Result<Materialized> repair(const Call& call, const BoundView& view);

  // One turn of the background: materializes the view that waits longest, or profiles days that
  // were moved. A failure is kept with its view, and put off longer each time; the third in a row
  // is told. True: there may be more.
  Result<bool> run_due();
  // The same for verify. A difference is told.
  Result<bool> verify_due();
  // How old the rows of every view with an objective are: metrics, and troubles as they begin and
  // end.
  Result<void> measure();

  Result<ViewProfileOutput> profile(const Call& call, const BoundView& view,
                                    const std::optional<Timestamp>& day);

  // What is known of each view's work, by name and version.
  using Works = std::map<std::pair<std::string, std::int64_t>, ViewWork>;
  Result<Works> works(const Call& call);
  Result<std::map<std::string, states::Plan>> plans_of(const Call& call);
  // Whether a view keeps `objective`, by the older of watermark and newest event.
  bool is_fresh(Micros objective, const std::optional<Watermark>& watermark,
                const std::optional<ViewWork>& work) const;

  // From the hot path: takes no database.
  void pushed(const std::string& project, const ViewHandle& view,
              const std::vector<Online::Row>& rows, const Online::Written& written);
  // Keeps what was pushed since the last time.
  Result<void> keep_pushed();

 private:
  struct Run {
    states::Key key;
    Timestamp started;
    bool looked = false;  // at the gates
    bool renewed = false;
    GateReport report;
    std::optional<Timestamp> before, newest;
  };
  // A view whose turn came at `at`.
  struct Due {
    Call call;
    BoundView view;
    states::Plan plan;
    ViewWork work;
    Timestamp at;
  };
  struct Pushed {
    std::string project, view;
    std::int64_t version = 0;
    Timestamp newest, at;
  };
  // A view that a thread of this server works on, given back at the end; false where another has
  // it.
  class Hold {
   public:
    Hold(Operations& operations, std::string prefix);
    Hold(const Hold&) = delete;
    ~Hold();
    explicit operator bool() const { return held_; }

   private:
    Operations& operations_;
    const std::string prefix_;
    bool held_ = false;
  };

  Result<std::string> store();
  Result<states::Key> key_of(const Call& call, const ViewHandle& view);
  static json::object detail_of(const GateResult& result);
  Result<bool> take(const Call& call, const states::Key& key);
  // Once nobody else works on the view.
  Result<Materialized> while_held(
      const Call& call, const BoundView& view,
      const std::function<Result<Materialized>(const states::Key& key)>& work);
  void pause() const;
  Result<Materialized> materialize_held(const Call& call, const BoundView& view, Timestamp until,
                                        const states::Key& key);
  Result<Materialized> move(const Call& call, const BoundView& view, Timestamp until, Run& run);
  Result<Materialized> move_stretches(const Call& call, const BoundView& view,
                                      const OfflineTable& table, Timestamp until, Run& run);
  Result<void> check_gates(const Call& call, const ViewHandle& view, const OfflineTable& table,
                           const std::optional<Watermark>& before, Timestamp until, Run& run);
  Result<void> finish(const Call& call, const BoundView& view, const Run& run,
                      const Result<Materialized>& moved);
  Result<void> tell_of_run(sql::Tx& tx, const Call& call, const BoundView& view,
                           const ViewWork& before, const ViewWork& after);
  Result<void> keep_gates(const ViewHandle& view, GateReport report, Run& run);
  Result<GateInput::Changed> changed(const ViewHandle& view, const std::string& latest,
                                     std::size_t feature);
  // Of windowed views. SELECT: keys, event_time (of the newest event), created_time, features; of
  // `entities` (SELECT: keys, event_time) by what had arrived of `events` then.
  Result<std::string> window_values(olap::Session& session, const ViewHandle& view,
                                    const std::string& events, const std::string& entities);
  Result<void> check_window_gates(const Call& call, const ViewHandle& view,
                                  const OfflineTable& table, const std::optional<Watermark>& before,
                                  Timestamp until, Run& run);
  Result<GateInput::Changed> changed_in_windows(olap::Session& session, const ViewHandle& view,
                                                const std::string& values,
                                                const std::optional<Watermark>& before,
                                                Timestamp until, std::size_t feature);
  Result<std::string> window_profile_rows(olap::Session& session, const ViewHandle& view,
                                          const OfflineTable& table, Timestamp from,
                                          Timestamp until);
  Result<bool> keys_hidden(const Call& call, const ViewHandle& view);

  Result<std::vector<Due>> views_due(
      const std::function<std::optional<Timestamp>(const states::Plan&, const ViewWork&)>& due_at);
  Result<void> settle(const Due& one, const ViewWork& before, Result<VerifyOutput> found);

  Result<bool> profile_due();
  Result<ViewProfile> make_profile(const Call& call, const BoundView& view,
                                   const OfflineTable& table, Timestamp until, Timestamp day);
  Result<void> redact(const Call& call, const BoundView& view, ViewProfile& profile);

  const Parts parts_;
  OnTrouble tell_;
  std::mutex turn_;
  std::set<std::string> working_;         // prefixes of views that threads of this server hold
  std::map<std::string, Pushed> pushed_;  // by prefix, not kept yet
};

}  // namespace penstock::features
