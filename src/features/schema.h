// A feature schema opened for reading: everything that a read needs, resolved once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "catalog/source.h"
#include "features/feature_view.h"

namespace penstock::features {

namespace windows {
struct Plan;
}

// One version of a view, ready to be read or written.
struct ViewHandle {
  FeatureView view;
  std::int64_t version = 0;
  std::vector<catalog::JoinKey> keys;
  std::string prefix;                            // of its keys in the online store
  std::shared_ptr<const windows::Plan> windows;  // none: its rows are values, not events

  std::string reference() const { return view.name + "@" + std::to_string(version); }
  std::string urn() const { return "feature_view:" + reference(); }
};

namespace transform {
struct Plan;
}

// Where a feature of a schema's row comes from.
struct Slot {
  static constexpr std::size_t computed = static_cast<std::size_t>(-1);

  std::size_t view = 0;     // of SchemaHandle::views; computed: it is a transform
  std::size_t feature = 0;  // of its FeatureView::features; of a transform: of the plan's outputs

  bool is_computed() const { return view == computed; }
};

// A feature that is read of a view's row, and where its value goes.
struct Wanted {
  std::size_t feature = 0;  // of its FeatureView::features
  std::size_t slot = 0;     // of SchemaHandle::slots
};

// Immutable; safe from several threads.
struct SchemaHandle {
  std::string project, name;
  std::int64_t version = 0;        // 0: made for one request, of features by name
  std::vector<std::string> names;  // of the features, in the order of their values
  std::vector<FeatureType> types;
  std::vector<Slot> slots;
  std::vector<std::shared_ptr<const ViewHandle>> views;
  std::vector<catalog::JoinKey> keys;       // of all its views, each once
  std::vector<std::vector<Wanted>> wanted;  // of each view, by feature
  std::vector<FeatureInput> inputs;
  std::shared_ptr<const transform::Plan> plan;  // of its transforms; null where it has none

  std::string reference() const { return name + "@" + std::to_string(version); }
  std::string urn() const { return "feature_schema:" + reference(); }
};

// Feast's names.
enum class Status {
  PRESENT,          // there is a value
  NULL_VALUE,       // there is a row, and the value in it is null
  NOT_FOUND,        // there is no row, or only one from after the instant asked for
  OUTSIDE_MAX_AGE,  // there is a row, older than the view's TTL
};
BOOST_DESCRIBE_ENUM(Status, PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE)

struct FeatureRow {
  std::vector<Scalar> values;    // in the schema's order; monostate where the status is not PRESENT
  std::vector<Status> statuses;  // in the schema's order
  std::vector<std::optional<Timestamp>>
      event_times;                  // of each view's row that counts, in the views' order
  std::optional<Timestamp> oldest;  // the least of them
  std::int64_t from_future = 0;     // views whose row was from after the instant; NOT_FOUND too
};

}  // namespace penstock::features
