// What the online store keeps of one entity of a windowed view: one value, for all its features.
#pragma once

#include <array>

#include "features/windows/tiles.h"

namespace penstock::features::windows {

// An event that was pushed, until the sources hold it too.
struct Pushed {
  std::array<std::uint64_t, 2> id{};  // one event has one, however often it is sent
  Event event;
};
// Of its event id where it has one, else of its times and values.
std::array<std::uint64_t, 2> id_of(const Event& event, const std::optional<std::string>& event_id);

constexpr std::size_t pushed_max = 4'096;                 // events of one entity
constexpr std::size_t value_max = std::size_t{16} << 20;  // bytes of one entity

// The value of an entity, taken apart.
struct Parts {
  Timestamp moved = Timestamp::min();  // `tiles` hold what arrived up to here, and may be ahead of
                                       // the view's watermark while rows are moved
  std::string_view tiles;              // empty: no event was moved
  std::vector<Pushed> pushed;
};
// Empty bytes are an entity without events. data_loss where they are none of this plan.
Result<Parts> parts_of(const Plan& plan, std::string_view value);
std::string joined(const Parts& parts);
// Events that arrived up to `moved` are in the sources by then.
void drop_moved(Parts& parts, Timestamp moved);

// An entity as it is read.
class Entity {
 public:
  // `value` must outlive it. Pushed events that arrived up to `watermark` do not count.
  static Result<Entity> open(const Plan& plan, std::string_view value, Timestamp watermark);
  // Of no events.
  explicit Entity(const Plan& plan) : plan_(&plan), tiles_(plan) {}
  Entity(const Plan& plan, Tiles tiles) : plan_(&plan), tiles_(std::move(tiles)) {}
  Tiles tiles() && { return std::move(tiles_); }

  struct Newest {
    Timestamp event, arrival;
  };
  std::optional<Newest> newest() const;  // none: nothing of this entity is known
  // As of an instant that is not before newest()->arrival: what is asked as of an earlier one is
  // not kept.
  Result<Scalar> value(std::size_t feature, Timestamp at) const;

 private:
  const Plan* plan_;
  Tiles tiles_;
  std::vector<Pushed> pushed_;
};

}  // namespace penstock::features::windows
