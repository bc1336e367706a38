#include "lineage/ingest.h"

#include <algorithm>
#include <set>

#include "audit/audit.h"
#include "lineage/service.h"
#include "lineage/store.h"

namespace penstock::lineage {
namespace {

bool is_terminal(std::string_view state) {
  return state == "COMPLETE" || state == "FAIL" || state == "ABORT";
}

bool is_deleted(const json::value& facet) {
  const json::value* mark = facet.get_object().if_contains("_deleted");
  return mark && mark->is_bool() && mark->get_bool();
}

// {"run": {"runId": ...}} of a ParentRunFacet.
std::string parent_of(const json::object& facets) {
  const json::value* facet = facets.if_contains("parent");
  if (!facet) return {};
  const json::value* run = facet->get_object().if_contains("run");
  if (!run || !run->is_object()) return {};
  const json::value* id = run->get_object().if_contains("runId");
  return id && id->is_string() && id->get_string().size() <= 100 ? std::string(id->get_string())
                                                                 : std::string();
}

std::optional<Name> name_in(const json::value& said) {
  if (!said.is_object()) return {};
  const json::value* space = said.get_object().if_contains("namespace");
  const json::value* name = said.get_object().if_contains("name");
  if (!space || !name || !space->is_string() || !name->is_string()) return {};
  Name out{std::string(space->get_string()), std::string(name->get_string())};
  const auto is_kept = [](const std::string& text) {
    return !text.empty() && std::ssize(text) <= name_max && text.find('\0') == text.npos;
  };
  if (!is_kept(out.space) || !is_kept(out.name)) return {};
  return out;
}

// Every other name that the facets give the dataset: symlinks, and what it was called before.
std::vector<Name> other_names(const json::object& facets) {
  std::vector<Name> names;
  if (const json::value* links = facets.if_contains("symlinks"))
    if (const json::value* list = links->get_object().if_contains("identifiers");
        list && list->is_array())
      for (const json::value& item : list->get_array())
        if (auto name = name_in(item)) names.push_back(std::move(*name));
  if (const json::value* change = facets.if_contains("lifecycleStateChange")) {
    const json::value* state = change->get_object().if_contains("lifecycleStateChange");
    const json::value* before = change->get_object().if_contains("previousIdentifier");
    if (state && *state == json::value("RENAME") && before)
      if (auto name = name_in(*before)) names.push_back(std::move(*name));
  }
  return names;
}

}  // namespace

Result<void> Ingest::take(const Event& event) {
  if (!TRY(store::put_event(tx_, call_.project, event, now_))) return {};
  if (event.kind == EventKind::dataset) {
    TRY(keep_dataset(event.dataset, event.at));
    return {};
  }
  const std::string job = TRY(names_.job(event.job));
  TRY(keep_facets(job, event.job_facets, event.at));
  std::vector<std::string> inputs, outputs;
  for (const DatasetPart& part : event.inputs) inputs.push_back(TRY(keep_dataset(part, event.at)));
  for (const DatasetPart& part : event.outputs)
    outputs.push_back(TRY(keep_dataset(part, event.at)));
  if (event.kind == EventKind::run) {
    TRY(keep_run(event, job));
    for (const std::string& dataset : inputs)
      TRY(store::put_run_dataset(tx_, call_.project, event.run, "input", dataset));
    for (const std::string& dataset : outputs)
      TRY(store::put_run_dataset(tx_, call_.project, event.run, "output", dataset));
  } else {
    for (const auto& [direction, datasets] :
         {std::pair("input", &inputs), std::pair("output", &outputs)}) {
      const auto before = TRY(store::declared(tx_, call_.project, job, direction));
      if (before.empty() || before.front().since <= event.at)
        TRY(store::declare(tx_, call_.project, job, direction, *datasets, event.at));
    }
  }
  return refresh_job(job);
}

Result<Ingest::Kept> Ingest::keep_facet(const std::string& subject, std::string_view name,
                                        const json::value& body, Timestamp at) {
  const auto before = TRY(store::facet(tx_, call_.project, subject, std::string(name)));
  if (before && (before->at > at || before->body == body)) return Kept{};
  TRY(store::put_facet(tx_, {.project = call_.project,
                             .subject = subject,
                             .name = std::string(name),
                             .at = at,
                             .body = body}));
  return Kept{true, before ? before->body : json::value()};
}

Result<void> Ingest::keep_facets(const std::string& subject, const json::object& facets,
                                 Timestamp at) {
  for (const auto& facet : facets) TRY(keep_facet(subject, facet.key(), facet.value(), at));
  return {};
}

Result<std::string> Ingest::keep_dataset(const DatasetPart& part, Timestamp at) {
  std::string urn = TRY(names_.dataset(part.name));
  for (const Name& other : other_names(part.facets)) urn = TRY(names_.join(urn, other));
  for (const auto& facet : part.facets) {
    const Kept kept = TRY(keep_facet(urn, facet.key(), facet.value(), at));
    if (kept.changed && facet.key() == "columnLineage")
      TRY(keep_columns(urn, kept, is_deleted(facet.value()) ? json::value() : facet.value(), at));
  }
  return urn;
}

// Events come in any order: the first and the last time of a run are the least and the greatest
// that any of them says, and what ended stays ended.
Result<void> Ingest::keep_run(const Event& event, const std::string& job) {
  auto run = TRY(store::run(tx_, call_.project, event.run));
  if (!run)
    run = store::Run{.project = call_.project,
                     .id = event.run,
                     .job = job,
                     .state = event.type,
                     .started_at = event.at,
                     .at = event.at};
  run->started_at = std::min(run->started_at, event.at);
  const bool ends = is_terminal(event.type);
  if (ends || (!is_terminal(run->state) && event.at >= run->at && event.type != "OTHER"))
    run->state = event.type;
  if (ends) run->ended_at = event.at;
  run->at = std::max(run->at, event.at);
  if (const std::string parent = parent_of(event.run_facets); !parent.empty()) run->parent = parent;
  TRY(store::put_run(tx_, *run));
  return keep_facets("run:" + event.run, event.run_facets, event.at);
}

// What a job reads and writes now is what its newest complete run read and wrote, with what runs
// after that one say already and what a JobEvent declares. A complete run that says nothing of one
// side (its START got lost) ends nothing there. It is worked out anew from what is stored, so the
// order of events does not matter.
Result<void> Ingest::refresh_job(const std::string& job) {
  TRY(refresh_side(job, true));
  return refresh_side(job, false);
}

Result<void> Ingest::refresh_side(const std::string& job, bool input) {
  const std::string direction = input ? "input" : "output", relation = input ? "reads" : "made_by";
  const auto complete = TRY(store::newest_complete(tx_, call_.project, job, direction));
  std::map<std::string, Timestamp> wanted;
  Timestamp ends = complete.value_or(now_);
  for (const auto& used : TRY(store::used(tx_, call_.project, job, direction, complete)))
    wanted[used.dataset] = used.since;
  for (const auto& declared : TRY(store::declared(tx_, call_.project, job, direction))) {
    const auto [place, fresh] = wanted.emplace(declared.dataset, declared.since);
    if (!fresh) place->second = std::min(place->second, declared.since);
  }
  const auto holding = TRY(input ? catalog::edges_from(tx_, call_.project, job)
                                 : catalog::edges_to(tx_, call_.project, job));
  for (const catalog::Edge& edge : holding) {
    if (edge.relation != relation) continue;
    const std::string& dataset = input ? edge.to_urn : edge.from_urn;
    if (wanted.erase(dataset) > 0) continue;
    TRY(catalog::end_edge(tx_, call_, std::max(ends, edge.created_at), edge.from_urn, edge.to_urn,
                          relation));
    ++edges_ended_;
  }
  std::vector<catalog::Edge> added;
  for (const auto& [dataset, since] : wanted)
    added.push_back({.from_urn = input ? job : dataset,
                     .to_urn = input ? dataset : job,
                     .relation = relation,
                     .created_at = std::min(since, now_)});
  edges_added_ += std::ssize(added);
  return added.empty() ? Result<void>() : catalog::add_edges(tx_, call_, std::move(added));
}

Result<void> Service::take(const Call& call, const json::value& event) {
  return keep(call, {TRY(parse_event(event))});
}

Result<BatchAnswer> Service::take_all(const Call& call, const json::value& events) {
  if (!events.is_array())
    return Error{Code::invalid_argument,
                 "body must be a list of events; one alone goes to /api/v1/lineage",
                 {{"body", "must be a list"}}};
  const json::array& list = events.get_array();
  if (list.size() > batch_max)
    return Error{Code::invalid_argument,
                 "body has " + std::to_string(list.size()) + " events; send at most " +
                     std::to_string(batch_max) + " at once",
                 {{"body", "must have at most " + std::to_string(batch_max) + " events"}}};
  BatchAnswer answer;
  std::vector<Event> good;
  for (const json::value& one : list) {
    auto event = parse_event(one);
    if (event)
      good.push_back(std::move(event).take());
    else
      answer.failed_events.push_back({answer.summary.received, event.error().message, false});
    ++answer.summary.received;
  }
  if (!good.empty()) TRY(keep(call, good));
  answer.summary.successful = std::ssize(good);
  answer.summary.failed = std::ssize(answer.failed_events);
  answer.summary.non_retriable = answer.summary.failed;
  if (answer.summary.failed > 0) answer.status = "partial_success";
  return answer;
}

Result<void> Service::keep(const Call& call, const std::vector<Event>& events) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    Ingest ingest(tx, call, catalog_, clock_.now());
    for (const Event& event : events) TRY(ingest.take(event));
    if (ingest.names_made() + ingest.edges_added() + ingest.edges_ended() == 0) return {};
    const Event& last = events.back();
    return audit::record(
        tx, call, clock_.now(),
        {"lineage.graph_changed",
         last.kind == EventKind::dataset ? external_urn("dataset", last.dataset.name)
                                         : external_urn("job", last.job),
         {{"events", events.size()},
          {"names", ingest.names_made()},
          {"edges_added", ingest.edges_added()},
          {"edges_ended", ingest.edges_ended()}}});
  });
}

}  // namespace penstock::lineage
