#include "base/json.h"

#include <charconv>
#include <boost/json/basic_parser_impl.hpp>

namespace penstock {
namespace {

using Fault = boost::system::error_code;
using Text = json::string_view;

// Puts a value together of what the parser finds.
struct Handler {
  static constexpr std::size_t max_object_size = json::object::max_size(),
                               max_array_size = json::array::max_size(),
                               max_key_size = json::string::max_size(),
                               max_string_size = json::string::max_size();
  json::value_stack stack;

  Handler(unsigned char* space, std::size_t size) : stack({}, space, size) {}
  bool on_document_begin(Fault&) { return true; }
  bool on_document_end(Fault&) { return true; }
  bool on_object_begin(Fault&) { return true; }
  bool on_object_end(std::size_t count, Fault&) { return stack.push_object(count), true; }
  bool on_array_begin(Fault&) { return true; }
  bool on_array_end(std::size_t count, Fault&) { return stack.push_array(count), true; }
  bool on_key_part(Text part, std::size_t, Fault&) { return stack.push_chars(part), true; }
  bool on_key(Text rest, std::size_t, Fault&) { return stack.push_key(rest), true; }
  bool on_string_part(Text part, std::size_t, Fault&) { return stack.push_chars(part), true; }
  bool on_string(Text rest, std::size_t, Fault&) { return stack.push_string(rest), true; }
  bool on_number_part(Text, Fault&) { return true; }
  bool on_int64(std::int64_t value, Text, Fault&) { return stack.push_int64(value), true; }
  bool on_uint64(std::uint64_t value, Text, Fault&) { return stack.push_uint64(value), true; }
  // All of the number stands in `text`, as the parser is given the whole document at once. Beyond
  // the doubles it is what Boost makes of it.
  bool on_double(double value, Text text, Fault&) {
    double nearest = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), nearest);
    const bool whole = read.ec == std::errc() && read.ptr == text.data() + text.size();
    return stack.push_double(whole ? nearest : value), true;
  }
  bool on_bool(bool value, Fault&) { return stack.push_bool(value), true; }
  bool on_null(Fault&) { return stack.push_null(), true; }
  bool on_comment_part(Text, Fault&) { return true; }
  bool on_comment(Text, Fault&) { return true; }
};

}  // namespace

json::value parse_json(std::string_view text, Fault& fault, json::storage_ptr storage,
                       const json::parse_options& options) {
  alignas(json::value) unsigned char space[4096];  // for what is not complete yet, if it is little
  json::basic_parser<Handler> parser(options, space, sizeof space);
  parser.handler().stack.reset(std::move(storage));
  const std::size_t read = parser.write_some(false, text.data(), text.size(), fault);
  if (!fault && read < text.size()) fault = json::make_error_code(json::error::extra_data);
  if (fault) return nullptr;
  return parser.handler().stack.release();
}

}  // namespace penstock
