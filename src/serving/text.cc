#include "serving/text.h"

#include <simdjson.h>

namespace penstock::serving {
namespace {

json::value tree(simdjson::dom::element element) {
  using simdjson::dom::element_type;
  switch (element.type()) {
    case element_type::ARRAY: {
      json::array out;
      for (const simdjson::dom::element item : simdjson::dom::array(element))
        out.push_back(tree(item));
      return out;
    }
    case element_type::OBJECT: {
      json::object out;
      for (const auto field : simdjson::dom::object(element)) out[field.key] = tree(field.value);
      return out;
    }
    case element_type::INT64: return std::int64_t(element);
    case element_type::UINT64: return std::uint64_t(element);
    case element_type::DOUBLE: return double(element);
    case element_type::STRING: return json::value(std::string_view(element));
    case element_type::BOOL: return bool(element);
    case element_type::NULL_VALUE: return nullptr;
  }
  return nullptr;
}

// How many bytes the UTF-8 character at the text's begin has; 0 where it is none.
std::size_t character(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const std::size_t size = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  const std::string_view whole = text.substr(0, size);
  return simdjson::validate_utf8(whole.data(), whole.size()) ? whole.size() : 0;
}

}  // namespace

bool make_readable(std::string& text) {
  constexpr std::string_view zero = "\\u0000", replacement = "\xEF\xBF\xBD";
  if (text.find(zero) == std::string::npos && simdjson::validate_utf8(text.data(), text.size()))
    return false;
  std::string out;
  out.reserve(text.size() + 16);
  for (std::string_view rest = text; !rest.empty();) {
    std::size_t size = 1;
    if (rest.starts_with(zero)) {
      size = zero.size();
      out += replacement;
    } else if (rest[0] == '\\' && rest.size() > 1) {
      size = 2;  // "\\\\u0000" has no zero in it
      out += rest.substr(0, size);
    } else if (const std::size_t whole = character(rest)) {
      size = whole;
      out += rest.substr(0, size);
    } else {
      out += replacement;
    }
    rest.remove_prefix(size);
  }
  const bool changed = out != text;
  text = std::move(out);
  return changed;
}

void write_text(std::string& out, std::string_view text) {
  static constexpr char hex[] = "0123456789abcdef";
  out += '"';
  std::size_t plain = 0;  // where the stretch begins that goes as it is
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char letter = text[at];
    const bool quoted = letter == '"' || letter == '\\';
    if (!quoted && static_cast<unsigned char>(letter) >= 0x20) continue;
    out.append(text, plain, at - plain);
    plain = at + 1;
    if (quoted) {
      out += '\\';
      out += letter;
    } else {
      out += "\\u00";
      out += hex[(letter >> 4) & 15];
      out += hex[letter & 15];
    }
  }
  out.append(text, plain, text.size() - plain);
  out += '"';
}

void write_number(std::string& out, double number) {
  if (std::isnan(number)) {
    out += "null";
    return;
  }
  // What JSON can say of the infinite; event readers take it for the greatest double.
  if (std::isinf(number)) number = std::copysign(std::numeric_limits<double>::max(), number);
  char text[40];
  const auto end = std::to_chars(text, text + sizeof text, number).ptr;
  const std::string_view said(text, static_cast<std::size_t>(end - text));
  out += said;
  if (said.find_first_of(".e") == std::string_view::npos) out += ".0";
}

Result<json::value> parse_exact(std::string_view text) {
  thread_local simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (const auto fault = parser.parse(text.data(), text.size()).get(root))
    return Error{Code::invalid_argument,
                 "this is no JSON: " + std::string(simdjson::error_message(fault))};
  return tree(root);
}

}  // namespace penstock::serving
