#include "tests/support/grpc_client.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace penstock::test {

struct GrpcClient::Hooks {
  static GrpcClient& client(void* user) { return *static_cast<GrpcClient*>(user); }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                       std::uint8_t, void* user) {
    Answer& answer = client(user).answers_[frame->hd.stream_id];
    const std::string key(reinterpret_cast<const char*>(name), name_size);
    const std::string text(reinterpret_cast<const char*>(value), value_size);
    answer.headers[key] = text;
    if (key == "grpc-status") answer.code = std::stoi(text);
    if (key == "grpc-message") answer.text = text;
    return 0;
  }
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                     std::size_t size, void* user) {
    client(user).answers_[id].message.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int on_close(nghttp2_session*, std::int32_t id, std::uint32_t fault, void* user) {
    if (fault != NGHTTP2_NO_ERROR) client(user).answers_[id].reset = fault;
    client(user).closed_[id] = true;
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_GOAWAY) client(user).goaway_ = frame->goaway.error_code;
    return 0;
  }
  static ssize_t read_body(nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t most,
                           std::uint32_t* flags, nghttp2_data_source* source, void*) {
    Body& body = *static_cast<Body*>(source->ptr);
    const std::size_t size = std::min(most, body.bytes.size() - body.sent);
    if (size == 0 && !body.is_all) return NGHTTP2_ERR_DEFERRED;
    std::memcpy(to, body.bytes.data() + body.sent, size);
    body.sent += size;
    if (body.sent == body.bytes.size() && body.is_all) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(size);
  }
};

GrpcClient::GrpcClient(const std::string& address, std::optional<int> window) : raw_(address) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Hooks::on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Hooks::on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Hooks::on_close);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Hooks::on_frame);
  nghttp2_option* options = nullptr;
  nghttp2_option_new(&options);
  nghttp2_option_set_no_http_messaging(options, 1);  // headers that there are not, too
  nghttp2_option_set_no_auto_window_update(options, window ? 1 : 0);
  nghttp2_session_client_new2(&h2_, callbacks, this, options);
  nghttp2_option_del(options);
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
                                        static_cast<std::uint32_t>(window.value_or(65'535))};
  nghttp2_submit_settings(h2_, NGHTTP2_FLAG_NONE, &entry, 1);
  if (window) nghttp2_session_set_local_window_size(h2_, NGHTTP2_FLAG_NONE, 0, *window);
}

GrpcClient::~GrpcClient() { nghttp2_session_del(h2_); }

std::string GrpcClient::framed(const std::string& message, char packed) {
  std::string out(1, packed);
  for (int shift = 24; shift >= 0; shift -= 8)
    out += static_cast<char>(message.size() >> shift & 0xFF);
  return out + message;
}

int GrpcClient::ask(const std::string& path, const std::string& message, const Fields& fields) {
  return ask_raw(path, framed(message), fields);
}

int GrpcClient::ask_raw(const std::string& path, const std::string& bytes, const Fields& fields,
                        bool is_all) {
  Fields all = {{":method", "POST"},    {":scheme", "http"}, {":path", path},
                {":authority", "test"}, {"te", "trailers"},  {"content-type", "application/grpc"}};
  for (const auto& [name, value] : fields) {
    const auto known = std::find_if(all.begin(), all.end(),
                                    [&key = name](const auto& one) { return one.first == key; });
    if (known == all.end())
      all.emplace_back(name, value);
    else
      known->second = value;
  }
  std::vector<nghttp2_nv> list;
  for (auto& [name, value] : all)
    list.push_back({reinterpret_cast<std::uint8_t*>(name.data()),
                    reinterpret_cast<std::uint8_t*>(value.data()), name.size(), value.size(),
                    NGHTTP2_NV_FLAG_NONE});
  const auto id = static_cast<int>(nghttp2_session_get_next_stream_id(h2_));
  Body& body = bodies_[id] = {.bytes = bytes, .is_all = is_all};
  nghttp2_data_provider provider{};
  provider.source.ptr = &body;
  provider.read_callback = Hooks::read_body;
  if (nghttp2_submit_request(h2_, nullptr, list.data(), list.size(), &provider, nullptr) != id)
    throw std::runtime_error("no call could be begun");
  flush();
  return id;
}

void GrpcClient::send(int stream, const std::string& bytes, bool is_all) {
  Body& body = bodies_.at(stream);
  body.bytes += bytes;
  body.is_all = is_all;
  nghttp2_session_resume_data(h2_, stream);
  flush();
}

std::vector<std::string> GrpcClient::messages(int stream, std::size_t count) {
  std::vector<std::string> out;
  for (std::size_t at = 0; out.size() < count;) {
    const std::string& bytes = answers_[stream].message;
    std::size_t length = 0;
    for (std::size_t i = 1; i < 5 && at + 5 <= bytes.size(); ++i)
      length = length << 8 | static_cast<unsigned char>(bytes[at + i]);
    if (at + 5 + length <= bytes.size()) {
      out.push_back(bytes.substr(at + 5, length));
      at += 5 + length;
    } else if (closed_[stream] || !take()) {
      break;
    }
  }
  return out;
}

std::size_t GrpcClient::unsent(int stream) const {
  const Body& body = bodies_.at(stream);
  return body.bytes.size() - body.sent;
}

// Sends what was begun. False where the other side is gone.
bool GrpcClient::flush() {
  std::string out;
  const std::uint8_t* data = nullptr;
  for (ssize_t size = 0; (size = nghttp2_session_mem_send(h2_, &data)) > 0;)
    out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
  return out.empty() || raw_.send(out);
}

bool GrpcClient::take() {
  std::string bytes;
  try {
    bytes = raw_.some();
  } catch (const std::runtime_error& ended) {
    if (std::strcmp(ended.what(), "the connection has ended") != 0) throw;
    return false;
  }
  if (nghttp2_session_mem_recv(h2_, reinterpret_cast<const std::uint8_t*>(bytes.data()),
                               bytes.size()) < 0)
    throw std::runtime_error("what came is no HTTP/2");
  flush();
  return true;
}

GrpcClient::Answer GrpcClient::answer(int stream) {
  while (!closed_[stream])
    if (!take()) break;
  Answer out = std::exchange(answers_[stream], {});
  if (out.message.size() >= 5) out.message.erase(0, 5);
  return out;
}

void GrpcClient::reset(int stream, unsigned fault) {
  nghttp2_submit_rst_stream(h2_, NGHTTP2_FLAG_NONE, stream, fault);
  flush();
}

bool GrpcClient::ping() {
  nghttp2_submit_ping(h2_, NGHTTP2_FLAG_NONE, nullptr);
  return flush();
}

}  // namespace penstock::test
