// Inference events in the log. Rows of one call that differ by little more than their numbers are
// one record: with a record each, a call of 64 rows would cost more to log than to answer.
#pragma once

#include <span>

#include "ports/log.h"
#include "serving/inference_event.h"

namespace penstock::serving {

// The event as JSON, but for fields that a reader takes to be what they are where they are missing.
std::string event_text(const InferenceEvent& event);

// Rows of one call, as ids_of() names them: BASE.0, BASE.1, ...
std::string row_id(std::string_view base, std::size_t row);
// Of the state that finds a call of several rows; no id of a caller makes it.
std::string group_key(std::string_view project, std::string_view base);
// The BASE of such an id; empty where it is none.
std::string_view base_of(std::string_view id);

// What is written of the events of one call. `key` is the record's: of one row its id, of several
// rows that are one record their BASE.
struct EventRecord {
  std::string key, text;
  std::string found_by;  // the state that finds it; empty where nobody looks for it
  bool is_group = false;
  bool is_exact = true;  // what a reader gets of the text is what was written, to the last letter
};
std::vector<EventRecord> records_of(std::span<const InferenceEvent> call);

// The events of a record, in order. data_loss or invalid_argument where it is none.
Result<std::vector<InferenceEvent>> events_of(std::string_view text);

}  // namespace penstock::serving
