// models: sign, signature, verify.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include <CLI/CLI.hpp>

#include "app/commands/record_commands.h"
#include "app/commands/version_path.h"
#include "base/digest.h"
#include "registry/model_signature.h"

namespace penstock::app {
namespace {

namespace fs = std::filesystem;
using registry::SignedFile;

constexpr std::uintmax_t key_file_max = 64 << 10;

Result<std::string> read_text(const std::string& path, std::uintmax_t size_max) {
  std::error_code fault;
  const std::uintmax_t size = fs::file_size(path, fault);
  if (fault || size > size_max)
    return Error{Code::invalid_argument,
                 "cannot read " + path + ": " + (fault ? fault.message() : "it is too large")};
  std::ifstream stream(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

Result<std::string> digest_of_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  Sha256Stream digest;
  std::string block(1 << 20, '\0');
  while (stream.read(block.data(), static_cast<std::streamsize>(block.size())) ||
         stream.gcount() > 0)
    digest.update(std::string_view(block.data(), static_cast<std::size_t>(stream.gcount())));
  if (stream.bad()) return Error{Code::invalid_argument, "cannot read " + path};
  return to_hex(digest.finish());
}

Result<std::vector<SignedFile>> files_below(const std::string& directory) {
  std::vector<SignedFile> out;
  std::error_code fault;
  for (fs::recursive_directory_iterator entry(directory, fault), end; !fault && entry != end;
       entry.increment(fault)) {
    if (entry->is_symlink())
      return Error{Code::invalid_argument,
                   entry->path().string() + " is a symbolic link; a signature is over files only"};
    if (entry->is_regular_file())
      out.push_back({fs::relative(entry->path(), directory).generic_string(),
                     TRY(digest_of_file(entry->path().string()))});
  }
  if (fault) return Error{Code::invalid_argument, directory + ": " + fault.message()};
  return out;
}

Result<std::vector<SignedFile>> files_of(const json::value& facts) {
  std::vector<SignedFile> out;
  for (const json::value& file : facts.at("files").as_array())
    out.push_back({text_of(file, "path"), text_of(file, "digest")});
  if (!out.empty()) return out;
  return Error{Code::failed_precondition,
               "the artifact " + text_of(facts.at("version").at("record"), "artifact_uri") +
                   " is not stored in the server, so there is nothing to sign"};
}

// What the server stores must be what lies in the folder: the person signs what they see.
Result<void> same_files(const std::vector<SignedFile>& stored,
                        const std::vector<SignedFile>& local) {
  std::map<std::string, std::string> left;
  for (const SignedFile& file : stored)
    if (file.path != registry::signature_file) left[file.path] = file.digest;
  for (const SignedFile& file : local) {
    if (file.path == registry::signature_file) continue;
    const auto known = left.find(file.path);
    if (known == left.end() || known->second != file.digest)
      return Error{Code::failed_precondition,
                   "file " + file.path + " of the folder is not what the server stores"};
    left.erase(known);
  }
  if (left.empty()) return {};
  return Error{Code::failed_precondition,
               "the server stores " + left.begin()->first + ", which the folder has not"};
}

Result<json::value> sign(Globals& globals, const std::string& name, const std::string& key_file,
                         const std::string& folder) {
  const std::string path = TRY(version_path(name));
  const std::string key = TRY(read_text(key_file, key_file_max));
  const auto facts = TRY(globals.client().call("GET", path));
  const auto stored = TRY(files_of(facts));
  if (!folder.empty()) TRY(same_files(stored, TRY(files_below(folder))));
  const json::object bundle =
      TRY(registry::sign_model(text_of(facts.at("version"), "model"), stored, key));
  return globals.client().call("POST", path + ":sign", json::object{{"bundle", bundle}});
}

void add_sign(CLI::App& models, Globals& globals) {
  CLI::App* command = models.add_subcommand(
      "sign", "Sign the files of NAME@v4 (OpenSSF Model Signing); the key stays here");
  auto name = std::make_shared<std::string>(), key = std::make_shared<std::string>(),
       folder = std::make_shared<std::string>();
  command->add_option("version", *name, "NAME@v4")->required();
  command->add_option("--private-key", *key, "PEM file of an elliptic curve key")->required();
  command->add_option("--files", *folder,
                      "folder that must hold exactly the files that are signed");
  command->callback([&globals, name, key, folder] {
    const auto signature = sign(globals, *name, *key, *folder);
    if (!signature) return globals.fail(signature.error());
    globals.show(*signature, [&] {
      std::cout << "signed " << *name << "; verified with signing key "
                << text_of(*signature, "key") << "\n";
    });
  });
}

void add_signature(CLI::App& models, Globals& globals) {
  CLI::App* command =
      models.add_subcommand("signature", "Write the signature of NAME@v4, as model.sig has it");
  auto name = std::make_shared<std::string>(), file = std::make_shared<std::string>("model.sig");
  command->add_option("version", *name, "NAME@v4")->required();
  command->add_option("-o,--output", *file, "file to write");
  command->callback([&globals, name, file] {
    const auto path = version_path(*name);
    if (!path) return globals.fail(path.error());
    const auto list = globals.ask("GET", *path + "/signatures");
    if (!list) return;
    for (const json::value& signature : list->at("signatures").as_array()) {
      if (!signature.at("verified").as_bool()) continue;
      std::ofstream out(*file, std::ios::binary | std::ios::trunc);
      out << json::serialize(signature.at("bundle")) << "\n";
      out.close();
      if (!out) return globals.fail({Code::invalid_argument, "cannot write " + *file, {}});
      std::cout << "wrote " << *file << ", by signing key " << text_of(signature, "key") << "\n";
      return;
    }
    globals.fail({Code::failed_precondition, *name + " has no signature that verifies", {}});
  });
}

// Of a folder, without a server; or of a version, by the server and its declared keys.
void add_verify(CLI::App& models, Globals& globals) {
  CLI::App* command =
      models.add_subcommand("verify", "Verify the signature of NAME@v4, or of a folder with --key");
  auto what = std::make_shared<std::string>(), key = std::make_shared<std::string>(),
       file = std::make_shared<std::string>();
  command->add_option("what", *what, "NAME@v4, or a folder")->required();
  command->add_option("--key", *key, "PEM file of the public key; needs no server");
  command->add_option("--signature", *file, "the signature; else model.sig in the folder");
  command->callback([&globals, what, key, file] {
    if (!key->empty()) {
      const auto verified = [&]() -> Result<std::size_t> {
        const std::string path = file->empty() ? *what + "/model.sig" : *file;
        boost::system::error_code fault;
        const json::value bundle = json::parse(TRY(read_text(path, 64 << 20)), fault);
        if (fault || !bundle.is_object())
          return Error{Code::failed_precondition, path + " is no signature: it is no JSON"};
        const auto files = TRY(files_below(*what));
        TRY(registry::verify_model(bundle.get_object(), files, TRY(read_text(*key, key_file_max))));
        return files.size();
      }();
      if (!verified) return globals.fail(verified.error());
      std::cout << "verified " << *what << "\n";
      return;
    }
    const auto path = version_path(*what);
    if (!path) return globals.fail(path.error());
    const auto list = globals.ask("GET", *path + "/signatures");
    if (!list) return;
    bool good = false;
    for (const json::value& one : list->at("signatures").as_array())
      good = good || one.at("verified").as_bool();
    globals.show(*list, [&] {
      for (const json::value& one : list->at("signatures").as_array())
        std::cout << text_of(one, "key_id").substr(0, 16) << "  "
                  << (one.at("verified").as_bool()
                          ? "verified with signing key " + text_of(one, "key") + " of " +
                                text_of(one, "owner")
                          : "NOT VERIFIED: " + text_of(one, "fault"))
                  << "\n";
      if (list->at("signatures").as_array().empty()) std::cout << *what << " is not signed\n";
    });
    if (!good) globals.exit = Exit::failed;
  });
}

}  // namespace

void add_signing_commands(CLI::App& models, Globals& globals) {
  add_sign(models, globals);
  add_signature(models, globals);
  add_verify(models, globals);
}

}  // namespace penstock::app
