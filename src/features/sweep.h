// Which row of a view counts for each entity row, found by one walk through both in the order of
// time: the files of views are in it already.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "features/gathered.h"
#include "features/join.h"
#include "ports/olap.h"

namespace penstock::features {

// The instants and keys of entity rows.
class Moments {
 public:
  // Nothing where they take more than `memory` bytes.
  static Result<std::optional<Moments>> read(olap::Session& session, const SchemaHandle& schema,
                                             const NumberedRows& rows, std::size_t memory);
  // The rows of schema.views[view] that count when they have arrived. False where its file is not
  // in the order of arrival: then `out` is to be thrown away.
  Result<bool> find(olap::Session& session, const SchemaHandle& schema, std::size_t view,
                    const JoinedView& joined, Places& out) const;
  Moments(Moments&&) noexcept;
  Moments& operator=(Moments&&) noexcept;
  ~Moments();

 private:
  class Keys;
  struct Moment {
    std::int64_t at;
    std::uint32_t row;
  };
  explicit Moments(const SchemaHandle& schema);
  std::size_t bytes() const;
  void sort();

  std::vector<std::unique_ptr<Keys>> keys_;  // different ones of the views,
  std::vector<std::size_t> of_view_;         // and which are those of each
  std::vector<Moment> moments_;              // of the rows that have an instant
};

}  // namespace penstock::features
