// What components say of their URNs in a trace, and where a record's references are looked up.
#pragma once

#include "catalog/service.h"
#include "costs/service.h"
#include "registry/artifacts.h"
#include "registry/service.h"
#include "release/service.h"
#include "serving/service.h"
#include "training/service.h"

namespace penstock::app {

struct DescribedParts {
  catalog::Service& catalog;
  registry::Service& registry;
  registry::Artifacts& artifacts;
  training::Service& training;
  serving::Service& serving;
  costs::Service& costs;
  release::Service& release;
};

void describe_all(DescribedParts parts);

}  // namespace penstock::app
