// What the parts of a bundle say of each other. Its files are the signed ones by now, so whatever
// is wrong here was wrong when the server signed it.
#pragma once

#include "evidence/manifest.h"
#include "evidence/verify.h"

namespace penstock::evidence {

// Each adds to proven, not_proven and faults.
class Checks {
 public:
  Checks(const Manifest& manifest, const std::vector<File>& files, const audit::PublicKey& key,
         Report& report)
      : manifest_(manifest), files_(files), key_(key), report_(report) {}

  void record();
  void log();  // the next need its events
  void approvals();
  void releases();
  void evaluation();
  void training_data();
  void incidents();
  void model_files();
  void policies();

 private:
  // The parts that are JSON, as our own documents have them; a fault and null where one is not.
  json::value document(std::string_view path);
  const File* file(std::string_view path) const;
  void check_event(std::string_view line, std::string_view where, const audit::Head& head);
  void check_approval(const json::value& approval, const std::string& digest);
  void check_signature(const json::value& signature, const json::value& artifact);
  bool logged(std::string_view action, std::string_view subject,
              const std::function<bool(const json::object& detail)>& fits) const;
  void fault(std::string what) { report_.faults.push_back(std::move(what)); }

  const Manifest& manifest_;
  const std::vector<File>& files_;
  const audit::PublicKey& key_;
  Report& report_;
  std::vector<json::object> events_;  // those that are proven
  std::int64_t last_ = -1;            // number of the newest of them
  std::string artifact_uri_, eval_report_;
};

}  // namespace penstock::evidence
