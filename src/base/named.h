// Enumerators whose text is a word that C++ keeps for itself ("public", "double").
#pragma once

#include <boost/mp11.hpp>

namespace penstock {

// A described enumerator, as BOOST_DESCRIBE_ENUM would make it but with a name of its own: `names`
// is indexed by the enumerator's value.
template <auto enumerator, const auto& names>
struct NamedEnumerator {
  static constexpr auto value = enumerator;
  static constexpr const char* name = names[static_cast<std::size_t>(enumerator)];
};

}  // namespace penstock
