// evidence NAME@v4 -o FILE, evidence verify FILE.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include <CLI/CLI.hpp>

#include "app/commands/version_path.h"
#include "app/config.h"
#include "evidence/archive.h"
#include "evidence/verify.h"

namespace penstock::app {
namespace {

Result<std::string> read_bundle(const std::string& path) {
  std::error_code fault;
  const std::uintmax_t size = std::filesystem::file_size(path, fault);
  if (fault) return Error{Code::invalid_argument, "cannot read " + path + ": " + fault.message()};
  if (size > evidence::archive_max)
    return Error{Code::invalid_argument, path + " is larger than any bundle of evidence"};
  std::ifstream stream(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

// A half-written bundle must not look like a whole one.
Result<void> write_bundle(const std::string& path, const std::string& bytes) {
  const std::string part = path + ".part";
  std::ofstream out(part, std::ios::binary | std::ios::trunc);
  out << bytes;
  out.close();
  if (out && ::rename(part.c_str(), path.c_str()) == 0) return {};
  std::error_code ignored;
  std::filesystem::remove(part, ignored);
  return Error{Code::invalid_argument, "cannot write " + path + "; choose another file with -o"};
}

Result<std::string> take_bundle(Globals& globals, const std::string& name) {
  const std::string path = TRY(version_path(name));
  net::Client client = globals.client(std::chrono::minutes(5));
  const auto answer = TRY(client.send("GET", path + "/evidence"));
  if (answer.status == 200) return answer.body;
  // A problem document, which call() reads as the error that the server meant.
  const auto again = client.call("GET", path + "/evidence");
  if (!again) return again.error();
  return Error{Code::internal, "the server answered " + std::to_string(answer.status)};
}

void make(Globals& globals, const std::string& name, const std::string& file) {
  const auto bytes = take_bundle(globals, name);
  if (!bytes) return globals.fail(bytes.error());
  if (const auto done = write_bundle(file, *bytes); !done) return globals.fail(done.error());
  globals.show(json::object{{"file", file}, {"bytes", bytes->size()}}, [&] {
    std::cout << "wrote " << file << ", " << bytes->size()
              << " bytes; penstock evidence verify FILE --key KEY checks it anywhere\n";
  });
}

void print_report(const evidence::Report& report) {
  if (report.made_at)
    std::cout << report.subject << " in project " << report.project << ", for " << report.made_by
              << " at " << to_rfc3339(*report.made_at) << "\n";
  for (const std::string& proven : report.proven) std::cout << "  proven: " << proven << "\n";
  for (const std::string& other : report.not_proven) std::cout << "  not proven: " << other << "\n";
  for (const std::string& fault : report.faults) std::cout << "  WRONG: " << fault << "\n";
  std::cout << (report.holds ? "the evidence holds\n" : "BROKEN: this is no evidence\n");
}

// With nothing but the file and the key.
void check(Globals& globals, const std::string& file, const std::string& key_text) {
  const auto key = [&]() -> Result<audit::PublicKey> {
    return audit::PublicKey::parse(TRY(resolve_secret(key_text)));
  }();
  if (!key) return globals.fail(key.error());
  const auto bytes = read_bundle(file);
  if (!bytes) return globals.fail(bytes.error());
  const evidence::Report report = evidence::verify(*bytes, *key);
  globals.show(encode(report), [&] { print_report(report); });
  if (!report.holds) globals.exit = Exit::failed;
}

}  // namespace

void add_evidence_commands(CLI::App& parent, Globals& globals) {
  CLI::App* evidence = parent.add_subcommand(
      "evidence", "Write all that is known of NAME@v4 into one signed file, or verify such a file");
  auto name = std::make_shared<std::string>(), file = std::make_shared<std::string>("evidence.zip");
  evidence->add_option("version", *name, "NAME@v4, or model:NAME@v4");
  evidence->add_option("-o,--output", *file, "the file")->capture_default_str();
  CLI::App* verify =
      evidence->add_subcommand("verify", "Check a bundle with its server's public key, offline");
  auto bundle = std::make_shared<std::string>(), key = std::make_shared<std::string>();
  verify->add_option("bundle", *bundle, "a file that penstock evidence wrote")->required();
  verify
      ->add_option("--key", *key,
                   "the server's public key, or file:PATH; penstock audit key prints it")
      ->required();
  verify->callback([&globals, bundle, key] { check(globals, *bundle, *key); });
  evidence->callback([&globals, verify, name, file] {
    if (verify->parsed()) return;
    if (name->empty())
      return globals.fail({Code::invalid_argument, "say of which version: NAME@v4"});
    make(globals, *name, *file);
  });
}

}  // namespace penstock::app
