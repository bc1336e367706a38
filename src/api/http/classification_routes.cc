#include "api/http/classification_routes.h"

namespace penstock::api {

std::vector<Route> classification_routes(classification::Service& classification,
                                         catalog::Lowerings& lowerings) {
  using namespace penstock::classification;  // NOLINT(google-build-using-namespace): the types of
                                             // one component
  return {
      route<ClassifyInput, ClassifyReport>(
          "POST", "/api/v1/sources/{name}:classify",
          "Suggest classes and tags of a source's columns from a sample of its values",
          Permission::write,
          [&](const Call& call, const ClassifyInput& in) {
            return classification.classify(call, in);
          }),
      route<catalog::SourceName, SourceClasses>(
          "GET", "/api/v1/sources/{name}/classes", "Show the class of each column as it stands",
          Permission::read,
          [&](const Call& call, const catalog::SourceName& in) {
            return classification.classes(call, in);
          }),
      route<DecideInput, Suggestion>(
          "POST", "/api/v1/sources/{name}/suggestions:decide",
          "Confirm or refuse what was suggested for a column", Permission::write,
          [&](const Call& call, const DecideInput& in) { return classification.decide(call, in); }),
      route<catalog::LowerInput, catalog::LowerOutput>(
          "POST", "/api/v1/sources/{name}:lower-class",
          "Ask for an approval to lower the class of a column", Permission::write,
          [&](const Call& call, const catalog::LowerInput& in) { return lowerings.ask(call, in); }),
      route<SuggestionQuery, SuggestionList>("GET", "/api/v1/classification/suggestions",
                                             "List what was suggested and decided",
                                             Permission::read,
                                             [&](const Call& call, const SuggestionQuery& in) {
                                               return classification.list(call, in);
                                             }),
      route<Empty, RuleList>(
          "GET", "/api/v1/classification/rules", "List the rules that suggest classes",
          Permission::read,
          [&](const Call&, const Empty&) { return Result<RuleList>(classification.rules()); }),
  };
}

}  // namespace penstock::api
