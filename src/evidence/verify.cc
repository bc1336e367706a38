#include "evidence/verify.h"

#include "evidence/checks.h"

namespace penstock::evidence {
namespace {

const std::vector<std::string> never_proven{
    "that nothing was left out: a log proves what is in it; penstock audit export gives all of it",
    "that the log was not cut back or forked since: compare with a checkpoint that was kept "
    "elsewhere (penstock audit verify --since)",
    "that the key is the server's: whoever gave it to you says so",
    "what the log holds no digest of (card, lineage, slices behind the first): it is what the "
    "server said when it signed",
};

}  // namespace

Report verify(std::string_view archive, const audit::PublicKey& key) {
  Report report{.key = key.text()};
  const auto files = unpack(archive);
  if (!files) {
    report.faults.push_back(files.error().message);
    return report;
  }
  const auto manifest = unseal(*files, key);
  if (!manifest) {
    report.faults.push_back(manifest.error().message);
    return report;
  }
  report.subject = manifest->subject;
  report.project = manifest->project;
  report.made_by = manifest->made_by;
  report.made_at = manifest->made_at;
  report.log_size = manifest->log_size;
  report.files = std::ssize(*files);
  report.proven.push_back("all " + std::to_string(files->size()) + " files are what " + key.name +
                          " signed at " + to_rfc3339(manifest->made_at) +
                          ", and none is missing or added");
  try {
    Checks checks(*manifest, *files, key, report);
    checks.record();
    checks.log();
    checks.approvals();
    checks.releases();
    checks.evaluation();
    checks.training_data();
    checks.incidents();
    checks.model_files();
    checks.policies();
  } catch (const std::exception& broken) {
    // A signed document that is not as ours are: no field of it is taken on trust.
    report.faults.push_back(std::string("a part of the bundle is not as penstock writes it: ") +
                            broken.what());
  }
  report.not_proven.insert(report.not_proven.end(), never_proven.begin(), never_proven.end());
  report.holds = report.faults.empty();
  return report;
}

}  // namespace penstock::evidence
