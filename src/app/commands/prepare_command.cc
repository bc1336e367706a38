// models: prepare. Makes the environment that a version of runtime python runs in.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "adapters/process/process.h"
#include "adapters/python/environment.h"
#include "app/commands/record_commands.h"
#include "app/commands/version_path.h"

namespace penstock::app {
namespace {

namespace fs = std::filesystem;

constexpr Micros time_limit = std::chrono::hours(1);  // of each step

struct Prepare {
  std::string version, data, interpreter = "python3";
};

// Two who prepare the same must not meet in one folder.
class Turn {
 public:
  explicit Turn(const std::string& path)
      : file_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    taken_ = file_ >= 0 && flock(file_, LOCK_EX | LOCK_NB) == 0;
  }
  ~Turn() {
    if (file_ >= 0) close(file_);
  }
  Turn(const Turn&) = delete;
  bool taken() const { return taken_; }

 private:
  int file_;
  bool taken_ = false;
};

// What pip reads of how to reach its index.
std::map<std::string, std::string> pip_environment() {
  std::map<std::string, std::string> out{{"PIP_DISABLE_PIP_VERSION_CHECK", "1"},
                                         {"PIP_NO_INPUT", "1"}};
  for (char** variable = environ; *variable; ++variable) {
    const std::string text(*variable);
    const std::string name = text.substr(0, text.find('='));
    std::string lower = name;
    for (char& letter : lower) letter = static_cast<char>(std::tolower(letter));
    if (lower.starts_with("pip_") || lower.ends_with("_proxy") || lower == "ssl_cert_file" ||
        lower == "requests_ca_bundle")
      if (text.size() > name.size()) out[name] = text.substr(name.size() + 1);
  }
  return out;
}

Result<void> run(std::vector<std::string> arguments, const std::string& log) {
  const std::string what = arguments[0] + " " + arguments[1] + " " + arguments[2];
  const auto outcome = TRY(process::runner()->run({.arguments = std::move(arguments),
                                                   .environment = pip_environment(),
                                                   .log_path = log,
                                                   .time_limit = time_limit}));
  if (outcome.exit_code == 0 && !outcome.timed_out) return {};
  return Error{Code::failed_precondition, what +
                                              (outcome.timed_out ? " took too long" : " failed") +
                                              "; " + log + " says:\n" + outcome.tail};
}

// What worker.py needs is added where the model does not ask for it.
std::string completed(const std::string& requirements) {
  std::string out = requirements;
  if (!out.empty() && !out.ends_with('\n')) out += '\n';
  if (out.find("mlflow") == std::string::npos) out += "mlflow-skinny\n";
  return out + "pandas\npyarrow\n";
}

// The folder of the environment, and whether it was made now.
Result<std::pair<std::string, bool>> prepare(Globals& globals, const Prepare& input) {
  const std::string path = TRY(version_path(input.version));
  const auto packages = TRY(globals.client().call("GET", path + "/packages"));
  const std::string requirements = text_of(packages, "requirements");
  const std::string key = python::environment_key(requirements);
  if (key.empty())
    return Error{Code::failed_precondition,
                 input.version + " has no requirements.txt, so it runs in the server's own Python"};
  std::error_code fault;
  if (!fs::is_directory(input.data, fault))
    return Error{Code::not_found, "--data " + input.data + " is no directory"};
  const std::string folder = fs::absolute(input.data).string() + "/python/" + key;
  fs::create_directories(fs::path(folder).parent_path(), fault);
  const Turn turn(folder + ".turn");
  if (!turn.taken())
    return Error{Code::unavailable, "somebody prepares the same environment now, or " + folder +
                                        ".turn cannot be written"};
  if (fs::exists(folder + "/ready", fault)) return std::pair(folder, false);
  fs::remove_all(folder, fault);
  const std::string log = folder + ".log";
  TRY(run({input.interpreter, "-m", "venv", folder}, log));
  std::ofstream(folder + "/requirements.txt", std::ios::binary) << completed(requirements);
  TRY(run({folder + "/bin/python", "-m", "pip", "install", "-r", folder + "/requirements.txt"},
          log));
  std::ofstream ready(folder + "/ready");
  ready.close();
  if (ready) return std::pair(folder, true);
  return Error{Code::unavailable, folder + "/ready cannot be written"};
}

}  // namespace

void add_prepare_command(CLI::App& models, Globals& globals) {
  CLI::App* command = models.add_subcommand(
      "prepare", "Install the packages of NAME@v4 where its server runs, before it is released");
  auto input = std::make_shared<Prepare>();
  command->add_option("version", input->version, "NAME@v4")->required();
  command->add_option("--data", input->data, "the server's data directory")->required();
  command->add_option("--python", input->interpreter, "interpreter that the environment is made of")
      ->capture_default_str();
  command->callback([&globals, input] {
    const auto made = prepare(globals, *input);
    if (!made) return globals.fail(made.error());
    globals.show(json::object{{"folder", made->first}, {"made", made->second}}, [&] {
      std::cout << made->first << (made->second ? " is ready\n" : " was ready already\n");
    });
  });
}

}  // namespace penstock::app
