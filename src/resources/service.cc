#include "resources/service.h"

#include "resources/fingerprint.h"
#include "resources/projects.h"

#include <algorithm>
#include <optional>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/told.h"
#include "base/urn.h"
#include "resources/store.h"

namespace penstock::resources {
namespace {

// Every fault of every document, each with the file and line that it stands at.
class Faults {
 public:
  void add(const Document& document, const std::string& subject, const Error& error) {
    if (error.violations.empty())
      return all_.push_back({where(document, "") + subject, error.message});
    for (const Violation& violation : error.violations)
      all_.push_back({where(document, violation.field) + subject + ": " + violation.field,
                      told_problem(violation)});
  }
  bool any() const { return !all_.empty(); }
  Error error() && {
    std::string message = all_.front().field + " " + all_.front().problem;
    if (all_.size() > 1) message += " (and " + std::to_string(all_.size() - 1) + " more faults)";
    return {Code::invalid_argument, message + "; nothing was changed", std::move(all_)};
  }

 private:
  // "flights.yaml:12: ", from the line of the field or of the nearest parent that has one.
  static std::string where(const Document& document, std::string field) {
    if (document.file.empty()) return "";
    while (!field.empty()) {
      const auto line = document.lines.find(field);
      if (line != document.lines.end())
        return document.file + ":" + std::to_string(line->second) + ": ";
      const std::size_t cut = field.find_last_of(".[");
      field = cut == std::string::npos ? "" : field.substr(0, cut);
    }
    const auto first =
        std::min_element(document.lines.begin(), document.lines.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    return document.file +
           (first == document.lines.end() ? "" : ":" + std::to_string(first->second)) + ": ";
  }

  std::vector<Violation> all_;
};

std::vector<std::string> differing_fields(const json::object& before, const json::object& after) {
  std::vector<std::string> fields;
  for (const auto& entry : after)
    if (!before.contains(entry.key()) || before.at(entry.key()) != entry.value())
      fields.emplace_back(entry.key());
  for (const auto& entry : before)
    if (!after.contains(entry.key())) fields.emplace_back(entry.key());
  return fields;
}

std::string text_field(const json::object& object, std::string_view field) {
  const json::value* value = object.if_contains(field);
  return value && value->is_string() ? std::string(value->get_string()) : "";
}

Result<void> check_name(const std::string& name) {
  const bool valid =
      !name.empty() && name.size() <= 200 && std::all_of(name.begin(), name.end(), [](char letter) {
        return letter != '/' && Urn::is_name_letter(letter);
      });
  if (valid) return {};
  return Error{Code::invalid_argument,
               "has no usable name",
               {{"name", "must be 1 to 200 letters, digits or . _ -"}}};
}

// Stores the declaration if it differs from the newest version.
Result<Change> store_declaration(sql::Tx& tx, const Call& call, Timestamp now,
                                 const KindHandler& handler, json::object declaration) {
  const std::string name = text_field(declaration, "name");
  TRY(check_name(name));
  json::object checked = TRY(handler.check(tx, call, declaration));
  const std::string digest = sha256_hex(canonical(checked));
  const auto found = TRY(store::find(tx, call.project, handler.kind, name, 0));
  Change change{.kind = handler.kind, .name = name, .version = 1};
  if (!found.empty()) {
    change.version = found[0].version;
    if (found[0].digest == digest) return change;
    ++change.version;
    change.fields = differing_fields(found[0].declaration, checked);
  }
  change.action = found.empty() ? Action::create : Action::update;
  const Resource resource{.project = call.project,
                          .kind = handler.kind,
                          .name = name,
                          .version = change.version,
                          .digest = digest,
                          .owner = text_field(checked, "owner"),
                          .declaration = std::move(checked),
                          .applied_at = now,
                          .applied_by = call.actor};
  TRY(sql::insert(tx, "resources", resource));
  TRY(audit::record(tx, call, now,
                    {"resources.applied",
                     handler.kind + ":" + name + "@" + std::to_string(change.version),
                     {{"digest", digest}, {"fields", encode(change.fields)}}}));
  if (handler.applied) TRY(handler.applied(tx, call, resource));
  return change;
}

}  // namespace

Result<ApplyOutput> Service::apply(const Call& call, const ApplyInput& input) {
  Faults faults;
  std::vector<std::vector<std::size_t>> by_kind(handlers_.size());
  std::map<std::string, std::size_t> seen;
  for (std::size_t i = 0; i < input.documents.size(); ++i) {
    const Document& document = input.documents[i];
    const std::string kind = text_field(document.declaration, "kind");
    const std::string subject = kind + " " + text_field(document.declaration, "name");
    const auto handler = std::find_if(handlers_.begin(), handlers_.end(),
                                      [&](const KindHandler& h) { return h.kind == kind; });
    if (handler == handlers_.end()) {
      std::string known;
      for (const KindHandler& h : handlers_) known += (known.empty() ? "" : ", ") + h.kind;
      faults.add(document, subject,
                 {Code::invalid_argument, "", {{"kind", "must be one of " + known}}});
    } else if (!seen.emplace(subject, i).second) {
      faults.add(document, subject, {Code::invalid_argument, "is declared twice in one apply"});
    } else {
      by_kind[static_cast<std::size_t>(handler - handlers_.begin())].push_back(i);
    }
  }

  for (std::size_t k = 0; k < handlers_.size(); ++k)
    for (const std::size_t i : by_kind[k]) {
      json::object declaration = input.documents[i].declaration;
      declaration.erase("kind");
      if (handlers_[k].prepare) handlers_[k].prepare(call, declaration);
    }

  // A plan runs the whole apply and then drops it, so what it shows is what would be.
  ApplyOutput planned;
  auto result = db_.write(call, [&](sql::Tx& tx) -> Result<ApplyOutput> {
    ApplyOutput out;
    for (std::size_t k = 0; k < handlers_.size(); ++k)
      for (const std::size_t i : by_kind[k]) {
        const Document& document = input.documents[i];
        json::object declaration = document.declaration;
        declaration.erase("kind");
        const std::string subject = handlers_[k].kind + " " + text_field(declaration, "name");
        auto change = store_declaration(tx, call, clock_.now(), handlers_[k], declaration);
        if (change)
          out.changes.push_back(std::move(change).take());
        else if (change.error().code == Code::internal || change.error().code == Code::unavailable)
          return change.error();
        else
          faults.add(document, subject, change.error());
      }
    if (faults.any()) return std::move(faults).error();
    planned = out;
    if (input.dry_run) return Error{Code::failed_precondition, "dry run"};
    return out;
  });
  if (input.dry_run && !result && result.error().message == "dry run") return planned;
  if (!result) return result;
  const bool changed =
      std::any_of(result->changes.begin(), result->changes.end(),
                  [](const Change& change) { return change.action != Action::unchanged; });
  if (changed)
    for (const auto& listener : listeners_) listener(call, *result);
  return result;
}

Result<Resource> Service::get(const Call& call, const std::string& kind, const std::string& name) {
  return db_.read(call, [&](sql::Tx& tx) { return resources::get(tx, call.project, kind, name); });
}

Result<std::vector<Resource>> Service::list(const Call& call, const std::string& kind) {
  return db_.read(call, [&](sql::Tx& tx) { return store::newest(tx, call.project, kind); });
}

Result<Resource> get(sql::Tx& tx, const std::string& project, std::string_view kind,
                     std::string_view name, std::int64_t version) {
  auto found = TRY(store::find(tx, project, kind, name, version));
  if (!found.empty()) return std::move(found.front());
  return Error{Code::not_found, "there is no " + std::string(kind) + " " + std::string(name) +
                                    (version ? " version " + std::to_string(version) : "") +
                                    " in project " + project +
                                    "; declare it and run penstock apply"};
}

Result<std::vector<Resource>> list(sql::Tx& tx, const std::string& project, std::string_view kind) {
  return store::newest(tx, project, kind);
}

Result<std::string> fingerprint(sql::Tx& tx, const std::string& project, std::string_view kind) {
  return store::fingerprint(tx, project, kind);
}

Result<std::vector<std::string>> projects_with(sql::Tx& tx, std::string_view kind) {
  return store::projects_with(tx, kind);
}

Result<std::vector<Resource>> get_many(
    sql::Tx& tx, const std::string& project,
    const std::vector<std::pair<std::string, std::string>>& names) {
  constexpr std::size_t at_once = 100;
  std::vector<Resource> all;
  for (std::size_t at = 0; at < names.size(); at += at_once) {
    const std::vector<std::pair<std::string, std::string>> some(
        names.begin() + static_cast<std::ptrdiff_t>(at),
        names.begin() + static_cast<std::ptrdiff_t>(std::min(at + at_once, names.size())));
    auto found = TRY(store::newest_of(tx, project, some));
    all.insert(all.end(), std::make_move_iterator(found.begin()),
               std::make_move_iterator(found.end()));
  }
  return all;
}

}  // namespace penstock::resources
