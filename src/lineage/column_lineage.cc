// The columnLineage facet (1-2-0) as edges of columns.
#include <algorithm>

#include "lineage/ingest.h"

namespace penstock::lineage {
namespace {

const json::array* list_in(const json::value& in, std::string_view key) {
  if (!in.is_object()) return nullptr;
  const json::value* found = in.get_object().if_contains(key);
  return found && found->is_array() ? &found->get_array() : nullptr;
}

std::string text_in(const json::object& in, std::string_view key) {
  const json::value* found = in.if_contains(key);
  return found && found->is_string() ? std::string(found->get_string()) : std::string();
}

// Masked is what each of its ways in masks; one that does not lets the value through.
bool masks(const json::array* transformations) {
  if (!transformations || transformations->empty()) return false;
  return std::all_of(transformations->begin(), transformations->end(), [](const json::value& one) {
    if (!one.is_object()) return false;
    const json::value* masking = one.get_object().if_contains("masking");
    return masking && masking->is_bool() && masking->get_bool();
  });
}

}  // namespace

Result<std::vector<catalog::Edge>> Ingest::column_edges(const std::string& output,
                                                        const json::value& body, Timestamp at) {
  std::vector<catalog::Edge> edges;
  std::map<std::pair<std::string, std::string>, std::size_t> places;
  const auto add = [&](const std::string& from, const json::value& input,
                       std::string_view relation) -> Result<void> {
    if (!input.is_object()) return {};
    const json::object& said = input.get_object();
    const Name name{text_in(said, "namespace"), text_in(said, "name")};
    const std::string field = text_in(said, "field");
    const auto is_kept = [](const std::string& text) {
      return !text.empty() && std::ssize(text) <= name_max && text.find('\0') == text.npos;
    };
    if (!is_kept(name.space) || !is_kept(name.name) || !is_kept(field)) return {};
    const json::array* transformations = list_in(input, "transformations");
    auto to_urn = catalog::column_urn(TRY(names_.dataset(name)), field);
    catalog::Edge edge{.from_urn = from,
                       .to_urn = std::move(to_urn),
                       .relation = std::string(relation),
                       .created_at = std::min(at, now_),
                       .masking = masks(transformations)};
    if (transformations && !transformations->empty() && transformations->front().is_object()) {
      const json::object& first = transformations->front().get_object();
      for (const char* key : {"type", "subtype"})
        if (const std::string text = text_in(first, key); !text.empty()) edge.detail[key] = text;
    }
    if (edge.from_urn == edge.to_urn) return {};
    const auto [place, fresh] = places.emplace(std::pair(edge.from_urn, edge.to_urn), edges.size());
    if (fresh)
      edges.push_back(std::move(edge));
    else
      edges[place->second].masking = edges[place->second].masking && edge.masking;
    return {};
  };
  if (!body.is_object()) return edges;
  if (const json::value* fields = body.get_object().if_contains("fields");
      fields && fields->is_object())
    for (const auto& field : fields->get_object())
      if (const json::array* inputs = list_in(field.value(), "inputFields"))
        for (const json::value& input : *inputs)
          TRY(add(catalog::column_urn(output, std::string_view(field.key())), input,
                  "derived_from"));
  if (const json::array* whole = list_in(body, "dataset"))
    for (const json::value& input : *whole) TRY(add(output, input, "depends_on"));
  return edges;
}

// The facet is the whole of what is known of its dataset's columns: what a newer one leaves out
// holds no longer.
Result<void> Ingest::keep_columns(const std::string& output, const Kept& kept,
                                  const json::value& body, Timestamp at) {
  auto after = TRY(column_edges(output, body, at));
  std::map<std::pair<std::string, std::string>, bool> still;
  for (const catalog::Edge& edge : after) still[{edge.from_urn, edge.to_urn}] = true;
  for (const catalog::Edge& edge : TRY(column_edges(output, kept.before, at))) {
    if (still.contains({edge.from_urn, edge.to_urn})) continue;
    TRY(catalog::end_edge(tx_, call_, std::min(at, now_), edge.from_urn, edge.to_urn,
                          edge.relation));
    ++edges_ended_;
  }
  if (after.empty()) return {};
  edges_added_ += std::ssize(after);
  return catalog::add_edges(tx_, call_, std::move(after));
}

}  // namespace penstock::lineage
