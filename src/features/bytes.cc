#include "features/bytes.h"

namespace penstock::features {

void put_number(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void put_text(std::string& out, std::string_view text) {
  put_number(out, text.size());
  out += text;
}

void put_scalar(std::string& out, const Scalar& value) {
  out += static_cast<char>(value.index());
  if (const auto* truth = std::get_if<bool>(&value))
    out += static_cast<char>(*truth);
  else if (const auto* whole = std::get_if<std::int64_t>(&value))
    put_fixed(out, *whole);
  else if (const auto* real = std::get_if<double>(&value))
    put_fixed(out, *real);
  else if (const auto* text = std::get_if<std::string>(&value))
    put_text(out, *text);
}

bool Reader::number(std::uint64_t& out) {
  out = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    unsigned char byte = 0;
    if (!fixed(byte)) return false;
    if (shift == 63 && byte > 1) return false;
    out |= std::uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool Reader::text(std::string_view& out) {
  std::uint64_t size = 0;
  return number(size) && take(size, out);
}

bool Reader::scalar(Scalar& out) {
  unsigned char kind = 0;
  std::int64_t whole = 0;
  double real = 0;
  std::string_view bytes;
  if (!fixed(kind)) return false;
  switch (kind) {
    case 0: out = std::monostate{}; return true;
    case 1:
      if (!fixed(kind) || kind > 1) return false;
      out = kind == 1;
      return true;
    case 2:
      if (!fixed(whole)) return false;
      out = whole;
      return true;
    case 3:
      if (!fixed(real)) return false;
      out = real;
      return true;
    case 4:
      if (!text(bytes)) return false;
      out = std::string(bytes);
      return true;
    default: return false;
  }
}

}  // namespace penstock::features
