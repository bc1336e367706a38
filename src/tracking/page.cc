#include "tracking/page.h"

#include <sodium.h>

#include <bit>
#include <charconv>

#include "base/digest.h"

namespace penstock::tracking {
namespace {

constexpr int variant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
constexpr std::size_t check_size = 16;
constexpr std::size_t token_max = 100'000;

Error not_ours() {
  return {
      Code::invalid_argument,
      "Invalid page token: it was not given by this server for this search; begin again without "
      "page_token"};
}

// What was asked, but for the size of its pages.
std::string question_of(const Listing& listing) {
  std::string text = listing.columns + "\n" + listing.from + "\n" + listing.where;
  for (const OrderTerm& term : listing.order)
    text += "\n" + term.expression + (term.is_descending ? " DESC" : "");
  for (const Scalar& value : listing.parameters) text += "\n" + canonical(to_json(value));
  return text;
}

std::string check_of(const Listing& listing, std::string_view values) {
  return sha256_hex(question_of(listing) + "\n" + std::string(values)).substr(0, check_size);
}

// i<digits>; d<bits of the double>; s<length>:<bytes>
std::string packed(const sql::Row& values) {
  std::string out;
  for (const Scalar& value : values) {
    if (const auto* whole = std::get_if<std::int64_t>(&value))
      out += "i" + std::to_string(*whole) + ";";
    else if (const auto* real = std::get_if<double>(&value))
      out += "d" + std::to_string(std::bit_cast<std::uint64_t>(*real)) + ";";
    else if (const auto* text = std::get_if<std::string>(&value))
      out += "s" + std::to_string(text->size()) + ":" + *text;
    else
      throw std::logic_error("an order's term is NULL or no number and no text");
  }
  return out;
}

// False where `text` holds anything else than `count` values.
bool unpack(std::string_view text, std::size_t count, sql::Row& out) {
  while (!text.empty()) {
    const char kind = text.front();
    std::uint64_t bits = 0;
    std::int64_t whole = 0;
    const char* begin = text.data() + 1;
    const char* end = text.data() + text.size();
    const auto read =
        kind == 'i' ? std::from_chars(begin, end, whole) : std::from_chars(begin, end, bits);
    if (read.ec != std::errc() || read.ptr == end) return false;
    const char stop = *read.ptr;
    text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()) + 1);
    if (kind == 'i' && stop == ';') {
      out.emplace_back(whole);
    } else if (kind == 'd' && stop == ';') {
      out.emplace_back(std::bit_cast<double>(bits));
    } else if (kind == 's' && stop == ':' && bits <= text.size()) {
      out.emplace_back(std::string(text.substr(0, bits)));
      text.remove_prefix(bits);
    } else {
      return false;
    }
  }
  return out.size() == count;
}

std::string token_of(const Listing& listing, const sql::Row& row) {
  const sql::Row values(row.end() - static_cast<std::ptrdiff_t>(listing.order.size()), row.end());
  const std::string plain = packed(values);
  const std::string whole = check_of(listing, plain) + plain;
  std::string out(sodium_base64_encoded_len(whole.size(), variant), '\0');
  sodium_bin2base64(out.data(), out.size(), reinterpret_cast<const unsigned char*>(whole.data()),
                    whole.size(), variant);
  out.pop_back();  // its zero byte
  return out;
}

Result<sql::Row> values_of(const Listing& listing) {
  const std::string& token = listing.page_token;
  if (token.size() > token_max) return not_ours();
  std::string whole(token.size(), '\0');
  std::size_t size = 0;
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(whole.data()), whole.size(), token.data(),
                        token.size(), nullptr, &size, nullptr, variant) != 0 ||
      size < check_size)
    return not_ours();
  whole.resize(size);
  const std::string_view plain = std::string_view(whole).substr(check_size);
  sql::Row values;
  if (check_of(listing, plain) != whole.substr(0, check_size) ||
      !unpack(plain, listing.order.size(), values))
    return not_ours();
  return values;
}

// What comes after `marks` in the order. The bound on the first term alone says nothing new; it is
// what lets an index begin there.
std::string after(const std::vector<OrderTerm>& order, const std::vector<std::string>& marks) {
  std::string rest;
  for (std::size_t i = order.size(); i-- > 0;) {
    const std::string& term = order[i].expression;
    const char* beyond = order[i].is_descending ? " < " : " > ";
    const std::string strictly = term + beyond + marks[i];
    rest = rest.empty()
               ? strictly
               : "(" + strictly + " OR (" + term + " = " + marks[i] + " AND " + rest + "))";
  }
  const OrderTerm& first = order.front();
  return first.expression + (first.is_descending ? " <= " : " >= ") + marks.front() + " AND " +
         rest;
}

}  // namespace

Result<PageRows> page_rows(sql::Tx& tx, const Listing& listing) {
  std::string columns = listing.columns, where = listing.where, order;
  sql::Row parameters = listing.parameters;
  for (const OrderTerm& term : listing.order) {
    columns += ", " + term.expression;
    order += (order.empty() ? "" : ", ") + term.expression + (term.is_descending ? " DESC" : "");
  }
  if (!listing.page_token.empty()) {
    std::vector<std::string> marks;
    for (Scalar& value : TRY(values_of(listing))) {
      parameters.push_back(std::move(value));
      marks.push_back("$" + std::to_string(parameters.size()));
    }
    where += " AND " + after(listing.order, marks);
  }
  PageRows out;
  out.rows = TRY(tx.run("SELECT " + columns + " FROM " + listing.from + " WHERE " + where +
                            " ORDER BY " + order + " LIMIT " + std::to_string(listing.limit + 1),
                        parameters));
  if (static_cast<std::int64_t>(out.rows.size()) <= listing.limit) return out;
  out.rows.resize(static_cast<std::size_t>(listing.limit));
  if (!out.rows.empty()) out.next_page_token = token_of(listing, out.rows.back());
  return out;
}

}  // namespace penstock::tracking
