// Names, constants, and what holds an expression together.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "features/transform/walk.h"

namespace penstock::features::transform {
namespace {

__extension__ using Wide = __int128;
__extension__ using UnsignedWide = unsigned __int128;

constexpr std::size_t before = 8;  // bytes of the statement before the expression: "SELECT ("

std::optional<Wide> wide_in(const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (value.is_uint64()) return static_cast<Wide>(value.get_uint64());
  if (!value.is_object()) return {};
  const auto part = [&](std::string_view key) -> UnsignedWide {
    const json::value* found = value.get_object().if_contains(key);
    if (found && found->is_uint64()) return found->get_uint64();
    return found && found->is_int64()
               ? static_cast<UnsignedWide>(static_cast<Wide>(found->get_int64()))
               : 0;
  };
  return static_cast<Wide>((part("upper") << 64) | part("lower"));
}

// The double next to `unscaled` / 10^scale.
double real_of(Wide unscaled, std::int64_t scale) {
  const bool negative = unscaled < 0;
  UnsignedWide rest = negative ? UnsignedWide{0} - static_cast<UnsignedWide>(unscaled)
                               : static_cast<UnsignedWide>(unscaled);
  std::string digits;
  do digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(rest % 10)));
  while ((rest /= 10) != 0);
  digits += "e-" + std::to_string(scale);
  double out = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), out);
  return negative ? -out : out;
}

}  // namespace

std::string text_in(const json::object& node, std::string_view key) {
  const json::value* found = node.if_contains(key);
  return found && found->is_string() ? std::string(found->get_string()) : std::string();
}
const json::array& list_in(const json::object& node, std::string_view key) {
  static const json::array none;
  const json::value* found = node.if_contains(key);
  return found && found->is_array() ? found->get_array() : none;
}
const json::object& object_in(const json::object& node, std::string_view key) {
  static const json::object none;
  const json::value* found = node.if_contains(key);
  return found && found->is_object() ? found->get_object() : none;
}

std::string lowered(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

std::string said(const std::optional<Type>& type) {
  return type ? std::string(type_name(*type)) : "null";
}

Result<Compiler::Value> Compiler::Walk::emit(Kernel kernel, Type type,
                                             const std::vector<std::uint32_t>& in) {
  if (type == Type::text) ++compiler_.texts_;
  if (++steps_ > steps_max || program_.registers.size() >= program_max ||
      compiler_.texts_ > texts_max)
    return refused("is too long: at most " + std::to_string(steps_max) +
                   " steps in an expression, and " + std::to_string(program_max) +
                   " in a schema, of which " + std::to_string(texts_max) + " may make texts");
  if (const auto known = folded(kernel, type, in)) return *known;
  Program::Step step{kernel, fresh(type), {}};
  std::copy(in.begin(), in.end(), step.in.begin());
  program_.steps.push_back(step);
  return Value{step.out, type};
}

// What is made from constants alone is made now.
std::optional<Compiler::Value> Compiler::Walk::folded(Kernel kernel, Type type,
                                                      const std::vector<std::uint32_t>& in) {
  std::array<const Cell*, 4> cells{};
  for (std::size_t i = 0; i < in.size(); ++i) {
    const auto found = std::find_if(program_.constants.begin(), program_.constants.end(),
                                    [&](const auto& one) { return one.at == in[i]; });
    if (found == program_.constants.end()) return {};
    cells[i] = &found->cell;
  }
  Cell out;
  std::pmr::monotonic_buffer_resource arena;
  kernel({&out, cells, 1, &arena});
  if (type != Type::text || !out.valid) return keep(type, out);
  program_.texts.emplace_back(out.view());
  return keep(type, cell_of(std::string_view(program_.texts.back())));
}

Result<std::uint32_t> Compiler::Walk::as(const Value& value, Type type) {
  if (value.type == type) return value.at;
  if (!value.type) return keep(type, {}).at;
  if (value.type == Type::bigint && type == Type::real)
    return TRY(chosen_function("cast to double", {value})).at;
  return refused("gives " + said(value.type) + " where " + std::string(type_name(type)) +
                 " is needed; say CAST(... AS " + std::string(type_name(type)) + ")");
}

Result<Compiler::Value> Compiler::Walk::value(const json::value& given) {
  if (!given.is_object()) return refused("cannot be read");
  if (++depth_ > depth_max)
    return refused("is nested deeper than " + std::to_string(depth_max) + " levels");
  auto out = node(given.get_object());
  --depth_;
  return out;
}

Result<Compiler::Value> Compiler::Walk::node(const json::object& found) {
  const std::string kind = text_in(found, "class");
  if (kind == "COLUMN_REF") return name(found);
  if (kind == "CONSTANT") return constant(found);
  if (kind == "FUNCTION") return call(found);
  if (kind == "OPERATOR") return operation(found);
  if (kind == "COMPARISON")
    return compare(text_in(found, "type"), TRY(value(found.at("left"))),
                   TRY(value(found.at("right"))));
  if (kind == "CONJUNCTION") return conjunction(found);
  if (kind == "BETWEEN") return between(found);
  if (kind == "CASE") return either_case(found);
  if (kind == "CAST") return cast(found);
  if (kind == "SUBQUERY") return refused("holds a subquery: it may only read values of its row");
  if (kind == "WINDOW")
    return refused("calls " + text_in(found, "function_name") +
                   " over a window: it may only read values of its row");
  return refused("holds " + lowered(kind) + ", which no expression of a feature schema may");
}

Result<Compiler::Value> Compiler::Walk::name(const json::object& found) {
  const json::array& parts = list_in(found, "column_names");
  if (parts.size() != 1 || !parts[0].is_string())
    return refused("names a column of a table: name an input or a feature of this schema alone");
  const std::string name(parts[0].get_string());
  if (const auto known = compiler_.known_.find(name); known != compiler_.known_.end()) {
    arguments.insert(known->second.arguments.begin(), known->second.arguments.end());
    return known->second.value;
  }
  const auto type = compiler_.find_(name);
  if (!type) {
    std::string there;
    for (const std::string& one : compiler_.names_) there += (there.empty() ? "" : ", ") + one;
    for (const auto& [one, value] : compiler_.known_)
      if (there.size() < 2'000 && !value.arguments.contains(one)) there += ", " + one;
    return refused("reads " + name + ", which is no input and no feature before it; there are " +
                   there.substr(0, 2'000));
  }
  const Value made{fresh(*type), *type};
  program_.arguments.push_back(made.at);
  compiler_.arguments_.push_back(name);
  compiler_.known_[name] = {made, {name}};
  arguments.insert(name);
  return made;
}

// The parser's JSON reader may be off by the last bit of a double, so we read the source again.
double Compiler::Walk::real_at(const json::object& node, double near) const {
  const json::value* location = node.if_contains("query_location");
  if (!location || !location->is_int64()) return near;
  std::size_t at = static_cast<std::size_t>(location->get_int64()) - before;
  while (at < expression_.size() && (expression_[at] == '-' || expression_[at] == ' ')) ++at;
  std::string digits;
  for (; at < expression_.size(); ++at) {
    const char c = expression_[at];
    if (c == '_') continue;
    const bool sign = (c == '+' || c == '-') && !digits.empty() && lowered(digits).back() == 'e';
    if (!sign && !std::isdigit(static_cast<unsigned char>(c)) && c != '.' && c != 'e' && c != 'E')
      break;
    digits += c;
  }
  double out = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
  if (fault != std::errc{} || end != digits.data() + digits.size()) return near;
  out = std::copysign(out, near);
  return std::abs(out - near) <= std::abs(near) * 1e-12 ? out : near;
}

Result<Compiler::Value> Compiler::Walk::constant(const json::object& found) {
  const json::object& value = object_in(found, "value");
  const json::object& type = object_in(value, "type");
  const std::string id = text_in(type, "id");
  const json::value* given = value.if_contains("value");
  const json::value* null = value.if_contains("is_null");
  if (id == "NULL" || !null || !null->is_bool() || null->get_bool()) return Value{};
  // What is empty is left out of the tree.
  static const json::value nothing("");
  if (!given) given = &nothing;
  if (id == "BOOLEAN" && given->is_bool())
    return keep(Type::boolean, cell_of(std::int64_t{given->get_bool()}));
  if (id == "VARCHAR" && given->is_string()) {
    program_.texts.emplace_back(given->get_string());
    return keep(Type::text, cell_of(std::string_view(program_.texts.back())));
  }
  if (id == "DOUBLE" && given->is_number())
    return keep(Type::real, cell_of(real_at(found, given->to_number<double>())));
  const auto wide = wide_in(*given);
  if (id == "DECIMAL" && wide) {
    const json::value* scale = object_in(type, "type_info").if_contains("scale");
    return keep(Type::real,
                cell_of(real_of(*wide, scale && scale->is_int64() ? scale->get_int64() : 0)));
  }
  if (!id.ends_with("INT") && !id.starts_with("INTEGER"))
    return refused("holds a constant of type " + id + "; there are numbers, texts and booleans");
  if (!wide || *wide > std::numeric_limits<std::int64_t>::max() ||
      *wide < std::numeric_limits<std::int64_t>::min())
    return refused("holds a whole number beyond 64 bits: write it as a double, 1e20");
  return keep(Type::bigint, cell_of(static_cast<std::int64_t>(*wide)));
}

Result<Compiler::Walk::Values> Compiler::Walk::values(const json::array& list) {
  Values out;
  for (const json::value& one : list) out.push_back(TRY(value(one)));
  return out;
}

Compiler::Compiler(Find find, std::vector<std::string> names)
    : find_(std::move(find)), names_(std::move(names)) {}
Compiler::~Compiler() = default;

Result<Compiler::Made> Compiler::add(const std::string& name, const std::string& expression,
                                     const json::value& tree, std::optional<Type> type) {
  Walk walk(*this, expression);
  Value value = TRY(walk.value(tree));
  const Made made{value.type, walk.arguments};
  const Type wanted = type ? *type : value.type.value_or(Type::real);
  value = {TRY(walk.as(value, wanted)), wanted};
  program_.outputs.push_back({value.at, wanted});
  known_[name] = {value, made.arguments};
  return made;
}

Compiler::Finished Compiler::finish() && { return {std::move(program_), std::move(arguments_)}; }

}  // namespace penstock::features::transform
