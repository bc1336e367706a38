// A trace or an impact as a picture (SVG 1.1, no scripts): what things were made from at the left,
// what was made of them at the right.
#pragma once

#include "catalog/service.h"

namespace penstock::lineage {

inline constexpr std::size_t picture_nodes_max =
    400;  // the nearest; the picture says how many more

std::string picture_of(const catalog::Trace& trace);
std::string picture_of(const catalog::Impact& impact);

}  // namespace penstock::lineage
