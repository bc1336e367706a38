#include "app/status_page.h"

namespace penstock::app {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char letter : text) switch (letter) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      default: out += letter;
    }
  return out;
}

std::string table(const std::string& title, const std::vector<std::string>& headings,
                  const std::vector<std::vector<std::string>>& rows) {
  std::string out = "<h2>" + escaped(title) + "</h2>\n";
  if (rows.empty()) return out + "<p>None.</p>\n";
  out += "<table><tr>";
  for (const std::string& heading : headings) out += "<th>" + escaped(heading) + "</th>";
  out += "</tr>\n";
  for (const auto& row : rows) {
    out += "<tr>";
    for (const std::string& cell : row) out += "<td>" + escaped(cell) + "</td>";
    out += "</tr>\n";
  }
  return out + "</table>\n";
}

Result<std::string> routes_table(StatusParts& parts, const Call& call) {
  std::vector<std::vector<std::string>> rows;
  for (const serving::RouteView& route : TRY(parts.serving.list(call)).routes)
    for (const serving::TargetView& target : route.targets)
      rows.push_back({route.name, target.model + "@v" + std::to_string(target.version),
                      std::string(name_of(target.arm)), std::to_string(target.weight / 100) + " %",
                      target.ready ? "ready" : "not loaded", std::to_string(target.answered),
                      std::to_string(target.errors), route.owner});
  return table("Routes",
               {"Route", "Version", "Arm", "Share", "State", "Answered", "Errors", "Owner"}, rows);
}

Result<std::string> releases_table(StatusParts& parts, const Call& call) {
  std::vector<std::vector<std::string>> rows;
  for (const release::Release& release : TRY(parts.release.list(call, {})).releases)
    rows.push_back({release.id, release.route,
                    release.model + "@v" + std::to_string(release.version),
                    std::string(name_of(release.state)), release.author,
                    to_rfc3339(release.updated_at), release.reason});
  return table("Releases", {"Release", "Route", "Version", "State", "Author", "Since", "Why"},
               rows);
}

Result<std::string> incidents_table(StatusParts& parts, const Call& call) {
  std::vector<std::vector<std::string>> rows;
  for (const incidents::Incident& incident :
       TRY(parts.incidents.list(call, {.limit = 50})).incidents)
    rows.push_back({std::string(name_of(incident.severity)), std::string(name_of(incident.status)),
                    incident.title, incident.subject, incident.owner,
                    to_rfc3339(incident.opened_at)});
  return table("Incidents", {"Severity", "Status", "What", "About", "Owner", "Opened"}, rows);
}

Result<std::string> spending_table(StatusParts& parts, const Call& call) {
  std::vector<std::vector<std::string>> rows;
  const auto report = TRY(parts.costs.report(call, {.by = "version,tenant"}));
  for (const costs::ReportRow& row : report.rows)
    rows.push_back({row.keys.at(0), row.keys.at(1), to_text(row.amount)});
  rows.push_back({"all", "", to_text(report.total)});
  return table("Spending", {"Version", "Tenant", "Amount"}, rows);
}

Result<std::string> page(StatusParts& parts, const Call& call) {
  std::string out =
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Penstock</title>"
      "<meta name=\"viewport\" content=\"width=device-width\">"
      "<style>body{font:15px/1.4 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em}"
      "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3em .6em;"
      "border-bottom:1px solid #ccc;vertical-align:top}th{background:#f3f3f3}</style>"
      "<h1>Penstock: project " +
      escaped(call.project) + "</h1>\n";
  out += TRY(routes_table(parts, call));
  out += TRY(releases_table(parts, call));
  out += TRY(incidents_table(parts, call));
  out += TRY(spending_table(parts, call));
  return out + "</html>\n";
}

api::Response answer(StatusParts& parts, const Call& call) {
  auto text = page(parts, call);
  if (!text) return api::problem(text.error());
  return {.body = std::move(text).take(), .content_type = "text/html; charset=utf-8"};
}

}  // namespace

std::vector<api::Route> status_routes(StatusParts parts) {
  return {{.method = "GET",
           .path = "/status",
           .summary = "Health of routes, releases, incidents and spending, as a page",
           .permission = api::Permission::read,
           .handle = [parts](const Call& call, const api::Request&) mutable {
             return answer(parts, call);
           }}};
}

}  // namespace penstock::app
