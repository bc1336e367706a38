#include "net/answer_reader.h"

#include <algorithm>
#include <charconv>

#include "net/wire.h"

namespace penstock::net {
namespace {

constexpr std::size_t line_max = 4 << 10;  // of a chunk's size with its extensions
constexpr std::size_t fields_max = 512;
constexpr int interim_max = 16;  // heads like "100 Continue" before the answer's own
constexpr std::string_view ending = "\r\n\r\n";

bool is_token(std::string_view text) {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           others.find(c) != others.npos;
  });
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool read_number(std::string_view text, int base, std::size_t& number) {
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return !text.empty() && fault == std::errc() && end == text.data() + text.size();
}

}  // namespace

void AnswerReader::begin(bool bodiless, const Limits& limits) {
  limits_ = limits;
  state_ = State::head;
  bodiless_ = bodiless;
  keep_alive_ = false;
  status_ = interim_ = 0;
  left_ = body_ = trailer_ = 0;
  begun_.clear();
  line_.clear();
  headers_.clear();
  piece_ = problem_ = {};
}

AnswerReader::Step AnswerReader::fail(std::string_view problem) {
  state_ = State::broken;
  problem_ = problem;
  return Step::broken;
}

AnswerReader::Step AnswerReader::outgrown(std::string_view problem) {
  state_ = State::too_large;
  problem_ = problem;
  return Step::too_large;
}

AnswerReader::Step AnswerReader::next(std::string_view& bytes) {
  while (true) switch (state_) {
      case State::head: {
        const Step step = take_head(bytes);
        if (step != Step::done) return step;
        break;  // it was an interim one
      }
      case State::counted:
      case State::open:
      case State::data: {
        if (state_ == State::counted && left_ == 0) {
          state_ = State::done;
          break;
        }
        if (state_ == State::data && left_ == 0) {
          state_ = State::data_end;
          break;
        }
        return bytes.empty() ? Step::more : take_body(bytes);
      }
      case State::data_end:
        if (!take_line(bytes, 2)) return state_ == State::broken ? Step::broken : Step::more;
        if (!line_.empty()) return fail("a chunk is longer than it says");
        line_.clear();
        state_ = State::size;
        break;
      case State::size: {
        const Step step = take_size(bytes);
        if (step != Step::done) return step;
        break;
      }
      case State::trailer: {
        const Step step = take_trailer(bytes);
        if (step != Step::done) return step;
        break;
      }
      case State::done: return Step::done;
      case State::broken: return Step::broken;
      case State::too_large: return Step::too_large;
    }
}

AnswerReader::Step AnswerReader::end() {
  if (state_ == State::counted && left_ == 0) state_ = State::done;
  if (state_ == State::open) state_ = State::done;
  if (state_ == State::done) return Step::done;
  if (state_ == State::broken || state_ == State::too_large) return fail(problem_);
  return fail(state_ == State::head ? "the connection ended before a whole head"
                                    : "the connection ended before the answer did");
}

// `done`: the head was an interim one, or it is read and its body begins.
AnswerReader::Step AnswerReader::take_head(std::string_view& bytes) {
  constexpr std::string_view begins = "HTTP/1.";
  if (bytes.empty()) return Step::more;
  if (begun_.empty()) {  // mostly it comes in one piece
    const std::size_t end = bytes.find(ending);
    if (end != bytes.npos && end + ending.size() <= limits_.head_max) {
      const std::string_view head = bytes.substr(0, end + 2);
      bytes.remove_prefix(end + ending.size());
      return read_head(head);
    }
  }
  const std::size_t before = begun_.size();
  begun_.append(bytes.substr(0, limits_.head_max + 1 - before));
  const std::size_t seen = std::min(begun_.size(), begins.size());
  if (std::string_view(begun_).substr(0, seen) != begins.substr(0, seen))
    return fail("it does not speak HTTP/1");
  const std::size_t end = begun_.find(ending, before < 3 ? 0 : before - 3);
  if (end == begun_.npos || end + ending.size() > limits_.head_max) {
    if (begun_.size() > limits_.head_max) return outgrown("its head is too long");
    bytes = {};
    return Step::more;
  }
  bytes.remove_prefix(end + ending.size() - before);
  const std::string head = begun_.substr(0, end + 2);
  begun_.clear();
  return read_head(head);
}

AnswerReader::Step AnswerReader::read_head(std::string_view head) {
  headers_.clear();
  bool first = true;
  while (!head.empty()) {
    const std::size_t end = head.find("\r\n");
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(end + 2);
    if (has_break(line)) return fail("its head has a stray control character");
    if (first ? !read_status(line) : !read_field(line))
      return fail(first ? "it does not speak HTTP/1" : "its head has a malformed field");
    first = false;
    if (headers_.size() > fields_max) return outgrown("its head has too many fields");
  }
  if (status_ == 101) return fail("it switches to a protocol that nobody asked for");
  if (status_ >= 200) return read_framing();
  if (++interim_ > interim_max) return fail("it only sends interim answers");
  return Step::done;
}

bool AnswerReader::read_status(std::string_view line) {
  if (!line.starts_with("HTTP/1.") || line.size() < 12) return false;
  if ((line[7] != '0' && line[7] != '1') || line[8] != ' ') return false;
  if (line.size() > 12 && line[12] != ' ') return false;
  http_1_0_ = line[7] == '0';
  std::size_t status = 0;
  if (!read_number(line.substr(9, 3), 10, status) || status < 100 || status > 599) return false;
  status_ = static_cast<int>(status);
  return true;
}

bool AnswerReader::read_field(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == line.npos || !is_token(line.substr(0, colon))) return false;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(), lower);
  headers_.emplace_back(std::move(name), std::string(trimmed(line.substr(colon + 1))));
  return true;
}

bool AnswerReader::has_token(std::string_view field, std::string_view token) const {
  for (const auto& [name, value] : headers_) {
    if (name != field) continue;
    for (std::string_view rest = value; !rest.empty();) {
      const std::string_view word = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(word.size() + 1, rest.size()));
      if (same_word(trimmed(word), token)) return true;
    }
  }
  return false;
}

// How the body's end will be known. What could be read in two ways is refused: the next answer on
// this connection would go to somebody else.
AnswerReader::Step AnswerReader::read_framing() {
  const std::string* coding = nullptr;
  bool counted = false;
  std::size_t length = 0;
  for (const auto& [name, value] : headers_) {
    if (name == "transfer-encoding") {
      if (coding) return fail("it names two transfer codings");
      coding = &value;
    } else if (name == "content-length") {
      std::size_t one = 0;
      if (!read_number(value, 10, one)) return fail("its content-length is no number");
      if (counted && one != length) return fail("it names two lengths");
      counted = true;
      length = one;
    }
  }
  keep_alive_ =
      http_1_0_ ? has_token("connection", "keep-alive") : !has_token("connection", "close");
  if (bodiless_ || status_ == 204 || status_ == 304) {
    state_ = State::done;
    return Step::head;
  }
  if (coding) {
    if (counted) return fail("it names a length and a transfer coding");
    if (http_1_0_ || !same_word(*coding, "chunked"))
      return fail("its transfer coding is not chunked");
    state_ = State::size;
  } else if (counted) {
    if (length > limits_.body_max) return outgrown("the answer is too long");
    state_ = State::counted;
    left_ = length;
  } else {
    state_ = State::open;
    keep_alive_ = false;
  }
  return Step::head;
}

AnswerReader::Step AnswerReader::take_body(std::string_view& bytes) {
  const std::size_t most = state_ == State::open ? bytes.size() : std::min(left_, bytes.size());
  if (most > limits_.body_max - body_) return outgrown("the answer is too long");
  piece_ = bytes.substr(0, most);
  bytes.remove_prefix(most);
  body_ += most;
  if (state_ != State::open) left_ -= most;
  return Step::body;
}

// True once a line is whole, in line_ without its end.
bool AnswerReader::take_line(std::string_view& bytes, std::size_t most) {
  const std::size_t end = bytes.find('\n');
  const std::string_view part = bytes.substr(0, end == bytes.npos ? end : end + 1);
  line_.append(part.substr(0, most + 1 - line_.size()));
  bytes.remove_prefix(part.size());
  if (line_.size() > most) {
    fail("a line between its chunks is too long");
    return false;
  }
  if (!line_.ends_with('\n')) return false;
  if (!line_.ends_with("\r\n")) {
    fail("a line between its chunks is malformed");
    return false;
  }
  line_.resize(line_.size() - 2);
  return true;
}

AnswerReader::Step AnswerReader::take_size(std::string_view& bytes) {
  if (!take_line(bytes, line_max)) return state_ == State::broken ? Step::broken : Step::more;
  const std::string_view digits = trimmed(std::string_view(line_).substr(0, line_.find(';')));
  if (!read_number(digits, 16, left_)) return fail("a chunk's size is no number");
  line_.clear();
  state_ = left_ == 0 ? State::trailer : State::data;
  return Step::done;
}

AnswerReader::Step AnswerReader::take_trailer(std::string_view& bytes) {
  if (!take_line(bytes, limits_.head_max))
    return state_ == State::broken ? Step::broken : Step::more;
  trailer_ += line_.size() + 2;
  if (trailer_ > limits_.head_max) return fail("its trailers are too long");
  if (line_.empty()) state_ = State::done;
  line_.clear();
  return Step::done;
}

}  // namespace penstock::net
