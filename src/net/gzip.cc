#include "net/gzip.h"

#include <zlib.h>

namespace penstock::net {
namespace {

constexpr std::size_t step = 64 << 10;

Bytef* bytes_of(std::string_view data) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
}

}  // namespace

Result<std::string> inflated(std::string_view data, std::size_t max) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 32) != Z_OK) return Error{Code::internal, "zlib did not start"};
  stream.next_in = bytes_of(data);
  stream.avail_in = static_cast<uInt>(data.size());
  std::string out;
  int state = Z_OK;
  while (state == Z_OK && out.size() <= max) {
    const std::size_t before = out.size();
    out.resize(before + step);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    stream.avail_out = step;
    state = inflate(&stream, Z_NO_FLUSH);
    const bool starved = stream.avail_in == 0 && stream.avail_out > 0;
    out.erase(out.size() - stream.avail_out);
    if (state == Z_OK && starved) break;
    // gzip data may be several members, one behind the other.
    if (state == Z_STREAM_END && stream.avail_in > 0) state = inflateReset(&stream);
  }
  inflateEnd(&stream);
  if (out.size() > max)
    return Error{Code::resource_exhausted,
                 "the body is larger than " + std::to_string(max) + " bytes when unpacked"};
  if (state != Z_STREAM_END) return Error{Code::invalid_argument, "the body is no whole gzip data"};
  return out;
}

std::string gzipped(std::string_view data) {
  z_stream stream{};
  // Level 1: an answer waits for it.
  deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, static_cast<uLong>(data.size())), '\0');
  stream.next_in = bytes_of(data);
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.erase(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace penstock::net
