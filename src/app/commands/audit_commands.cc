// audit: list, verify, key, checkpoint, prove, export.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <iterator>

#include <CLI/CLI.hpp>

#include "app/command.h"
#include "app/config.h"
#include "audit/export.h"

namespace penstock::app {
namespace {

using Text = std::shared_ptr<std::string>;

// A file as it lies on the disk: an export can be larger than memory.
class Mapped {
 public:
  ~Mapped() {
    if (data_ != MAP_FAILED) ::munmap(data_, size_);
  }
  Result<std::string_view> open(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat found {};
    const bool there = file >= 0 && ::fstat(file, &found) == 0 && S_ISREG(found.st_mode);
    if (there && found.st_size > 0) {
      size_ = static_cast<std::size_t>(found.st_size);
      data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
      if (data_ != MAP_FAILED) ::madvise(data_, size_, MADV_SEQUENTIAL);
    }
    if (file >= 0) ::close(file);
    if (there && found.st_size == 0) return std::string_view();
    if (data_ == MAP_FAILED) return Error{Code::not_found, path + " cannot be read"};
    return std::string_view(static_cast<const char*>(data_), size_);
  }

 private:
  void* data_ = MAP_FAILED;
  std::size_t size_ = 0;
};

Result<std::string> read_text(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return Error{Code::not_found, path + " cannot be read"};
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

// A key as text, or file:PATH of one.
Result<audit::PublicKey> key_of(const std::string& text) {
  return audit::PublicKey::parse(TRY(resolve_secret(text)));
}

void say(Globals& globals, const audit::Verification& got) {
  globals.show(encode(got), [&] {
    std::cout << got.events << " events, root " << got.root << ", signed up to " << got.signed_size
              << (got.intact ? ", intact" : ", BROKEN: " + got.fault) << "\n";
  });
  if (!got.intact) globals.exit = Exit::failed;
}

// With nothing but the file, the key and, where it was kept, a checkpoint of before.
Result<audit::Verification> verify_file(const std::string& path, const std::string& key,
                                        const std::string& since) {
  if (key.empty())
    return Error{Code::invalid_argument,
                 "give the log's public key with --key: the one in the file could be anybody's"};
  audit::ExportVerifier verifier(TRY(key_of(key)));
  if (!since.empty()) TRY(verifier.must_continue(TRY(read_text(since))));
  Mapped file;
  std::string_view text = TRY(file.open(path));
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (!verifier.line(text.substr(0, end))) break;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return verifier.finish();
}

std::vector<Sha256> path_of(const json::value& proof) {
  std::vector<Sha256> path;
  for (const json::value& hash : proof.at("path").as_array())
    path.push_back(sha256_from_hex(hash.as_string()));
  return path;
}

// That the server's log continues the one of a kept checkpoint, checked here.
Result<void> check_continues(Globals& globals, const audit::PublicKey& key,
                             const std::string& kept_note) {
  const audit::Head kept = TRY(audit::open_checkpoint(kept_note, key));
  net::Client client = globals.client();
  const json::value answer = TRY(client.call("POST", "/api/v1/audit:checkpoint", json::object{}));
  const audit::Head now = TRY(audit::open_checkpoint(text_of(answer, "note"), key));
  if (now.size < kept.size)
    return Error{Code::data_loss, "the server's log has " + std::to_string(now.size) +
                                      " events, and the checkpoint that was kept " +
                                      std::to_string(kept.size) + ": its end was cut off"};
  std::vector<Sha256> path;
  if (kept.size > 0)
    path = path_of(
        TRY(client.call("GET", "/api/v1/audit/proof/consistency?from=" + std::to_string(kept.size) +
                                   "&to=" + std::to_string(now.size))));
  if (audit::consistency_holds(kept.size, kept.root, now.size, now.root, path)) return {};
  return Error{Code::data_loss,
               "the server's log does not continue the checkpoint that was kept: it was rewritten "
               "or forked"};
}

void verify_server(Globals& globals, const std::string& key, const std::string& since) {
  if (!since.empty()) {
    const auto note = read_text(since);
    if (!note) return globals.fail(note.error());
    if (key.empty())
      return globals.fail({Code::invalid_argument,
                           "give the log's public key with --key: the server's own word for it "
                           "proves nothing"});
    const auto known = key_of(key);
    if (!known) return globals.fail(known.error());
    if (const auto done = check_continues(globals, *known, *note); !done)
      return globals.fail(done.error());
  }
  const auto answer = globals.ask("POST", "/api/v1/audit:verify", json::object{});
  if (!answer) return;
  const auto got = decode<audit::Verification>(*answer);
  if (!got) return globals.fail(got.error());
  say(globals, *got);
}

void add_verify(CLI::App& audit, Globals& globals) {
  CLI::App* command = audit.add_subcommand(
      "verify", "Check the server's log, or with FILE an exported one without any server");
  const Text file = std::make_shared<std::string>(), key = std::make_shared<std::string>(),
             since = std::make_shared<std::string>();
  command->add_option("file", *file, "of penstock audit export");
  command->add_option("--key", *key, "the public key, or file:PATH; penstock audit key prints it");
  command->add_option("--since", *since, "a file with a checkpoint that was kept");
  command->callback([&globals, file, key, since] {
    if (file->empty()) return verify_server(globals, *key, *since);
    const auto got = verify_file(*file, *key, *since);
    if (!got) return globals.fail(got.error());
    say(globals, *got);
  });
}

void add_key_and_checkpoint(CLI::App& audit, Globals& globals) {
  CLI::App* key = audit.add_subcommand("key", "Print the public key that the log is signed with");
  key->callback([&globals] {
    const auto answer = globals.ask("GET", "/api/v1/audit/key");
    if (answer) globals.show(*answer, [&] { std::cout << text_of(*answer, "key") << "\n"; });
  });
  CLI::App* checkpoint = audit.add_subcommand(
      "checkpoint",
      "Sign the log as it stands, and print the note: keep it where this server "
      "cannot write");
  checkpoint->callback([&globals] {
    const auto answer = globals.ask("POST", "/api/v1/audit:checkpoint", json::object{});
    if (answer) globals.show(*answer, [&] { std::cout << text_of(*answer, "note"); });
  });
}

void add_prove(CLI::App& audit, Globals& globals) {
  CLI::App* command =
      audit.add_subcommand("prove", "Show an event, and prove that it is in the signed log");
  auto number = std::make_shared<std::int64_t>(0);
  const Text key = std::make_shared<std::string>();
  command->add_option("number", *number, "of the event")->required();
  command->add_option("--key", *key, "the public key, or file:PATH")->required();
  command->callback([&globals, number, key] {
    const auto known = key_of(*key);
    if (!known) return globals.fail(known.error());
    const auto signed_head = globals.ask("POST", "/api/v1/audit:checkpoint", json::object{});
    if (!signed_head) return;
    const auto head = audit::open_checkpoint(text_of(*signed_head, "note"), *known);
    if (!head) return globals.fail(head.error());
    const auto proof =
        globals.ask("GET", "/api/v1/audit/proof/inclusion?number=" + std::to_string(*number) +
                               "&size=" + std::to_string(head->size));
    if (!proof) return;
    const Sha256 leaf = audit::leaf_hash(text_of(*proof, "entry"));
    if (!audit::inclusion_holds(leaf, *number, head->size, path_of(*proof), head->root))
      return globals.fail({Code::data_loss,
                           "the proof does not hold: the event is not the one "
                           "that was signed"});
    globals.show(*proof, [&] {
      std::cout << text_of(*proof, "entry") << "\nis event " << *number << " of " << head->size
                << ", signed by " << known->name << "\n";
    });
  });
}

Result<std::int64_t> write_export(Globals& globals, std::ostream& out) {
  net::Client client = globals.client(std::chrono::minutes(5));
  const json::value key = TRY(client.call("GET", "/api/v1/audit/key"));
  const json::value head = TRY(client.call("POST", "/api/v1/audit:checkpoint", json::object{}));
  const auto size = head.at("size").to_number<std::int64_t>();
  out << audit::export_header(TRY(audit::PublicKey::parse(text_of(key, "key"))));
  for (std::int64_t from = 0; from < size; from += audit::export_page) {
    const auto page = TRY(client.send("GET", "/api/v1/audit/export?from=" + std::to_string(from) +
                                                 "&to=" + std::to_string(size)));
    if (page.status != 200)
      return Error{page.status == 403 ? Code::permission_denied : Code::internal, page.body};
    out << page.body;
  }
  out.flush();
  if (!out) return Error{Code::unavailable, "the file cannot be written"};
  return size;
}

void add_export(CLI::App& audit, Globals& globals) {
  CLI::App* command = audit.add_subcommand("export", "Write the whole log to a file, signed");
  const Text path = std::make_shared<std::string>();
  command->add_option("-o,--output", *path, "the file")->required();
  command->callback([&globals, path] {
    // A half-written export must not look like a whole one.
    const std::string part = *path + ".part";
    std::ofstream out(part, std::ios::binary | std::ios::trunc);
    if (!out) return globals.fail({Code::unavailable, part + " cannot be written"});
    const auto events = write_export(globals, out);
    out.close();
    if (events && ::rename(part.c_str(), path->c_str()) == 0)
      return globals.show(json::object{{"events", *events}, {"file", *path}}, [&] {
        std::cout << *events << " events in " << *path
                  << "; penstock audit verify FILE --key KEY checks it anywhere\n";
      });
    ::unlink(part.c_str());
    globals.fail(events ? Error{Code::unavailable, *path + " cannot be written"} : events.error());
  });
}

void add_list(CLI::App& audit, Globals& globals) {
  CLI::App* list = audit.add_subcommand("list", "List audit events");
  auto subject = std::make_shared<std::string>();
  auto from = std::make_shared<std::int64_t>(0), limit = std::make_shared<std::int64_t>(100);
  list->add_option("--subject", *subject, "only of this URN");
  list->add_option("--from", *from, "number of the first event");
  list->add_option("--limit", *limit, "at most so many");
  list->callback([&globals, subject, from, limit] {
    const auto answer = globals.ask(
        "GET", "/api/v1/audit/events?from=" + std::to_string(*from) +
                   "&limit=" + std::to_string(*limit) +
                   (subject->empty() ? "" : "&subject=" + net::percent_encoded(*subject)));
    if (!answer) return;
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& event : answer->at("events").as_array())
        rows.push_back({text_of(event, "number"), text_of(event, "at"), text_of(event, "actor"),
                        text_of(event, "action"), text_of(event, "subject")});
      print_table({"NUMBER", "AT", "ACTOR", "ACTION", "SUBJECT"}, rows);
    });
  });
}

}  // namespace

void add_audit_commands(CLI::App& parent, Globals& globals) {
  CLI::App* audit = parent.add_subcommand("audit", "The record of who did what");
  audit->require_subcommand(1);
  add_verify(*audit, globals);
  add_list(*audit, globals);
  add_prove(*audit, globals);
  add_key_and_checkpoint(*audit, globals);
  add_export(*audit, globals);
}

}  // namespace penstock::app
