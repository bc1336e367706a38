#include "adapters/python/python.h"

#include <atomic>
#include <filesystem>

#include "adapters/python/environment.h"
#include "adapters/python/model.h"
#include "adapters/python/script.h"

namespace penstock::python {
namespace {

namespace fs = std::filesystem;

// The model's files are ours while it runs: where they came from may make room for others. Links
// where the disk lets us, for models are large.
Result<void> keep_files(const fs::path& from, const fs::path& to) {
  std::error_code fault;
  fs::create_directories(to, fault);
  for (fs::recursive_directory_iterator entry(from, fault), end; !fault && entry != end;
       entry.increment(fault)) {
    const fs::path place = to / entry->path().lexically_relative(from);
    if (entry->is_directory(fault)) {
      fs::create_directories(place, fault);
    } else {
      fs::create_hard_link(entry->path(), place, fault);
      if (fault) fs::copy_file(entry->path(), place, fs::copy_options::overwrite_existing, fault);
    }
    if (fault) break;
  }
  if (!fault) return {};
  return Error{Code::unavailable, "cannot keep the model's files: " + fault.message()};
}

class Runtime final : public infer::Runtime {
 public:
  Runtime(jobs::Launcher& launcher, Options options)
      : launcher_(launcher), options_(std::move(options)) {
    std::error_code ignored;  // what a server before left; where it cannot go, load() says so
    fs::remove_all(options_.scratch + "/models", ignored);
    fs::create_directories(options_.scratch + "/logs", ignored);
  }

  Result<std::shared_ptr<infer::Model>> load(const std::string& path) override {
    std::error_code absent;
    if (!fs::exists(path + "/MLmodel", absent))
      return Error{Code::not_found, "there is no MLmodel in " + path};
    if (options_.workers < 1)
      return Error{Code::invalid_argument, "a python model needs at least one worker"};
    const std::string number = std::to_string(++count_);
    const std::string folder = options_.scratch + "/models/" + number;
    const std::string name = fs::path(path).filename().string().substr(0, 16);
    auto model = std::make_shared<Model>(
        launcher_, ModelOptions{.limits = options_,
                                .command = command(path, folder),
                                .folder = folder,
                                .log = options_.scratch + "/logs/" + name + "-" + number});
    TRY(keep_files(path, folder));
    const auto started = model->start();
    if (started) return std::shared_ptr<infer::Model>(std::move(model));
    return Error{started.error().code,
                 "the model cannot be loaded by " + model_interpreter(path) + ": " +
                     started.error().message +
                     " (its packages can be installed by penstock models prepare)"};
  }

 private:
  std::string model_interpreter(const std::string& path) const {
    return interpreter_for(path, options_.environments, options_.interpreter);
  }

  jobs::Command command(const std::string& path, const std::string& folder) const {
    const std::string threads = std::to_string(options_.threads);
    return {.arguments = {model_interpreter(path), "-I", "-B", "-u", "-c", worker_script, folder,
                          std::to_string(options_.memory_bytes)},
            .environment = {{"HOME", folder},
                            {"MLFLOW_DISABLE_TELEMETRY", "true"},
                            {"MLFLOW_TRACKING_URI", "file://" + folder},
                            {"OMP_NUM_THREADS", threads},
                            {"OPENBLAS_NUM_THREADS", threads},
                            {"MKL_NUM_THREADS", threads},
                            {"GIT_PYTHON_REFRESH", "quiet"}},
            .directory = folder};
  }

  jobs::Launcher& launcher_;
  const Options options_;
  std::atomic<std::int64_t> count_{0};
};

}  // namespace

std::unique_ptr<infer::Runtime> open(jobs::Launcher& launcher, Options options) {
  return std::make_unique<Runtime>(launcher, std::move(options));
}

}  // namespace penstock::python
