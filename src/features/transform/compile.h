// From the text of an expression to steps of a program.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>

#include "features/transform/program.h"
#include "ports/olap.h"

namespace penstock::features::transform {

inline constexpr std::size_t expression_max = 4'000;  // bytes
inline constexpr std::size_t depth_max = 64;          // of calls and operators in each other
inline constexpr std::size_t steps_max = 1'000;       // of one expression
inline constexpr std::size_t program_max = 20'000;    // registers of a schema's expressions
inline constexpr std::size_t texts_max = 1'000;       // steps of them that make texts

// The tree of an expression, as DuckDB's parser gives it; faults are invalid_argument, of one line.
Result<json::value> parse(olap::Session& session, const std::string& expression);

// Compiles expressions one after the other into one program.
class Compiler {
 public:
  // The type of an argument of this name; nothing where there is none.
  using Find = std::function<std::optional<Type>(const std::string& name)>;
  // `names` are all there are, for faults.
  Compiler(Find find, std::vector<std::string> names);
  ~Compiler();

  struct Made {
    std::optional<Type> type;         // none: it is NULL
    std::set<std::string> arguments;  // that it is made from, at last
  };
  // Compiles a tree of parse(), whose source is `expression`. From then on others may name it as
  // `name`. `type` is what it must give; none: what it gives.
  Result<Made> add(const std::string& name, const std::string& expression, const json::value& tree,
                   std::optional<Type> type);
  // Its outputs are what was added, its arguments those that were named, in this order.
  struct Finished {
    Program program;
    std::vector<std::string> arguments;
  };
  Finished finish() &&;

 private:
  class Walk;
  struct Value {
    std::uint32_t at = 0;
    std::optional<Type> type;  // none: NULL
  };
  struct Named {
    Value value;
    std::set<std::string> arguments;
  };

  Find find_;
  std::vector<std::string> names_;
  Program program_;
  std::vector<std::string> arguments_;
  std::map<std::string, Named> known_;
  std::size_t texts_ = 0;  // steps that make texts
};

}  // namespace penstock::features::transform
