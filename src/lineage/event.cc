#include "lineage/event.h"

#include <algorithm>
#include <array>

#include "base/digest.h"

namespace penstock::lineage {
namespace {

constexpr std::array event_types = {"START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"};

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !std::isxdigit(static_cast<unsigned char>(text[i]))) return false;
  }
  return true;
}

class Reader {
 public:
  std::vector<Violation> faults;

  const json::object* object(const json::object& in, std::string_view key, const std::string& path,
                             bool required) {
    const json::value* found = in.if_contains(key);
    if (!found || found->is_null()) {
      if (required) fault(path, "is missing");
      return nullptr;
    }
    if (found->is_object()) return &found->get_object();
    fault(path, "must be an object");
    return nullptr;
  }

  std::string text(const json::object& in, std::string_view key, const std::string& path,
                   std::int64_t max = name_max) {
    const json::value* found = in.if_contains(key);
    if (!found || found->is_null()) {
      fault(path, "is missing");
      return {};
    }
    if (!found->is_string()) {
      fault(path, "must be a text");
      return {};
    }
    std::string out(found->get_string());
    if (out.empty()) fault(path, "must not be empty");
    if (std::ssize(out) > max)
      fault(path, "has " + std::to_string(out.size()) + " characters; at most " +
                      std::to_string(max) + " are kept");
    if (out.find('\0') != out.npos) fault(path, "must not hold a zero byte");
    return out;
  }

  Name name(const json::object& in, const std::string& path) {
    return {text(in, "namespace", path + ".namespace"), text(in, "name", path + ".name")};
  }

  json::object facets(const json::object& in, std::string_view key, const std::string& path) {
    const json::object* found = object(in, key, path, false);
    if (!found) return {};
    for (const auto& facet : *found) {
      if (!facet.value().is_object())
        fault(path + "." + std::string(facet.key()), "must be an object");
      if (facet.key().find('\0') != std::string_view::npos)
        fault(path, "must not have a facet with a zero byte in its name");
    }
    return *found;
  }

  DatasetPart dataset(const json::object& in, const std::string& path, std::string_view more) {
    DatasetPart part{name(in, path), facets(in, "facets", path + ".facets")};
    if (more.empty()) return part;
    for (const auto& facet : facets(in, more, path + "." + std::string(more)))
      part.facets[facet.key()] = facet.value();
    return part;
  }

  std::vector<DatasetPart> datasets(const json::object& in, const std::string& key,
                                    std::string_view more) {
    std::vector<DatasetPart> out;
    const json::value* found = in.if_contains(key);
    if (!found || found->is_null()) return out;
    if (!found->is_array()) {
      fault(key, "must be a list");
      return out;
    }
    const json::array& list = found->get_array();
    if (list.size() > datasets_max) {
      fault(key, "has " + std::to_string(list.size()) + " datasets; an event may have " +
                     std::to_string(datasets_max));
      return out;
    }
    for (const json::value& item : list) {
      const std::string path = key + "[" + std::to_string(out.size()) + "]";
      if (item.is_object())
        out.push_back(dataset(item.get_object(), path, more));
      else
        fault(path, "must be an object"), out.emplace_back();
    }
    return out;
  }

  void fault(std::string path, std::string problem) {
    if (faults.size() < 100) faults.push_back({std::move(path), std::move(problem)});
  }
};

void read_run(Reader& reader, const json::object& said, Event& event) {
  if (const json::object* run = reader.object(said, "run", "run", true)) {
    event.run = reader.text(*run, "runId", "run.runId", 100);
    if (!event.run.empty() && !is_uuid(event.run))
      reader.fault("run.runId", "must be a UUID, not \"" + event.run + "\"");
    std::transform(event.run.begin(), event.run.end(), event.run.begin(),
                   [](unsigned char letter) { return std::tolower(letter); });
    event.run_facets = reader.facets(*run, "facets", "run.facets");
  }
  const json::value* type = said.if_contains("eventType");
  event.type = "OTHER";
  if (!type || type->is_null()) return;
  if (type->is_string()) event.type = std::string(type->get_string());
  if (!type->is_string() ||
      std::find(event_types.begin(), event_types.end(), event.type) == event_types.end())
    reader.fault("eventType", "must be one of START, RUNNING, COMPLETE, ABORT, FAIL, OTHER");
}

void read_kind(Reader& reader, const json::object& said, Event& event) {
  const auto has = [&](std::string_view key) {
    const json::value* found = said.if_contains(key);
    return found && !found->is_null();
  };
  if (has("dataset")) {
    event.kind = EventKind::dataset;
    for (const char* other : {"run", "job"})
      if (has(other))
        reader.fault(other, "must not stand beside dataset: a DatasetEvent has neither");
    if (const json::object* dataset = reader.object(said, "dataset", "dataset", true))
      event.dataset = reader.dataset(*dataset, "dataset", "");
    return;
  }
  if (!has("run") && !has("job"))
    return reader.fault("body", "must have run and job, job alone, or dataset");
  event.kind = has("run") ? EventKind::run : EventKind::job;
  if (event.kind == EventKind::run) read_run(reader, said, event);
  if (const json::object* job = reader.object(said, "job", "job", true)) {
    event.job = reader.name(*job, "job");
    event.job_facets = reader.facets(*job, "facets", "job.facets");
  }
  event.inputs = reader.datasets(said, "inputs", "inputFacets");
  event.outputs = reader.datasets(said, "outputs", "outputFacets");
}

}  // namespace

Result<Event> parse_event(const json::value& said) {
  Reader reader;
  Event event;
  if (!said.is_object()) {
    reader.fault("body", "must be an object: one RunEvent, JobEvent or DatasetEvent");
  } else {
    const json::object& object = said.get_object();
    const std::string at = reader.text(object, "eventTime", "eventTime", 100);
    if (const auto time = from_rfc3339(at))
      event.at = *time;
    else if (!at.empty())
      reader.fault("eventTime", "must be a time such as 2026-05-01T12:00:00Z, not \"" +
                                    at.substr(0, 100) + "\"");
    reader.text(object, "producer", "producer");
    reader.text(object, "schemaURL", "schemaURL");
    read_kind(reader, object, event);
  }
  if (!reader.faults.empty()) {
    std::string message = reader.faults.front().field + " " + reader.faults.front().problem;
    if (reader.faults.size() > 1)
      message += " (and " + std::to_string(reader.faults.size() - 1) + " more; see violations)";
    return Error{Code::invalid_argument, std::move(message), std::move(reader.faults)};
  }
  event.body = json::serialize(said);
  event.digest = sha256_hex(canonical(said));
  return event;
}

}  // namespace penstock::lineage
