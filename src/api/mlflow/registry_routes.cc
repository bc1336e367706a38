#include "api/mlflow/registry_routes.h"

#include <cctype>

#include "api/mlflow/pair.h"
#include "api/mlflow/protocol.h"
#include "tracking/registered_models.h"

namespace penstock::api {
namespace {

using mlflow::Arguments;
using Object = Result<json::object>;

Result<std::vector<tracking::Pair>> tags_of(const Arguments& in) {
  std::vector<tracking::Pair> out;
  for (const Arguments& one : TRY(in.objects("tags"))) out.push_back(TRY(mlflow::pair_of(one)));
  return out;
}

Result<std::int64_t> version_of(const Arguments& in) {
  const auto number = TRY(in.whole("version"));
  if (number) return *number;
  TRY(in.text("version"));
  return std::int64_t{0};
}

Result<tracking::Search> search_of(const Arguments& in, std::int64_t limit) {
  auto filter = TRY(in.text_or("filter", ""));
  auto order_by = TRY(in.texts("order_by"));
  const auto limit_asked = TRY(in.whole_or("max_results", limit));
  auto page_token = TRY(in.text_or("page_token", ""));
  return tracking::Search{.filter = std::move(filter),
                          .order_by = std::move(order_by),
                          .limit = limit_asked,
                          .page_token = std::move(page_token)};
}

// As MLflow reads them: in any case.
Result<tracking::Stage> stage_of(const std::string& said) {
  using enum tracking::Stage;
  std::string small;
  for (const unsigned char letter : said) small += static_cast<char>(std::tolower(letter));
  if (small == "none") return None;
  if (small == "staging") return Staging;
  if (small == "production") return Production;
  if (small == "archived") return Archived;
  return Error{Code::invalid_argument,
               "Invalid Model Version stage: " + said +
                   ". Value must be one of None, Staging, Production, Archived."};
}

Result<bool> flag_of(const Arguments& in, std::string_view name) {
  const auto text = in.text_or(name, "");
  if (text && (*text == "true" || *text == "false")) return *text == "true";
  return in.flag_or(name, false);
}

json::object said(const tracking::VersionView& view) {
  const tracking::VersionNote& note = view.note;
  json::array aliases;
  for (const std::string& alias : view.aliases) aliases.emplace_back(alias);
  json::object out{{"name", note.name},
                   {"version", std::to_string(note.version)},
                   {"creation_timestamp", note.created_at},
                   {"last_updated_timestamp", note.updated_at},
                   {"user_id", note.user_id},
                   {"current_stage", name_of(view.stage)},
                   {"description", note.description},
                   {"source", note.source},
                   {"run_id", note.run},
                   {"status", "READY"},
                   {"tags", encode(view.tags)},
                   {"aliases", std::move(aliases)}};
  if (!note.logged_model.empty()) out["model_id"] = note.logged_model;
  return out;
}

json::object said(const tracking::RegisteredModelView& view) {
  json::array latest, aliases;
  for (const tracking::VersionView& version : view.latest) latest.push_back(said(version));
  for (const tracking::Alias& alias : view.aliases)
    aliases.push_back(
        json::object{{"alias", alias.alias}, {"version", std::to_string(alias.version)}});
  return {{"name", view.model.name},
          {"creation_timestamp", view.model.created_at},
          {"last_updated_timestamp", view.model.updated_at},
          {"description", view.model.description},
          {"latest_versions", std::move(latest)},
          {"tags", encode(view.tags)},
          {"aliases", std::move(aliases)}};
}

json::object as_model(const tracking::RegisteredModelView& view) {
  return {{"registered_model", said(view)}};
}
json::object as_version(const tracking::VersionView& view) {
  return {{"model_version", said(view)}};
}

template <class T>
json::object page(const char* name, const tracking::Found<T>& found) {
  json::array items;
  for (const T& one : found.items) items.push_back(said(one));
  json::object out{{name, std::move(items)}};
  if (!found.next_page_token.empty()) out["next_page_token"] = found.next_page_token;
  return out;
}

using Add = std::function<void(const char*, const char*, const char*, Permission, mlflow::Handler)>;

void add_models(const Add& add, tracking::RegisteredModels& models) {
  using enum Permission;
  add("POST", "create", "Create a registered model", write,
      [&](const Call& call, const Arguments& in) -> Object {
        return as_model(TRY(models.create(call, TRY(in.text("name")),
                                          TRY(in.text_or("description", "")), TRY(tags_of(in)))));
      });
  add("GET", "get", "Show a registered model", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return as_model(TRY(models.get(call, TRY(in.text("name")))));
      });
  add("PATCH", "update", "Describe a registered model", write,
      [&](const Call& call, const Arguments& in) -> Object {
        return as_model(
            TRY(models.describe(call, TRY(in.text("name")), TRY(in.text_or("description", "")))));
      });
  add("POST", "rename", "Rename a registered model", write,
      [&](const Call& call, const Arguments& in) -> Object {
        return as_model(TRY(models.rename(call, TRY(in.text("name")), TRY(in.text("new_name")))));
      });
  add("DELETE", "delete", "Delete a registered model", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(models.remove(call, TRY(in.text("name"))));
        return json::object{};
      });
  add("GET", "search", "Search registered models", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return page("registered_models", TRY(models.search(call, TRY(search_of(in, 100)))));
      });
  for (const char* method : {"GET", "POST"})
    add(method, "get-latest-versions", "Show the newest version of each stage", read,
        [&](const Call& call, const Arguments& in) -> Object {
          std::vector<tracking::Stage> stages;
          for (const std::string& one : TRY(in.texts("stages")))
            stages.push_back(TRY(stage_of(one)));
          json::array out;
          for (const auto& one : TRY(models.latest(call, TRY(in.text("name")), stages)))
            out.push_back(said(one));
          return json::object{{"model_versions", std::move(out)}};
        });
  add("POST", "set-tag", "Set a tag of a registered model", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(models.set_tag(call, TRY(in.text("name")), TRY(mlflow::pair_of(in))));
        return json::object{};
      });
  add("DELETE", "delete-tag", "Delete a tag of a registered model", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(models.remove_tag(call, TRY(in.text("name")), TRY(in.text("key"))));
        return json::object{};
      });
  add("POST", "alias", "Give a version an alias", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(models.set_alias(call, TRY(in.text("name")), TRY(in.text("alias")),
                             TRY(version_of(in))));
        return json::object{};
      });
  add("GET", "alias", "Show the version of an alias", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return as_version(TRY(models.by_alias(call, TRY(in.text("name")), TRY(in.text("alias")))));
      });
  add("DELETE", "alias", "Take an alias away", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(models.remove_alias(call, TRY(in.text("name")), TRY(in.text("alias"))));
        return json::object{};
      });
}

void add_versions(const Add& add, tracking::RegisteredModels& models) {
  using enum Permission;
  add("POST", "create", "Register a model version", write,
      [&](const Call& call, const Arguments& in) -> Object {
        auto model = TRY(in.text("name"));
        auto source = TRY(in.text("source"));
        auto run = TRY(in.text_or("run_id", ""));
        auto logged_model = TRY(in.text_or("model_id", ""));
        auto description = TRY(in.text_or("description", ""));
        auto tags = TRY(tags_of(in));
        return as_version(TRY(models.create_version(call, {.model = std::move(model),
                                                           .source = std::move(source),
                                                           .run = std::move(run),
                                                           .logged_model = std::move(logged_model),
                                                           .description = std::move(description),
                                                           .tags = std::move(tags)})));
      });
  add("GET", "get", "Show a model version", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return as_version(TRY(models.version(call, TRY(in.text("name")), TRY(version_of(in)))));
      });
  add("PATCH", "update", "Describe a model version", write,
      [&](const Call& call, const Arguments& in) -> Object {
        return as_version(TRY(models.describe_version(
            call, TRY(in.text("name")), TRY(version_of(in)), TRY(in.text_or("description", "")))));
      });
  add("DELETE", "delete", "Delete a model version", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(models.remove_version(call, TRY(in.text("name")), TRY(version_of(in))));
        return json::object{};
      });
  add("POST", "transition-stage", "Move a version to another stage", write,
      [&](const Call& call, const Arguments& in) -> Object {
        auto model = TRY(in.text("name"));
        auto version = TRY(version_of(in));
        auto to = TRY(stage_of(TRY(in.text("stage"))));
        auto archive_others = TRY(flag_of(in, "archive_existing_versions"));
        return as_version(
            TRY(models.move_stage(call, {.model = std::move(model),
                                         .version = std::move(version),
                                         .to = std::move(to),
                                         .archive_others = std::move(archive_others)})));
      });
  add("GET", "get-download-uri", "Say where a version's files are", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return json::object{{"artifact_uri", TRY(models.download_uri(call, TRY(in.text("name")),
                                                                     TRY(version_of(in))))}};
      });
  add("GET", "search", "Search model versions", read,
      [&](const Call& call, const Arguments& in) -> Object {
        return page("model_versions",
                    TRY(models.search_versions(call, TRY(search_of(in, 10'000)))));
      });
  add("POST", "set-tag", "Set a tag of a model version", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(models.set_version_tag(call, TRY(in.text("name")), TRY(version_of(in)),
                                   TRY(mlflow::pair_of(in))));
        return json::object{};
      });
  add("DELETE", "delete-tag", "Delete a tag of a model version", write,
      [&](const Call& call, const Arguments& in) -> Object {
        TRY(models.remove_version_tag(call, TRY(in.text("name")), TRY(version_of(in)),
                                      TRY(in.text("key"))));
        return json::object{};
      });
}

}  // namespace

std::vector<Route> mlflow_registry_routes(tracking::RegisteredModels& models) {
  std::vector<Route> routes;
  const auto below = [&](const std::string& root) -> Add {
    return [&routes, root](const char* method, const char* path, const char* summary,
                           Permission permission, mlflow::Handler handler) {
      mlflow::add(routes, method, root + path, summary, permission, std::move(handler));
    };
  };
  add_models(below("registered-models/"), models);
  add_versions(below("model-versions/"), models);
  return routes;
}

}  // namespace penstock::api
