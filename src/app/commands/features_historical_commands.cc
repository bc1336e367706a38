// features get-historical: rows of this machine out, the join back.
#include "app/commands/features_historical.h"

#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include <CLI/CLI.hpp>

#include "base/digest.h"

namespace penstock::app {
namespace {

constexpr std::size_t piece_bytes = 8 << 20;

struct Historical {
  std::string schema, sql, path, entities, known, dataset, output;
  std::vector<std::string> names;
};

// What a problem document says.
Error said(const net::ClientResponse& response) {
  boost::system::error_code fault;
  const json::value document = json::parse(response.body, fault);
  const json::value* detail =
      !fault && document.is_object() ? document.get_object().if_contains("detail") : nullptr;
  return {Code::failed_precondition,
          detail && detail->is_string()
              ? std::string(detail->get_string())
              : "the server answered with status " + std::to_string(response.status)};
}

// Sends a file in pieces; gives the name that the join knows it by.
Result<std::string> send_rows(net::Client& client, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{Code::invalid_argument, "--entities: " + path + " cannot be read"};
  const bool csv = std::filesystem::path(path).extension() == ".csv";
  const auto begun = TRY(client.call("POST", "/api/v1/entity-rows",
                                     json::object{{"format", csv ? "csv" : "parquet"}}));
  const std::string upload = text_of(begun, "upload");
  std::string piece(piece_bytes, '\0');
  std::size_t offset = 0;
  while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())), file.gcount() > 0) {
    const auto size = static_cast<std::size_t>(file.gcount());
    const auto sent = TRY(
        client.send("PUT", "/api/v1/entity-rows/" + upload + "?offset=" + std::to_string(offset),
                    {piece.data(), size}, {{"Content-Type", "application/octet-stream"}}));
    if (sent.status != 200) return said(sent);
    offset += size;
  }
  if (!file.eof()) return Error{Code::unavailable, path + " could not be read to its end"};
  return upload;
}

// Fetches a result in pieces; the file is there whole, with the bytes that were promised, or not.
Result<void> fetch(net::Client& client, const std::string& digest, std::int64_t size,
                   const std::string& path) {
  const std::string part = path + ".part";
  std::ofstream file(part, std::ios::binary);
  Sha256Stream hash;
  std::int64_t offset = 0;
  while (file && offset < size) {
    const std::int64_t end = std::min(offset + static_cast<std::int64_t>(piece_bytes), size) - 1;
    const auto got = TRY(
        client.send("GET", "/api/v1/historical/" + digest, "",
                    {{"Range", "bytes=" + std::to_string(offset) + "-" + std::to_string(end)}}));
    if (got.status != 206) return said(got);
    hash.update(got.body);
    file.write(got.body.data(), static_cast<std::streamsize>(got.body.size()));
    offset += static_cast<std::int64_t>(got.body.size());
    if (got.body.empty()) break;
  }
  std::error_code fault;
  if (!file.flush())
    return Error{Code::failed_precondition, "--output: " + part + " cannot be written"};
  if (offset != size || to_hex(hash.finish()) != digest) {
    std::filesystem::remove(part, fault);
    return Error{Code::unavailable, "other bytes came than were promised; ask again"};
  }
  std::filesystem::rename(part, path, fault);
  if (fault) return Error{Code::failed_precondition, "--output: " + path + ": " + fault.message()};
  return {};
}

Result<json::object> body_of(net::Client& client, const Historical& options) {
  json::array names;
  for (const std::string& name : options.names) names.push_back(json::value(name));
  json::object body{{"entity_sql", options.sql},
                    {"entity_path", options.path},
                    {"feature_schema", options.schema},
                    {"features", std::move(names)},
                    {"dataset", options.dataset},
                    {"temporary", !options.output.empty() && options.dataset.empty()}};
  if (options.sql.starts_with("@")) {
    std::ifstream file(options.sql.substr(1));
    if (!file)
      return Error{Code::invalid_argument,
                   "--entity-sql: " + options.sql.substr(1) + " cannot be read"};
    body["entity_sql"] = std::string(std::istreambuf_iterator<char>(file), {});
  }
  if (!options.known.empty()) body["known_as_of"] = options.known;
  if (!options.entities.empty()) body["entity_upload"] = TRY(send_rows(client, options.entities));
  return body;
}

Result<json::value> made_of(net::Client& client, const Historical& options) {
  const auto body = TRY(body_of(client, options));
  auto made = TRY(client.call("POST", "/api/v1/features:historical", body));
  if (!options.output.empty())
    TRY(fetch(client, text_of(made, "digest"), made.at("bytes").to_number<std::int64_t>(),
              options.output));
  return made;
}

void get_historical(Globals& globals, const Historical& options) {
  auto client = globals.client(std::chrono::hours(1));  // joins over years of rows
  const auto made = made_of(client, options);
  if (!made) return globals.fail(made.error());
  globals.show(*made, [&] {
    std::cout << text_of(*made, "row_count") << " rows, "
              << (options.output.empty() ? text_of(*made, "uri") : options.output) << "\n";
    if (const std::string dataset = text_of(*made, "dataset"); !dataset.empty())
      std::cout << dataset << "\n";
  });
}

}  // namespace

void add_get_historical(CLI::App& features, Globals& globals) {
  auto options = std::make_shared<Historical>();
  CLI::App* command =
      features.add_subcommand("get-historical", "Join features as of each row's instant");
  command->add_option("--schema", options->schema,
                      "A feature schema: features_v1 or features_v1@1");
  command->add_option("--feature", options->names, "view:feature, instead of a schema");
  command->add_option("--entities", options->entities,
                      "A Parquet or CSV file of this machine: event_time, the join keys, and more");
  command->add_option("--entity-sql", options->sql,
                      "SELECT over sources of event_time and the join keys, or @FILE");
  command->add_option("--entity-path", options->path, "A Parquet file that the server can read");
  command->add_option("--known-as-of", options->known, "See no row that was created later");
  command->add_option("--dataset", options->dataset, "Keep the result as a dataset of this name");
  command->add_option("--output", options->output, "Write the result to this Parquet file");
  command->callback([&globals, options] { get_historical(globals, *options); });
}

}  // namespace penstock::app
