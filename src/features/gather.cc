#include "features/gather.h"

#include <algorithm>
#include <atomic>

#include "features/gathered.h"
#include "features/sweep.h"

namespace penstock::features {
namespace {

using olap::Type;

// Above it rows are not numbered with 32 bits.
constexpr std::int64_t rows_max = std::int64_t{1} << 31;

// How the engine calls what ports/lookup.h gives; empty for what it cannot keep.
std::string_view given_as(Type type) {
  switch (type) {
    case Type::boolean: return "BOOLEAN";
    case Type::bigint: return "BIGINT";
    case Type::real: return "DOUBLE";
    case Type::timestamp: return "TIMESTAMP";
    case Type::text:
    case Type::decimal: return "VARCHAR";
    default: return "";
  }
}

// A view's part in a schema.
struct Part {
  std::vector<std::size_t> features;  // of the view, each once
  std::vector<olap::Column> columns;  // of them
  std::vector<Type> types;

  std::size_t place_of(std::size_t feature) const {
    return static_cast<std::size_t>(std::ranges::find(features, feature) - features.begin());
  }
};

Result<std::vector<Part>> parts_of(olap::Session& session, const SchemaHandle& schema,
                                   const std::vector<JoinedView>& views) {
  std::vector<Part> parts(views.size());
  for (const Slot& slot : schema.slots) {
    if (slot.is_computed()) continue;
    if (auto& features = parts[slot.view].features;
        std::ranges::find(features, slot.feature) == features.end())
      features.push_back(slot.feature);
  }
  for (std::size_t v = 0; v < views.size(); ++v) {
    parts[v].columns = TRY(session.describe(numbered_features(views[v], parts[v].features)));
    parts[v].columns.erase(parts[v].columns.begin());
    for (const olap::Column& column : parts[v].columns) parts[v].types.push_back(column.type);
  }
  return parts;
}

// What is known before anything is read: texts come on top.
bool fits(const std::vector<Part>& parts, const std::vector<JoinedView>& views,
          const NumberedRows& rows, std::int64_t memory) {
  std::size_t bytes = 0;
  for (std::size_t v = 0; v < views.size(); ++v) {
    if (views[v].rows >= rows_max || rows.count >= rows_max) return false;
    for (const Type type : parts[v].types)
      if (given_as(type).empty()) return false;
    const auto asked = static_cast<std::size_t>(rows.count);
    const auto there = static_cast<std::size_t>(views[v].rows);
    bytes +=
        Places::bytes(asked, there) + std::min(asked, there) * Gathered::row_bytes(parts[v].types);
  }
  return bytes <= static_cast<std::size_t>(memory);
}

struct Kept {
  std::vector<std::shared_ptr<Gathered>> views;
  std::size_t memory = 0;
  std::atomic<bool> too_large = false;

  std::size_t bytes() const {
    std::size_t all = 0;
    for (const auto& view : views) all += view->bytes();
    return all;
  }
};

Places no_places(const JoinedView& view, const NumberedRows& rows) {
  return {static_cast<std::size_t>(rows.count), static_cast<std::size_t>(view.rows)};
}

Result<Places> asked_places(olap::Session& session, olap::Lookup& lookup,
                            const SchemaHandle& schema, const JoinedView& view,
                            const NumberedRows& rows, const JoinOptions& options) {
  Places places = no_places(view, rows);
  TRY(lookup.each(session, places_statement(schema, view, rows, options),
                  [&](const olap::Chunk& chunk) -> Result<void> {
                    for (std::size_t at = 0; at < chunk.rows; ++at)
                      places.set(static_cast<std::size_t>(chunk.columns[0].whole[at]),
                                 static_cast<std::size_t>(chunk.columns[1].whole[at]));
                    return {};
                  }));
  return places;
}

// What counts when it has arrived is found in one walk; what was created until some instant, and
// what has no room for that, the engine finds.
Result<std::vector<Places>> places_of(olap::Session& session, olap::Lookup& lookup,
                                      const SchemaHandle& schema,
                                      const std::vector<JoinedView>& views,
                                      const NumberedRows& rows, const JoinOptions& options,
                                      std::size_t memory) {
  for (const JoinedView& view : views)
    memory -= std::min(memory, Places::bytes(static_cast<std::size_t>(rows.count),
                                             static_cast<std::size_t>(view.rows)));
  std::optional<Moments> moments;
  if (!options.known_as_of) moments = TRY(Moments::read(session, schema, rows, memory));
  std::vector<Places> out;
  for (std::size_t v = 0; v < views.size(); ++v) {
    Places places = no_places(views[v], rows);
    if (!moments || !TRY(moments->find(session, schema, v, views[v], places)))
      places = TRY(asked_places(session, lookup, schema, views[v], rows, options));
    places.close();
    out.push_back(std::move(places));
  }
  return out;
}

Result<void> keep(olap::Session& session, olap::Lookup& lookup, const JoinedView& view,
                  const Part& part, Places places, Kept& out) {
  out.views.push_back(std::make_shared<Gathered>(std::move(places), part.types));
  const auto read = lookup.each(session, numbered_features(view, part.features),
                                [&](const olap::Chunk& chunk) -> Result<void> {
                                  out.views.back()->put(chunk);
                                  if (out.bytes() <= out.memory) return {};
                                  out.too_large = true;
                                  return Error{Code::resource_exhausted, ""};
                                });
  if (!read && !out.too_large) return read.error();
  return {};
}

}  // namespace

Result<std::optional<Gather>> gather(olap::Session& session, olap::Lookup& lookup,
                                     const SchemaHandle& schema,
                                     const std::vector<JoinedView>& views, const NumberedRows& rows,
                                     const JoinOptions& options, std::int64_t memory) {
  const auto parts = TRY(parts_of(session, schema, views));
  if (!fits(parts, views, rows, memory)) return std::optional<Gather>();
  Kept kept{.memory = static_cast<std::size_t>(memory)};
  auto places = TRY(places_of(session, lookup, schema, views, rows, options, kept.memory));
  for (std::size_t v = 0; v < views.size(); ++v) {
    TRY(keep(session, lookup, views[v], parts[v], std::move(places[v]), kept));
    if (kept.too_large) return std::optional<Gather>();
  }
  Gather out;
  for (auto& view : kept.views) out.offers.push_back(lookup.offer(std::move(view)));
  std::string features;
  for (std::size_t i = 0; i < schema.slots.size(); ++i) {
    const Slot& slot = schema.slots[i];
    if (slot.is_computed()) continue;
    const Part& part = parts[slot.view];
    const std::size_t column = part.place_of(slot.feature);
    std::string value = out.offers[slot.view]->expression(column, part.types[column],
                                                          "CAST(" + rows.number + " AS BIGINT)");
    if (part.columns[column].declared != given_as(part.types[column]))
      value = "CAST(" + value + " AS " + part.columns[column].declared + ")";
    features += ", " + value + " AS " + olap::quoted_name(schema.names[i]);
  }
  out.statement = "SELECT " + rows.columns + features + " FROM " + rows.from;
  return std::optional<Gather>(std::move(out));
}

}  // namespace penstock::features
