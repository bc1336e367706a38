#pragma once

#include "artifacts/files.h"
#include "record/diff.h"
#include "record/facts.h"
#include "registry/artifacts.h"
#include "tracking/artifacts.h"
#include "tracking/registered_models.h"

namespace penstock::record {

struct CardInput {
  std::string model, version;
  std::string format = "md";  // or "html"
};
BOOST_DESCRIBE_STRUCT(CardInput, (), (model, version, format))
constexpr auto rules_of(const CardInput&) {
  return std::array{Rule{.field = "format", .doc = "md or html.", .max = 10, .may_miss = true}};
}
struct DiffInput {
  std::string model, version, other;  // `other` as NAME@v4, or v4 of the same model
};
BOOST_DESCRIBE_STRUCT(DiffInput, (), (model, version, other))
constexpr auto rules_of(const DiffInput&) {
  return std::array{Rule{.field = "other", .min = 1, .max = 200}};
}

class Service {
 public:
  struct Parts {
    sql::Database& db;
    const Clock& clock;
    catalog::Service& catalog;
    registry::Artifacts& artifacts;
    registry::Signatures& signatures;
    tracking::Service& tracking;
    tracking::RegisteredModels& models;
    tracking::Artifacts& tracked;
    artifacts::Files& files;
  };
  explicit Service(Parts parts) : parts_(parts) {}

  // What is known of a version, all of it as of one moment of the metadata.
  Result<Facts> facts(const Call& call, const registry::VersionInput& input);
  // The model card: Markdown with front matter, or one HTML file. invalid_argument for another
  // format.
  Result<std::string> card(const Call& call, const CardInput& input);
  // CycloneDX 1.6, JSON.
  Result<json::object> bom(const Call& call, const registry::VersionInput& input);
  Result<Diff> diff(const Call& call, const DiffInput& input);

 private:
  Result<void> add_lineage(const Call& call, Facts& facts);
  Result<void> add_tracked(const Call& call, Facts& facts);
  Result<void> add_files(const Call& call, Facts& facts);
  Result<std::string> text_file(const Facts& facts, const std::string& name);

  Parts parts_;
};

}  // namespace penstock::record
