#include "audit/export.h"

#include <charconv>

namespace penstock::audit {
namespace {

constexpr std::string_view event_head = R"({"event":)", event_middle = R"(,"leaf":")",
                           event_tail = R"("})", checkpoint_head = R"({"checkpoint":")",
                           number_mark = R"(,"number":)";
constexpr std::size_t hex_size = 64;

// Where the event says that it stands. In canonical JSON no text holds the mark: its quotes would
// be escaped. Nothing where it says none.
std::optional<std::int64_t> number_of(std::string_view entry) {
  const std::size_t at = entry.find(number_mark);
  if (at == entry.npos) return {};
  const char* begin = entry.data() + at + number_mark.size();
  std::int64_t number = 0;
  const auto [end, fault] = std::from_chars(begin, entry.data() + entry.size(), number);
  if (fault != std::errc{} || end == entry.data() + entry.size() || *end != ',') return {};
  return number;
}

std::string events_text(std::int64_t first, std::int64_t last) {
  if (first == last) return "event " + std::to_string(first);
  return "an event from " + std::to_string(first) + " to " + std::to_string(last);
}

}  // namespace

std::string export_header(const PublicKey& key) {
  return json::serialize(json::object{{"penstock_audit_export", 1}, {"key", key.text()}}) + "\n";
}

std::string export_line(const std::string& entry, const std::string& leaf) {
  std::string line;
  line.reserve(entry.size() + hex_size + 24);
  line.append(event_head).append(entry).append(event_middle).append(leaf).append(event_tail);
  return line.append("\n");
}

std::string export_line(const Checkpoint& checkpoint) {
  return json::serialize(json::object{{"checkpoint", checkpoint.note}}) + "\n";
}

bool ExportVerifier::fault(std::string what, std::optional<std::int64_t> number) {
  if (!out_.intact) return false;
  out_.intact = false;
  out_.fault = std::move(what);
  out_.first_wrong = number;
  return false;
}

Result<void> ExportVerifier::must_continue(std::string_view note) {
  known_ = TRY(open_checkpoint(note, key_));
  return {};
}

bool ExportVerifier::line(std::string_view text) {
  if (!out_.intact) return false;
  if (text.starts_with(event_head) && started_) return event(text);
  if (text.starts_with(checkpoint_head) && started_) return checkpoint(text);
  if (!started_ && text.starts_with(R"({"penstock_audit_export":1,)")) {
    started_ = true;
    return true;
  }
  if (!started_) return fault("this is no file of penstock audit export");
  return fault("the line after event " + std::to_string(frontier_.size() - 1) +
                   " is neither an event nor a checkpoint",
               frontier_.size());
}

bool ExportVerifier::event(std::string_view text) {
  const std::int64_t expected = frontier_.size();
  const std::string name = "event " + std::to_string(expected);
  constexpr std::size_t tail = event_middle.size() + hex_size + event_tail.size();
  if (text.size() < event_head.size() + tail ||
      text.substr(text.size() - tail, event_middle.size()) != event_middle ||
      !text.ends_with(event_tail))
    return fault(name + " is cut or not as it was written", expected);
  const std::string_view entry =
      text.substr(event_head.size(), text.size() - event_head.size() - tail);
  const std::string_view leaf = text.substr(text.size() - event_tail.size() - hex_size, hex_size);
  const auto number = number_of(entry);
  if (!number) return fault(name + " was changed: it says no number", expected);
  if (*number > expected) return fault(name + " is missing", expected);
  if (*number < expected)
    return fault("in the place of " + name + " stands event " + std::to_string(*number) +
                     ": events were repeated or reordered",
                 expected);
  const Sha256 hash = leaf_hash(entry);
  if (to_hex(hash) != leaf) return fault(name + " was changed", expected);
  frontier_.append(hash);
  if (known_ && known_->size == frontier_.size() && known_->root != frontier_.root())
    return fault("the first " + std::to_string(known_->size) +
                     " events are not those of the checkpoint that was kept: the log was forked",
                 out_.signed_size);
  return true;
}

bool ExportVerifier::checkpoint(std::string_view text) {
  boost::system::error_code failed;
  const json::value line = json::parse(text, failed);
  const json::value* note =
      failed || !line.is_object() ? nullptr : line.get_object().if_contains("checkpoint");
  const std::string place = "the checkpoint after event " + std::to_string(frontier_.size() - 1);
  if (!note || !note->is_string()) return fault(place + " was changed", out_.signed_size);
  const auto head = open_checkpoint(note->get_string(), key_);
  if (!head) return fault(place + ": " + head.error().message, out_.signed_size);
  if (head->size > frontier_.size())
    return fault("the checkpoint of " + std::to_string(head->size) + " events stands behind " +
                     std::to_string(frontier_.size()) + ": events are missing",
                 frontier_.size());
  if (head->size < frontier_.size())
    return fault("the checkpoint of " + std::to_string(head->size) + " events stands behind " +
                     std::to_string(frontier_.size()) + ": lines were moved",
                 out_.signed_size);
  // Every leaf is the hash of its event, so whoever changed one changed its leaf too; which of
  // those since the last checkpoint it was, no signature says.
  if (head->root != frontier_.root())
    return fault(events_text(out_.signed_size, head->size - 1) + " is not what was signed",
                 out_.signed_size);
  out_.signed_size = head->size;
  return true;
}

Verification ExportVerifier::finish() {
  out_.events = frontier_.size();
  out_.root = to_hex(frontier_.root());
  if (!started_) fault("this is no file of penstock audit export");
  if (out_.signed_size < frontier_.size())
    fault("no checkpoint signs " + events_text(out_.signed_size, frontier_.size() - 1) +
              ": the end was cut off or added",
          out_.signed_size);
  if (known_ && known_->size > frontier_.size())
    fault("the checkpoint that was kept has " + std::to_string(known_->size) +
              " events, and the file " + std::to_string(frontier_.size()) + ": the end was cut off",
          frontier_.size());
  return out_;
}

}  // namespace penstock::audit
